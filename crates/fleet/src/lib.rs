//! A simulated fleet of models that writes telemetry and knows what it did wrong.
