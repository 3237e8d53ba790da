//! Simulations of what is promised: the budget as a bound, a fleet under it, streams whose records hang together, delay.
//!
//! Shared by the fast form (`tests/guarantees.rs`) and the full one (`examples/guarantees.rs`): they differ in size alone.

#![allow(dead_code, unreachable_pub, reason = "each user of this takes what it needs")]

pub mod bound;
pub mod correlated;
pub mod delay;
pub mod draws;
pub mod fleet;
