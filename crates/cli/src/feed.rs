//! Playing a simulated fleet into a log, as fast as asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use fleet::Fleet;
use runtime::clock::Clock;
use runtime::log::{Log, LogError, NewRecord};
use wire::Timestamp;

/// Most records written at once.
const BATCH_MAX: usize = 5_000;
/// Shortest wait between two batches when the clock sets the pace.
const TICK: Duration = Duration::from_millis(20);

/// How far a feed has come, for whoever draws it.
#[derive(Debug, Default)]
pub(crate) struct Played {
    pub records: AtomicU64,
    /// Arrival time of the last record in epoch ms.
    pub through_ms: AtomicI64,
    pub done: AtomicBool,
}

impl Played {
    #[must_use]
    pub(crate) fn through(&self) -> Option<Timestamp> {
        Some(self.through_ms.load(Ordering::Relaxed)).filter(|ms| *ms != 0).and_then(Timestamp::from_ms)
    }
}

/// What is played and how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Event time at which it begins and ends.
    pub start: Timestamp,
    pub end: Timestamp,
    /// Seconds of event time in a second of the clock; 0 is as fast as the log takes it.
    pub speed: f64,
}

/// Writes the fleet's records to `topic` until the end of the pace or until `stop`.
///
/// # Errors
/// When the log refuses for good; what does not answer is tried again.
pub(crate) fn play<L: Log>(
    log: &L,
    topic: &str,
    fleet: &mut Fleet,
    pace: Pace,
    played: &Played,
    stop: &AtomicBool,
) -> Result<(), LogError> {
    let clock = Clock::start();
    let topic: Arc<str> = topic.into();
    let mut batch: Vec<NewRecord> = Vec::with_capacity(BATCH_MAX);
    let mut arrival = pace.start;
    while arrival < pace.end && !stop.load(Ordering::Relaxed) {
        let due = due(pace, clock.now().mono);
        while arrival < due.min(pace.end) && batch.len() < BATCH_MAX {
            let record = fleet.advance();
            arrival = record.arrival;
            // The log's own time of writing: a log drops what is old by it, and event time may be long ago.
            batch.push(NewRecord::new(Arc::clone(&topic), record.json).key(record.key));
        }
        if batch.is_empty() {
            std::thread::sleep(TICK);
            continue;
        }
        append(log, &batch, stop)?;
        played.records.fetch_add(batch.len() as u64, Ordering::Relaxed);
        played.through_ms.store(arrival.as_ms(), Ordering::Relaxed);
        batch.clear();
        if pace.speed > 0.0 {
            std::thread::sleep(TICK);
        }
    }
    played.done.store(true, Ordering::Relaxed);
    Ok(())
}

/// Event time that the pace has reached after `mono` of the clock.
fn due(pace: Pace, mono: Duration) -> Timestamp {
    if pace.speed <= 0.0 {
        return Timestamp::MAX;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "held within the range of a timestamp; fractions of ms do not matter"
    )]
    let ms = (mono.as_secs_f64() * pace.speed * 1000.0).min(1e15) as i64;
    pace.start.plus_ms(ms)
}

fn append<L: Log>(log: &L, batch: &[NewRecord], stop: &AtomicBool) -> Result<(), LogError> {
    loop {
        match log.append(batch) {
            Ok(_) => return Ok(()),
            Err(e @ LogError::Retriable { .. }) if !stop.load(Ordering::Relaxed) => {
                tracing::warn!(error = %e, "telemetry is waiting for the log");
                std::thread::sleep(Duration::from_millis(500));
            }
            Err(e) => return Err(e),
        }
    }
}

/// `90s`, `30m`, `12h`, `7d`, in milliseconds.
///
/// # Errors
/// What would be right.
pub(crate) fn duration_ms(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is no duration: write 90s, 30m, 12h or 7d");
    let units = [("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let split = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = split.ok_or_else(wrong)?;
    let number: i64 = number.trim_end().parse().map_err(|_| wrong())?;
    number.checked_mul(factor).filter(|ms| *ms > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, want) in [
            ("90s", Some(90_000)),
            ("30m", Some(1_800_000)),
            ("7d", Some(604_800_000)),
            ("7", None),
            ("", None),
            ("5€", None),
            ("-1h", None),
        ] {
            assert_eq!(duration_ms(text).ok(), want, "{text}");
        }
    }
}
