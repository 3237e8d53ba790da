//! The log's own clocks: when a record was appended, and how long a wait may still last.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the epoch.
#[expect(
    clippy::disallowed_methods,
    reason = "a log stamps records with when they were appended; the cores never see this"
)]
pub(crate) fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A point on the monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "waits and memberships end on the monotonic clock; the cores never see this"
)]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

/// When a wait must end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    pub(crate) fn after(wait: Duration) -> Self {
        // A wait of zero is common (a poll that only looks) and needs no clock.
        Self(if wait.is_zero() { None } else { Some(monotonic() + wait) })
    }

    /// What is left; zero when it is over.
    pub(crate) fn left(self) -> Duration {
        self.0.map_or(Duration::ZERO, |end| end.saturating_duration_since(monotonic()))
    }

    pub(crate) fn over(self) -> bool {
        self.left().is_zero()
    }
}
