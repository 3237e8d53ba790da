//! What must hold at the end of a story. Each law has a name; what it says stands in `ARCHITECTURE.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use detect::judge::Judge;
use detect::pane::Pane;
use detect::progress::SourceId;
use detect::record::PanesRecord;
use runtime::log::TopicPartition;
use wire::history::History;
use wire::{Incident, Timestamp};

use super::story::Told;
use super::telemetry::{JUDGES, SOURCES, TOPIC, judge_config};
use crate::simulated::{Stored, lock};

/// A law that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub law: &'static str,
    pub how: String,
}

/// Every law, of a story told beside the same story without trouble.
///
/// # Errors
/// The first that does not hold.
pub fn all(told: &Told, calm: &Told) -> Result<(), Broken> {
    let laws: [(&'static str, fn(&Told, &Told) -> Result<(), String>); 8] = [
        ("no_role_fails_without_a_cause", no_role_fails_without_a_cause),
        ("offsets_never_pass_effects", offsets_never_pass_effects),
        ("no_pane_closes_early", no_pane_closes_early),
        ("panes_are_a_function_of_the_telemetry", panes_are_a_function_of_the_telemetry),
        ("nothing_comes_after_its_progress", nothing_comes_after_its_progress),
        ("a_second_fold_tells_the_same", a_second_fold_tells_the_same),
        ("what_is_told_is_what_calm_tells", what_is_told_is_what_calm_tells),
        ("nothing_stays_unread", nothing_stays_unread),
    ];
    laws.into_iter()
        .try_for_each(|(law, holds)| holds(told, calm).map_err(|how| Broken { law, how }))
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

fn shown(told: &Told, topic: &str, partitions: u32) -> Vec<Arc<Stored>> {
    let world = lock(&told.world);
    (0..partitions).flat_map(|partition| world.shown(topic, partition)).collect()
}

/// Incidents as they stand in their topic, key and value, by incident and sequence: several judges write to it, in any
/// order.
#[must_use]
pub fn incidents(told: &Told) -> Vec<(String, String)> {
    let read = |stored: &Arc<Stored>| {
        let value = text(stored.value.as_deref());
        let incident: Incident = serde_json::from_str(&value).expect("its own record");
        ((incident.incident_id, incident.generation, incident.sequence), (text(stored.key.as_deref()), value))
    };
    let mut all: Vec<_> = shown(told, &told.topics.incidents, 2).iter().map(read).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.into_iter().map(|(_, incident)| incident).collect()
}

/// The history, by model, version and pane.
fn history(told: &Told) -> Vec<(String, String)> {
    let read = |stored: &Arc<Stored>| (text(stored.key.as_deref()), text(stored.value.as_deref()));
    let mut all: Vec<_> = shown(told, &told.topics.history, JUDGES).iter().map(read).collect();
    // A record begins with its model, version and window.
    all.sort();
    all
}

fn panes(told: &Told, partition: u32) -> Vec<(i64, PanesRecord)> {
    let stored = lock(&told.world).shown(&told.topics.panes, partition);
    let read = |s: &Arc<Stored>| {
        let record = PanesRecord::decode(s.value.as_deref().unwrap_or_default());
        (s.offset, record.expect("its own record"))
    };
    stored.iter().map(read).collect()
}

/// Committed panes, summed by model, version, segment, start and profile.
fn sums(told: &Told) -> Result<BTreeMap<String, Pane>, String> {
    let mut sums: BTreeMap<String, Pane> = BTreeMap::new();
    for (_, record) in (0..JUDGES).flat_map(|partition| panes(told, partition)) {
        let PanesRecord::Partial(pane) = record else { continue };
        let key = format!("{:?} {:x}", pane.key, pane.profile);
        match sums.get_mut(&key) {
            Some(sum) => sum.counts.merge(&pane.counts).map_err(|e| format!("{key}: {e}"))?,
            None => drop(sums.insert(key, pane)),
        }
    }
    Ok(sums)
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, told: &[T], calm: &[T]) -> Result<(), String> {
    if told == calm {
        return Ok(());
    }
    let first = told.iter().zip(calm).position(|(a, b)| a != b).unwrap_or(told.len().min(calm.len()));
    let (a, b) = (format!("{:?}", told.get(first)), format!("{:?}", calm.get(first)));
    // From a little before where they part.
    let parts = a.bytes().zip(b.bytes()).position(|(a, b)| a != b).unwrap_or(0).saturating_sub(150);
    let piece = |text: &str| String::from_utf8_lossy(&text.as_bytes()[parts..text.len().min(parts + 300)]).into_owned();
    let (told, calm) = (told.len(), calm.len());
    Err(format!("{told} {what}, {calm} expected; number {first}: …{}…, expected …{}…", piece(&a), piece(&b)))
}

fn panes_are_a_function_of_the_telemetry(told: &Told, calm: &Told) -> Result<(), String> {
    let (told, calm): (Vec<_>, Vec<_>) = (sums(told)?.into_iter().collect(), sums(calm)?.into_iter().collect());
    same("panes", &told, &calm)
}

/// Behind the progress of all partitions there is nothing more for the panes that they have passed.
fn nothing_comes_after_its_progress(told: &Told, _: &Told) -> Result<(), String> {
    for partition in 0..JUDGES {
        let mut passed: BTreeMap<SourceId, (Option<Timestamp>, bool)> = BTreeMap::new();
        for (offset, record) in panes(told, partition) {
            match record {
                PanesRecord::Progress(p) => {
                    passed.insert(p.source, (p.watermark, p.idle));
                }
                PanesRecord::Partial(pane) => {
                    let end = pane.key.start.plus_ms(judge_config().pane_ms);
                    let all = passed.len() == SOURCES as usize;
                    if all && passed.values().all(|(at, idle)| *idle || at.is_some_and(|at| at >= end)) {
                        let labels = pane.counts.labels.total();
                        return Err(format!(
                            "{offset}: a part of {} {} with {} predictions and {labels} labels; {passed:?}",
                            pane.key.model, pane.key.start, pane.counts.predictions
                        ));
                    }
                }
                _ => (),
            }
        }
    }
    Ok(())
}

fn what_is_told_is_what_calm_tells(told: &Told, calm: &Told) -> Result<(), String> {
    same("records of history", &history(told), &history(calm))?;
    same("incidents", &incidents(told), &incidents(calm))
}

fn a_second_fold_tells_the_same(told: &Told, _: &Told) -> Result<(), String> {
    let (mut again, mut judged) = (vec![], vec![]);
    for partition in 0..JUDGES {
        let mut judge = Judge::new(partition, judge_config());
        for (offset, record) in panes(told, partition) {
            judge.handle(offset, record);
        }
        let effects = judge.take_effects();
        for incident in effects.incidents {
            let value = serde_json::to_string(&incident).expect("plain data");
            let key = incident.incident_id.as_str().to_owned();
            again.push(((incident.incident_id, incident.generation, incident.sequence), (key, value)));
        }
        for pane in effects.history {
            let key = format!("{}/{}", pane.model, pane.version);
            judged.push((key, serde_json::to_string(&pane).expect("plain data")));
        }
    }
    again.sort_by(|a, b| a.0.cmp(&b.0));
    let again: Vec<_> = again.into_iter().map(|(_, incident)| incident).collect();
    judged.sort();
    same("records of history", &history(told), &judged)?;
    same("incidents", &incidents(told), &again)
}

/// At every commit: the offset of a source is no further than some progress in the panes says it was folded.
fn offsets_never_pass_effects(told: &Told, _: &Told) -> Result<(), String> {
    let mut folded: BTreeMap<SourceId, i64> = BTreeMap::new();
    for commit in &lock(&told.world).commits {
        for (at, stored) in &commit.records {
            if *at.topic != *told.topics.panes {
                continue;
            }
            if let Ok(PanesRecord::Progress(p)) = PanesRecord::decode(stored.value.as_deref().unwrap_or_default())
            {
                folded.insert(p.source, p.read_to);
            }
        }
        for (_, at, offset) in &commit.offsets {
            let source = SourceId { topic: at.topic.to_string(), partition: at.partition };
            let to = folded.get(&source).copied().unwrap_or(0);
            if *at.topic == *TOPIC && *offset > to {
                return Err(format!("{at} was committed at {offset} when it was folded to {to}"));
            }
        }
    }
    Ok(())
}

/// Of each partition, by pane: the offset behind the last prediction that came for it in time.
fn needed(told: &Told) -> Vec<BTreeMap<Timestamp, i64>> {
    let config = judge_config();
    let of = |partition: u32| {
        let (mut needed, mut latest) = (BTreeMap::new(), None);
        for stored in lock(&told.world).shown(TOPIC, partition) {
            let value = serde_json::from_slice::<serde_json::Value>(stored.value.as_deref().unwrap_or_default());
            let Some(time) = value.ok().and_then(|v| v["event_time"].as_str()?.parse::<Timestamp>().ok()) else {
                continue;
            };
            let pane = time.floor_to(config.pane_ms);
            let watermark = latest.map(|latest: Timestamp| latest.plus_ms(-5_000));
            if watermark.is_none_or(|watermark| pane.plus_ms(config.pane_ms) > watermark) {
                needed.insert(pane, stored.offset + 1);
            }
            latest = latest.max(Some(time));
        }
        needed
    };
    (0..SOURCES).map(of).collect()
}

/// At every commit: of a pane that is judged, every partition was read as far as it has something for it.
fn no_pane_closes_early(told: &Told, _: &Told) -> Result<(), String> {
    let needed = needed(told);
    let mut read = vec![0_i64; needed.len()];
    for commit in &lock(&told.world).commits {
        for (_, at, offset) in commit.offsets.iter().filter(|(_, at, _)| *at.topic == *TOPIC) {
            read[at.partition as usize] = *offset;
        }
        for (at, stored) in &commit.records {
            if *at.topic != *told.topics.history {
                continue;
            }
            let pane: History =
                serde_json::from_slice(stored.value.as_deref().unwrap_or_default()).expect("its own record");
            for (partition, (needed, read)) in needed.iter().zip(&read).enumerate() {
                if needed.get(&pane.window[0]).is_some_and(|needed| needed > read) && !pane.incomplete {
                    return Err(format!(
                        "{} {} was judged when partition {partition} was read to {read}, and it has more for it",
                        pane.model, pane.window[0]
                    ));
                }
            }
        }
    }
    Ok(())
}

/// In the end every prediction is read. (Labels may wait for a time that never comes.)
fn nothing_stays_unread(told: &Told, _: &Told) -> Result<(), String> {
    let world = lock(&told.world);
    let offsets = world.offsets(&format!("tocsin-sim-collect-{TOPIC}"));
    for partition in 0..SOURCES {
        let end = world.shown(TOPIC, partition).last().map_or(0, |stored| stored.offset + 1);
        let at = TopicPartition::new(TOPIC, partition);
        let read = offsets.get(&at).copied().unwrap_or(0);
        if read < end {
            return Err(format!("{at} is read to {read} of {end}"));
        }
    }
    Ok(())
}

/// A role may end when the log does not say how a transaction ended, or when another has its id; nothing else.
fn no_role_fails_without_a_cause(told: &Told, _: &Told) -> Result<(), String> {
    // The last: a log that does not answer when a process starts.
    let causes = ["outcome of a transaction", "has a newer holder", "try again"];
    let known = |why: &str| causes.iter().any(|cause| why.contains(cause));
    match told.failures.iter().find(|(_, _, why)| !known(why)) {
        Some((process, role, why)) => Err(format!("{role} of process {process}: {why}")),
        None => Ok(()),
    }
}

/// Debug.
pub fn differ(told: &Told, calm: &Told) {
    let (a, b) = (sums(told).unwrap(), sums(calm).unwrap());
    for (key, pane) in &b {
        let other = &a[key];
        let l = |p: &Pane| (p.counts.predictions, p.counts.labels.total(), p.counts.labels.unmatched, p.counts.labels.duplicates, p.counts.labels.late, p.counts.quality.late, p.counts.quality.duplicates, p.counts.labels.waiting);
        if other != pane {
            println!("D{key} told {:?} calm {:?}", l(other), l(pane));
        }
    }
}

/// Debug.
pub fn show(told: &Told) {
    let world = lock(&told.world);
    for (i, commit) in world.commits.iter().enumerate() {
        let mut line = String::new();
        for (_, at, offset) in commit.offsets.iter().filter(|(_, at, _)| *at.topic == *told.topics.panes) {
            line += &format!(" {at}={offset}");
        }
        for (at, s) in &commit.records {
            if *at.topic == *told.topics.history {
                let v = text(s.value.as_deref());
                line += &format!(" H@{}ms {}", s.timestamp_ms % 1_000_000, &v[..v.len().min(130)]);
            }
            if *at.topic == *told.topics.state_judge {
                line += &format!(" S{}:{}B", String::from_utf8_lossy(s.key.as_deref().unwrap_or_default()).replace(|c: char| !c.is_ascii_graphic(), "."), s.value.as_ref().map_or(0, Vec::len));
            }
        }
        if !line.is_empty() {
            println!("C{i}{line}");
        }
    }
}
