//! Runs the cores on a log, Kafka's or the embedded one.
//!
//! Each loop is `step(&mut self, now)`: it neither sleeps nor spawns, so that a simulation can drive the same code.
//! The thread around it is in [`host`].

pub mod canary;
pub mod checkpoints;
pub mod clock;
pub mod collect;
mod commit;
mod context;
mod end;
pub mod escalate;
mod gauges;
pub mod heartbeat;
mod held;
pub mod host;
pub mod judge;
pub mod live;
pub mod log;
pub mod metrics;
mod oversized;
pub mod past;
pub mod points;
mod restore;
pub mod sends;
pub mod settings;
pub mod shown;
pub mod state;
mod tail;
pub mod topics;
pub mod views;

pub use settings::{command_record, context_records, forget_record, silence_record};
