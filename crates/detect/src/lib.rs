//! Telemetry into panes, panes into incidents.

pub mod collect;
pub mod config;
pub mod decode;
pub mod family;
pub mod judge;
pub mod mutant;
pub mod pane;
pub mod progress;
pub mod record;
pub mod reference;
pub mod replay;
