//! The one listener and its route table.
