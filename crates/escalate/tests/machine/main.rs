//! The machine from outside: scripts in virtual time, laws over random histories, and what the docs say of it.

extern crate tocsin_escalate as escalate;

mod bounds;
mod checkpoints;
mod complaints;
mod feedback;
mod harness;
mod histories;
mod laws;
mod manners;
mod muting;
mod oncall;
mod order;
mod own;
mod pace;
mod people;
mod raising;
mod reachable;
mod rebuilt;
mod responding;
mod samples;
mod settings;
mod states;
mod storm;
mod telling;
mod timing;
mod trouble;
mod upgrade;
mod upstream;
