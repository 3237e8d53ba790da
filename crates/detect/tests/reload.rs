//! Another config while the judge judges: in force from a pane boundary on, nothing that was learned or spent is lost, and
//! stopping it anywhere changes nothing.

#[path = "support/harness.rs"]
mod harness;
#[path = "support/stopping.rs"]
mod stopping;

use std::sync::{Arc, LazyLock};

use fleet::{FleetConfig, Scenario};
use harness::{HOUR_MS, judge_config, logged, references};
use stopping::{judged, numbered, stopping_changes_nothing, without_commits};
use tocsin_detect::config::{BudgetSettings, JudgeConfig};
use tocsin_detect::judge::Judge;
use tocsin_detect::record::PanesRecord;
use wire::context::ContextRecord;
use wire::history::{History, Verdict};
use wire::{Change, Family, Incident, Severity, Timestamp};

const RATE: f64 = 0.4;

static CONFIG: LazyLock<Arc<JudgeConfig>> =
    LazyLock::new(|| Arc::new(judge_config(BudgetSettings::default())));

/// The panes partition of a latency spike, which pages.
static LOG: LazyLock<Vec<PanesRecord>> = LazyLock::new(|| {
    let references = references(&CONFIG, FleetConfig::default().start, 2, RATE, 5);
    let spike = FleetConfig { seed: 3, scenario: Scenario::Latency, rate: RATE, ..FleetConfig::default() };
    logged(&CONFIG, &references, &spike, spike.scenario.length_ms() + HOUR_MS)
});

/// What the operator has changed.
fn another(change: impl FnOnce(&mut JudgeConfig)) -> JudgeConfig {
    let mut config = JudgeConfig::clone(&CONFIG);
    change(&mut config);
    CONFIG.under(config.rules())
}

fn record(config: &JudgeConfig) -> PanesRecord {
    PanesRecord::Config(Box::new(config.rules()))
}

/// The log with this put where it says.
fn with(mut put: Vec<(usize, PanesRecord)>) -> Vec<PanesRecord> {
    put.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let mut log = LOG.clone();
    put.into_iter().for_each(|(at, record)| log.insert(at, record));
    log
}

/// The place of the first record after event time has come so far.
fn place(at: Timestamp) -> usize {
    let reached = |record: &PanesRecord| matches!(record, PanesRecord::Progress(p) if p.watermark.is_some_and(|watermark| watermark >= at));
    LOG.iter().position(reached).expect("the log goes on for longer") + 1
}

fn start() -> Timestamp {
    FleetConfig::default().start
}

#[derive(Default)]
struct Said {
    incidents: Vec<Incident>,
    history: Vec<History>,
    context: Vec<ContextRecord>,
    /// After each record: page, ticket.
    granted: Vec<[f64; 2]>,
}

/// What a judge says of a log, and where the config came into force: the boundary that it named when it was told.
fn play(log: &[PanesRecord]) -> (Said, Vec<Timestamp>) {
    let mut judge = Judge::new(0, Arc::clone(&CONFIG));
    let (mut said, mut boundaries) = (Said::default(), vec![]);
    for (offset, record) in numbered(log) {
        let reloads = matches!(record, PanesRecord::Config(_));
        judge.handle(offset, record.clone());
        if reloads && let Some((_, from)) = judge.next_config() {
            boundaries.push(from);
        }
        let effects = judge.take_effects();
        said.incidents.extend(effects.incidents);
        said.history.extend(effects.history);
        said.context.extend(effects.context);
        said.granted.push(judge.counters().granted);
    }
    (said, boundaries)
}

fn of(said: &Said, family: Family) -> Vec<&Incident> {
    said.incidents.iter().filter(|i| i.family == family).collect()
}

/// When the spike was first told of.
fn opened() -> Timestamp {
    let (said, _) = play(&LOG);
    of(&said, Family::Latency)[0].changed_at
}

#[test]
fn each_incident_and_judged_pane_names_its_config() {
    let raised = another(|c| c.judge.reopen_s = 60);
    let log = with(vec![(place(opened()), record(&raised))]);
    let (said, boundaries) = play(&log);
    let [boundary] = boundaries[..] else { panic!("{boundaries:?}") };
    let digests: Vec<_> = said
        .incidents
        .iter()
        .map(|i| (i.changed_at > boundary, i.context.config.clone().expect("a judge names its config")))
        .collect();
    for (after, digest) in &digests {
        assert_eq!(*digest, if *after { raised.digest() } else { CONFIG.digest() }.clone());
    }
    for told in &said.history {
        let after = told.window[0] >= boundary;
        assert!(after || told.window[1] <= boundary, "{:?} is of two configs", told.window);
        assert_eq!(told.config.as_ref(), Some(if after { raised.digest() } else { CONFIG.digest() }));
    }
    let after = digests.iter().filter(|(after, _)| *after).count();
    assert!(after > 0 && after < digests.len(), "both judged: {digests:?}");
}

#[test]
fn stopping_between_a_reload_and_its_boundary_changes_nothing() {
    let (first, second) =
        (another(|c| c.judge.latency.page_effect = 0.3), another(|c| c.judge.drift.enabled = false));
    let at = place(opened());
    let log = with(vec![(at, record(&first)), (at - 40, record(&second)), (at + 400, record(&CONFIG))]);
    let whole = stopping_changes_nothing(&CONFIG, &log, 4);
    assert!(whole[0].as_array().is_some_and(|incidents| !incidents.is_empty()));
    for behind in 1..6 {
        let cuts = [at - 40 + behind, at + 1 + behind, at + 402 + behind];
        assert_eq!(without_commits(&judged(&CONFIG, &log, &cuts)), whole, "stopped {behind} records behind");
    }
    // Whoever takes it over goes on by what is in force, whatever its own file says, until it says so in the log.
    let mut judge = Judge::new(0, Arc::clone(&CONFIG));
    for (offset, record) in numbered(&log).take(at + 2) {
        judge.handle(offset, record.clone());
    }
    let mut other = Judge::new(0, Arc::new(another(|c| c.judge.keys_max = 7)));
    for (key, value) in judge.take_effects().state {
        value.into_iter().for_each(|value| other.restore(&key, &value).expect("its own state"));
    }
    assert_eq!(other.config().digest(), second.digest());
    assert_eq!(other.next_config().map(|(c, _)| c.digest().clone()), Some(first.digest().clone()));
}

#[test]
fn a_higher_threshold_is_heeded_and_nothing_learned_or_spent_is_lost() {
    let (calm, _) = play(&LOG);
    assert!(of(&calm, Family::Latency).iter().any(|i| i.severity == Severity::Sev2), "it pages");
    let raised = another(|c| (c.judge.latency.page_effect, c.judge.latency.sev1_effect) = (1.0, 1.0));
    let log = with(vec![(place(start().plus_ms(HOUR_MS / 8)), record(&raised))]);
    let (said, boundaries) = play(&log);
    let latency = of(&said, Family::Latency);
    assert!(!latency.is_empty() && latency.iter().all(|i| i.severity == Severity::Sev3), "{latency:#?}");
    assert_eq!(said.context, calm.context, "no profile is made anew");
    let after: Vec<_> = said.history.iter().filter(|h| h.window[0] >= boundaries[0]).collect();
    assert!(after.iter().flat_map(|h| &h.streams).all(|s| s.verdict != Verdict::WarmingUp));
    // What a stream had in D when the old config ended is where it goes on.
    let first = after.iter().find(|h| h.model == "fraud").expect("it is told of");
    let last =
        said.history.iter().rfind(|h| h.model == "fraud" && h.window[1] <= boundaries[0]).expect("and was");
    let kept = first.streams.iter().filter(|s| {
        let before = last.streams.iter().find(|l| l.name == s.name && l.family == s.family);
        before.is_some_and(|b| s.judged > 0 && b.after[1] > 0.0 && (s.before[1] - b.after[1]).abs() < 1e-12)
    });
    assert!(kept.count() > 3, "{:#?}", first.streams);
}

#[test]
fn a_family_that_is_turned_off_clears_and_no_budget_is_given_twice() {
    let off = another(|c| c.judge.latency.enabled = false);
    let (from, until) = (opened().plus_ms(60_000), opened().plus_ms(HOUR_MS));
    let log = with(vec![(place(from), record(&off)), (place(until), record(&CONFIG))]);
    let (said, boundaries) = play(&log);
    let [off_at, on_at] = boundaries[..] else { panic!("{boundaries:?}") };
    let latency = of(&said, Family::Latency);
    let cleared = latency.iter().find(|i| i.change == Change::Cleared).expect("it is over");
    assert_eq!((cleared.changed_at, cleared.context.config.as_ref()), (off_at, Some(off.digest())));
    assert!(
        cleared.title.ends_with("latency is not judged any more: it was turned off in the config"),
        "{}",
        cleared.title
    );
    assert!(!latency.iter().any(|i| (off_at..on_at).contains(&i.changed_at) && i.change != Change::Cleared));
    // Others share what it leaves, and for the time that it was off it is granted nothing.
    let week_ms = 604_800_000.0;
    let budget = BudgetSettings::default();
    let first = LOG.iter().find_map(|record| {
        let PanesRecord::Partial(pane) = record else { return None };
        Some(pane.key.start)
    });
    let first = first.expect("there are panes");
    for (record, granted) in log.iter().zip(&said.granted) {
        let PanesRecord::Progress(progress) = record else { continue };
        let Some(watermark) = progress.watermark else { continue };
        #[expect(clippy::cast_precision_loss, reason = "hours")]
        let weeks = watermark.since_ms(first) as f64 / week_ms;
        for (granted, a_week) in granted.iter().zip([budget.pages_per_week, budget.tickets_per_week]) {
            assert!(*granted <= a_week * weeks + 1e-12, "{granted} of {} at {watermark}", a_week * weeks);
        }
    }
    let ended = said.granted.last().expect("it ran")[1];
    let (calm, _) = play(&LOG);
    let usual = calm.granted.last().expect("it ran")[1];
    assert!(ended > 0.8 * usual, "{ended} of {usual}: what a family leaves is not lost");
}

#[test]
fn a_larger_budget_grants_nothing_for_what_came_before() {
    let larger = another(|c| c.budget.tickets_per_week = 10_000.0);
    let at = place(start().plus_ms(HOUR_MS / 8));
    let log = with(vec![(at, record(&larger))]);
    let (said, boundaries) = play(&log);
    // What streams had gathered until then is granted by the old budget: five a week, of minutes.
    let before = said.granted[at][1] + 1e-3;
    for (record, granted) in log.iter().zip(&said.granted).skip(at) {
        let PanesRecord::Progress(progress) = record else { continue };
        let Some(watermark) = progress.watermark else { continue };
        #[expect(clippy::cast_precision_loss, reason = "minutes")]
        let weeks = watermark.since_ms(boundaries[0]).max(0) as f64 / 604_800_000.0;
        let most = before + 10_000.0 * weeks;
        assert!(granted[1] <= most, "{} of {most} at {watermark}", granted[1]);
    }
    assert!(said.granted.last().expect("it ran")[1] > 10.0, "and it is granted");
}

#[test]
fn whatever_cannot_page_any_more_has_nothing_left_for_it() {
    let last = another(|c| c.models.values_mut().for_each(|model| model.tier = 4));
    // Evidence has begun to gather, and nothing was told yet.
    let log = with(vec![(place(opened().plus_ms(-90_000)), record(&last))]);
    let (said, boundaries) = play(&log);
    let after = said.incidents.iter().filter(|i| i.changed_at > boundaries[0] && i.change == Change::Opened);
    let severities: Vec<_> = after.map(|i| i.severity).collect();
    assert!(!severities.is_empty() && severities.iter().all(|s| *s == Severity::Sev3), "{severities:?}");
    let (first, end) = (place(boundaries[0]) + 1, said.granted.len() - 1);
    assert!((said.granted[first][0] - said.granted[end][0]).abs() < 1e-15, "no page is granted");
    // And back again: it pages as if it had never been otherwise.
    let log = with(vec![
        (place(start().plus_ms(HOUR_MS / 16)), record(&last)),
        (place(start().plus_ms(HOUR_MS / 8)), record(&CONFIG)),
    ]);
    let (said, _) = play(&log);
    assert!(of(&said, Family::Latency).iter().any(|i| i.severity == Severity::Sev2), "it pages");
}
