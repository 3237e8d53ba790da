//! The `tocsin` binary as a library, so that tests can reach its config and commands.
