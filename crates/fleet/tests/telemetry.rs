//! What the fleet writes, read back as any consumer would: the form, the traffic, the labels, and the planted troubles.

mod telemetry {
    mod read;

    mod form;
    mod normal;
    mod planted;
}
