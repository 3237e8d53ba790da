//! The form that `tocsin simulate --truth` writes.

use fleet::{Change, ChangeKind, Seen, Truth, score};
use wire::Timestamp;

use super::{Alarm, Clock, Fate, Outcome, Planted, Span, length_ms};

pub(super) fn planted(truth: &Truth) -> Vec<Planted> {
    let one = |change: &Change| Planted {
        family: change.family.name(),
        kind: format!("{} {}", kind(change.kind), change.size),
        what: change.what.clone(),
        start: change.start,
        detect_by: change.detect_by,
    };
    truth.changes.iter().map(one).collect()
}

fn kind(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Slower => "slower",
        ChangeKind::Shift => "shift",
        ChangeKind::Wrong => "wrong",
        ChangeKind::BadVersion => "bad version",
        ChangeKind::Stopped => "stopped",
    }
}

pub(super) fn judge(truth: &Truth, alarms: &[Alarm], clock: &Clock, span: Span) -> Outcome {
    let seen = |alarm: &Alarm| Seen {
        model: alarm.model.clone(),
        version: alarm.version.clone(),
        family: alarm.family,
        severity: alarm.urgency,
        opened: alarm.at,
    };
    let seen: Vec<Seen> = alarms.iter().map(seen).collect();
    let score = score(truth, &seen, span.through);
    let fate = |(c, change): (usize, &Change)| match score.found.iter().find(|found| found.change == c) {
        Some(found) => {
            let at = |at: Timestamp| clock.position(Some(&change.model), at);
            let predictions = (at(alarms[found.seen].at) - at(change.start)).max(0.0);
            Fate::Found { alarm: found.seen, delay_ms: found.delay_ms, predictions }
        }
        None if score.pending.contains(&c) => Fate::NotDue,
        None => Fate::Missed,
    };
    let mut wrong: Vec<usize> = score.false_pages.iter().chain(&score.false_tickets).copied().collect();
    wrong.sort_unstable();
    // A ticket that is false, and rises to a page that is, is one false incident.
    let wrong = wrong.into_iter().filter(|&i| !alarms[i].rose || !was_wrong(&score, alarms, i));
    Outcome {
        fates: truth.changes.iter().enumerate().map(fate).collect(),
        wrong: wrong.map(|i| (alarms[i].family.name(), i)).collect(),
        unscored: vec![],
    }
}

/// Whether the same subject's last opening before the rise `i` is false already.
fn was_wrong(score: &fleet::Score, alarms: &[Alarm], i: usize) -> bool {
    let of = |alarm: &Alarm| (alarm.model.clone(), alarm.version.clone(), alarm.family);
    let opened = (0..i).rev().find(|&j| !alarms[j].rose && of(&alarms[j]) == of(&alarms[i]));
    opened.is_some_and(|j| score.false_tickets.contains(&j))
}

pub(super) fn quiet_ms(truth: &Truth, family: &str, clock: &Clock, span: Span) -> i64 {
    let of_model = |model: &str| {
        let felt = truth.changes.iter().filter(|change| {
            let may = || change.may.iter().any(|may| may.name() == family);
            change.model == model && (change.family.name() == family || may())
        });
        length_ms(&span.without(felt.map(|c| [c.start, c.settled.unwrap_or(span.through)])))
    };
    clock.models().map(of_model).sum()
}
