//! The runtime's loops under a seeded log, clock and network: one seed, one story, again and again.
//!
//! Every loop runs on a stack of its own, all on one thread: at each call of the log it may have to wait
//! for others, stand still as a stopped process does, or end as a killed one. What happens next depends on the seed alone.

pub mod chaos;
pub mod laws;
pub mod pager;
pub mod schedule;
pub mod story;
pub mod telemetry;
