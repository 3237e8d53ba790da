//! Telemetry into panes, panes into incidents.

pub mod decode;
pub mod pane;
pub mod progress;
pub mod record;
pub mod reference;
