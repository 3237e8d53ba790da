//! Promise 2 in simulation: whatever dies, stands still or is refused, what is told is what would have been told.
//!
//! `TOCSIN_SIM_SEEDS=from..to` runs other seeds than the first 500; a seed that fails is one story, told again by
//! `TOCSIN_SIM_SEEDS=seed..seed+1`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tocsin_tests::simulated::{Bug, Point};
use tocsin_tests::simulation::laws::{self, Broken, Seen};
use tocsin_tests::simulation::schedule::Coverage;
use tocsin_tests::simulation::story::{SEEDS_A_TELEMETRY, Telling, tell};

const SEEDS: u64 = 500;

fn seeds() -> Range<u64> {
    let Some(said) = tocsin_tests::env("TOCSIN_SIM_SEEDS") else { return 0..SEEDS };
    let range = said.split_once("..").map(|(from, to)| (from.parse(), to.parse()));
    let Some((Ok(from), Ok(to))) = range else { panic!("TOCSIN_SIM_SEEDS is from..to, not {said}") };
    from..to
}

/// Runs `each` for batches of seeds of one telemetry, on as many cores as there are, until one says that it is enough.
fn in_batches(seeds: Range<u64>, each: impl Fn(Range<u64>) -> bool + Sync) {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (next, enough) = (AtomicU64::new(seeds.start / SEEDS_A_TELEMETRY), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    let from = next.fetch_add(1, Ordering::Relaxed) * SEEDS_A_TELEMETRY;
                    if from >= seeds.end {
                        return;
                    }
                    let batch = from.max(seeds.start)..(from + SEEDS_A_TELEMETRY).min(seeds.end);
                    if each(batch) {
                        enough.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
}

fn judged(seed: u64, broke: Option<Broke>, calm: &Seen) -> (Result<(), Broken>, Seen) {
    let mut telling = Telling::of(seed);
    // Of this thread: the story is told on it, and what is folded again after it is folded without.
    match broke {
        Some(Broke::AtTheLog(bug)) => telling.bug = Some(bug),
        Some(Broke::Judging(mutant)) => detect::mutant::set(Some(mutant)),
        Some(Broke::Paging(mutant)) => escalate::mutant::set(Some(mutant)),
        None => (),
    }
    let told = tell(&telling);
    detect::mutant::set(None);
    escalate::mutant::set(None);
    let told = Seen::of(told);
    (laws::all(telling.kind, &told, calm), told)
}

#[test]
fn whatever_goes_wrong_what_is_told_is_the_same() {
    let seeds = seeds();
    let (broken, coverage) = (Mutex::new(BTreeMap::new()), Mutex::new(Coverage::new()));
    let (incidents, kills, reloads) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    in_batches(seeds.clone(), |batch| {
        let calm = Seen::of(tell(&Telling::calm(batch.start)));
        assert!(calm.told().failures.is_empty(), "{:?}", calm.told().failures);
        for seed in batch {
            let (held, seen) = judged(seed, None, &calm);
            if let Err(Broken { law, how }) = held {
                eprintln!("seed {seed}: {law}: {how}");
                broken.lock().unwrap().insert(seed, law);
            }
            incidents.fetch_add(seen.incidents.len() as u64, Ordering::Relaxed);
            reloads.fetch_add(u64::from(seen.configs().len() > 1), Ordering::Relaxed);
            kills.fetch_add(seen.told().kills as u64, Ordering::Relaxed);
            let mut coverage = coverage.lock().unwrap();
            for (at, times) in &seen.told().coverage {
                *coverage.entry(*at).or_default() += times;
            }
        }
        false
    });
    let (broken, coverage) = (broken.into_inner().unwrap(), coverage.into_inner().unwrap());
    assert!(broken.is_empty(), "{} of {seeds:?}: {broken:?}", broken.len());
    println!(
        "{seeds:?}: {} records of incidents, {} processes ended, {} stories with another config",
        incidents.into_inner(),
        kills.into_inner(),
        reloads.load(Ordering::Relaxed)
    );
    if seeds.end - seeds.start >= SEEDS {
        assert!(reloads.into_inner() > SEEDS / 15, "config files change in one story of ten");
        every_point_was_hit(&coverage);
    }
}

/// A loop of each role was killed and stopped at each point that it has.
fn every_point_was_hit(coverage: &Coverage) {
    let mut missing = vec![];
    for role in ["collect", "judge", "escalate"] {
        for point in Point::ALL {
            // Nothing is appended but by producers, and only one role pages.
            let pages = matches!(point, Point::Send | Point::Sent);
            if point == Point::Append || (pages && role != "escalate") {
                continue;
            }
            for deed in ["kill", "stop"] {
                if !coverage.contains_key(&(role, point, deed)) {
                    missing.push((role, point, deed));
                }
            }
        }
    }
    assert!(missing.is_empty(), "never done: {missing:?}");
}

/// What is broken on purpose.
#[derive(Clone, Copy, Debug)]
enum Broke {
    AtTheLog(Bug),
    Judging(detect::mutant::Mutant),
    Paging(escalate::mutant::Mutant),
}

const BROKEN: [Broke; 20] = [
    Broke::AtTheLog(Bug::OffsetBeforeEffect),
    Broke::AtTheLog(Bug::LostChangelog),
    Broke::AtTheLog(Bug::UnstableId),
    Broke::AtTheLog(Bug::StaleGroupMetadata),
    Broke::AtTheLog(Bug::IdleBySilence),
    Broke::AtTheLog(Bug::ResetNotPersisted),
    Broke::Judging(detect::mutant::Mutant::LatePaneMerged),
    Broke::Judging(detect::mutant::Mutant::TwoDigestsMerged),
    Broke::AtTheLog(Bug::WatermarkNotSaved),
    Broke::AtTheLog(Bug::DuplicateWindowLost),
    Broke::AtTheLog(Bug::AnswerNotSaved),
    Broke::AtTheLog(Bug::SentBeyondLease),
    Broke::Paging(escalate::mutant::Mutant::TimerDroppedOnLoad),
    Broke::Paging(escalate::mutant::Mutant::LeaseNotWaitedOut),
    Broke::Paging(escalate::mutant::Mutant::ChainHeadNotRewound),
    Broke::Paging(escalate::mutant::Mutant::AcknowledgementOvertaken),
    Broke::Paging(escalate::mutant::Mutant::BundleNotPinned),
    Broke::Paging(escalate::mutant::Mutant::SilencesReadLate),
    Broke::Paging(escalate::mutant::Mutant::PlaceNotAwaited),
    Broke::Paging(escalate::mutant::Mutant::ResolveNotRepeated),
];

#[test]
fn every_bug_that_is_put_in_is_noticed() {
    for broke in BROKEN {
        let (first, tried) = (Mutex::new(None::<(u64, &str)>), AtomicU64::new(0));
        in_batches(0..SEEDS, |batch| {
            let calm = Seen::of(tell(&Telling::calm(batch.start)));
            for seed in batch {
                tried.fetch_add(1, Ordering::Relaxed);
                let (held, _) = judged(seed, Some(broke), &calm);
                if let Err(Broken { law, .. }) = held {
                    let mut first = first.lock().unwrap();
                    if first.is_none_or(|(known, _)| seed < known) {
                        *first = Some((seed, law));
                    }
                    return true;
                }
            }
            false
        });
        let first = first.into_inner().unwrap();
        let (seed, law) = first.unwrap_or_else(|| panic!("{broke:?} was not noticed in {SEEDS} seeds"));
        println!("{broke:?}: noticed by seed {seed}, after {}: {law}", tried.into_inner());
    }
}
