//! What is promised of the budget, held by simulation in a small form. The full form, and what it came to:
//! `docs/benchmarks/guarantees.md`.

#[path = "support/guarantees/lib.rs"]
mod guarantees;

use std::sync::Arc;

use guarantees::draws::{Draws, float};
use guarantees::{bound, correlated, delay, fleet};
use tocsin_detect::judge::{Judge, Trial};
use tocsin_detect::pane::{Pane, PaneCounts, PaneKey};
use tocsin_detect::progress::{Progress, SourceId};
use tocsin_detect::record::PanesRecord;
use tocsin_detect::reference::{Reference, StreamReference, TestReference};
use wire::profile::{Profile, Stage, Task};
use wire::{Change, Digest, Family, Incident, Severity, Timestamp};

#[test]
fn false_alarms_stay_within_what_was_granted() {
    for null in bound::NULLS {
        for around in bound::AROUND {
            for (a, panes, runs) in [(1e-2, 1_000, 50), (1e-3, 5_000, 40), (1e-4, 30_000, 20)] {
                let spent = bound::spent(null, around, a, panes, runs, 7);
                println!("{null:?} {around:?} {a:e}: {spent:?}");
                assert!(spent.holds(), "{null:?}, {around:?}, {a:e}: {spent:?}");
                // Not by never alarming: what is granted is spent, as far as D does not jump.
                let tight = null == bound::Null::Tight && around == bound::Around::Calm;
                assert!(!tight || spent.share() > 0.6, "{a:e}: {spent:?}");
            }
        }
    }
}

/// A tenth of the fleet for a fiftieth of the time.
fn small(reference: u64) -> fleet::Plan {
    fleet::Plan {
        streams: 200,
        runs: 2,
        weeks: 4,
        reference,
        records: 60,
        shift: 0.0,
        planted: false,
        open_gates: false,
        seed: 3,
    }
}

#[test]
fn a_fleet_keeps_its_budget_and_finds_what_is_planted() {
    for reference in [500, 4_000, 100_000] {
        let out = fleet::run(&fleet::Plan { planted: true, ..small(reference) });
        let [pages, tickets] = out.granted;
        println!(
            "{reference}: {} pages, {} incidents, {:?} granted",
            out.false_pages, out.false_opened, out.granted
        );
        assert!(
            pages <= out.weeks * 1.000_001 && tickets <= 5.0 * out.weeks * 1.000_001,
            "{:?}",
            out.granted
        );
        assert!(pages >= 0.95 * out.weeks, "nothing is held back: {:?}", out.granted);
        assert!(
            float(out.false_pages) <= pages + 3.0 * pages.sqrt(),
            "{reference}: {} pages",
            out.false_pages
        );
        assert!(
            float(out.false_opened) <= tickets + 3.0 * tickets.sqrt(),
            "{reference}: {} incidents",
            out.false_opened
        );
        let twice = &out.planted[1];
        assert!(twice.share(&twice.opened) >= 0.9, "{reference}: {twice:?}");
        assert!(twice.share(&twice.pages) >= 0.9, "{reference}: {twice:?}");
    }
}

#[test]
fn evidence_alone_keeps_the_budget_too() {
    // Without the gate of effect nothing stands between D and a page but what was granted.
    for reference in [500, 4_000, 100_000] {
        let out = fleet::run(&fleet::Plan { open_gates: true, runs: 4, ..small(reference) });
        let pages = out.granted[0];
        println!(
            "{reference}: {} pages, {} incidents, {:?} granted",
            out.false_pages, out.false_opened, out.granted
        );
        assert!(
            float(out.false_pages) <= pages + 3.0 * pages.sqrt(),
            "{reference}: {} pages",
            out.false_pages
        );
        assert!(out.false_opened > 0, "a budget that is never spent buys delay");
    }
}

/// The page's gate of effect spends what pages are granted, so that a shift that is certain and too small to page does not
/// page now and then all the same.
#[test]
fn shifts_below_the_floor_page_no_more_than_was_granted() {
    for reference in [500, 100_000] {
        let out = fleet::run(&fleet::Plan { shift: 0.5, ..small(reference) });
        let pages = out.granted[0];
        println!("{reference}: {} pages, {:?} granted", out.false_pages, out.granted);
        assert!(
            float(out.false_pages) <= pages + 3.0 * pages.sqrt(),
            "{reference}: {} pages of a shift below the floor",
            out.false_pages
        );
    }
}

/// Correlated records, against references that are built as an operator's are: with two weeks of history, and with eight where
/// an hour of trouble comes once a day.
#[test]
fn streams_whose_records_hang_together_keep_the_budget() {
    use correlated::Kind;
    for (kind, days) in [
        (Kind::Independent, 14),
        (Kind::Ar1, 14),
        (Kind::Diurnal, 14),
        (Kind::Days, 14),
        (Kind::Weekend, 14),
        (Kind::Bursty, 56),
    ] {
        let plan = correlated::Plan { kind, days, streams: 80, weeks: 4, open_gates: false, seed: 1 };
        let out = correlated::run(&plan);
        let [pages, tickets] = out.granted;
        println!(
            "{kind:?}: {} pages, {} incidents, {:?} granted, {} refused, d {:.1}",
            out.false_pages,
            out.false_opened,
            out.granted,
            out.refused,
            out.median_d()
        );
        assert!(float(out.false_pages) <= pages + 3.0 * pages.sqrt(), "{kind:?}: {} pages", out.false_pages);
        assert!(
            float(out.false_opened) <= tickets + 3.0 * tickets.sqrt(),
            "{kind:?}: {} incidents",
            out.false_opened
        );
        // What a weekend always is is no spread: without weekdays it is 32.
        assert!(kind != Kind::Weekend || out.median_d() < 10.0, "{kind:?}: d {}", out.median_d());
        // Two weeks are few days to say how far days differ; what repeats within a day is known from them.
        let most =
            if matches!(kind, Kind::Days | Kind::Weekend) { plan.streams / 2 } else { plan.streams / 10 };
        assert!(out.refused <= most, "{kind:?}: {} of {} are refused", out.refused, plan.streams);
    }
}

#[test]
fn a_change_that_stays_is_one_incident_and_one_that_goes_is_over_soon() {
    for effect in [0.03, 0.05, 0.1] {
        let (mut opened, mut cleared_after) = (0_u64, vec![]);
        let runs = 40;
        for seed in 0..runs {
            let mut draws = Draws::new(seed, 1);
            let mut trial = Trial::new(Arc::new(fleet::config(false)), Family::Accuracy, KNOWN, KNOWN_MS);
            // Five days worse, two days healthy, in panes of ten minutes.
            for pane in 0..7 * 144 {
                let rate = if pane < 5 * 144 { 0.1 + effect } else { 0.1 };
                for incident in trial.pane(times(pane), draws.binomial(RECORDS, rate), RECORDS, 1.0) {
                    opened += u64::from(incident.change == Change::Opened);
                    if incident.change == Change::Cleared && pane >= 5 * 144 {
                        cleared_after.push(pane - 5 * 144);
                    }
                }
            }
        }
        cleared_after.sort_unstable();
        let middle = cleared_after[cleared_after.len() / 2];
        println!("{effect}: {opened} opened in {runs} runs, over after {middle} panes in the middle");
        // Of three points, near the floor, one in four is opened again within five days.
        assert!(opened <= runs + runs / 4, "{effect}: {opened} incidents for {runs} changes");
        // 19·p(1 − p)/effect² records, and as many again.
        let most = 2.0 * 19.0 * 0.13 / (effect * effect) / float(RECORDS) + 6.0;
        assert!(float(middle as u64) <= most, "{effect}: over after {middle} panes, at most {most}");
        assert!(float(cleared_after.len() as u64) >= 0.9 * float(runs), "{effect}: hardly any is over");
    }
}

#[test]
fn a_change_of_the_error_rate_is_found_soon() {
    for (p1, most) in [(0.15, 750), (0.2, 230)] {
        for records in [1, 60, 500] {
            let delay = delay::delay(p1, records, 501, 1);
            println!("error 10 % to {p1}, panes of {records}: {delay:?}");
            let late = if records == 1 { 0 } else { records };
            assert!(delay.median <= most + late, "{p1} in panes of {records}: {delay:?}");
            // 501 runs of 5,000 records before the change at 1e-6 are granted 2.5.
            assert!(delay.early <= 9, "{delay:?}");
        }
    }
}

const KNOWN: TestReference = TestReference {
    k: 400,
    tolerated: 400,
    n: 4_000,
    d: 1.0,
    tail: 1.0,
    d_hour: 1.0,
    spread: vec![],
    hours: None,
    week: None,
};
const RECORDS: u64 = 60;
/// As long as panes of ten minutes take to hold that many.
const KNOWN_MS: i64 = 4_000 / 60 * 600_000;

/// Wrong answers of each pane: healthy, worse, and healthy again; some panes empty.
fn story(seed: u64) -> Vec<Option<u64>> {
    let mut draws = Draws::new(seed, 0);
    let rate = |pane: u64| if (600..900).contains(&pane) { 0.16 } else { 0.1 };
    let pane = |pane| (!draws.chance(0.05)).then(|| draws.binomial(RECORDS, rate(pane)));
    (0..1500).map(pane).collect()
}

fn times(pane: usize) -> (Timestamp, Timestamp) {
    let start = Timestamp::EPOCH.plus_ms(i64::try_from(pane).expect("small") * fleet::PANE_MS);
    (start, start.plus_ms(fleet::PANE_MS))
}

type Life = (Change, Timestamp, Severity, u32, String);

fn life(incident: &Incident) -> Life {
    let limits = incident.evidence.effect;
    let numbers = format!("{:.6} {:.6} {:.6}", limits.lower, limits.estimate, limits.upper);
    (incident.change, incident.changed_at, incident.severity, incident.generation, numbers)
}

fn by_trial(story: &[Option<u64>], take_over_every: Option<usize>) -> Vec<Life> {
    let mut trial = Trial::new(Arc::new(fleet::config(false)), Family::Accuracy, KNOWN, KNOWN_MS);
    let mut out = vec![];
    for (pane, wrong) in story.iter().enumerate() {
        if take_over_every.is_some_and(|every| pane.is_multiple_of(every)) {
            trial.take_over();
        }
        let (k, n) = wrong.map_or((0, 0), |k| (k, RECORDS));
        out.extend(trial.pane(times(pane), k, n, 1.0).iter().map(life));
    }
    out
}

/// The same panes through the whole judge: partial panes, watermark, model, version.
fn by_judge(story: &[Option<u64>]) -> Vec<Life> {
    let profile = Profile {
        model: "trial".to_owned(),
        version: "1".to_owned(),
        digest: Digest::new(""),
        effective_from: Timestamp::EPOCH,
        stage: Stage::Final,
        latency_edges: vec![],
        latency_objective_ms: None,
        features: vec![],
        prediction: None,
        score: None,
        task: Task::Classification,
        error_edges: vec![],
        delay_edges_ms: vec![],
        score_edges: vec![],
    }
    .sealed();
    // Accuracy of one stratum asks the same twice, of the stratum and of all labels, and gives each half.
    let labels = StreamReference {
        family: Family::Accuracy,
        name: "labels".to_owned(),
        growing: false,
        tests: vec![KNOWN, KNOWN],
    };
    let reference = Reference {
        profile: profile.clone(),
        window: [Timestamp::EPOCH, Timestamp::EPOCH.plus_ms(KNOWN_MS)],
        records: KNOWN.n,
        labels: KNOWN.n,
        timezone: "UTC".to_owned(),
        streams: vec![labels],
        traffic: None,
    };
    let mut judge = Judge::new(0, Arc::new(fleet::config(false)));
    judge.handle(0, PanesRecord::Reference(Box::new(reference)));
    let source = SourceId { topic: "t".into(), partition: 0 };
    let (mut offset, mut out) = (0, vec![]);
    for (pane, wrong) in story.iter().enumerate() {
        let (start, end) = times(pane);
        let mut counts = PaneCounts::empty(Some(&profile), 8);
        // Calls go on, so that the version stays among those that share the budget; only labels are missing.
        counts.predictions = RECORDS;
        if let Some(k) = wrong {
            (counts.labels.strata[0].n, counts.labels.strata[0].wrong) = (RECORDS, *k);
        }
        let key = PaneKey { model: "trial".into(), version: "1".into(), segment: None, start };
        let progress = Progress {
            source: source.clone(),
            watermark: Some(end),
            read_to: 0,
            caught_up: false,
            idle: false,
            sources: vec![source.clone()],
        };
        for record in [
            PanesRecord::Partial(Pane { key, profile: profile.short_digest(), counts }),
            PanesRecord::Progress(progress),
        ] {
            offset += 1;
            judge.handle(offset, record);
        }
        out.extend(judge.take_effects().incidents.iter().map(life));
    }
    out
}

#[test]
fn a_trial_tells_what_the_judge_does_and_survives_a_takeover() {
    let mut told = 0;
    for seed in 0..4 {
        let story = story(seed);
        let want = by_judge(&story);
        assert_eq!(by_trial(&story, None), want, "seed {seed}");
        assert_eq!(by_trial(&story, Some(7)), want, "seed {seed}, taken over every seven panes");
        told += want.iter().filter(|one| one.0 == Change::Opened).count();
    }
    assert!(told >= 4, "each seed has a change that is found");
}
