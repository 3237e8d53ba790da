//! What is done to processes, and when.

use std::time::Duration;

use crate::random::Random;
use crate::simulated::Point;

/// What is done to a process at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// As by `kill -9`.
    Kill,
    /// As by SIGSTOP, and SIGCONT after this time.
    Stop(Duration),
    /// The network takes this long, for this call alone.
    Delay(Duration),
}

impl Deed {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop(_) => "stop",
            Self::Delay(_) => "delay",
        }
    }
}

/// What happens without a plan.
#[derive(Clone, Debug, Default)]
pub struct Chaos {
    /// Share of calls that take long.
    pub delay: f64,
    /// Longest of them, in milliseconds.
    pub delay_ms: u64,
}

impl Chaos {
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    pub(super) fn at(&self, point: Point, _: Duration, random: &mut Random) -> Option<Deed> {
        // Within a transaction is where others should run most often.
        let often = match point {
            Point::Produced | Point::OffsetsSent | Point::Begin | Point::Committed => 5.0,
            Point::Poll
            | Point::Polled
            | Point::Join
            | Point::Fence
            | Point::Fenced
            | Point::Read
            | Point::Ends
            | Point::Append
            | Point::Send
            | Point::Sent
            | Point::Close => 1.0,
        };
        let slow = random.chance(self.delay * often);
        slow.then(|| Deed::Delay(Duration::from_millis(1 + random.below(self.delay_ms))))
    }
}

/// One thing to do to one process.
#[derive(Clone, Copy, Debug)]
pub struct Act {
    pub at: Duration,
    /// Which of the processes that run then.
    pub whom: u64,
    pub what: What,
}

#[derive(Clone, Copy, Debug)]
pub enum What {
    Do(Deed, Option<Point>),
    /// As by SIGTERM; and this, when it leaves its group.
    Ask(Option<Deed>),
    /// The group shares its partitions out anew.
    ShareOutAnew,
    /// The log compacts what it may.
    Compact,
}

/// Something to do to a process at some point, or wherever it comes next.
#[must_use]
pub fn any_deed(random: &mut Random, longest_stop: Duration) -> (Deed, Option<Point>) {
    let point = Point::ALL.get(usize::try_from(random.below(18)).unwrap_or(0)).copied();
    let most = u64::try_from(longest_stop.as_millis()).unwrap_or(u64::MAX);
    let stop = Deed::Stop(Duration::from_millis(300 + random.below(most)));
    (if random.chance(0.7) { Deed::Kill } else { stop }, point)
}

/// As `any_deed`, for a process that has just begun: half of them at what it does first, which it does seldom.
#[must_use]
pub fn early_deed(random: &mut Random, longest_stop: Duration) -> (Deed, Option<Point>) {
    const FIRST: [Point; 5] = [Point::Join, Point::Fence, Point::Fenced, Point::Read, Point::Ends];
    let (deed, point) = any_deed(random, longest_stop);
    let first = FIRST.get(usize::try_from(random.below(10)).unwrap_or(0)).copied();
    (deed, first.or(point))
}

/// What is done in a story, in the order of time. `until`: nothing after this.
#[must_use]
pub fn plan(random: &mut Random, until: Duration, longest_stop: Duration) -> Vec<Act> {
    let span = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
    let many = 3 + random.below(8);
    let mut acts: Vec<Act> = (0..many)
        .map(|_| {
            let at = Duration::from_millis(200 + random.below(span));
            let (deed, point) = any_deed(random, longest_stop);
            let what = match random.below(10) {
                0..=6 => What::Do(deed, point),
                7 => What::Ask(random.chance(0.5).then_some(deed)),
                8 => What::ShareOutAnew,
                _ => What::Compact,
            };
            Act { at, whom: random.bits(), what }
        })
        .collect();
    acts.sort_by_key(|act| act.at);
    acts
}
