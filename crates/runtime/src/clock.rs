//! The one place that reads the clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wire::Timestamp;

/// Both clocks at one moment: the wall's for what is recorded, the monotonic for leases, holds and time-outs.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub wall: Timestamp,
    /// Since the process started.
    pub mono: Duration,
}

impl Now {
    /// A time of the wall clock on the monotonic one, as both stand at this moment; what has passed is now.
    #[must_use]
    pub fn mono_at(&self, wall: Timestamp) -> Duration {
        let ms = u64::try_from(wall.since_ms(self.wall)).unwrap_or(0);
        self.mono + Duration::from_millis(ms)
    }
}

/// Reads the machine's clocks. Copies share their start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the edge reads the clock, here and nowhere else")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the edge reads the clock, here and nowhere else")]
    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ms = i64::try_from(wall.as_millis()).unwrap_or(i64::MAX);
        Now { wall: Timestamp::from_ms(ms).unwrap_or(Timestamp::MAX), mono: self.start.elapsed() }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::start()
    }
}
