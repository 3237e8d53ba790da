//! Telemetry into panes, panes into incidents.
