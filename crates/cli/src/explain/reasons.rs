//! The numbers of an incident, what was asked of them, and what would have had to be different.

use serde::Serialize;
use stats::effect::Z_GATE;
use wire::{Effect, Evidence, Family, Incident, Source, Timestamp};

use super::{Asked, changed};

/// Why it is as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Explanation {
    pub(super) measured: Vec<String>,
    pub(super) gates: Vec<Gate>,
    /// What would have had to be different, in sentences.
    pub(super) otherwise: Vec<String>,
    pub(super) since: Vec<String>,
    /// What is not known here, and where it stands.
    pub(super) unknown: Vec<String>,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Gate {
    pub(super) name: &'static str,
    pub(super) passed: bool,
    /// End of the pane whose numbers these are.
    pub(super) at: Timestamp,
    pub(super) value: f64,
    pub(super) least: f64,
    pub(super) words: String,
}

impl Explanation {
    /// `records` of one generation, by sequence, at least one; the first is its opening, or all that is kept.
    pub(super) fn new(records: &[Incident], asked: Option<&Asked>) -> Self {
        let Some(first) = records.first() else { return Self::default() };
        let opening = first.changed_at == first.opened_at;
        let mut this = Self { since: records.iter().map(step).collect(), ..Self::default() };
        if !opening {
            this.unknown.push(format!(
                "The running process keeps the last record alone: these are the numbers of {}, not those of the opening \
                 at {}. The incidents topic has every record; --file reads them.",
                first.changed_at, first.opened_at
            ));
        }
        let is_fact = first.source != Source::Detector || first.evidence.statistic.is_empty();
        if is_fact || first.family == Family::Telemetry {
            this.measured
                .push("A fact, not a test: it has no evidence and spends nothing of a budget.".to_owned());
            return this;
        }
        this.measured = measured(&first.evidence);
        match asked {
            None => this.unknown.push(
                "There is no config here (--config): the least effects that were asked for are not known.".to_owned(),
            ),
            Some(asked) if !asked.same => this.unknown.push(
                "The config here is not the one that judged it: what is said of least effects and budgets is as this \
                 config would have it."
                    .to_owned(),
            ),
            Some(_) => (),
        }
        this.gates = gates(records, opening, asked);
        this.otherwise = otherwise(first, opening, asked);
        this
    }

    pub(super) fn sections(&self) -> Vec<(&'static str, Vec<String>)> {
        let gate =
            |gate: &Gate| format!("{} {:<10} {}", if gate.passed { '✓' } else { '✗' }, gate.name, gate.words);
        let all = [
            ("What was measured", self.measured.clone()),
            ("What was asked of it", self.gates.iter().map(gate).collect()),
            ("What would have had to be different", self.otherwise.clone()),
            ("What was told", self.since.clone()),
            ("What is not known here", self.unknown.clone()),
        ];
        all.into_iter().filter(|(_, lines)| !lines.is_empty()).collect()
    }
}

fn step(record: &Incident) -> String {
    let Effect { estimate, lower, upper } = record.evidence.effect;
    let what = changed(record.change);
    format!(
        "{}  {what:<8} {}  effect {estimate:+.4} [{lower:+.4}, {upper:+.4}]",
        record.changed_at, record.severity
    )
}

/// The formula with the numbers put in.
fn measured(e: &Evidence) -> Vec<String> {
    let [from, until] = e.window;
    let mut lines = vec![format!(
        "{}: {} of {} records from {from} to {until}; the reference expects {}",
        e.statistic,
        number(e.value, &e.unit),
        e.samples,
        number(e.reference, &e.unit)
    )];
    let Effect { estimate, lower, upper } = e.effect;
    if e.unit != "share" {
        lines.push(format!("effect = {estimate:+.4} [{lower:+.4}, {upper:+.4}] of what was expected"));
        return lines;
    }
    lines.push(format!("effect = |{:.4} − {:.4}| = {estimate:.4}", e.value, e.reference));
    let half = 0.5 * (upper - lower);
    lines.push(format!("limits = {estimate:.4} ± {half:.4} = [{lower:.4}, {upper:.4}]"));
    #[expect(clippy::cast_precision_loss, reason = "a count of records")]
    let n = e.samples as f64;
    let p = (e.value * n + 0.5) / (n + 1.0);
    let v = (half / Z_GATE).powi(2) / (p * (1.0 - p));
    if n > 0.0 && v.is_finite() && v > 0.0 {
        lines.push(format!(
            "       = effect ± {Z_GATE}·√(p(1 − p)·v) with p = (k + ½)/(n + 1) = {p:.4} and v = {v:.6}: the {} records are \
             worth {:.0} independent ones, as they hang together and the reference is itself an estimate",
            e.samples,
            (1.0 / v).min(n)
        ));
    }
    lines
}

fn number(value: f64, unit: &str) -> String {
    if unit == "share" { format!("{:.2} %", 100.0 * value) } else { format!("{value:.4} {unit}") }
}

fn gates(records: &[Incident], opening: bool, asked: Option<&Asked>) -> Vec<Gate> {
    let Some(first) = records.first() else { return vec![] };
    let (e, at) = (&first.evidence, first.changed_at);
    let d = e.evidence;
    let rule = match first.family {
        Family::Latency => "over windows of many ages",
        Family::Availability
        | Family::Traffic
        | Family::DataQuality
        | Family::Drift
        | Family::Prediction
        | Family::Accuracy
        | Family::Calibration
        | Family::Deployment
        | Family::Telemetry
        | Family::Other => "D ← L·(D + a) from pane to pane",
    };
    let words = match (opening, d >= 1.0) {
        (true, true) => format!("D = {d:.3} in the pane that ended at {at}; an alarm is at 1 ({rule})"),
        (true, false) => format!(
            "this test held {d:.3} of the stream's D in the pane that ended at {at}; all of its tests together had reached 1"
        ),
        (false, _) => format!("D had reached 1 in the pane that ended at {}", first.opened_at),
    };
    let mut gates =
        vec![Gate { name: "evidence", passed: true, at: first.opened_at, value: d, least: 1.0, words }];
    let Some(asked) = asked else { return gates };
    let mut ask = |name, value: f64, least: f64, words: String| {
        gates.push(Gate { name, passed: value >= least, at, value, least, words });
    };
    let Effect { lower, .. } = e.effect;
    let sign = |passed| if passed { '≥' } else { '<' };
    let family = &asked.family;
    let least = family.least_effect;
    ask(
        "effect",
        lower,
        least,
        format!("lower limit {lower:.4} {} least_effect {least}", sign(lower >= least)),
    );
    #[expect(clippy::cast_precision_loss, reason = "counts of records")]
    let (n, enough) = (e.samples as f64, family.least_records as f64);
    ask("records", n, enough, format!("{n:.0} {} least_records {enough:.0}", sign(n >= enough)));
    // The severity is read where it was worst.
    let worst = records.iter().min_by_key(|record| record.severity).unwrap_or(first);
    let sure = worst.evidence.effect.lower;
    if let Some(why) = never_pages(first, asked) {
        ask("page", 0.0, 1.0, why);
    } else {
        let pages = worst.severity.pages();
        let limit = format!(
            "lower limit {sure:.4} {} page_effect {}",
            sign(sure >= family.page_effect),
            family.page_effect
        );
        let words = match (pages, sure >= family.page_effect) {
            (true, true) => format!("{limit} at {}, with the page D at 1", worst.changed_at),
            (true, false) => format!("{limit}; half of it is enough once it has lasted an hour"),
            (false, true) => format!("{limit}, but the page D had not reached 1"),
            (false, false) => limit,
        };
        ask("page", f64::from(u8::from(pages)), 1.0, words);
        let (tier, sev1) = (asked.model.tier, family.sev1_effect);
        let words = format!(
            "tier {tier} (1 is needed), lower limit {sure:.4} {} sev1_effect {sev1}",
            sign(sure >= sev1)
        );
        ask("sev1", f64::from(u8::from(worst.severity == wire::Severity::Sev1)), 1.0, words);
    }
    gates
}

/// Why incidents of this family page nobody; `None` where they may.
fn never_pages(incident: &Incident, asked: &Asked) -> Option<String> {
    let (family, e) = (incident.family, &incident.evidence);
    if asked.model.tier >= 4 {
        return Some("a model of tier 4 never pages".to_owned());
    }
    match family {
        Family::Traffic if e.value > e.reference => Some("more traffic than usual is a ticket".to_owned()),
        Family::Latency | Family::Availability | Family::Traffic | Family::Accuracy => None,
        Family::Drift | Family::Prediction => (!asked.model.drift_may_page)
            .then(|| format!("{family} is a ticket unless the model has drift_may_page = true")),
        Family::DataQuality
        | Family::Calibration
        | Family::Deployment
        | Family::Telemetry
        | Family::Other => Some(format!("{family} is a ticket")),
    }
}

fn otherwise(first: &Incident, opening: bool, asked: Option<&Asked>) -> Vec<String> {
    let mut lines = vec![];
    let Effect { estimate, lower, .. } = first.evidence.effect;
    if opening {
        lines.push(format!(
            "Not opened in that pane: with [judge.{}] least_effect above {lower:.4}. The effect was then {estimate:.4}: a \
             least_effect above that is needed to be rid of changes like it.",
            first.family
        ));
        let d = first.evidence.evidence;
        if d > 1.0 {
            let [pages, tickets] = asked.map_or([None, None], |asked| asked.per_week.map(Some));
            let now = if first.severity.pages() {
                pages.map(|b| ("pages", b))
            } else {
                tickets.map(|b| ("tickets", b))
            };
            let instead = now.map_or_else(String::new, |(what, budget)| {
                format!(" ({what}_per_week below {:.3} instead of {budget:.3})", budget / d)
            });
            lines.push(format!(
                "Not yet in that pane: with a budget more than {d:.1} times smaller{instead}: D is proportional to what is \
                 granted. It would then most likely have rung a little later, as evidence of a change that lasts goes on \
                 growing."
            ));
        }
    }
    if let Some(asked) = asked.filter(|asked| never_pages(first, asked).is_none()) {
        if first.severity.pages() {
            lines.push(format!("A ticket and not a page: with page_effect above {lower:.4}, or tier = 4."));
        } else if (0.0..asked.family.page_effect).contains(&lower) {
            lines.push(format!("A page: with page_effect at most {lower:.4}, and the page D at 1."));
        }
    }
    lines.push(format!(
        "Cleared: it clears when the last records of each of its tests show less than about half of the change \
         ({:.4} from the reference), for recovery_s.",
        0.4 * estimate
    ));
    lines
}
