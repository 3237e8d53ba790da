//! The `tocsin` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    tocsin::main()
}
