//! Runs the cores on a log, Kafka's or the embedded one.
