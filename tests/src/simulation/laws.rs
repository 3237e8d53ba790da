//! What must hold at the end of a story. Each law has a name; what it says stands in `ARCHITECTURE.md`.

mod mutes;
mod pages;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use detect::config::Rules;
use detect::judge::Judge;
use detect::pane::Pane;
use detect::progress::SourceId;
use detect::record::PanesRecord;
use runtime::log::TopicPartition;
use wire::history::History;
use wire::{Digest, Incident, Source, Timestamp};

use super::story::{ESCALATES, Kind, Told};
use super::telemetry::{JUDGES, SOURCES, TOPIC, judge_config};
use crate::simulated::{Stored, lock};

/// A law that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub law: &'static str,
    pub how: String,
}

/// What was written in a story, read once.
pub struct Seen {
    told: Told,
    /// By partition, in order.
    panes: Vec<Vec<(i64, PanesRecord)>>,
    /// Committed panes, summed by model, version, segment, start and profile.
    sums: Result<Vec<(String, Pane)>, String>,
    /// What judges told: key and value, by incident and sequence. Several write to the topic, in any order.
    pub incidents: Vec<(String, String)>,
    /// By model, version and window.
    history: Vec<(String, String)>,
}

type Law = fn(&Seen, &Seen) -> Result<(), String>;

/// Laws of every story.
const ALWAYS: [(&str, Law); 20] = [
    ("no_role_fails_without_a_cause", no_role_fails_without_a_cause),
    ("offsets_never_pass_effects", offsets_never_pass_effects),
    ("no_pane_closes_early", no_pane_closes_early),
    ("a_second_fold_tells_the_same", a_second_fold_tells_the_same),
    ("nothing_stays_unread", nothing_stays_unread),
    ("no_page_is_lost", pages::no_page_is_lost),
    ("no_page_is_decided_twice", pages::no_page_is_decided_twice),
    ("every_page_comes_to_an_end", pages::every_page_comes_to_an_end),
    ("who_has_answered_is_left_alone", pages::who_has_answered_is_left_alone),
    ("no_step_is_forgotten", pages::no_step_is_forgotten),
    ("an_incident_keeps_its_bundle", pages::an_incident_keeps_its_bundle),
    ("one_request_at_a_time", pages::one_request_at_a_time),
    ("nothing_is_sent_beyond_its_lease", pages::nothing_is_sent_beyond_its_lease),
    ("the_audit_is_whole", pages::the_audit_is_whole),
    ("no_incident_is_forgotten", pages::no_incident_is_forgotten),
    ("what_is_over_is_closed_at_the_pager", pages::what_is_over_is_closed_at_the_pager),
    ("a_silence_mutes_what_it_may", mutes::a_silence_mutes_what_it_may),
    ("nobody_is_called_about_what_is_muted", mutes::nobody_is_called_about_what_is_muted),
    ("what_is_said_to_have_ended_has", mutes::what_is_said_to_have_ended_has),
    ("what_was_muted_pages_at_its_end", mutes::what_was_muted_pages_at_its_end),
];
/// Where no profile changes.
const ONE_PROFILE: [(&str, Law); 1] =
    [("panes_are_a_function_of_the_telemetry", panes_are_a_function_of_the_telemetry)];
/// Where config files change.
const NEW_CONFIG: [(&str, Law); 1] =
    [("each_incident_names_a_config_of_the_log", each_incident_names_a_config_of_the_log)];
/// And nobody is given up.
const NOBODY_GIVEN_UP: [(&str, Law); 2] = [
    ("nothing_comes_after_its_progress", nothing_comes_after_its_progress),
    ("what_is_told_is_what_calm_tells", what_is_told_is_what_calm_tells),
];

/// Every law of a story, told beside the same telemetry without trouble.
///
/// # Errors
/// The first that does not hold.
pub fn all(kind: Kind, told: &Seen, calm: &Seen) -> Result<(), Broken> {
    let mut laws = ALWAYS.to_vec();
    if kind != Kind::NewProfile {
        laws.extend(ONE_PROFILE);
    }
    if kind == Kind::Trouble {
        laws.extend(NOBODY_GIVEN_UP);
    }
    if kind == Kind::NewConfig {
        laws.extend(NEW_CONFIG);
    }
    laws.into_iter().try_for_each(|(law, holds)| holds(told, calm).map_err(|how| Broken { law, how }))
}

impl Seen {
    /// Reads all of it.
    #[must_use]
    pub fn of(told: Told) -> Self {
        let panes: Vec<_> = (0..JUDGES).map(|partition| panes(&told, partition)).collect();
        let (sums, incidents, history) = (sums(&panes), incidents(&told), history(&told));
        Self { told, panes, sums, incidents, history }
    }

    /// Digests of the configs that were said to judge.
    #[must_use]
    pub fn configs(&self) -> BTreeSet<Digest> {
        let digest = |rules: &Rules| judge_config().under(rules.clone()).digest().clone();
        let of = |(_, record): &(i64, PanesRecord)| {
            let PanesRecord::Config(rules) = record else { return None };
            Some(digest(rules))
        };
        self.panes.iter().flatten().filter_map(of).collect()
    }

    /// How the story went.
    #[must_use]
    pub fn told(&self) -> &Told {
        &self.told
    }
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

fn shown(told: &Told, topic: &str, partitions: u32) -> Vec<Arc<Stored>> {
    let world = lock(&told.world);
    (0..partitions).flat_map(|partition| world.shown(topic, partition)).collect()
}

fn incidents(told: &Told) -> Vec<(String, String)> {
    let read = |stored: &Arc<Stored>| {
        let value = text(stored.value.as_deref());
        let incident: Incident = serde_json::from_str(&value).expect("its own record");
        let source = incident.source;
        let which = (incident.incident_id, incident.generation, incident.sequence);
        (which, (text(stored.key.as_deref()), value), source)
    };
    let told = shown(told, &told.topics.incidents, ESCALATES);
    let mut all: Vec<_> = told.iter().map(read).filter(|(.., source)| *source != Source::Own).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.into_iter().map(|(_, incident, _)| incident).collect()
}

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

fn sums(panes: &[Vec<(i64, PanesRecord)>]) -> Result<Vec<(String, Pane)>, String> {
    let mut sums: BTreeMap<String, Pane> = BTreeMap::new();
    for (_, record) in panes.iter().flatten() {
        let PanesRecord::Partial(pane) = record else { continue };
        let key = format!("{:?} {:x}", pane.key, pane.profile);
        match sums.get_mut(&key) {
            Some(sum) => sum.counts.merge(&pane.counts).map_err(|e| format!("{key}: {e}"))?,
            None => drop(sums.insert(key, pane.clone())),
        }
    }
    Ok(sums.into_iter().collect())
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, told: &[T], calm: &[T]) -> Result<(), String> {
    if told == calm {
        return Ok(());
    }
    let first = told.iter().zip(calm).position(|(a, b)| a != b).unwrap_or(told.len().min(calm.len()));
    let (a, b) = (format!("{:?}", told.get(first)), format!("{:?}", calm.get(first)));
    // From a little before where they part.
    let parts = a.bytes().zip(b.bytes()).position(|(a, b)| a != b).unwrap_or(0).saturating_sub(150);
    let piece = |text: &str| {
        String::from_utf8_lossy(&text.as_bytes()[parts..text.len().min(parts + 300)]).into_owned()
    };
    let (told, calm) = (told.len(), calm.len());
    Err(format!("{told} {what}, {calm} expected; number {first}: …{}…, expected …{}…", piece(&a), piece(&b)))
}

fn panes_are_a_function_of_the_telemetry(told: &Seen, calm: &Seen) -> Result<(), String> {
    same("panes", told.sums.as_ref()?, calm.sums.as_ref()?)
}

/// Behind the progress of all partitions there is nothing more for the panes that they have passed.
fn nothing_comes_after_its_progress(told: &Seen, _: &Seen) -> Result<(), String> {
    for panes in &told.panes {
        let mut passed: BTreeMap<SourceId, (Option<Timestamp>, bool)> = BTreeMap::new();
        for (offset, record) in panes {
            match record {
                PanesRecord::Progress(p) => {
                    passed.insert(p.source.clone(), (p.watermark, p.idle));
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
                PanesRecord::GaveUp { .. }
                | PanesRecord::Context(_)
                | PanesRecord::Reference(_)
                | PanesRecord::Config(_)
                | PanesRecord::ConfigFile(_)
                | PanesRecord::Mark { .. }
                | PanesRecord::Part(_) => (),
            }
        }
    }
    Ok(())
}

fn what_is_told_is_what_calm_tells(told: &Seen, calm: &Seen) -> Result<(), String> {
    same("records of history", &told.history, &calm.history)?;
    same("incidents", &told.incidents, &calm.incidents)
}

fn a_second_fold_tells_the_same(told: &Seen, _: &Seen) -> Result<(), String> {
    let (mut again, mut judged) = (vec![], vec![]);
    for (partition, panes) in (0..).zip(&told.panes) {
        let mut judge = Judge::new(partition, judge_config());
        for (offset, record) in panes {
            judge.handle(*offset, record.clone());
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
    same("records of history", &told.history, &judged)?;
    same("incidents", &told.incidents, &again)
}

/// An incident names a config that the log was told of.
fn each_incident_names_a_config_of_the_log(told: &Seen, _: &Seen) -> Result<(), String> {
    let said = told.configs();
    for (_, value) in &told.incidents {
        let incident: Incident = serde_json::from_str(value).expect("its own record");
        if !incident.context.config.as_ref().is_some_and(|config| said.contains(config)) {
            return Err(format!("{} names {:?} of {said:?}", incident.title, incident.context.config));
        }
    }
    Ok(())
}

/// At every commit: the offset of a source is no further than some progress in the panes says it was folded.
fn offsets_never_pass_effects(told: &Seen, _: &Seen) -> Result<(), String> {
    let mut folded: BTreeMap<SourceId, i64> = BTreeMap::new();
    for commit in &lock(&told.told.world).commits {
        for (at, stored) in &commit.records {
            if *at.topic != *told.told.topics.panes {
                continue;
            }
            if let Ok(PanesRecord::Progress(p)) =
                PanesRecord::decode(stored.value.as_deref().unwrap_or_default())
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
fn needed(told: &Seen) -> Vec<BTreeMap<Timestamp, i64>> {
    let config = judge_config();
    let of = |partition: u32| {
        let (mut needed, mut latest) = (BTreeMap::new(), None);
        for stored in lock(&told.told.world).shown(TOPIC, partition) {
            let value =
                serde_json::from_slice::<serde_json::Value>(stored.value.as_deref().unwrap_or_default());
            let Some(time) = value.ok().and_then(|v| v["event_time"].as_str()?.parse::<Timestamp>().ok())
            else {
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
fn no_pane_closes_early(told: &Seen, _: &Seen) -> Result<(), String> {
    let needed = needed(told);
    let mut read = vec![0_i64; needed.len()];
    for commit in &lock(&told.told.world).commits {
        for (_, at, offset) in commit.offsets.iter().filter(|(_, at, _)| *at.topic == *TOPIC) {
            read[at.partition as usize] = *offset;
        }
        for (at, stored) in &commit.records {
            if *at.topic != *told.told.topics.history {
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
fn nothing_stays_unread(told: &Seen, _: &Seen) -> Result<(), String> {
    let world = lock(&told.told.world);
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

/// A role may end when the log does not say how a transaction ended; nothing else.
fn no_role_fails_without_a_cause(told: &Seen, _: &Seen) -> Result<(), String> {
    // A log that does not answer when a process starts.
    match told.told.failures.iter().find(|(_, _, why)| !why.contains("try again")) {
        Some((process, role, why)) => Err(format!("{role} of process {process}: {why}")),
        None => Ok(()),
    }
}
