//! One story: telemetry, processes, and what is done to them, from the first record until all is quiet.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use detect::config::JudgeConfig;
use escalate::Loaded;
use runtime::clock::Clock;
use runtime::collect::{CollectLoop, SourceSpec};
use runtime::escalate::EscalateLoop;
use runtime::judge::JudgeLoop;
use runtime::live::Live;
use runtime::log::{Cleanup, Log, TopicSpec};
use runtime::settings::{Settings, command_record};
use runtime::topics::{Partitions, owned};
use runtime::views::Views;
use runtime::{context_records, silence_record};
use wire::context::ContextRecord;
use wire::profile::Profile;
use wire::topic::Topics;

use super::chaos::{self, Act, Chaos, What};
use super::pager::{self, Line, Person, SimSends};
use super::schedule::{Coverage, Scheduler};
use super::telemetry::{
    JUDGES, LABELS, SOURCES, TOPIC, WRITTEN, another_judge_config, collect_config, event_time, judge_config,
    references, start, telemetry,
};
use crate::random::Random;
use crate::simulated::{Bug, Faults, Host, OUTSIDE, Point, SimLog, World, lock};

pub const NAMESPACE: &str = "sim";
/// So many seeds in a row are of the same telemetry: what calm tells of it need be told once.
pub const SEEDS_A_TELEMETRY: u64 = 20;
/// Time for what was late, silent or fenced to come right once nothing goes wrong any more.
const QUIET: Duration = Duration::from_secs(40);
/// Before it nothing is written and nothing goes wrong: references of the config are in the panes when the first record
/// comes. A judge that starts later than the telemetry would begin with what it has.
const CALM: Duration = Duration::from_secs(2);
/// Time for processes to end when they are asked to.
pub const CLOSING: Duration = Duration::from_secs(5);
/// When somebody takes on all that nobody has taken by then.
pub const ANSWERED: Duration = Duration::from_secs(TROUBLE_ENDS.as_secs() + QUIET.as_secs() / 2);
/// From here on nothing goes wrong any more.
pub const TROUBLE_ENDS: Duration = Duration::from_secs(CALM.as_secs() + WRITTEN.as_secs());
pub const ESCALATES: u32 = 2;
const LONGEST_STOP: Duration = Duration::from_secs(18);
const TICK: Duration = Duration::from_millis(200);

/// What a story is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One process, and nothing goes wrong.
    Calm,
    /// Three processes, and whatever may happen while nobody is given up.
    Trouble,
    /// Besides, partitions are given up after eight seconds: what comes of them then is too late.
    GivenUp,
    /// Besides, a profile comes so late that collectors fold the same pane under two.
    NewProfile,
    /// Besides, config files change one after the other, and one of them not at all.
    NewConfig,
}

impl Kind {
    /// Of the seeds, six of ten are trouble alone.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        match seed % 10 {
            6 => Self::NewConfig,
            7 | 8 => Self::GivenUp,
            9 => Self::NewProfile,
            _ => Self::Trouble,
        }
    }
}

/// How a story is told.
#[derive(Clone, Debug)]
pub struct Telling {
    pub seed: u64,
    pub kind: Kind,
    pub bug: Option<Bug>,
}

impl Telling {
    /// The story of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self { seed, kind: Kind::of(seed), bug: None }
    }

    /// The same telemetry, and nothing goes wrong.
    #[must_use]
    pub fn calm(seed: u64) -> Self {
        Self { kind: Kind::Calm, ..Self::of(seed) }
    }

    fn hold_max(&self) -> Duration {
        Duration::from_secs(if self.kind == Kind::GivenUp { 8 } else { 120 })
    }

    fn processes(&self) -> usize {
        if self.kind == Kind::Calm { 1 } else { 3 }
    }
}

/// What a story came to.
pub struct Told {
    pub world: Arc<Mutex<World>>,
    pub topics: Topics,
    pub coverage: Coverage,
    pub failures: Vec<(usize, &'static str, String)>,
    pub kills: usize,
    /// When its last moment was.
    pub end: Duration,
    pub line: Arc<Mutex<Line>>,
}

/// The host of whoever stands outside: nothing happens to it.
struct Outside;

impl Host for Outside {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn at(&self, _: Point) {}

    fn process(&self) -> usize {
        OUTSIDE
    }

    fn is_dead(&self) -> bool {
        false
    }
}

fn settings(instance: usize, hold_max: Duration) -> Settings {
    Settings {
        namespace: NAMESPACE.to_owned(),
        instance: format!("host-{instance}"),
        topics: Arc::new(Topics::of(NAMESPACE)),
        judge_partitions: JUDGES,
        escalate_partitions: ESCALATES,
        collect_partitions: 2,
        commit_every: Duration::from_millis(100),
        progress_every: Duration::from_secs(1),
        idle: Duration::from_secs(3),
        hold_max,
    }
}

/// Makes the topics, and writes what the loops are to know before the first record.
fn prepare(world: &Arc<Mutex<World>>, settings: &Settings) {
    let log = SimLog::new(Arc::clone(world), Arc::new(Outside));
    let partitions = Partitions {
        telemetry: SOURCES,
        judge: JUDGES,
        escalate: settings.escalate_partitions,
        collect: settings.collect_partitions,
    };
    let mut specs = owned(&settings.topics, partitions, false);
    let keep = Cleanup::Delete { retention_ms: None };
    specs.extend([TOPIC, LABELS].map(|name| TopicSpec::new(name, SOURCES, keep)));
    log.ensure_topics(&specs, true).expect("a new world");
    for reference in references().iter() {
        let record = ContextRecord::Profile(Box::new(reference.profile.clone()));
        log.append(&context_records(settings, record)).expect("nothing goes wrong yet");
    }
}

/// The files of a machine.
struct Files {
    config: Arc<Live<JudgeConfig>>,
    response: Arc<Live<Loaded>>,
}

impl Files {
    fn at_first() -> Self {
        Self { config: Live::new(judge_config()), response: Live::new(pager::loaded(pager::bundle())) }
    }
}

fn start_process(
    scheduler: &mut Scheduler,
    slot: usize,
    files: &[Files],
    telling: &Telling,
    line: &Arc<Mutex<Line>>,
) -> usize {
    let process = scheduler.process();
    let settings = settings(slot, telling.hold_max());
    let (clock, views) = (Clock::start(), Arc::new(Views::default()));
    let (of, its, file) = (settings.clone(), Arc::clone(&views), Arc::clone(&files[slot].config));
    let response = Arc::clone(&files[slot].response);
    let (pages, theirs, line) = (settings.clone(), Arc::clone(&views), Arc::clone(line));
    scheduler.spawn(process, move |log, _| {
        let spec = SourceSpec { topic: TOPIC.to_owned(), labels_topic: Some(LABELS.to_owned()) };
        CollectLoop::new(log, of, collect_config(), spec, 0, its, clock)
    });
    scheduler.spawn(process, move |log, _| JudgeLoop::new(log, settings, file, references(), views, clock));
    scheduler.spawn(process, move |log, host| {
        let (policy, sends) = (pager::policy(), SimSends::new(Arc::clone(host), line));
        let make = move |partition| escalate::Machine::new(partition, Arc::clone(&policy)).among(ESCALATES);
        EscalateLoop::new(log, pages, Box::new(make), response, sends, theirs, clock)
    });
    process
}

/// A profile that is in force from the panes on that are under way.
fn late_profile(now: Duration) -> Profile {
    let profile = references()[0].profile.clone();
    let edges = profile.latency_edges.iter().map(|edge| edge * 1.01).collect();
    Profile { latency_edges: edges, effective_from: event_time(now.saturating_sub(CALM)), ..profile }.sealed()
}

/// A slot is a machine: what dies on it is started again on it.
struct Machines {
    slots: Vec<Option<usize>>,
    again: BTreeMap<usize, Duration>,
}

impl Machines {
    /// A process has ended; its machine starts another one then.
    fn lost(&mut self, process: usize, again: Duration) {
        if let Some(slot) = self.slots.iter().position(|on| *on == Some(process)) {
            self.slots[slot] = None;
            self.again.insert(slot, again);
        }
    }

    fn due(&mut self, now: Duration) -> Vec<usize> {
        self.again.extract_if(.., |_, at| *at <= now).map(|(slot, _)| slot).collect()
    }
}

fn one_of<T: Copy, const N: usize>(random: &mut Random, of: [T; N]) -> T {
    of[usize::try_from(random.below(N as u64)).unwrap_or(0)]
}

/// How the log treats the processes of a story.
fn faults(random: &mut Random, bug: Option<Bug>) -> Faults {
    Faults {
        refuse: one_of(random, [0.0, 0.002, 0.01]),
        unknown: one_of(random, [0.0, 0.005]),
        stall: one_of(random, [0.0, 0.3, 0.7]),
        markers_ms: one_of(random, [0, 40, 400]),
        bug,
    }
}

/// Tells a story to its end.
#[must_use]
pub fn tell(telling: &Telling) -> Told {
    let mut random = Random::new(telling.seed ^ 0xc4a0_5000);
    let trouble = telling.kind != Kind::Calm;
    let world = World::new(telling.seed, start().as_ms());
    let faults = faults(&mut random, telling.bug);
    let chaos = Chaos { delay: 0.004, delay_ms: 1 + random.below(400) };
    let world = Arc::new(Mutex::new(world));
    prepare(&world, &settings(0, telling.hold_max()));
    let mut scheduler = Scheduler::new(telling.seed, Arc::clone(&world), start(), Chaos::none());
    let outside = SimLog::new(Arc::clone(&world), Arc::new(Outside));
    let (line, mut person) = (Line::new(telling.seed, telling.bug), Person::new(telling.seed));
    let files: Vec<Files> = (0..telling.processes()).map(|_| Files::at_first()).collect();
    let slots = (0..telling.processes())
        .map(|slot| Some(start_process(&mut scheduler, slot, &files, telling, &line)))
        .collect();
    let mut machines = Machines { slots, again: BTreeMap::new() };
    let acts = if trouble { chaos::plan(&mut random, WRITTEN, LONGEST_STOP) } else { vec![] };
    let mut acts = acts.into_iter().peekable();
    let mut written = telemetry(telling.seed / SEEDS_A_TELEMETRY).into_iter().peekable();
    let (mut now, mut kills) = (Duration::ZERO, 0);
    while now < CALM + WRITTEN + QUIET {
        now += TICK;
        if trouble && now == CALM {
            scheduler.set_chaos(chaos.clone());
            lock(&world).faults = faults.clone();
            pager::lock(&line).set_bad(true);
        }
        if trouble && now == CALM + WRITTEN {
            scheduler.calm();
            lock(&world).faults = Faults { bug: telling.bug, ..Faults::default() };
            pager::lock(&line).set_bad(false);
        }
        if now == ANSWERED {
            person.see_to_all(now);
        }
        silence(telling, &outside, now);
        look_and_answer(&mut person, &outside, &world, now);
        let batch: Vec<_> =
            std::iter::from_fn(|| written.next_if(|w| w.at + CALM <= now)).map(|w| w.record).collect();
        outside.append(&batch).expect("producers are not refused");
        if telling.kind == Kind::NewProfile && now == CALM + WRITTEN / 2 {
            let record = ContextRecord::Profile(Box::new(late_profile(now)));
            outside.append(&context_records(&settings(0, telling.hold_max()), record)).expect("not refused");
        }
        change_files(telling.kind, &files, now);
        while let Some(act) = acts.next_if(|act| act.at + CALM <= now) {
            carry_out(act, &mut scheduler, &world);
        }
        for gone in scheduler.run_until(now) {
            kills += 1;
            machines.lost(gone, now + Duration::from_millis(100 + random.below(4_000)));
        }
        for slot in machines.due(now) {
            let process = start_process(&mut scheduler, slot, &files, telling, &line);
            machines.slots[slot] = Some(process);
            // What begins may end before it has begun.
            if now < CALM + WRITTEN && random.chance(0.3) {
                let (deed, point) = chaos::early_deed(&mut random, LONGEST_STOP);
                let role = one_of(&mut random, ["collect", "judge", "escalate"]);
                scheduler.arm(process, deed, point, Some(role));
            }
        }
    }
    for process in scheduler.running() {
        scheduler.ask_to_stop(process);
    }
    scheduler.run_until(now + CLOSING);
    let (coverage, failures) = (scheduler.coverage(), std::mem::take(&mut scheduler.failures));
    drop(scheduler);
    let end = now + CLOSING;
    Told { world, topics: Topics::of(NAMESPACE), coverage, failures, kills, end, line }
}

/// In one story of three somebody wants silence before anything opens; it ends while requests still fail.
fn silence(telling: &Telling, outside: &SimLog, now: Duration) {
    if telling.seed % 3 == 1 && now == CALM {
        let command = pager::silence(start().plus_ms(2_000), 24);
        let record = silence_record(&settings(0, Duration::ZERO), &command);
        outside.append(&[record]).expect("people are not refused");
    }
}

/// What is told of incidents is seen, and some of it answered.
fn look_and_answer(person: &mut Person, outside: &SimLog, world: &Arc<Mutex<World>>, now: Duration) {
    let settings = settings(0, Duration::ZERO);
    for partition in 0..settings.escalate_partitions {
        let told = lock(world).shown(&settings.topics.incidents, partition);
        // What is shown only grows at its end.
        let new = told.iter().skip(person.looked_at(partition, told.len()));
        for incident in new.filter_map(|stored| serde_json::from_slice(stored.value.as_deref()?).ok()) {
            person.see(&incident, now);
        }
    }
    let wall = start().plus_ms(i64::try_from(now.as_millis()).unwrap_or(0));
    let asked: Vec<_> = person.commands(now, wall).iter().map(|c| command_record(&settings, c)).collect();
    outside.append(&asked).expect("people are not refused");
}

/// Two of three files change while requests fail, a second apart; the first of them changes back later.
fn change_files(kind: Kind, files: &[Files], now: Duration) {
    if kind != Kind::NewConfig {
        return;
    }
    let third = CALM + WRITTEN / 3;
    let anew = || (another_judge_config(), pager::another_bundle());
    for (slot, at, (config, bundle)) in [
        (0, third, anew()),
        (1, third + Duration::from_secs(1), anew()),
        (0, CALM + WRITTEN * 2 / 3, (judge_config(), pager::bundle())),
    ] {
        if now == at {
            files[slot].config.set(config);
            files[slot].response.set(pager::loaded(bundle));
        }
    }
}

fn carry_out(act: Act, scheduler: &mut Scheduler, world: &Arc<Mutex<World>>) {
    let running = scheduler.running();
    let whom = running.get(usize::try_from(act.whom % running.len().max(1) as u64).unwrap_or(0)).copied();
    match (act.what, whom) {
        (What::Do(deed, point), Some(process)) => scheduler.arm(process, deed, point, None),
        (What::Ask(deed), Some(process)) => {
            if let Some(deed) = deed {
                scheduler.arm(process, deed, Some(Point::Close), None);
            }
            scheduler.ask_to_stop(process);
        }
        (What::ShareOutAnew, _) => lock(world).share_out_anew(),
        (What::Compact, _) => lock(world).compact(),
        (What::Do(..) | What::Ask(_), None) => (),
    }
}
