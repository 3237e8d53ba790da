//! Waiting for what must come, without believing in any particular speed of the machine.

use std::time::{Duration, Instant};

/// How long anything may take before a test fails; only failures wait this long.
pub const PATIENCE: Duration = Duration::from_secs(120);
const STEP: Duration = Duration::from_millis(50);

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none within [`PATIENCE`]; says what was waited for.
pub fn until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, ask).unwrap_or_else(|| panic!("{what}: not within {} s", PATIENCE.as_secs()))
}

/// Asks again and again until there is an answer or the time is over.
#[expect(clippy::disallowed_methods, reason = "a test waits by the clock")]
pub fn within<T>(time: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if start.elapsed() >= time {
            return None;
        }
        std::thread::sleep(STEP);
    }
}

/// That something stays as it is: looks again and again for the whole time.
///
/// # Panics
/// When `holds` says no.
#[expect(clippy::disallowed_methods, reason = "a test waits by the clock")]
pub fn stays(what: &str, time: Duration, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < time {
        assert!(holds(), "{what}: no longer");
        std::thread::sleep(STEP);
    }
}
