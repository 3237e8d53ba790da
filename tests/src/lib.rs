//! Support for the tests beside it.
#![expect(clippy::missing_panics_doc, reason = "support panics where a test must fail")]

pub mod documented;
pub mod fed;
pub mod flood;
pub mod foreign;
pub mod fuzzed;
pub mod gauntlet;
pub mod home;
pub mod log_contract;
pub mod operator;
pub mod pager;
pub mod process;
pub mod random;
pub mod record;
pub mod samples;
pub mod scrape;
pub mod simulated;
pub mod simulation;
pub mod stored;
pub mod told;
pub mod wait;
pub mod web;

/// Whether checked-in files are rewritten from what is computed now.
#[must_use]
pub fn updating_golden() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

/// A variable of the environment that sets up a test, if it is set and not empty.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "tests are set up by the environment")]
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A port of this machine that was free just now.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let bound = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    bound.expect("a free port").port()
}

/// Says what this run leaves out, straight to the terminal: what a test prints is shown only when it fails.
///
/// `.ci/run` looks for these lines and takes none.
pub fn not_tested(what: &str) {
    use std::io::Write as _;
    // One write, or another thread's line would fall into this one.
    let said = std::io::stderr().write_all(format!("\nNOT TESTED: {what}\n").as_bytes());
    said.expect("standard error can be written");
}
