//! From judged panes to incidents: when one opens, changes and clears, and how severe it is.

use wire::incident::Context;
use wire::incident::Contributor;
use wire::{Change, Effect, Evidence, Family, Incident, Severity, Timestamp};

use super::Effects;
use super::closing::Closing;
use super::incident::{Case, Open, PARTS_MAX, Part, Told};
use super::loaded::Loaded;
use super::stream::{Judged, Least, Moved, Stream};
use super::words;
use crate::config::{FamilySettings, ModelSettings};
use crate::reference::baseline::float;

/// Tests of one stream that an incident follows, most.
const PARTS_OF_STREAM: usize = 3;
/// Contributors that an incident tells of, most.
const CONTRIBUTORS_MAX: usize = 10;
/// An open incident is told again when its effect is half as large again, and larger by so much.
const WORSE: (f64, f64) = (1.5, 0.05);
/// After so long, half of the page's effect is enough.
const LASTS_MS: i64 = 3_600_000;

/// Brings one family's incident up to date with the streams that were judged now. `behind_ms`: for how long other
/// versions of the model have had traffic and this one none.
pub(super) fn respond(
    case: &mut Case,
    at: &Closing<'_>,
    loaded: &Loaded,
    (family, judged): (Family, Vec<(usize, Judged)>),
    streams: &mut [Stream],
    behind_ms: i64,
    out: &mut Effects,
) {
    let settings = at.config.judge.family(family);
    if case.open.is_none() {
        opening(case, at, loaded, (family, &judged), streams, out);
        return;
    }
    let Some(open) = &mut case.open else { return };
    open.incomplete |= at.incomplete;
    join(open, family, &judged, streams);
    let lasted = at.end.since_ms(open.opened_at) >= LASTS_MS;
    let page = page_severity(&judged, settings, at.settings, lasted);
    let worse = worse(open, settings);
    let recovery_ms = i64::from(at.config.judge.recovery_s) * 1000;
    let back = open.has_recovered(at.end, recovery_ms);
    let gone = behind_ms >= i64::from(at.config.judge.gone_s) * 1000;
    let change = if back || gone {
        Change::Cleared
    } else if let Some(severity) = page.filter(|severity| *severity < open.severity) {
        open.severity = severity;
        reset_page(&judged, streams);
        Change::Updated
    } else if worse.is_some() {
        Change::Updated
    } else {
        return;
    };
    if let Some(worse) = worse {
        open.told = open.told.max(worse);
    }
    let why = if gone && !back { Some(Over::Gone) } else { None };
    let told = tell(open, at, loaded, family, (change, why));
    let fine_since = open.parts.iter().filter_map(Part::recovery_from).max().unwrap_or(at.end);
    out.incidents.extend(case.tell(&at.whose(family), change, at.end, told));
    if change == Change::Cleared {
        for (stream, rule) in streams.iter_mut().zip(&loaded.rules) {
            if rule.family() == family {
                stream.restart();
                stream.leave_out(rule, &loaded.reference.profile.delay_edges_ms, fine_since);
            }
        }
    }
}

/// Why an incident is over although nothing came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Gone,
    TurnedOff,
}

/// Its family is judged no more: an open incident would stay so for ever. True if there was one.
pub(super) fn turn_off(
    case: &mut Case,
    at: &Closing<'_>,
    loaded: &Loaded,
    family: Family,
    out: &mut Effects,
) -> bool {
    let Some(open) = &mut case.open else { return false };
    let told = tell(open, at, loaded, family, (Change::Cleared, Some(Over::TurnedOff)));
    out.incidents.extend(case.tell(&at.whose(family), Change::Cleared, at.end, told));
    true
}

/// Opens when a stream's D has reached 1 and its effect passes the gate in the same pane.
fn opening(
    case: &mut Case,
    at: &Closing<'_>,
    loaded: &Loaded,
    (family, judged): (Family, &[(usize, Judged)]),
    streams: &mut [Stream],
    out: &mut Effects,
) {
    let settings = at.config.judge.family(family);
    let page = page_severity(judged, settings, at.settings, false);
    let together = together(judged);
    let alarmed =
        |j: &Judged| (j.ticket >= together || (j.page >= 1.0 && page.is_some())) && !j.moved.is_empty();
    let Some(first) = judged.iter().filter(|(_, j)| alarmed(j)).filter_map(|(_, j)| j.from).min() else {
        return;
    };
    let severity = page.unwrap_or(Severity::Sev3);
    let reopen_ms = i64::from(at.config.judge.reopen_s) * 1000;
    let whose = at.whose(family);
    let open = case.open(&whose, severity, (first, at.end), reopen_ms);
    open.incomplete = at.incomplete;
    for (index, j) in judged.iter().filter(|(_, j)| alarmed(j)) {
        add_parts(open, family, *index, &j.moved);
        streams[*index].spend_ticket();
    }
    if severity.pages() {
        reset_page(judged, streams);
    }
    open.parts.sort_by(|a, b| b.evidence.total_cmp(&a.evidence));
    open.told = open.parts.iter().map(|part| part.effect.estimate).fold(0.0, f64::max);
    let told = tell(open, at, loaded, family, (Change::Opened, None));
    out.incidents.extend(case.tell(&whose, Change::Opened, at.end, told));
}

/// The least ticket D with which a stream that passes the gate alarms: 1 alone; with others, of k streams that all stand at 1/k
/// or more, 1/k, for the largest such k.
///
/// Those k hold 1 between them, so an alarm of theirs takes away what was granted for it, as one stream's does. And of the
/// streams named in a ticket, those without a change are at most the grant's share in the long run, whatever the dependence
/// between streams: e-d-BH (Dandapanthula & Ramdas, arXiv:2501.04130).
fn together(judged: &[(usize, Judged)]) -> f64 {
    let passed = judged.iter().filter(|(_, j)| !j.moved.is_empty());
    let mut values: Vec<f64> = passed.map(|(_, j)| j.ticket).collect();
    values.sort_by(|a, b| b.total_cmp(a));
    let reached = (1_u64..).map(float).zip(values).filter(|(k, value)| *value * k >= 1.0);
    reached.last().map_or(1.0, |(k, _)| 1.0 / k)
}

fn reset_page(judged: &[(usize, Judged)], streams: &mut [Stream]) {
    for (index, j) in judged.iter().filter(|(_, j)| j.page >= 1.0) {
        debug_assert!(j.page >= 1.0, "only an alarm sets D to 0");
        streams[*index].spend_page();
    }
}

/// Streams that alarm while it is open become parts of it.
fn join(open: &mut Open, family: Family, judged: &[(usize, Judged)], streams: &mut [Stream]) {
    for (index, j) in judged.iter().filter(|(_, j)| j.ticket >= 1.0 && !j.moved.is_empty()) {
        add_parts(open, family, *index, &j.moved);
        streams[*index].spend_ticket();
    }
}

fn add_parts(open: &mut Open, family: Family, stream: usize, moved: &[Moved]) {
    for one in moved {
        let known = |part: &&Part| part.stream == stream;
        let of_stream = open.parts.iter().filter(known).count();
        let same = open.parts.iter().filter(known).any(|part| part.test == one.test && part.side == one.side);
        if open.parts.len() < PARTS_MAX && of_stream < PARTS_OF_STREAM && !same {
            open.parts.push(Part::new(stream, one, family));
        }
    }
}

/// Page severity, where a page D has crossed and the effect is large enough: surely half of the floor, at the rate of error
/// that pages are granted, and by its limit all of it. What has lasted for an hour needs half.
fn page_severity(
    judged: &[(usize, Judged)],
    settings: &FamilySettings,
    model: &ModelSettings,
    lasted: bool,
) -> Option<Severity> {
    let [half, floor, sev1] = Least::of(settings).page;
    let moved = || judged.iter().filter(|(_, j)| j.page >= 1.0).flat_map(|(_, j)| &j.moved);
    let sure = moved().filter_map(|moved| moved.sure).reduce(f64::max)?;
    let enough = sure >= half && (lasted || sure >= floor || moved().any(|moved| moved.lower >= floor));
    enough.then_some(if model.tier == 1 && sure >= sev1 { Severity::Sev1 } else { Severity::Sev2 })
}

/// The effect now, if it is worse than what was told by both measures.
fn worse(open: &Open, settings: &FamilySettings) -> Option<f64> {
    let now = open.parts.iter().filter_map(|part| part.now_for_sure());
    let most = now.map(|now| now.effect.estimate).fold(0.0, f64::max);
    let absolute = WORSE.1.max(2.0 * settings.least_effect);
    (most >= open.told * WORSE.0 && most >= open.told + absolute).then_some(most)
}

/// Title, numbers and surroundings of the next record.
fn tell(
    open: &mut Open,
    at: &Closing<'_>,
    loaded: &Loaded,
    family: Family,
    (change, over): (Change, Option<Over>),
) -> Told {
    if change == Change::Updated || change == Change::Cleared {
        for part in &mut open.parts {
            refresh(part);
        }
    }
    if change == Change::Updated {
        open.parts.sort_by(|a, b| b.effect.estimate.total_cmp(&a.effect.estimate));
    }
    let profile = &loaded.reference.profile;
    let mut contributors: Vec<Contributor> = open
        .parts
        .iter()
        .take(CONTRIBUTORS_MAX)
        .map(|part| {
            let plan = &loaded.rules[part.stream].plan;
            let (what, inverted) = words::event(profile, plan.tests[part.test].event, part.reference);
            let [value, reference] = shares(part, inverted);
            let (usual, now) = (words::percent(reference), words::percent(value));
            let detail = match change {
                Change::Opened | Change::Updated => format!("{what}: {usual} -> {now} since {}", part.since),
                Change::Cleared => format!("{what}: {now} now, usually {usual}"),
            };
            Contributor {
                name: plan.name.clone(),
                detail,
                value,
                reference,
                evidence: part.evidence,
                segment: None,
            }
        })
        .collect();
    let subject = format!("{} {}", at.model, at.version);
    let (mut title, evidence) = match open.parts.first() {
        Some(lead) => lead_words(lead, at, loaded, family, (&subject, others(open, lead))),
        None => (subject.clone(), nothing(at)),
    };
    if change == Change::Cleared {
        title = match over {
            Some(Over::Gone) => format!("{subject}: {family} is over: the version has no traffic any more"),
            Some(Over::TurnedOff) => format!("{subject}: {}", words::turned_off(family)),
            None => {
                format!("{subject}: {family} is back: {}", contributors.first().map_or("", |c| &c.detail))
            }
        };
    }
    if over.is_some() {
        contributors.truncate(1);
    }
    let evidence = Evidence { contributors, profile: Some(profile.digest.clone()), ..evidence };
    Told { title: clip(title), evidence, context: context(open, at) }
}

/// Other streams that moved.
fn others(open: &Open, lead: &Part) -> usize {
    let mut streams: Vec<usize> =
        open.parts.iter().map(|part| part.stream).filter(|s| *s != lead.stream).collect();
    streams.sort_unstable();
    streams.dedup();
    streams.len()
}

fn lead_words(
    lead: &Part,
    at: &Closing<'_>,
    loaded: &Loaded,
    family: Family,
    (subject, more): (&str, usize),
) -> (String, Evidence) {
    let plan = &loaded.rules[lead.stream].plan;
    let event = plan.tests[lead.test].event;
    let (what, inverted) = words::event(&loaded.reference.profile, event, lead.reference);
    let [value, reference] = shares(lead, inverted);
    let title = words::title(subject, family, &plan.name, &what, [value, reference], more);
    let evidence = Evidence {
        statistic: words::statistic(event).to_owned(),
        value,
        reference,
        unit: "share".to_owned(),
        effect: finite(lead.effect),
        evidence: lead.evidence,
        samples: lead.samples,
        window: [lead.recovery_from().unwrap_or(lead.since), at.end],
        contributors: vec![],
        profile: None,
    };
    (title, evidence)
}

/// Share and reference, as the words put it.
fn shares(part: &Part, inverted: bool) -> [f64; 2] {
    if inverted { [1.0 - part.value, 1.0 - part.reference] } else { [part.value, part.reference] }
}

/// The numbers of the last full slices, where there are some.
fn refresh(part: &mut Part) {
    let Some(now) = part.now() else { return };
    part.value = now.value;
    part.reference = now.reference;
    part.samples = now.samples;
    part.effect = now.effect;
}

fn finite(effect: Effect) -> Effect {
    let held = |x: f64| if x.is_finite() { x } else { 0.0 };
    Effect { estimate: held(effect.estimate), lower: held(effect.lower), upper: held(effect.upper) }
}

fn nothing(at: &Closing<'_>) -> Evidence {
    Evidence {
        statistic: String::new(),
        value: 0.0,
        reference: 0.0,
        unit: String::new(),
        effect: Effect::default(),
        evidence: 0.0,
        samples: 0,
        window: [at.start, at.end],
        contributors: vec![],
        profile: None,
    }
}

fn context(open: &Open, at: &Closing<'_>) -> Context {
    surround(at.settings, at.config, at.surroundings, (open.opened_at, at.end), open.incomplete)
}

/// Owner, tier, deployments before it opened, lineage, config.
pub(super) fn surround(
    model: &ModelSettings,
    config: &crate::config::JudgeConfig,
    surroundings: &super::surroundings::Surroundings,
    (opened_at, at): (Timestamp, Timestamp),
    incomplete: bool,
) -> Context {
    Context {
        as_of: [("panes".to_owned(), at)].into(),
        owner: model.owner.clone(),
        tier: Some(model.tier),
        deployments: surroundings.deployments(opened_at),
        lineage: surroundings.lineage().cloned(),
        config: Some(config.digest().clone()),
        raised_by: None,
        incomplete,
    }
}

/// One line of at most 300 characters.
pub(super) fn clip(title: String) -> String {
    if title.chars().count() <= 300 { title } else { title.chars().take(299).chain(['…']).collect() }
}

/// Holds a record within its bound: contributors go first, then what surrounds it.
pub(super) fn fit(mut incident: Incident) -> Incident {
    let size = |incident: &Incident| serde_json::to_vec(incident).map_or(0, |bytes| bytes.len());
    while size(&incident) > wire::incident::INCIDENT_BYTES_MAX {
        if incident.evidence.contributors.pop().is_some() || incident.context.deployments.pop().is_some() {
            continue;
        }
        if incident.context.lineage.take().is_none() {
            break;
        }
    }
    incident
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::incident::INCIDENT_BYTES_MAX;

    fn sample() -> Incident {
        let text = include_str!("../../../../schemas/samples/incident.json");
        serde_json::from_str(text).expect("of this version")
    }

    fn size(incident: &Incident) -> usize {
        serde_json::to_vec(incident).expect("plain data").len()
    }

    #[test]
    fn streams_alarm_together_at_a_part_of_what_one_needs() {
        let moved = Moved {
            test: 0,
            side: stats::Side::Up,
            evidence: 1.0,
            lower: 0.02,
            estimate: 0.03,
            upper: 0.04,
            sure: None,
            samples: 1000,
            k: 100,
            null: 0.1,
            d: 1.0,
            since: Timestamp::EPOCH,
        };
        let judged = |values: &[f64]| -> Vec<(usize, Judged)> {
            let of = |ticket: &f64| Judged { ticket: *ticket, moved: vec![moved], ..Judged::default() };
            values.iter().map(of).enumerate().collect()
        };
        for (values, least) in [
            (&[0.9][..], 1.0),
            (&[0.6, 0.5, 0.1], 0.5),
            (&[0.34, 0.15, 0.35, 0.36, 0.24], 1.0 / 3.0),
            (&[0.9, 0.4, 0.3, 0.2], 1.0),
            (&[5.0, 0.1, 0.1], 1.0),
            (&[], 1.0),
        ] {
            assert!(
                (together(&judged(values)) - least).abs() < 1e-12,
                "{values:?}: {}",
                together(&judged(values))
            );
        }
        let mut small = judged(&[0.6, 0.6]);
        small[1].1.moved.clear();
        assert!(
            (together(&small) - 1.0).abs() < 1e-12,
            "an effect too small to matter helps no other stream"
        );
    }

    #[test]
    fn an_incident_stays_within_its_bound_and_loses_contributors_first() {
        assert_eq!(fit(sample()), sample(), "what fits is left as it is");
        let mut wide = sample();
        let one = Contributor { detail: "x".repeat(5_000), ..wide.evidence.contributors[0].clone() };
        wide.evidence.contributors = vec![one; 40];
        let fitted = fit(wide.clone());
        let left = fitted.evidence.contributors.len();
        assert!((1..40).contains(&left) && size(&fitted) <= INCIDENT_BYTES_MAX, "{left} left");
        assert_eq!(fitted.context, sample().context);
        let deployment = wide.context.deployments[0].clone();
        wide.context.deployments = vec![deployment; 2_000];
        let fitted = fit(wide);
        assert!(fitted.evidence.contributors.is_empty() && size(&fitted) <= INCIDENT_BYTES_MAX);
        assert!(!fitted.context.deployments.is_empty());
    }
}
