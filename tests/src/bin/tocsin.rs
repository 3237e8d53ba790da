//! The `tocsin` binary, so that `cargo test` builds it with the tests that start it.

use std::process::ExitCode;

fn main() -> ExitCode {
    tocsin::main()
}
