//! What a record of a very wide model tells: of the streams and measures, those that matter most.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde::Serialize;
use wire::history::{HISTORY_BYTES_MAX, History, StreamHistory, Verdict};

/// Leaves out what has no room: streams that are well before those in trouble, and low indices before high ones. How
/// many were left out stands in the record. Its bytes are at most [`HISTORY_BYTES_MAX`].
pub(super) fn fit(mut history: History) -> History {
    if bytes(&history) <= HISTORY_BYTES_MAX {
        return history;
    }
    let mut streams = std::mem::take(&mut history.streams);
    let mut measures: Vec<(String, f64)> = std::mem::take(&mut history.measures).into_iter().collect();
    // What is left of the room is for these alone: pictures can wait, verdicts cannot.
    history.distributions.clear();
    let all = streams.len() + measures.len();
    history.left_out = u32::MAX;
    let room = HISTORY_BYTES_MAX.saturating_sub(bytes(&history));

    let mut order: Vec<usize> = (0..streams.len()).collect();
    order.sort_by(|a, b| rank(&streams[*a]).cmp(&rank(&streams[*b])).then(a.cmp(b)));
    let sizes = order.iter().map(|at| bytes(&streams[*at]));
    let (kept, used) = first_that_fit(sizes, room / 4 * 3);
    let kept: BTreeSet<usize> = order[..kept].iter().copied().collect();
    let mut at = 0..streams.len();
    streams.retain(|_| at.next().is_some_and(|at| kept.contains(&at)));

    // Indices by feature are many, the others few.
    measures.sort_by(|(a, x), (b, y)| {
        (a.starts_with("psi.")).cmp(&b.starts_with("psi.")).then(y.total_cmp(x)).then(a.cmp(b))
    });
    let (kept, _) = first_that_fit(measures.iter().map(bytes), room - used);
    measures.truncate(kept);

    history.left_out = u32::try_from(all - streams.len() - measures.len()).unwrap_or(u32::MAX);
    history.streams = streams;
    history.measures = measures.into_iter().collect();
    history
}

/// Trouble first, then what has most evidence.
fn rank(stream: &StreamHistory) -> (u8, Reverse<u64>) {
    let trouble = match stream.verdict {
        Verdict::Degraded | Verdict::Drifting | Verdict::InvalidInput => 0,
        Verdict::NoData | Verdict::NotCalibrated => 1,
        Verdict::Ok => 2,
        Verdict::WarmingUp | Verdict::InsufficientData => 3,
    };
    // Evidence is not negative, and bits of such floats rise as they do.
    let evidence = stream.after[0].max(stream.after[1]).max(0.0);
    (trouble, Reverse(evidence.to_bits()))
}

/// How many of the first have room, with a comma each, and what they take.
fn first_that_fit(sizes: impl Iterator<Item = usize>, room: usize) -> (usize, usize) {
    let (mut kept, mut used) = (0, 0);
    for size in sizes {
        if used + size + 1 > room {
            break;
        }
        used += size + 1;
        kept += 1;
    }
    (kept, used)
}

fn bytes(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).expect("plain data").len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{Family, Timestamp};

    fn stream(i: usize, verdict: Verdict, d: f64) -> StreamHistory {
        StreamHistory {
            name: format!("feature_{i:04}_{}", "x".repeat(200)),
            k: u64::MAX,
            n: u64::MAX,
            reference: 0.123_456_789_012_345_67,
            before: [d; 2],
            after: [d; 2],
            granted: [1.234_567e-9; 2],
            ..StreamHistory::new(Family::Drift, "", verdict)
        }
    }

    fn history(streams: Vec<StreamHistory>) -> History {
        let psi = streams.iter().zip(0_u32..).map(|(s, i)| (format!("psi.{}", s.name), f64::from(i) / 7.0));
        History {
            model: "m".repeat(256),
            version: "v".repeat(256),
            segment: None,
            window: [Timestamp::EPOCH; 2],
            predictions: 1,
            status: [("ok".to_owned(), 1)].into(),
            latency_ms: [("p50".to_owned(), 1.5)].into(),
            labels: 0,
            measures: psi.chain([("accuracy".to_owned(), 0.5)]).collect(),
            streams,
            distributions: vec![],
            left_out: 0,
            incomplete: false,
            profile: None,
            config: None,
        }
    }

    #[test]
    fn a_record_of_any_width_fits_and_tells_of_the_trouble() {
        let mut streams: Vec<_> = (0..4096).map(|i| stream(i, Verdict::Ok, 0.001)).collect();
        streams[4000] = stream(4000, Verdict::Drifting, 3.0);
        streams[2000] = stream(2000, Verdict::Ok, 0.9);
        let whole = history(streams);
        assert!(bytes(&whole) > 1_048_588, "{}", bytes(&whole));
        let fitted = fit(whole.clone());
        assert!(bytes(&fitted) <= HISTORY_BYTES_MAX, "{}", bytes(&fitted));
        assert!(bytes(&fitted) > HISTORY_BYTES_MAX * 9 / 10, "room is left: {}", bytes(&fitted));
        let left = whole.streams.len() + whole.measures.len() - fitted.streams.len() - fitted.measures.len();
        assert_eq!(usize::try_from(fitted.left_out), Ok(left));
        for at in [4000, 2000, 0] {
            assert!(fitted.streams.contains(&whole.streams[at]), "stream {at}");
        }
        assert!(fitted.streams.is_sorted_by(|a, b| a.name < b.name), "in their own order");
        let highest = format!("psi.{}", whole.streams[4095].name);
        assert!(fitted.measures.contains_key("accuracy") && fitted.measures.contains_key(&highest));
    }

    #[test]
    fn what_fits_is_told_whole() {
        let whole = history((0..300).map(|i| stream(i, Verdict::Ok, 0.0)).collect());
        assert_eq!(fit(whole.clone()), whole);
    }
}
