//! Marked personal data is sent through every field of telemetry, warmed up on, and made trouble of; then it is looked
//! for in every topic, log, metric, page and answer. Nothing of it may be there: only aggregates leave the process.

use detect::pane::FeatureCounts;
use detect::record::PanesRecord;
use serde_json::{Value, json};
use tocsin_tests::fed::Feed;
use tocsin_tests::home::Home;
use tocsin_tests::pager::Pager;
use tocsin_tests::process::Process;
use tocsin_tests::{home, stored, wait};
use wire::topic::Topics;
use wire::{Family, Timestamp};

const MINUTE_MS: i64 = 60_000;
const PACE: u32 = 60;
/// In every text that is personal; no word of ours and no hash has it.
const MARK: &str = "Zq7xPersonal";
/// A personal number: its digits, and its bits, are looked for.
const NUMBER: f64 = 918_273_645.062_5;
const DIGITS: &str = "918273645";

/// A prediction of the fleet with marks in every field but the model and its version.
fn marked(record: &mut Value, fresh: bool) {
    let mark = |what: &str| format!("{MARK}-{what}");
    let id = record["prediction_id"].as_str().unwrap_or_default().to_owned();
    record["prediction_id"] = mark(&id).into();
    if record["kind"] == "label" {
        let value = record["value"].as_str().unwrap_or_default().to_owned();
        record["value"] = mark(&value).into();
        record["comment"] = mark("a member nobody knows").into();
        return;
    }
    let predicted = record["prediction"].as_str().unwrap_or_default().to_owned();
    record["prediction"] = mark(&predicted).into();
    record["class_probs"] = json!({ mark("class"): 0.5, mark(&predicted): 0.5 });
    record["segments"] = json!({"region": mark("segment"), "customer": mark("customer")});
    record["trace_id"] = mark("trace").into();
    record["comment"] = json!({"user": mark("a member nobody knows"), "list": [mark("in a list")]});
    let nth = id.bytes().fold(0u32, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
    let name = if fresh { mark(&format!("fresh-{}", nth % 3)) } else { mark(&format!("name-{}", nth % 5)) };
    record["features"]["who"] = name.into();
    record["features"]["iban"] = mark(&format!("iban-{nth}")).into();
    record["features"]["shape"] = json!([mark("in an array"), {"a": mark("in an object")}]);
    // One of ten has the same number: frequent enough to be an atom of the profile. It is in the midst of the others.
    let others = f64::from(nth % 1000) * 2_000_000.5;
    record["features"]["account"] = if nth.is_multiple_of(10) { NUMBER.into() } else { others.into() };
}

/// What else can be said in telemetry, once: dead letters, events, and fields of the wrong type.
fn oddities(at: Timestamp) -> Vec<u8> {
    let mark = |what: &str| format!("{MARK}-{what}");
    let lines = [
        json!({"prediction_id": mark("no-time"), "model": "fraud", "features": {"who": mark("x")}}),
        json!({"prediction_id": mark("status"), "event_time": at, "model": "fraud", "status": mark("status")}),
        json!({"prediction_id": mark("latency"), "event_time": at, "model": "fraud", "latency_ms": mark("latency")}),
        json!({"prediction_id": mark("time"), "event_time": mark("time"), "model": "fraud"}),
        json!({"prediction_id": mark("kind"), "event_time": at, "model": "fraud", "kind": mark("kind")}),
        json!({"prediction_id": mark("far"), "event_time": at.plus_ms(9 * 86_400_000), "model": "fraud"}),
        json!({"kind": "label", "prediction_id": mark("none"), "event_time": at, "value": mark("unmatched")}),
        json!({"kind": "label", "prediction_id": mark("own"), "event_time": at, "value": mark("truth"),
               "prediction": mark("said"), "model": "fraud"}),
        json!({"specversion": "1.0", "id": mark("event"), "source": mark("source"), "subject": mark("subject"),
               "type": "x.prediction", "time": at, "data": {"model": "fraud", "features": {"who": mark("event")}}}),
    ];
    let mut out: Vec<u8> = lines.iter().flat_map(|l| format!("{l}\n").into_bytes()).collect();
    out.extend(format!("{{\"prediction_id\":\"{MARK}-cut\n").into_bytes());
    out
}

/// Where a mark is, if it is anywhere.
fn found(bytes: &[u8]) -> Option<&'static str> {
    let has = |part: &[u8]| bytes.windows(part.len()).any(|w| w == part);
    if has(MARK.as_bytes()) {
        return Some("text");
    }
    if has(DIGITS.as_bytes()) {
        return Some("the digits of the number");
    }
    (has(&NUMBER.to_le_bytes()) || has(&NUMBER.to_be_bytes())).then_some("the bits of the number")
}

/// A value of the panes topic without the extremes of features that no profile describes yet: in clear by design, since
/// a profile is made from them. In a pane of one record they are that record's number.
fn without_extremes(value: &[u8]) -> Vec<u8> {
    let PanesRecord::Partial(mut pane) = PanesRecord::decode(value).expect("written by this version") else {
        return value.to_vec();
    };
    for feature in &mut pane.counts.features {
        if let FeatureCounts::Raw(raw) = feature {
            raw.numeric = Default::default();
        }
    }
    PanesRecord::Partial(pane).encode()
}

fn clean(what: &str, bytes: &[u8]) {
    let found = found(bytes);
    assert!(
        found.is_none(),
        "{what} holds {}: {}",
        found.unwrap_or_default(),
        String::from_utf8_lossy(bytes)
    );
}

#[test]
fn nothing_personal_leaves_the_process() {
    assert!(found(format!("x{MARK}y").as_bytes()).is_some() && found(&NUMBER.to_le_bytes()).is_some());
    let pager = Pager::start();
    let home = home!("privacy");
    home.write("hook.secret", Pager::secret());
    home.configure(&format!(
        "[judge]\nwarmup_records = 500\nwarmup_s = 600\n
         [receiver.hook]\ntype = \"webhook\"\nurl = \"{}\"\nsecret_file = \"hook.secret\"\nallow_private = true\n
         [policy.default]\nsteps = [{{ targets = [\"hook/on-call\"], delay_s = 3600 }}]\n
         [policy.tickets]\nsteps = [{{ targets = [\"hook/tickets\"], delay_s = 86400 }}]",
        pager.url
    ));
    let process = Process::start(&home, &["--log", "debug"]);
    let mut feed = Feed::new(&["fraud"], 2.0);
    let judged = || {
        let status = process.json("/v1/status");
        let models = status["models"].as_array()?;
        models.iter().any(|m| m["model"] == "fraud" && m["verdicts"]["ok"].as_u64() > Some(0)).then_some(())
    };
    feed.play_until(&process, "fraud is judged", (120 * MINUTE_MS, PACE), |r| marked(r, false), judged);
    feed.play(&process, 2 * MINUTE_MS, PACE, |r| marked(r, false));
    let taken = process.telemetry(&oddities(feed.now)).expect("it answers");
    assert_eq!(taken.status, 207, "all but the line that is cut: {}", taken.text);
    clean("the answer to a line that is cut", taken.text.as_bytes());

    // Trouble of every kind that names what it saw: categories nobody knew, a class that is predicted more often, and
    // latency, so that someone is woken.
    let trouble = |r: &mut Value| {
        if r["kind"] != "label" {
            r["prediction"] = "deny".into();
            r["latency_ms"] = (r["latency_ms"].as_f64().unwrap_or(50.0) * 5.0).into();
        }
        marked(r, true);
    };
    let told = || {
        let shown = pager.shown();
        let has = |family| shown.iter().any(|s| s.page.incident.family == family);
        (has(Family::Drift) && has(Family::Latency)).then_some(())
    };
    feed.play_until(
        &process,
        "someone is told of drift and of latency",
        (60 * MINUTE_MS, PACE),
        trouble,
        told,
    );
    for page in pager.shown() {
        clean("a page", &page.body);
    }
    let id = pager.triggers()[0].incident.incident_id.to_string();
    clean_answers(&home, &process, &id);
    wait::until("dead letters are counted", || {
        let status = process.json("/v1/status");
        (status["dead_letters"].as_u64() >= Some(6)).then_some(())
    });
    let (ended, said) = process.terminate();
    assert!(ended.success(), "{ended}");
    clean("the log of the process", said.as_bytes());
    clean_topics(&home);
}

/// Everything that can be asked of the process, over HTTP and from the command line.
fn clean_answers(home: &Home, process: &Process, id: &str) {
    for path in [
        "/metrics",
        "/v1/status",
        "/v1/incidents?state=all",
        "/v1/inbox",
        "/readyz",
        &format!("/v1/incidents/{id}"),
    ] {
        let answer = process.get(path).expect("it answers");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        clean(path, answer.text.as_bytes());
    }
    clean("tocsin show", home.ok(&["show", id]).as_bytes());
    clean("tocsin incidents", home.ok(&["incidents", "--all"]).as_bytes());
}

/// Every key, value and header of every topic but telemetry.
fn clean_topics(home: &Home) {
    let log = stored::embedded(&home.path("tocsin.log"));
    let mut looked_at = 0;
    let panes = Topics::of("default").panes;
    for topic in stored::own_topics("default") {
        for record in stored::all(&log, &topic) {
            let headers = record.headers.iter().flat_map(|(n, v)| [n.as_bytes(), v]);
            let value = record.value.as_deref();
            let value = value.map(|v| if topic == panes { without_extremes(v) } else { v.to_vec() });
            for part in headers.chain(record.key.as_deref()).chain(value.as_deref()) {
                clean(&format!("{topic}/{} at {}", record.partition, record.offset), part);
                looked_at += 1;
            }
        }
    }
    assert!(looked_at > 1000, "next to nothing was looked at: {looked_at}");
    let telemetry = stored::all(&log, "tocsin.telemetry.v1");
    assert!(
        telemetry.iter().any(|r| r.value.as_deref().is_some_and(|v| found(v).is_some())),
        "nothing was marked"
    );
}
