//! Incidents into pages: who, when, and until someone owns it.
