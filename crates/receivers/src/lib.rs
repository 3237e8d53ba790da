//! One file per kind of receiver: render a page, send it, say what happened.
