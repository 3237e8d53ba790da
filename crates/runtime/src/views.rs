//! What HTTP, metrics and the terminal read while the loops write: one writer a key, nobody waits for a reader.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use crate::log::{Offset, TopicPartition};
use crate::metrics::{CONFIG_INFO, DATA_GAPS};
use crate::shown::Shown;
use dashmap::mapref::multiple::RefMulti;
use dashmap::{DashMap, DashSet};
use escalate::Answer;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use wire::history::History;
use wire::outbox::Outcome;
use wire::page::Page;
use wire::response::Response;
use wire::{CommandId, Digest, Incident, IncidentId, NotificationId, Timestamp};

/// Most events that a slow reader of the tail may lag behind before it loses some (and is told).
const TAIL_EVENTS_MAX: usize = 4096;

/// How long whoever asks waits for a worker: it commits between two looks.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Most model versions that are shown; beyond it those judged longest ago go, and begin anew should they come back.
pub const VERSIONS_MAX: usize = 16_384;

/// Something a person may want to see the moment it happens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    Incident { incident: Arc<Incident> },
    Page { page: Arc<Page>, attempt: u32, outcome: Outcome },
    Response { response: Arc<Response> },
    DataGap { topic: String, partition: u32, expected: i64, found: i64 },
    RoleFailed { role: String, why: String },
}

/// One model version, as last judged.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ModelView {
    pub model: String,
    pub version: String,
    pub last_pane: Option<Timestamp>,
    pub predictions: u64,
    pub labels: u64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// Streams by verdict.
    pub verdicts: BTreeMap<String, u64>,
}

impl ModelView {
    fn take(&mut self, pane: &History) {
        self.model.clone_from(&pane.model);
        self.version.clone_from(&pane.version);
        self.last_pane = Some(pane.window[1]);
        self.predictions += pane.predictions;
        self.labels += pane.labels;
        self.p50_ms = pane.latency_ms.get("p50").copied().or(self.p50_ms);
        self.p99_ms = pane.latency_ms.get("p99").copied().or(self.p99_ms);
        self.verdicts.clear();
        for s in &pane.streams {
            let name = serde_json::to_value(s.verdict).ok().and_then(|v| v.as_str().map(str::to_owned));
            *self.verdicts.entry(name.unwrap_or_default()).or_default() += 1;
        }
    }
}

/// What keeps a role from its work.
#[derive(Debug, Default)]
struct Condition {
    /// What it has yet to get.
    waiting_for: Option<String>,
    /// Why it cannot go on just now, whatever it has.
    trouble: Option<String>,
    /// What the log said, if anything, when it was last asked how much there is to read.
    mute: Option<String>,
}

impl Condition {
    fn why_not(&self) -> Option<&String> {
        self.trouble.as_ref().or(self.waiting_for.as_ref())
    }
}

/// A thread of a role: each of its steps leaves the time here.
#[derive(Clone, Debug)]
pub(crate) struct Beat {
    role: &'static str,
    /// In milliseconds of the monotonic clock.
    at_ms: Arc<AtomicU64>,
}

impl Beat {
    pub(crate) fn at(&self, now: Duration) {
        self.at_ms.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Whether those who are to be called will be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PagerHealth {
    /// Incidents that are nobody's and have no timer.
    pub silent: u64,
    /// How long the first timer has been due.
    pub overdue: Duration,
}

/// A loop that has not moved for so long stands still: longer than a commit takes on a broker that is well.
const STILL: Duration = Duration::from_secs(10);
/// A timer that is due for so long will not fire by itself.
const OVERDUE: Duration = Duration::from_secs(30);

/// Shared between the loops and the edge.
#[derive(Debug)]
pub struct Views {
    /// Incidents as the escalation worker knows them, rendered once at each change.
    pub incidents: DashMap<IncidentId, Arc<Shown>>,
    /// Which incidents a message for several is about. Bound: the pages of the incidents.
    folds: DashMap<NotificationId, BTreeSet<IncidentId>>,
    /// Bound: [`VERSIONS_MAX`].
    models: DashMap<(String, String), ModelView>,
    /// Partitions of incidents that are shown whole: what is of one of these and not in `incidents` is not known any more.
    whole: DashSet<u32>,
    /// What became of the latest commands, with the partition of the incident.
    answers: DashMap<CommandId, (u32, Answer)>,
    /// Names of people by partition and pseudonym, as long as the state knows them.
    people: DashMap<(u32, String), String>,
    roles: DashMap<&'static str, Condition>,
    /// Threads of roles, with when each last moved. Bound: the threads of this process.
    beats: Mutex<Vec<Beat>>,
    /// What escalation says of itself.
    pager: Mutex<PagerHealth>,
    /// Role, with how many partitions this process works on, of how many.
    partitions: DashMap<&'static str, (usize, u32)>,
    /// Digest of the config that judges, by panes partition.
    configs: DashMap<u32, Digest>,
    pub records: AtomicU64,
    pub dead_letters: AtomicU64,
    pub panes: AtomicU64,
    /// How far event time has come in each panes partition that is judged here.
    watermarks: DashMap<u32, Timestamp>,
    /// What people want to know of machines; asked by the edge, answered by the loop. Bound: the calls that HTTP lets in.
    questions: Mutex<Vec<Question>>,
    events: broadcast::Sender<Event>,
}

/// Why was this person paged about this incident, or not?
#[derive(Debug)]
pub struct Question {
    pub incident_id: IncidentId,
    pub person: Option<String>,
    pub answer: mpsc::SyncSender<Option<Vec<String>>>,
}

impl Default for Views {
    fn default() -> Self {
        Self {
            incidents: DashMap::new(),
            folds: DashMap::new(),
            models: DashMap::new(),
            whole: DashSet::new(),
            answers: DashMap::new(),
            people: DashMap::new(),
            roles: DashMap::new(),
            beats: Mutex::new(Vec::new()),
            pager: Mutex::new(PagerHealth::default()),
            partitions: DashMap::new(),
            configs: DashMap::new(),
            records: AtomicU64::new(0),
            dead_letters: AtomicU64::new(0),
            panes: AtomicU64::new(0),
            watermarks: DashMap::new(),
            questions: Mutex::new(Vec::new()),
            events: broadcast::channel(TAIL_EVENTS_MAX).0,
        }
    }
}

impl Views {
    /// Tells every reader of the tail; nobody listening is fine.
    pub fn tell(&self, event: Event) {
        drop(self.events.send(event));
    }

    /// Records expired before a role read them: nothing hides that.
    pub fn data_gap(&self, at: &TopicPartition, expected: Offset, found: Offset) {
        tracing::error!(topic = %at.topic, partition = at.partition, expected, found, "records expired before they were read");
        metrics::counter!(DATA_GAPS, "topic" => at.topic.to_string()).increment(1);
        self.tell(Event::DataGap { topic: at.topic.to_string(), partition: at.partition, expected, found });
    }

    /// Asks why somebody was paged, or was not. `None` when no worker answers in time, or it knows no such incident.
    #[must_use]
    pub fn why(&self, incident_id: IncidentId, person: Option<String>) -> Option<Vec<String>> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.asked().push(Question { incident_id, person, answer });
        answered.recv_timeout(ANSWER_WAIT).ok().flatten()
    }

    /// What was asked since the last call.
    pub(crate) fn questions(&self) -> Vec<Question> {
        std::mem::take(&mut self.asked())
    }

    fn asked(&self) -> MutexGuard<'_, Vec<Question>> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in incidents as they now look; `None` removes one.
    pub fn show(&self, changed: Vec<(IncidentId, Option<Shown>)>) {
        for (id, shown) in changed {
            let folds = shown.as_ref().map_or_else(Box::default, |shown| shown.folds.clone());
            let last = match shown {
                Some(shown) => self.incidents.insert(id.clone(), Arc::new(shown)),
                None => self.incidents.remove(&id).map(|(_, last)| last),
            };
            let last = last.map_or_else(Box::default, |last| last.folds.clone());
            last.iter().filter(|fold| !folds.contains(fold)).for_each(|fold| self.unfold(fold, &id));
            for fold in folds.iter().filter(|fold| !last.contains(fold)) {
                self.folds.entry(fold.clone()).or_default().insert(id.clone());
            }
        }
    }

    fn unfold(&self, fold: &NotificationId, id: &IncidentId) {
        self.folds.remove_if_mut(fold, |_, of| {
            of.remove(id);
            of.is_empty()
        });
    }

    /// The incidents that a message for several is about.
    #[must_use]
    pub fn in_one_message(&self, fold: &NotificationId) -> Vec<Arc<Shown>> {
        let ids = self.folds.get(fold).map(|of| of.clone()).unwrap_or_default();
        ids.iter().filter_map(|id| Some(Arc::clone(self.incidents.get(id)?.value()))).collect()
    }

    /// Takes in what became of commands; `None` removes one.
    pub fn answer(&self, partition: u32, answered: Vec<(CommandId, Option<Answer>)>) {
        for (id, answer) in answered {
            match answer {
                Some(answer) => drop(self.answers.insert(id, (partition, answer))),
                None => drop(self.answers.remove(&id)),
            }
        }
    }

    /// What became of a command, as long as it is kept.
    #[must_use]
    pub fn answer_to(&self, id: &CommandId) -> Option<Answer> {
        self.answers.get(id).map(|known| known.1.clone())
    }

    /// Takes in the names of people; `None` for one that is forgotten. Comes after the incidents and the answers of a
    /// partition: from then on it is shown whole.
    pub fn meet(&self, partition: u32, people: Vec<(String, Option<String>)>) {
        for (pseudonym, name) in people {
            match name {
                Some(name) => drop(self.people.insert((partition, pseudonym), name)),
                None => drop(self.people.remove(&(partition, pseudonym))),
            }
        }
        self.whole.insert(partition);
    }

    /// Whether all incidents of a partition are shown. Ask before and after a look that found nothing: it may come and
    /// go meanwhile.
    #[must_use]
    pub fn shows_all_of(&self, partition: u32) -> bool {
        self.whole.contains(&partition)
    }

    /// The name behind a pseudonym in a partition, if it is known here.
    #[must_use]
    pub fn name_of(&self, partition: u32, pseudonym: &str) -> Option<String> {
        self.people.get(&(partition, pseudonym.to_owned())).map(|name| name.clone())
    }

    /// Drops what is shown of a partition that another process works on.
    pub fn forget(&self, partition: u32, its: &dyn Fn(&IncidentId) -> bool) {
        // First, so that nobody takes for ended what is only gone from here.
        self.whole.remove(&partition);
        self.incidents.retain(|id, _| !its(id));
        self.folds.retain(|_, of| {
            of.retain(|id| !its(id));
            !of.is_empty()
        });
        self.answers.retain(|_, (of, _)| *of != partition);
        self.people.retain(|(of, _), _| *of != partition);
    }

    /// Takes in a pane of a whole model version as it was judged.
    pub fn judged(&self, pane: &History) {
        let key = (pane.model.clone(), pane.version.clone());
        if !self.models.contains_key(&key) {
            self.make_room(VERSIONS_MAX);
        }
        self.models.entry(key).or_default().take(pane);
    }

    fn make_room(&self, max: usize) {
        if self.models.len() < max {
            return;
        }
        let mut all: Vec<_> = self.models.iter().map(|m| (m.last_pane, m.key().clone())).collect();
        // More than one, so that this is rare.
        let (oldest, ..) = all.select_nth_unstable(max / 8);
        oldest.iter().for_each(|(_, key)| drop(self.models.remove(key)));
    }

    /// Model versions as last judged, in order.
    #[must_use]
    pub fn models(&self) -> Vec<ModelView> {
        let mut models: Vec<_> = self.models.iter().map(|m| m.value().clone()).collect();
        models.sort_by(|a, b| (&a.model, &a.version).cmp(&(&b.model, &b.version)));
        models
    }

    /// How many model versions are shown.
    #[must_use]
    pub fn models_len(&self) -> usize {
        self.models.len()
    }

    /// Drops models that another process judges.
    pub fn forget_models(&self, its: &dyn Fn(&str) -> bool) {
        self.models.retain(|(model, _), _| !its(model));
    }

    /// Says how many partitions of a role are worked on here, of how many there are.
    pub fn set_partitions(&self, role: &'static str, here: usize, of: u32) {
        self.partitions.insert(role, (here, of));
    }

    /// Says by which config a panes partition is judged here; `None` when it no longer is.
    pub(crate) fn judges_by(&self, partition: u32, config: Option<&Digest>) {
        let before = match config {
            Some(config) => self.configs.insert(partition, config.clone()),
            None => self.configs.remove(&partition).map(|(_, config)| config),
        };
        let tell = |config: &Digest, is: f64| {
            let labels = [("partition", partition.to_string()), ("digest", config.to_string())];
            metrics::gauge!(CONFIG_INFO, &labels).set(is);
        };
        before.iter().for_each(|config| tell(config, 0.0));
        config.into_iter().for_each(|config| tell(config, 1.0));
    }

    /// Digest of the config that judges, by the panes partitions that are judged here.
    #[must_use]
    pub fn configs(&self) -> BTreeMap<u32, Digest> {
        self.configs.iter().map(|known| (*known.key(), known.value().clone())).collect()
    }

    /// Partitions of a role here, and how many there are; `None` when the role does not run here.
    #[must_use]
    pub fn partitions(&self, role: &str) -> Option<(usize, u32)> {
        self.partitions.get(role).map(|known| *known.value())
    }

    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// `None` is ready; text says what is waited for.
    pub fn set_ready(&self, role: &'static str, waiting_for: Option<String>) {
        self.set_condition(role, |condition| condition.waiting_for = waiting_for);
    }

    /// A role with trouble is not ready, whatever it has; without, it is as it was.
    pub fn set_trouble(&self, role: &'static str, trouble: Option<String>) {
        self.set_condition(role, |condition| condition.trouble = trouble);
    }

    /// The log did not answer a role that asked how much there is to read; `None`: it did. The role may be ready all the same.
    pub(crate) fn set_mute(&self, role: &'static str, mute: Option<String>) {
        self.set_condition(role, |condition| condition.mute = mute);
    }

    fn set_condition(&self, role: &'static str, set: impl FnOnce(&mut Condition)) {
        let mut condition = self.roles.entry(role).or_default();
        set(&mut condition);
        let ready = if condition.why_not().is_none() { 1.0 } else { 0.0 };
        metrics::gauge!(crate::metrics::READY, "role" => role).set(ready);
    }

    /// Roles in order of name, with what each waits for.
    #[must_use]
    pub fn readiness(&self) -> Vec<(&'static str, Option<String>)> {
        let mut roles: Vec<_> = self.roles.iter().map(|r| (*r.key(), r.why_not().cloned())).collect();
        roles.sort_unstable();
        roles
    }

    /// A thread that works for a role, from now on.
    pub(crate) fn enroll(&self, role: &'static str, now: Duration) -> Beat {
        let beat = Beat { role, at_ms: Arc::default() };
        beat.at(now);
        self.beats.lock().unwrap_or_else(PoisonError::into_inner).push(beat.clone());
        beat
    }

    pub fn set_pager(&self, health: PagerHealth) {
        *self.pager.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }

    /// Why this process cannot vouch for being well; `None` while every role has what it needs, every loop moves, and
    /// everybody who is to be called will be.
    #[must_use]
    pub fn fault(&self, now: Duration) -> Option<String> {
        for (role, why) in self.readiness() {
            if let Some(why) = why {
                return Some(format!("{role} is not ready: {why}"));
            }
        }
        let mute = |of: RefMulti<'_, &'static str, Condition>| {
            of.mute.as_ref().map(|why| format!("the log does not answer {}: {why}", of.key()))
        };
        if let Some(why) = self.roles.iter().find_map(mute) {
            return Some(why);
        }
        for beat in self.beats.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let still = now.saturating_sub(Duration::from_millis(beat.at_ms.load(Ordering::Relaxed)));
            if still >= STILL {
                return Some(format!("{} has not moved for {} s", beat.role, still.as_secs()));
            }
        }
        let pager = *self.pager.lock().unwrap_or_else(PoisonError::into_inner);
        if pager.silent > 0 {
            return Some(format!("{} incidents are nobody's and will never page", pager.silent));
        }
        let late = pager.overdue;
        (late >= OVERDUE).then(|| format!("a timer of escalation has been due for {} s", late.as_secs()))
    }

    /// How far event time has come in a panes partition; `None`: it is another's to say.
    pub fn set_watermark(&self, partition: u32, watermark: Option<Timestamp>) {
        match watermark {
            Some(watermark) => drop(self.watermarks.insert(partition, watermark)),
            None => drop(self.watermarks.remove(&partition)),
        }
    }

    /// Watermark of the slowest source, in the panes partition that is furthest behind: before it all is judged that is
    /// judged here. `None` before the first.
    #[must_use]
    pub fn watermark(&self) -> Option<Timestamp> {
        self.watermarks.iter().map(|at| *at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_stands_still_or_is_late_is_not_well() {
        let (views, s) = (Views::default(), Duration::from_secs);
        views.set_ready("judge", Some("its partitions".into()));
        assert_eq!(views.fault(s(0)).as_deref(), Some("judge is not ready: its partitions"));
        views.set_ready("judge", None);
        assert_eq!(views.fault(s(0)), None);
        views.set_trouble("judge", Some("no broker".into()));
        assert_eq!(views.fault(s(0)).as_deref(), Some("judge is not ready: no broker"));
        views.set_trouble("judge", None);
        views.set_mute("judge", Some("timed out".into()));
        assert_eq!(views.fault(s(0)).as_deref(), Some("the log does not answer judge: timed out"));
        views.set_mute("judge", None);
        let (one, other) = (views.enroll("collect", s(1)), views.enroll("collect", s(1)));
        one.at(s(20));
        assert_eq!(views.fault(s(10)), None);
        assert_eq!(views.fault(s(20)).as_deref(), Some("collect has not moved for 19 s"), "the other thread");
        other.at(s(19));
        assert_eq!(views.fault(s(20)), None);
        views.set_pager(PagerHealth { silent: 2, overdue: s(0) });
        assert_eq!(views.fault(s(20)).as_deref(), Some("2 incidents are nobody's and will never page"));
        views.set_pager(PagerHealth { silent: 0, overdue: s(29) });
        assert_eq!(views.fault(s(20)), None);
        views.set_pager(PagerHealth { silent: 0, overdue: s(30) });
        assert_eq!(views.fault(s(20)).as_deref(), Some("a timer of escalation has been due for 30 s"));
    }

    #[test]
    fn the_watermark_is_that_of_the_partition_furthest_behind() {
        let (views, at) = (Views::default(), |minute: i64| Timestamp::from_ms(60_000 * minute));
        assert_eq!(views.watermark(), None);
        views.set_watermark(0, at(7));
        views.set_watermark(1, at(5));
        assert_eq!(views.watermark(), at(5));
        views.set_watermark(1, None);
        assert_eq!(views.watermark(), at(7));
    }

    #[test]
    fn a_partition_is_shown_whole_until_another_process_works_on_it() {
        let views = Views::default();
        views.show(Vec::new());
        views.answer(3, Vec::new());
        assert!(!views.shows_all_of(3));
        views.meet(3, Vec::new());
        assert!(views.shows_all_of(3) && !views.shows_all_of(2));
        views.forget(3, &|_| true);
        assert!(!views.shows_all_of(3));
    }

    fn pane(model: &str, minute: i64) -> History {
        let sample = include_str!("../../../schemas/samples/history.json");
        let mut pane: History = serde_json::from_str(sample).expect("a sample of this version");
        pane.window = [minute, minute + 1].map(|m| Timestamp::from_ms(60_000 * m).expect("a time"));
        pane.model = model.into();
        pane
    }

    #[test]
    fn the_versions_judged_longest_ago_make_room() {
        let views = Views::default();
        for i in 0..64 {
            views.judged(&pane(&format!("m{i}"), i));
        }
        views.judged(&pane("m3", 99));
        views.make_room(65);
        assert_eq!(views.models_len(), 64, "there is room");
        views.make_room(64);
        let left: Vec<_> = views.models().into_iter().map(|m| m.model).collect();
        assert_eq!(left.len(), 56);
        let has = |name: &str| left.iter().any(|m| m == name);
        assert!(has("m3") && has("m9") && has("m63") && !has("m0") && !has("m8"), "{left:?}");
        views.forget_models(&|model| model != "m9");
        assert_eq!(views.models().len(), 1);
    }

    #[test]
    fn what_is_shown_is_bounded() {
        let views = Views::default();
        let mut pane = pane("m", 0);
        for i in 0..VERSIONS_MAX + 1 {
            pane.version = i.to_string();
            views.judged(&pane);
        }
        assert_eq!(views.models_len(), VERSIONS_MAX - VERSIONS_MAX / 8 + 1);
    }

    #[test]
    fn a_role_is_ready_once_it_has_what_it_waits_for_and_no_trouble() {
        let views = Views::default();
        let why = || views.readiness().remove(0).1;
        views.set_ready("judge", Some("its partitions".into()));
        views.set_trouble("judge", Some("the log".into()));
        assert_eq!(why().as_deref(), Some("the log"));
        // What came while the trouble lasted counts when it is over.
        views.set_ready("judge", None);
        assert_eq!(why().as_deref(), Some("the log"));
        views.set_trouble("judge", None);
        assert_eq!(why(), None);
    }
}
