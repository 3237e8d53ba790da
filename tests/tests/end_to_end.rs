//! The program as a person runs it, on the embedded log: telemetry in by HTTP, a page out, a person who takes it.

use std::ops::Range;
use std::process::Stdio;

use fleet::{Fleet, FleetConfig, Scenario};
use runtime::log::EmbeddedLog;
use serde_json::Value;
use tocsin_tests::documented::Schemas;
use tocsin_tests::fed::{Feed, as_it_is, slower};
use tocsin_tests::home;
use tocsin_tests::home::Home;
use tocsin_tests::pager::{Answer, Pager};
use tocsin_tests::process::Process;
use tocsin_tests::{record, scrape, stored, wait};
use wire::page::PageKind;
use wire::topic::Topics;
use wire::{Family, Incident, Timestamp};

const MINUTE_MS: i64 = 60_000;
/// Event time in a second of the clock, where the judge's answers must keep up with what is fed: a profile that it
/// makes is in force a minute of event time later.
const PACE: u32 = 60;

/// A home that pages `pager` at once, and again only after an hour.
fn home_of(pager: &Pager, name: &str) -> Home {
    let home = home!(name);
    home.hook(pager);
    home.configure("[policy.default]\nsteps = [{ targets = [\"hook/on-call\"], delay_s = 3600 }]");
    home
}

/// How many streams of a model have this verdict.
fn verdicts(process: &Process, model: &str, verdict: &str) -> u64 {
    let status = process.json("/v1/status");
    let models = status["models"].as_array().cloned().unwrap_or_default();
    let of_model = models.iter().filter(|m| m["model"] == model);
    of_model.map(|m| m["verdicts"][verdict].as_u64().unwrap_or(0)).sum()
}

fn incidents(home: &Home, args: &[&str]) -> Vec<Value> {
    home.json(&[&["incidents"], args].concat())
}

/// From the first record to a resolved incident, with nothing pinned: what healthy looks like is learned on the way.
#[test]
fn a_page_is_raised_taken_and_resolved() {
    let pager = Pager::start();
    let home = home_of(&pager, "story");
    home.configure("[judge]\nwarmup_records = 500\nwarmup_s = 600");
    let process = Process::start(&home, &[]);
    let mut feed = Feed::new(&["fraud"], 2.0);
    feed.play_until(&process, "fraud is judged", (120 * MINUTE_MS, PACE), as_it_is, || {
        (verdicts(&process, "fraud", "ok") > 0).then_some(())
    });
    feed.play(&process, 5 * MINUTE_MS, PACE, as_it_is);
    assert_eq!(incidents(&home, &["--all"]), Vec::<Value>::new(), "nothing is wrong yet");

    let tail =
        home.command(&["tail", "--lines", "2", "--json"]).stdout(Stdio::piped()).spawn().expect("it starts");
    let slow = || slower("fraud", 4.0);
    feed.play_until(&process, "a page", (30 * MINUTE_MS, PACE), slow(), || {
        pager.triggers().into_iter().next()
    });
    let page = pager.triggers().remove(0);
    let (incident, id) = (&page.incident, page.incident.incident_id.to_string());
    assert_eq!((incident.family, incident.subject.name.as_str()), (Family::Latency, "fraud"));
    assert!(incident.severity.pages(), "{}", incident.severity);

    assert_tailed(tail, &id);

    let open = incidents(&home, &[]);
    assert_eq!(open.len(), 1, "{open:#?}");
    assert_eq!(open[0]["incident"]["incident_id"], id.as_str());
    assert_eq!(home.json(&["show", &id[..8]])[0]["incident"]["incident_id"], id.as_str());
    assert!(home.ok(&["show", &id]).contains("fraud"), "for people too");

    assert_told(&process, &[("incidents_refused", 0), ("commands_accepted", 0)], "open");
    assert_delivered(&process, &pager);

    assert!(home.ok(&["note", &id, "looking at the gateway"]).contains("noted"));
    assert!(home.ok(&["ack", &id[..8], "--note", "mine"]).contains("acknowledged"));
    let taken = &home.json(&["show", &id])[0];
    assert_eq!((&taken["stage"], &taken["signal"]), (&"acknowledged".into(), &"open".into()));

    // Whoever took it still has it after the process is gone.
    process.kill();
    let process = Process::start(&home, &[]);
    let after = wait::until("the incident is known again", || home.json(&["show", &id]).into_iter().next());
    assert_eq!((&after["stage"], &after["owner"]), (&"acknowledged".into(), &taken["owner"]));
    feed.play(&process, 2 * MINUTE_MS, PACE, slow());
    feed.play_until(&process, "the signal clears", (60 * MINUTE_MS, PACE), as_it_is, || {
        (home.json(&["show", &id])[0]["signal"] == "cleared").then_some(())
    });
    resolve_as_not_actionable(&home, &process, &id);
    assert_eq!(incidents(&home, &[]), Vec::<Value>::new());
    assert_eq!(incidents(&home, &["--all"]).len(), 1);
    wait::until("the receiver is told that it is over", || {
        pager.shown().iter().any(|s| s.page.kind == PageKind::Resolve).then_some(())
    });
    assert_eq!(home.json(&["audit", "verify"])[0]["ok"], true);

    let refused = home.run(&["ack", &id]);
    assert!(home.run(&["show", "zzzzzzzz"]).status.code() == Some(5), "no such incident");
    assert_eq!(refused.status.code(), Some(1), "it comes too late: {refused:?}");
    // Counters are of this process: note and acknowledgement were another's.
    assert_told(&process, &[("commands_accepted", 1), ("commands_refused", 1)], "resolved");
    let (ended, said) = process.terminate();
    assert!(ended.success(), "{ended}: {said}");
    assert_eq!(home.run(&["incidents"]).status.code(), Some(3), "nobody answers any more");
    whoever_took_it_is_forgotten(&home, &id);

    assert_eq!(pager.triggers().len(), 1);
    pager.assert_none_doubled();
    let log = stored::embedded(&home.path("tocsin.log"));
    let all: Vec<Incident> = stored::json(&log, &Topics::of("default").incidents);
    record::assert_whole(&all);
    let ids: std::collections::BTreeSet<_> = all.iter().map(|i| &i.incident_id).collect();
    assert_eq!(ids.len(), 1, "{all:#?}");
    assert_eq!(stored::counted(&log, "default").records(), feed.records, "every record is in a pane");
    assert_judge_heard(&log, &id);
    as_documented(&log, &pager);
}

/// Resolves it, and waits until the judge knows what was said of it.
fn resolve_as_not_actionable(home: &Home, process: &Process, id: &str) {
    let why = ["--reason", "a load test", "--not-actionable"];
    assert!(home.ok(&[&["resolve", id], &why[..]].concat()).contains("resolved"));
    assert!(home.ok(&["show", id]).contains("resolved, not actionable, by"));
    wait::until("the judge hears that it was not actionable", || {
        let known = scrape::Scrape::of(process).get("tocsin_table_size", &[("table", "context")])?;
        (known > 1.5).then_some(())
    });
}

/// That what was said of it entered the log that is judged, once.
fn assert_judge_heard(log: &EmbeddedLog, id: &str) {
    let feedback = stored::feedback(log, "default");
    assert_eq!(
        feedback.iter().map(|f| (f.incident_id.as_str(), f.generation)).collect::<Vec<_>>(),
        [(id, 1)]
    );
    assert_eq!((feedback[0].family, feedback[0].stream.as_str()), (Family::Latency, "latency"));
}

/// That whoever follows was told of the incident and of its page.
fn assert_tailed(mut tail: std::process::Child, id: &str) {
    let mut told = String::new();
    std::io::Read::read_to_string(tail.stdout.as_mut().expect("piped"), &mut told).expect("two lines");
    assert!(tail.wait().expect("it ends").success());
    assert_eq!(told.lines().count(), 2, "{told}");
    assert!(told.contains("\"incident\"") && told.contains(id), "{told}");
}

/// That metrics count the pages that have arrived.
fn assert_delivered(process: &Process, pager: &Pager) {
    wait::until("every page that arrived is counted", || {
        let labels = [("event", "pages_delivered")];
        let counted = scrape::Scrape::of(process).get("tocsin_escalation_total", &labels)?;
        let arrived = u32::try_from(pager.shown().len()).expect("few");
        (arrived > 0 && (counted - f64::from(arrived)).abs() < 0.5).then_some(())
    });
}

/// That metrics count these events of escalation, know of the one incident in this stage, and of no page under way.
fn assert_told(process: &Process, events: &[(&str, i64)], stage: &str) {
    let number = |n: i64| f64::from(i32::try_from(n).expect("small"));
    for (event, n) in events {
        scrape::until(process, "tocsin_escalation_total", &[("event", event)], number(*n));
    }
    scrape::until(process, "tocsin_incidents_known", &[("stage", stage)], 1.0);
    scrape::until(process, "tocsin_incidents_known", &[], 1.0);
    scrape::until(process, "tocsin_incidents_silent", &[], 0.0);
    for state in ["waiting", "in_flight"] {
        scrape::until(process, "tocsin_pages_pending", &[("receiver", "hook"), ("state", state)], 0.0);
    }
    // What has ended has left the table.
    let live = if stage == "open" { 1.0 } else { 0.0 };
    scrape::until(process, "tocsin_table_size", &[("table", "incidents")], live);
    // The default of `[escalate] incidents_max`.
    scrape::until(process, "tocsin_table_bound", &[("table", "incidents")], 100_000.0);
}

/// Everything was done as `local`, the name of whoever needs no token. The audit never had it; after a start that
/// forgets it, nothing that is asked has it, and the chain is whole.
fn whoever_took_it_is_forgotten(home: &Home, id: &str) {
    let audited = || {
        let log = stored::embedded(&home.path("tocsin.log"));
        let records: Vec<wire::audit::AuditRecord> = stored::json(&log, &Topics::of("default").audit);
        assert!(records.iter().all(|r| r.actor == "tocsin" || r.actor.starts_with("p-")), "{records:#?}");
        assert!(records.iter().any(|r| r.action == "command.acknowledge"), "{records:#?}");
        records.iter().filter(|r| r.action == "person.forgotten").count()
    };
    let by = || {
        let shown = home.json(&["show", id]).remove(0);
        let timeline = shown["timeline"].as_array().expect("people did something").clone();
        timeline.iter().map(|r| r["by"].as_str().expect("someone").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(audited(), 0);
    let process = Process::start(home, &[]);
    assert!(by().iter().any(|name| name == "local"), "{:?}", by());
    assert!(process.terminate().0.success());

    home.configure("[audit]\nforget = [\"local\"]");
    assert!(home.ok(&["check"]).contains("names to forget: 1"));
    let process = Process::start(home, &[]);
    assert!(by().iter().all(|name| name == "tocsin" || name.starts_with("p-")), "{:?}", by());
    assert_eq!(home.json(&["audit", "verify"])[0]["ok"], true);
    assert!(process.terminate().0.success());
    assert_eq!(audited(), 1);
}

/// What all that ran has written, and paged, is what the schemas say; and there was something of each.
fn as_documented(log: &EmbeddedLog, pager: &Pager) {
    let schemas = Schemas::read();
    let counts = schemas.check_topics(log, "default");
    for name in ["incident", "response", "command", "outbox", "audit", "history", "context"] {
        assert!(counts[name] > 0, "nothing was checked by the schema {name}: {counts:?}");
    }
    for shown in pager.shown() {
        let body: Value = serde_json::from_slice(&shown.body).expect("it was read before");
        schemas.check("page", &body["data"]);
    }
    for (i, record) in stored::all(log, &Topics::of("default").telemetry).iter().enumerate().step_by(97) {
        let record: Value = serde_json::from_slice(record.value.as_deref().unwrap_or_default())
            .unwrap_or_else(|e| panic!("telemetry {i}: {e}"));
        schemas.check(if record["kind"] == "label" { "label" } else { "prediction" }, &record);
    }
}

/// What an installation made of the telemetry.
struct Outcome {
    incidents: Vec<Incident>,
    /// What woke someone, without ids that hold a time.
    woken: Vec<String>,
    counted: stored::Counted,
    /// Every judged pane.
    history: Vec<String>,
}

/// Trouble that comes, is found and ends: when it is certainly found, and when all is told.
struct Story {
    config: FleetConfig,
    middle: Timestamp,
    end: Timestamp,
}

impl Story {
    fn new() -> Self {
        let config = FleetConfig { seed: 3, scenario: Scenario::Latency, ..FleetConfig::default() };
        let truth = Fleet::new(&config).truth().clone();
        let change = &truth.changes[0];
        assert!(change.end.is_some_and(|end| end > change.detect_by), "it ends after it is found");
        Self { config, middle: change.detect_by, end: config.start.plus_ms(75 * MINUTE_MS) }
    }

    /// Puts a part of it into the log of a home where nothing runs.
    fn lay_ready(&self, home: &Home, span: Range<Timestamp>) -> usize {
        let log = stored::embedded(&home.path("tocsin.log"));
        stored::lay_ready(&log, &Topics::of("default").telemetry, &self.config, span)
    }
}

/// A home whose judge knows its references.
fn prepared(pager: &Pager, name: &str) -> Home {
    let home = home_of(pager, name);
    home.pin_references();
    // Nothing here is idle, however long it takes to kill it.
    home.configure("[escalate]\nlease_s = 5\n[telemetry]\nidle_s = 3600");
    // References enter the judge's log when it first runs; panes that were there before would be judged without.
    let known = || {
        let (ended, said) = Process::start(&home, &[]).terminate();
        assert!(ended.success(), "{ended}: {said}");
        (stored::references(&stored::embedded(&home.path("tocsin.log")), "default") == 5).then_some(())
    };
    wait::until("the judge has its references", known);
    home
}

/// Runs until all that lies ready was judged and everything has ended well.
fn run_out(home: &Home, pager: &Pager, story: &Story) -> Outcome {
    let process = Process::start(home, &[]);
    wait::until("all telemetry is judged", || {
        let watermark: Option<Timestamp> = process.json("/v1/status")["watermark"].as_str()?.parse().ok();
        watermark.filter(|w| *w >= story.end.plus_ms(-MINUTE_MS))
    });
    wait::until("the receiver is told that it is over", || {
        pager.shown().iter().any(|s| s.page.kind == PageKind::Resolve).then_some(())
    });
    assert_eq!(home.json(&["audit", "verify"])[0]["ok"], true);
    let (ended, said) = process.terminate();
    assert!(ended.success(), "{ended}: {said}");
    let log = stored::embedded(&home.path("tocsin.log"));
    let incidents: Vec<Incident> = stored::json(&log, &Topics::of("default").incidents);
    record::assert_whole(&incidents);
    pager.assert_none_doubled();
    let woken = pager.triggers().into_iter().map(|p| {
        let i = &p.incident;
        format!("{} {} generation {} round {} step {}", i.subject, i.family, i.generation, p.round, p.step)
    });
    let counted = stored::counted(&log, "default");
    Outcome {
        incidents,
        woken: woken.collect(),
        counted,
        history: record::history(&log, "default", &home.pinned()),
    }
}

/// Parts that the trouble is laid ready in: the process is killed while it works on each of them.
const PARTS: i64 = 7;

/// Killed ten times: while it reads and judges the trouble, while a page is on its way, while it is refused, and after
/// it arrived. The same incidents and the same pages, each once, as without.
#[test]
fn kills_change_nothing() {
    let story = Story::new();
    let calm = Pager::start();
    let home = prepared(&calm, "undisturbed");
    story.lay_ready(&home, story.config.start..story.middle);
    let process = Process::start(&home, &[]);
    wait::until("a page", || calm.triggers().pop());
    process.terminate();
    story.lay_ready(&home, story.middle..story.end);
    let undisturbed = run_out(&home, &calm, &story);

    let pager = Pager::start();
    let home = prepared(&pager, "killed");
    // Nobody answers yet, so that pages of these lives are left to the later ones.
    pager.answer(Answer::Hang);
    let cut_short = killed_at_work(&home, &story);
    assert!(cut_short > 0, "every kill came when all was done");
    for answer in [Answer::Hang, Answer::Status(500), Answer::Accept] {
        pager.answer(answer);
        let before = pager.requests();
        let process = Process::start(&home, &[]);
        wait::until("a page is on its way", || (pager.requests() > before).then_some(()));
        process.kill();
    }
    story.lay_ready(&home, story.middle..story.end);
    let killed = run_out(&home, &pager, &story);
    assert!(
        pager.shown().iter().any(|s| s.times > 1),
        "no page came again: the kills were too late to say anything"
    );
    assert!(!undisturbed.woken.is_empty());
    assert_eq!(killed.woken, undisturbed.woken);
    assert_eq!(killed.counted, undisturbed.counted);
    assert!(undisturbed.history.len() > 100, "{} panes were judged", undisturbed.history.len());
    record::assert_same("history", &killed.history, &undisturbed.history);
    assert_eq!(record::essence(&killed.incidents), record::essence(&undisturbed.incidents));
}

/// Lays the trouble ready part by part, and kills whoever works on it, each time a little later. Returns how often
/// there was something left to do.
fn killed_at_work(home: &Home, story: &Story) -> usize {
    let span = story.middle.since_ms(story.config.start);
    let (mut from, mut laid, mut cut_short) = (story.config.start, 0, 0);
    for part in 1..=PARTS {
        let to = story.config.start.plus_ms(span * part / PARTS);
        laid += story.lay_ready(home, from..to);
        from = to;
        let process = Process::spawn(home, &[]);
        std::thread::sleep(std::time::Duration::from_millis(40 * part.unsigned_abs()));
        process.kill();
        let counted = stored::counted(&stored::embedded(&home.path("tocsin.log")), "default");
        cut_short += usize::from(counted.records() < laid as u64);
    }
    cut_short
}

/// A list goes on where it stood, though what it stood at is in it no more.
#[test]
fn incidents_are_listed_page_by_page() {
    let home = home!("lists");
    let process = Process::start(&home, &[]);
    let declare = |n: usize| home.ok(&["declare", &format!("trouble {n}"), "--severity", "sev4"]);
    wait::until("incidents can be raised", || home.run(&["incidents"]).status.success().then_some(()));
    for n in 0..5 {
        declare(n);
    }
    let all = incidents(&home, &[]);
    assert_eq!(all.len(), 5);
    let id = |n: usize| all[n]["incident"]["incident_id"].as_str().expect("an id");
    let shown = home.ok(&["incidents", "--limit", "2"]);
    assert!(shown.ends_with("And 3 older ones: --limit shows more.\n"), "{shown}");
    assert_eq!(incidents(&home, &["--limit", "2"]), all[..2]);
    let first = process.json("/v1/incidents?limit=2");
    home.ok(&["clear", id(1), "--reason", "it is over"]);
    wait::until("it is over", || (incidents(&home, &[]).len() == 4).then_some(()));
    let next = first["next"].as_str().expect("there are more").replace('/', "%2F").replace(':', "%3A");
    let second = process.json(&format!("/v1/incidents?limit=2&cursor={next}"));
    assert_eq!(second["incidents"].as_array().expect("a list")[..], all[2..4]);
}
