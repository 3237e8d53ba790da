//! The `tocsin` binary, so that `cargo test` builds it with the tests that start it.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(orders) = tocsin_tests::env(tocsin_tests::gauntlet::ORDERS) {
        tocsin_tests::gauntlet::obey(orders.into());
    }
    tocsin::main()
}
