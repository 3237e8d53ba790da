//! Reading the dead letters back, the latest first found.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use http_api::{BackendError, DeadLetterEntry, DeadLetterPage, DeadLetterQuery};
use runtime::log::{Isolation, Log, Offset, TopicPartition};
use runtime::settings::Settings;
use wire::Timestamp;
use wire::deadletter::DeadLetter;

use super::unavailable;

/// The partition that collectors write dead letters to; the topic has no other.
const PARTITION: u32 = 0;

/// The last letters before the cursor, the newest last. The cursor is an offset: the next page ends below it.
pub(super) fn page<L: Log>(
    log: &L,
    settings: &Settings,
    query: &DeadLetterQuery,
) -> Result<DeadLetterPage, BackendError> {
    let before = query.cursor.as_ref().map(|cursor| {
        let offset: Option<Offset> = cursor.parse().ok().filter(|offset| *offset >= 0);
        offset.ok_or_else(|| BackendError::Invalid(format!("no cursor of ours: {cursor:?}")))
    });
    let at = TopicPartition::new(settings.topics.deadletters.as_str(), PARTITION);
    let ends = log.ends(&at).map_err(unavailable)?;
    let to = before.transpose()?.map_or(ends.stable, |before| before.min(ends.stable));
    // Offsets have gaps: what marks the ends of transactions has one too. So a stretch that has too few is widened.
    let mut span = 2 * Offset::try_from(query.limit).unwrap_or(Offset::MAX / 2);
    loop {
        let from = to.saturating_sub(span).max(ends.start);
        let found = last(log, &at, (from, to), query.limit)?;
        if found.letters.len() == query.limit || from <= ends.start {
            let more = found.passed || from > ends.start;
            let next = found.letters.front().filter(|_| more).map(|(offset, _)| offset.to_string());
            let letters = found.letters.into_iter().map(|(_, letter)| letter).collect();
            return Ok(DeadLetterPage { letters, next });
        }
        span = span.saturating_mul(4);
    }
}

struct Found {
    letters: VecDeque<(Offset, DeadLetterEntry)>,
    /// There were more than were wanted.
    passed: bool,
}

/// The last `limit` letters of a stretch.
fn last<L: Log>(
    log: &L,
    at: &TopicPartition,
    (from, to): (Offset, Offset),
    limit: usize,
) -> Result<Found, BackendError> {
    let mut found = Found { letters: VecDeque::new(), passed: false };
    log.read(at, from, Some(to), Isolation::Committed, &mut |record| {
        if let Some(Ok(letter)) = record.value.map(serde_json::from_slice::<DeadLetter>) {
            let at = Timestamp::from_ms(record.timestamp_ms);
            found.letters.push_back((record.offset, DeadLetterEntry { at, letter }));
            if found.letters.len() > limit {
                found.letters.pop_front();
                found.passed = true;
            }
        }
        ControlFlow::Continue(())
    })
    .map_err(unavailable)?;
    Ok(found)
}
