//! Numbers in, numbers out: sketches, distances, sequential tests, confidence sequences.
