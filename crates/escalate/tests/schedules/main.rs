//! Who is on call when: against a walk through every minute, as laws, and in words.

extern crate tocsin_escalate as escalate;

mod changes;
mod checked;
mod laws;
mod samples;
mod zones;
