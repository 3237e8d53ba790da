//! How soon a change of a size is expected to be found: the judge's own code, shown what is due on average.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use wire::{Change, Family, Timestamp};

use super::fleet::Planned;
use crate::config::JudgeConfig;
use crate::family::is_slow;
use crate::judge::Trial;
use crate::judge::budget;
use crate::reference::TestReference;
use crate::reference::baseline::float;

/// Sizes that are told of, as multiples of the family's floor.
const SIZES: [f64; 3] = [1.0, 2.0, 4.0];
/// Longer than this nobody waits for.
const MOST_MS: i64 = 28 * 86_400_000;
/// From here on panes of ten minutes will do.
const FINE_MS: i64 = 6 * 3_600_000;
const COARSE_MS: i64 = 600_000;

/// One size of change of one family's test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Delay {
    pub family: Family,
    /// The floor that is multiplied: the least effect that pages, or where the family may not page, that opens.
    pub floor: f64,
    pub times: f64,
    /// Share that is usual, and that it becomes.
    pub usual: f64,
    pub becomes: f64,
    /// Design effect: records that are worth one independent record.
    pub d: f64,
    /// Until an incident opens. `None`: not within four weeks, as where the change is the floor itself: its lower limit
    /// stays below it.
    pub ticket: Option<After>,
    /// Until it pages.
    pub page: Option<After>,
}

/// Since a change began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct After {
    /// Records of the test: predictions, or labels.
    pub records: u64,
    pub span_ms: i64,
}

/// Delays of a family's test at all sizes. Empty where the version has none, or no records come. Of traffic nothing is
/// said: its test has another form.
pub(super) fn delays(config: &JudgeConfig, version: &Planned, family: Family) -> Vec<Delay> {
    let rate = if family == Family::Accuracy { version.label_rate } else { version.rate };
    let Some((known, share)) = version.test(family).filter(|_| rate > 0.0) else { return vec![] };
    let settings = config.judge.family(family);
    let model = config.model(&version.model);
    let floor = if budget::may_page(family, model) { settings.page_effect } else { settings.least_effect };
    let (streams, _) = version.streams(family);
    let part = version.part() * share / float(streams.max(1) as u64);
    // A trial knows one model, by its own name.
    let models = BTreeMap::from([(Trial::MODEL.to_owned(), model.clone())]);
    let judge = config.judge.clone();
    let own = JudgeConfig::new("plan", config.partitions, config.pane_ms, judge, config.budget, models);
    let own = Arc::new(own);
    let known = TestReference { hours: None, week: None, ..known };
    let usual = float(known.tolerated.min(known.n)) / float(known.n);
    let one = |times: f64| {
        let becomes = (usual + times * floor).min(1.0);
        let trial = Trial::new(Arc::clone(&own), family, known.clone(), version.span_ms());
        let [ticket, page] = run(trial, &own, (family, part), rate, becomes);
        Delay { family, floor, times, usual, becomes, d: known.d, ticket, page }
    };
    SIZES.into_iter().map(one).collect()
}

/// Panes in which just so many records come as are due, until it has opened and paged.
fn run(
    mut trial: Trial,
    config: &JudgeConfig,
    (family, part): (Family, f64),
    rate: f64,
    share: f64,
) -> [Option<After>; 2] {
    let (mut at, mut seen) = (0_i64, [0_u64; 2]);
    let mut out = [None; 2];
    let may_page = budget::may_page(family, config.model(Trial::MODEL));
    while at < MOST_MS && (out[0].is_none() || (may_page && out[1].is_none())) {
        // What finds slowly waits a minute anyway.
        let coarse = at >= FINE_MS && (is_slow(family) || rate < 1.0);
        let end = at + if coarse { COARSE_MS.max(config.pane_ms) } else { config.pane_ms };
        let due = rate * float(end.unsigned_abs()) / 1000.0;
        let until = [due * share, due].map(whole);
        let (k, n) = (until[0] - seen[0], until[1] - seen[1]);
        seen = until;
        let times = (Timestamp::EPOCH.plus_ms(at), Timestamp::EPOCH.plus_ms(end));
        for incident in trial.pane(times, k.min(n), n, part) {
            let after = Some(After { records: seen[1], span_ms: end });
            if incident.change != Change::Cleared {
                out[0] = out[0].or(after);
                if incident.severity.pages() {
                    out[1] = out[1].or(after);
                }
            }
        }
        at = end;
    }
    out
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "records of four weeks")]
fn whole(count: f64) -> u64 {
    count.max(0.0) as u64
}
