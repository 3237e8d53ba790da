//! The whole thing on a real Kafka: the simulated fleet in one process, tocsin in one or two, and clients that are not
//! ours at both ends.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use fleet::{Found, Truth, score};
use runtime::clock::Clock;
use runtime::log::{Cleanup, KafkaConfig, KafkaLog, Log as _, LogError, NewRecord, TopicSpec};
use runtime::settings::Settings;
use serde_json::{Value, json};
use tocsin_tests::documented::Schemas;
use tocsin_tests::fed::{Feed, as_it_is, slower};
use tocsin_tests::foreign::{self, Follower};
use tocsin_tests::home;
use tocsin_tests::home::Home;
use tocsin_tests::pager::{Answer, Pager};
use tocsin_tests::process::Process;
use tocsin_tests::told::{assert_no_page_lost, incidents};
use tocsin_tests::{record, stored, wait};
use wire::command::{Action, Command, Principal, Role};
use wire::outbox::OutboxRecord;
use wire::page::{Page, PageKind};
use wire::topic::Topics;
use wire::{Change, CommandId, Incident, Timestamp};

const MINUTE_MS: i64 = 60_000;
const START: &str = "2026-03-02T09:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// A home on this Kafka whose judge knows its references, and who pages `pager`.
fn home_on(brokers: &str, namespace: &str, pager: &Pager, instance: &str) -> Home {
    let home = home!(&format!("{namespace}-{instance}"));
    home.pin_references();
    home.hook(pager);
    home.configure(&format!(
        r#"
        namespace = "{namespace}"
        [log]
        brokers = "{brokers}"
        instance = "{instance}"
        # Nothing here is idle, however long a kill takes.
        [telemetry]
        idle_s = 3600
        [escalate]
        lease_s = 5
        [policy.default]
        acknowledge_expires_s = 86400
        steps = [{{ targets = ["hook/on-call"], delay_s = 3600 }}]
        [policy.tickets]
        steps = [{{ targets = ["hook/tickets"], delay_s = 86400 }}]
        "#
    ));
    home
}

/// `tocsin simulate` under way.
struct Simulation {
    child: std::process::Child,
}

impl Simulation {
    fn start(home: &Home, brokers: &str, topic: &str, scenario: &str, (minutes, speed): (i64, f64)) -> Self {
        let (length, speed) = (format!("{minutes}m"), speed.to_string());
        let args = [
            "simulate",
            "--brokers",
            brokers,
            "--topic",
            topic,
            "--scenario",
            scenario,
            "--seed",
            "5",
            "--start",
            START,
            "--for",
            &length,
            "--speed",
            &speed,
            "--truth",
            "truth.json",
        ];
        let child = home.command(&args).stdout(Stdio::null()).spawn().expect("it starts");
        let simulation = Self { child };
        wait::until("the truth is written", || {
            std::fs::read(home.path("truth.json")).ok().filter(|t| !t.is_empty())
        });
        simulation
    }

    fn has_ended(&mut self) -> bool {
        let ended = self.child.try_wait().expect("it was started");
        if let Some(status) = ended {
            assert!(status.success(), "tocsin simulate: {status}");
        }
        ended.is_some()
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn truth(home: &Home) -> Truth {
    serde_json::from_slice(&std::fs::read(home.path("truth.json")).expect("simulate wrote it"))
        .expect("a truth")
}

fn watermark(process: &Process) -> Option<Timestamp> {
    process.get("/v1/status").ok()?.json()["watermark"].as_str()?.parse().ok()
}

/// Takes each incident that pages, as soon as it pages, from the command line.
fn take_what_pages(home: &Home, pager: &Pager, taken: &mut BTreeSet<String>) {
    for page in pager.triggers() {
        let id = page.incident.incident_id.to_string();
        if taken.insert(id.clone()) {
            assert_eq!(home.json(&["ack", &id, "--note", "mine"]).len(), 1);
        }
    }
}

/// Telemetry of a client that is not ours: one model, one second.
const FOREIGN: usize = 600;

fn produce(brokers: &str, topic: &str) {
    let records: Vec<(String, String)> = (0..FOREIGN)
        .map(|i| {
            let id = format!("mine-{i}");
            let time = at(START).plus_ms(i64::try_from(i).expect("small"));
            let record = json!({"prediction_id": id, "event_time": time, "model": "mine", "version": "1", "latency_ms": 7.5});
            (id, record.to_string())
        })
        .collect();
    foreign::produce(brokers, topic, &records);
}

/// One installation: the process that collects and judges, the one that escalates (perhaps the same), their homes.
struct Installation<'a> {
    home: &'a Home,
    judging: &'a Process,
    namespace: String,
}

/// Plays a scenario and holds everything that came of it against its truth.
fn play(brokers: &str, it: &Installation<'_>, pager: &Pager, scenario: &str, (minutes, speed): (i64, f64)) {
    let topics = Topics::of(&it.namespace);
    let follower = Follower::start(brokers, &topics.incidents);
    produce(brokers, &topics.telemetry);
    let mut taken = BTreeSet::new();
    let mut simulation = Simulation::start(it.home, brokers, &topics.telemetry, scenario, (minutes, speed));
    while !simulation.has_ended() {
        take_what_pages(it.home, pager, &mut taken);
        std::thread::sleep(Duration::from_millis(50));
    }
    let end = at(START).plus_ms((minutes - 1) * MINUTE_MS);
    wait::until("all telemetry is judged", || {
        take_what_pages(it.home, pager, &mut taken);
        watermark(it.judging).filter(|w| *w >= end)
    });
    let all = wait::until("the follower has all that is there", || {
        let all = incidents(brokers, &it.namespace);
        (follower.seen().len() == all.len()).then_some(all)
    });
    let ids = |i: &Incident| (i.incident_id.to_string(), i.sequence);
    let followed: Vec<_> = follower
        .seen()
        .iter()
        .map(|c| ids(&serde_json::from_value(c.value.clone()).expect("an incident")))
        .collect();
    assert_eq!(followed, all.iter().map(ids).collect::<Vec<_>>());
    record::assert_whole(&all);

    let truth = truth(it.home);
    let seen = record::seen(&all);
    let score = score(&truth, &seen, end);
    assert_eq!(score.found.len(), truth.changes.len(), "{score:#?}\n{seen:#?}\n{truth:#?}");
    assert!(
        score.is_clean() && score.pending.is_empty() && score.repeats.is_empty(),
        "{score:#?}\n{seen:#?}"
    );
    for Found { change, seen: which, .. } in &score.found {
        answered(it, pager, &all, &truth.changes[*change], &seen[*which], end);
    }
    pager.assert_none_doubled();
    let telemetry: u64 = foreign::consume(brokers, &topics.history)
        .iter()
        .filter(|c| c.value["model"] == "mine")
        .map(|c| c.value["predictions"].as_u64().expect("a count"))
        .sum();
    assert_eq!(telemetry, FOREIGN as u64, "what a foreign client wrote is in the panes");
    wait::until("the audit chain is whole", || {
        (it.home.json(&["audit", "verify"])[0]["ok"] == true).then_some(())
    });
}

/// That the incident which found a change paged once, was taken, and is over if the change is.
fn answered(
    it: &Installation<'_>,
    pager: &Pager,
    all: &[Incident],
    change: &fleet::Change,
    seen: &fleet::Seen,
    end: Timestamp,
) {
    let what = &change.what;
    let same = |i: &&Incident| {
        i.changed_at == seen.opened && i.family == seen.family && i.subject.name == seen.model
    };
    let incident = all.iter().find(same).expect("it was seen");
    let id = &incident.incident_id;
    let paged: Vec<_> = pager.triggers().into_iter().filter(|p| p.incident.incident_id == *id).collect();
    let targets: BTreeSet<&str> = paged.iter().map(|p| p.target.as_str()).collect();
    assert_eq!(targets.len(), paged.len(), "{what}: somebody was told twice: {paged:#?}");
    let due = if incident.severity.pages() { "on-call" } else { "tickets" };
    assert!(targets.contains(due), "{what}: {due} was not told, only {targets:?}");
    let view = &it.home.json(&["show", id.as_str()])[0];
    let timeline = view["timeline"].as_array().cloned().unwrap_or_default();
    assert!(timeline.iter().any(|r| r["change"] == "acknowledged"), "{what}: nobody has it: {view:#}");
    if change.settled.is_some_and(|settled| settled <= end) {
        let last = all.iter().rfind(|i| i.incident_id == *id).expect("it was seen");
        assert_eq!(last.change, Change::Cleared, "{what}: it is over");
    }
}

#[test]
fn the_story_in_one_process() {
    let Some(brokers) =
        foreign::kafka("the whole story on a real Kafka: simulate, run, pages, commands, audit")
    else {
        return;
    };
    let (pager, namespace) = (Pager::start(), foreign::namespace("story"));
    let home = home_on(&brokers, &namespace, &pager, "1");
    let process = Process::start(&home, &[]);
    let it = Installation { home: &home, judging: &process, namespace };
    play(&brokers, &it, &pager, "story", (360, 180.0));
    let (ended, said) = process.terminate();
    assert!(ended.success(), "{ended}: {said}");
}

#[test]
fn roles_in_two_processes() {
    let Some(brokers) =
        foreign::kafka("collect and judge in one process, escalate in another, on a real Kafka")
    else {
        return;
    };
    let (pager, namespace) = (Pager::start(), foreign::namespace("roles"));
    let first = home_on(&brokers, &namespace, &pager, "1");
    let second = home_on(&brokers, &namespace, &pager, "2");
    let judging = Process::start(&first, &["--roles", "collect,judge"]);
    let escalating = Process::start(&second, &["--roles", "escalate"]);
    let it = Installation { home: &second, judging: &judging, namespace };
    play(&brokers, &it, &pager, "latency", (75, 180.0));
    for process in [judging, escalating] {
        let (ended, said) = process.terminate();
        assert!(ended.success(), "{ended}: {said}");
    }
}

/// Seconds until the second step of the policy pages somebody else: longer than it takes to kill a worker that has just
/// paged.
const STEP_S: i64 = 20;

/// What the outbox says of an incident's pages to `target`.
fn outbox(log: &KafkaLog, namespace: &str, incident: &Incident, target: &str) -> Vec<OutboxRecord> {
    let all: Vec<OutboxRecord> = stored::json(log, &Topics::of(namespace).outbox);
    let its =
        |r: &OutboxRecord| r.page.incident.incident_id == incident.incident_id && r.page.target == target;
    all.into_iter().filter(its).collect()
}

/// What HTTP writes of an acknowledgement. Only a process that works on the incident takes one: it answered, and died
/// before it had read what it wrote.
fn acknowledge(log: &KafkaLog, namespace: &str, incident: &Incident) {
    let settings = Settings {
        namespace: namespace.into(),
        instance: "2".into(),
        topics: Arc::new(Topics::of(namespace)),
        judge_partitions: 1,
        escalate_partitions: 1,
        collect_partitions: 4,
        commit_every: Duration::ZERO,
        progress_every: Duration::ZERO,
        idle: Duration::ZERO,
        hold_max: Duration::ZERO,
    };
    let command = Command {
        command_id: CommandId::of(&[b"taken while nobody read"]),
        incident_id: incident.incident_id.clone(),
        issued_at: Clock::start().now().wall,
        principal: Principal { name: "ana".into(), role: Role::Responder },
        action: Action::Acknowledge { for_s: None, note: None },
    };
    log.append(&[runtime::command_record(&settings, &command)]).expect("the log takes it");
}

/// A page falls due while no worker runs, and an acknowledgement is given: whoever takes over knows of it before a page
/// leaves.
#[test]
fn an_acknowledgement_given_while_the_worker_was_away_stops_the_page() {
    let Some(brokers) = foreign::kafka("an acknowledgement while no escalation worker runs, on a real Kafka")
    else {
        return;
    };
    let (pager, namespace) = (Pager::start(), foreign::namespace("away"));
    let homes = ["1", "2"].map(|instance| {
        let home = home_on(&brokers, &namespace, &pager, instance);
        home.configure(&format!(
            r#"
            [policy.default]
            steps = [
                {{ targets = ["hook/on-call"], delay_s = {STEP_S} }},
                {{ targets = ["hook/second"], delay_s = 3600 }},
            ]
            "#
        ));
        home
    });
    let judging = Process::start(&homes[0], &["--roles", "collect,judge"]);
    let worker = Process::start(&homes[1], &["--roles", "escalate"]);
    let mut feed = Feed::new(&[], 1.0);
    feed.play(&judging, 5 * MINUTE_MS, 120, as_it_is);
    let paged = || pager.triggers().into_iter().find(|page| page.target == "on-call");
    let page = feed.play_until(&judging, "a page", (60 * MINUTE_MS, 120), slower("fraud", 4.0), paged);
    worker.kill();

    let log = KafkaLog::connect(KafkaConfig::new(&brokers)).expect("it is there");
    let incident = &page.incident;
    assert_eq!(outbox(&log, &namespace, incident, "second").len(), 0, "the worker was killed too late");
    acknowledge(&log, &namespace, incident);
    let first = outbox(&log, &namespace, incident, "on-call").remove(0);
    let due = first.at.plus_ms((STEP_S + 1) * 1000);
    wait::until("the next page is overdue", || (Clock::start().now().wall > due).then_some(()));

    let worker = Process::start(&homes[1], &["--roles", "escalate"]);
    let view = wait::until("the acknowledgement is known", || {
        let view = homes[1].json(&["show", incident.incident_id.as_str()]).remove(0);
        (view["stage"] == "acknowledged").then_some(view)
    });
    assert_eq!(view["owner"], "ana", "{view:#}");
    for process in [judging, worker] {
        let (ended, said) = process.terminate();
        assert!(ended.success(), "{ended}: {said}");
    }
    // What a worker sends it has written there before.
    let second = outbox(&log, &namespace, incident, "second");
    assert!(second.is_empty(), "somebody has it, and another was paged: {second:#?}");
    let of_it = |page: &&Page| page.incident.incident_id == incident.incident_id;
    let pages = pager.triggers();
    let shown: Vec<&str> = pages.iter().filter(of_it).map(|page| page.target.as_str()).collect();
    assert_eq!(shown, ["on-call"]);
    pager.assert_none_doubled();
}

/// A topic whose limit is below what is written to it is refused at the start, before a role has to wait for it. The limit
/// is one on what a client sends at once: small records go down with the others.
#[test]
fn a_topic_that_takes_too_little_is_refused_at_the_start() {
    let Some(brokers) = foreign::kafka("the limit of a topic on its records, on a real Kafka") else {
        return;
    };
    let (pager, namespace) = (Pager::start(), foreign::namespace("little"));
    let home = home_on(&brokers, &namespace, &pager, "1");
    let topic = Topics::of(&namespace).responses;
    let log = KafkaLog::connect(KafkaConfig::new(&brokers)).expect("it is there");
    let keep = Cleanup::Delete { retention_ms: Some(90 * 86_400_000) };
    let spec = TopicSpec::new(topic.as_str(), 1, keep).set("max.message.bytes", "300000");
    log.ensure_topics(&[spec], true).expect("it is made");
    // Every byte another, so that nothing is compressed away.
    let noise =
        |i: u64| (0..12_500).flat_map(move |j| noise_of(i * 12_500 + j).to_le_bytes()).collect::<Vec<u8>>();
    let records: Vec<_> = (0..9).map(|i| NewRecord::new(topic.as_str(), noise(i)).partition(0)).collect();
    log.append(&records[..1]).expect("one of 100 kB is taken");
    let refused = log.append(&records);
    assert!(matches!(refused, Err(LogError::TooLarge { .. })), "nine at once are not: {refused:?}");

    let ended = home.run(&["run", "--config", "tocsin.toml"]);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success(), "{said}");
    let want = format!("topic {topic} has max.message.bytes = 300000, wanted 1000000 or more");
    assert!(said.contains(&want), "{said}");
}

/// Bits that look like chance (splitmix64).
fn noise_of(i: u64) -> u64 {
    let z = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// How often the process is killed: 3 in CI, 10 by hand (`TOCSIN_TEST_KILLS=10`).
fn kills() -> i64 {
    tocsin_tests::env("TOCSIN_TEST_KILLS").map_or(3, |n| n.parse().expect("TOCSIN_TEST_KILLS is a number"))
}

/// Killed again and again in the middle of trouble: the same incidents as an installation that nobody disturbed makes of
/// the same telemetry, and no page lost or doubled.
#[test]
fn kills_change_nothing() {
    let Some(brokers) = foreign::kafka("kill -9 in the middle of trouble, on a real Kafka") else { return };
    let (kills, minutes) = (kills(), 180);
    let (pager, calm) = (Pager::start(), Pager::start());
    let (killed, undisturbed) = (foreign::namespace("killed"), foreign::namespace("calm"));
    let homes = [home_on(&brokers, &killed, &pager, "1"), home_on(&brokers, &undisturbed, &calm, "1")];
    let telemetry = Topics::of(&killed).telemetry;
    homes[1].configure(&format!("[telemetry]\ntopic = \"{telemetry}\""));
    let [home, other] = &homes;
    let prepare = |home: &Home, namespace: &str| {
        // References enter the judge's log when it first runs; panes that were there before would be judged without.
        wait::until("the judge has its references", || {
            let (ended, said) = Process::start(home, &[]).terminate();
            assert!(ended.success(), "{ended}: {said}");
            let log = KafkaLog::connect(KafkaConfig::new(&brokers)).expect("it is there");
            (stored::references(&log, namespace) == 5).then_some(())
        });
    };
    prepare(home, &killed);
    prepare(other, &undisturbed);

    // Slow enough for a restart (a group waits 6 s for who was killed) within each trouble.
    let speed = 60.0 * f64::from(i32::try_from(minutes).expect("small"))
        / (20.0 * f64::from(i32::try_from(kills.max(3)).expect("small")));
    let mut simulation = Simulation::start(home, &brokers, &telemetry, "story", (minutes, speed));
    let truth = truth(home);
    let (first, last) = (truth.changes[0].start, truth.end.plus_ms(-20 * MINUTE_MS));
    for kill in 1..=kills {
        let moment = first.plus_ms(last.since_ms(first) * kill / (kills + 1));
        // In every second life no page is confirmed, though all are taken.
        pager.answer(if kill % 2 == 0 { Answer::Hang } else { Answer::Accept });
        let process = Process::start(home, &[]);
        wait::until("the next moment to kill it", || watermark(&process).filter(|w| *w >= moment));
        process.kill();
    }
    pager.answer(Answer::Accept);
    let end = at(START).plus_ms((minutes - 1) * MINUTE_MS);
    let run_out = |home: &Home| {
        let process = Process::start(home, &[]);
        wait::until("all telemetry is judged", || watermark(&process).filter(|w| *w >= end));
        assert_eq!(home.json(&["audit", "verify"])[0]["ok"], true);
        process
    };
    wait::until("the simulation ends", || simulation.has_ended().then_some(()));
    let processes = [run_out(home), run_out(other)];
    let all = incidents(&brokers, &killed);
    record::assert_whole(&all);
    assert_eq!(record::essence(&all), record::essence(&incidents(&brokers, &undisturbed)));
    pager.assert_none_doubled();
    let settled = || {
        let views: Vec<Value> = home.json(&["incidents", "--all"]);
        let states = views.iter().flat_map(|v| v["pages"].as_array().cloned().unwrap_or_default());
        let done = ["delivered", "failed", "cancelled"];
        states
            .into_iter()
            .all(|p| done.contains(&p["state"]["is"].as_str().unwrap_or_default()))
            .then_some(())
    };
    wait::until("every page has left", settled);
    for process in processes {
        let (ended, said) = process.terminate();
        assert!(ended.success(), "{ended}: {said}");
    }
    let log = KafkaLog::connect(KafkaConfig::new(&brokers)).expect("it is there");
    let counts = Schemas::read().check_topics(&log, &killed);
    assert!(counts["outbox"] > 0 && counts["audit"] > 0 && counts["history"] > 0, "{counts:?}");
    assert_eq!(stored::counted(&log, &killed), stored::counted(&log, &undisturbed));
    record::assert_same(
        "history",
        &record::history(&log, &killed, &home.pinned()),
        &record::history(&log, &undisturbed, &home.pinned()),
    );
    assert_no_page_lost(&brokers, &killed, &[&pager]);
    let woken = pager.shown().iter().filter(|s| s.page.kind == PageKind::Trigger).count();
    assert!(woken >= 3, "{woken} pages in a story of five troubles");
}
