//! Records that no producer should write, through the log and through HTTP: the stream never stops, and every record
//! ends in a pane or as a dead letter.

use std::collections::BTreeMap;

use runtime::log::{Cleanup, Log, NewRecord, TopicSpec};
use serde_json::{Value, json};
use tocsin_tests::documented::Schemas;
use tocsin_tests::home;
use tocsin_tests::home::Home;
use tocsin_tests::process::Process;
use tocsin_tests::stored::{self, Counted};
use tocsin_tests::{scrape, wait, web};
use wire::Timestamp;
use wire::deadletter::{DeadLetter, Reason};
use wire::topic::Topics;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// `ahead_max_s` of the config is 6 h.
const AHEAD_MS: i64 = 7 * HOUR_MS;

fn start() -> Timestamp {
    "2026-03-02T09:00:00Z".parse().expect("a time")
}

/// What must become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Prediction,
    Duplicate,
    Late,
    Label,
    LabelDuplicate,
    Unmatched,
    Dead(Reason),
}

fn dead(reason: Reason) -> Fate {
    Fate::Dead(reason)
}

/// A good prediction, `ms` after the start.
fn good(id: &str, ms: i64) -> Value {
    json!({
        "prediction_id": id, "event_time": start().plus_ms(ms), "model": "m", "version": "1", "latency_ms": 12.5,
        "features": {"x": 1.5, "c": "red"}, "prediction": "yes", "score": 0.9
    })
}

/// A good prediction with some members changed; null takes one away.
fn with(id: &str, ms: i64, changes: &Value) -> Value {
    let mut record = good(id, ms);
    for (name, value) in changes.as_object().expect("an object") {
        record[name.as_str()] = value.clone();
    }
    record
}

fn label(id: &str, ms: i64, changes: &Value) -> Value {
    let mut record = json!({"kind": "label", "prediction_id": id, "event_time": start().plus_ms(ms), "value": "yes", "model": "m", "version": "1"});
    for (name, value) in changes.as_object().expect("an object") {
        record[name.as_str()] = value.clone();
    }
    record
}

/// One record: what it is about, its bytes (none is a tombstone), its headers, its fate.
struct Case {
    name: String,
    value: Option<Vec<u8>>,
    headers: Vec<(&'static str, &'static str)>,
    fate: Fate,
}

/// Cases at `ms`, where good records come before and after each.
#[derive(Default)]
struct Cases(Vec<Case>);

impl Cases {
    fn raw(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>, fate: Fate) {
        self.0.push(Case { name: name.into(), value: Some(value.into()), headers: vec![], fate });
    }

    fn json(&mut self, name: &str, value: &Value, fate: Fate) {
        self.raw(name, value.to_string(), fate);
    }

    /// A good prediction, so that what came before it is seen not to have stopped anything.
    fn good(&mut self, ms: i64) {
        let name = format!("good-{}", self.0.len());
        self.json(&name, &good(&name, ms), Fate::Prediction);
    }

    /// Text with numbers that `serde_json` would not write.
    fn text(&mut self, name: &str, ms: i64, members: &str, fate: Fate) {
        let at = start().plus_ms(ms);
        let text = format!(
            r#"{{"prediction_id":"{name}","event_time":"{at}","model":"m","version":"1",{members}}}"#
        );
        self.raw(name, text, fate);
    }
}

fn broken(cases: &mut Cases, ms: i64) {
    let whole = good("cut", ms).to_string();
    for cut in [1, 10, whole.len() / 2, whole.len() - 1] {
        cases.raw(format!("cut after {cut}"), &whole.as_bytes()[..cut], dead(Reason::Malformed));
    }
    cases.raw("empty", "", dead(Reason::Empty));
    cases.0.push(Case { name: "tombstone".into(), value: None, headers: vec![], fate: dead(Reason::Empty) });
    for (name, bytes) in [
        ("white space", &b"  \n"[..]),
        ("null", b"null"),
        ("a list", b"[]"),
        ("a list of records", b"[{\"model\":\"m\"}]"),
        ("text", b"\"text\""),
        ("two records", b"{} {}"),
        ("not UTF-8", b"{\"model\":\"\xff\xfe\"}"),
        ("half a character", b"{\"model\":\"\xe2\x82\"}"),
        ("bytes", &[0, 1, 2, 0xff, 0x7f, 0x80]),
        ("a lone surrogate", br#"{"model":"\ud800"}"#),
        ("a control character", b"{\"model\":\"a\x01\"}"),
    ] {
        cases.raw(name, bytes, dead(Reason::Malformed));
        cases.good(ms);
    }
    cases.raw("deep", "[".repeat(200_000), dead(Reason::Malformed));
    cases.raw("deep inside", format!("{{\"x\":{}", "{\"x\":".repeat(100_000)), dead(Reason::Malformed));
    cases.json("an empty object", &json!({}), dead(Reason::Missing));
}

fn numbers(cases: &mut Cases, ms: i64) {
    for (name, members, fate) in [
        ("NaN", r#""latency_ms":NaN"#, dead(Reason::Malformed)),
        ("Infinity", r#""score":Infinity"#, dead(Reason::Malformed)),
        ("-NaN in a feature", r#""features":{"x":-NaN}"#, dead(Reason::Malformed)),
        ("NaN as text", r#""features":{"x":"NaN"}"#, Fate::Prediction),
        (
            "1e308",
            r#""features":{"x":1e308},"latency_ms":1e308,"score":1e308,"weight":1e300"#,
            Fate::Prediction,
        ),
        ("-1e308", r#""features":{"x":-1e308},"latency_ms":-1e308,"score":-1e308"#, Fate::Prediction),
        ("1e309", r#""features":{"x":1e309},"latency_ms":1e309"#, Fate::Prediction),
        ("1e-400", r#""features":{"x":1e-400}"#, Fate::Prediction),
        ("a weight below nothing", r#""weight":-1"#, dead(Reason::Invalid)),
        ("a weight beyond numbers", r#""weight":1e999"#, dead(Reason::Invalid)),
    ] {
        cases.text(name, ms, members, fate);
        cases.good(ms);
    }
    let long = format!(r#""features":{{"x":0.{}1}}"#, "0".repeat(20_000));
    cases.text("a number of 20 000 digits", ms, &long, Fate::Prediction);
}

fn wrong_types(cases: &mut Cases, ms: i64) {
    for (name, changes, fate) in [
        ("no id", json!({"prediction_id": null}), dead(Reason::Missing)),
        ("no time", json!({"event_time": null}), dead(Reason::Missing)),
        ("no model", json!({"model": null}), dead(Reason::Missing)),
        ("an id that is a list", json!({"prediction_id": ["a"]}), dead(Reason::Invalid)),
        ("an empty id", json!({"prediction_id": ""}), dead(Reason::Invalid)),
        ("an id that is a number", json!({"prediction_id": 77}), Fate::Prediction),
        ("a time that is none", json!({"event_time": "yesterday"}), dead(Reason::Invalid)),
        ("a time that is true", json!({"event_time": true}), dead(Reason::Invalid)),
        ("a time beyond time", json!({"event_time": 1e308}), dead(Reason::Invalid)),
        ("a model that is an object", json!({"model": {}}), dead(Reason::Invalid)),
        ("an empty model", json!({"model": ""}), dead(Reason::Invalid)),
        ("a model of 300 letters", json!({"model": "m".repeat(300)}), dead(Reason::Invalid)),
        ("a version that is a list", json!({"version": [1]}), dead(Reason::Invalid)),
        ("a latency in words", json!({"latency_ms": "fast"}), dead(Reason::Invalid)),
        ("a status of its own", json!({"status": "meh"}), dead(Reason::Invalid)),
        ("a status that is a number", json!({"status": 500}), dead(Reason::Invalid)),
        ("a score in words", json!({"score": "high"}), dead(Reason::Invalid)),
        ("features that are a list", json!({"features": [1, 2]}), Fate::Prediction),
        (
            "features of every shape",
            json!({"features": {"x": [1], "c": {"a": 1}, "t": true, "n": null}}),
            Fate::Prediction,
        ),
        ("a prediction that is a list", json!({"prediction": [0.1, 0.9]}), Fate::Prediction),
        ("segments that are text", json!({"segments": "eu"}), Fate::Prediction),
        ("another kind", json!({"kind": "outcome"}), dead(Reason::Unsupported)),
        ("a kind that is a number", json!({"kind": 1}), dead(Reason::Invalid)),
        ("no version", json!({"version": null}), Fate::Prediction),
        ("a version nobody knows", json!({"version": "9999.99-rc1+dirty"}), Fate::Prediction),
        ("members nobody knows", json!({"zzz": {"a": [1, 2, {"b": null}]}, "": 1}), Fate::Prediction),
    ] {
        cases.json(name, &with(name, ms, &changes), fate);
        cases.good(ms);
    }
    for (name, headers) in [
        ("a CloudEvent of a version to come", vec![("ce_specversion", "2.0"), ("ce_id", "e")]),
        ("Protobuf", vec![("content-type", "application/protobuf")]),
        ("a batch of CloudEvents", vec![("content-type", "application/cloudevents-batch+json")]),
    ] {
        let value = Some(good(name, ms).to_string().into_bytes());
        cases.0.push(Case { name: name.into(), value, headers, fate: dead(Reason::Unsupported) });
    }
    let data = json!({"specversion": "1.0", "id": "e", "type": "x.prediction", "data_base64": "e30="});
    cases.json("a CloudEvent in base64", &data, dead(Reason::Unsupported));
}

fn large(cases: &mut Cases, ms: i64) {
    cases.json("an id of 900 000 letters", &good(&"i".repeat(900_000), ms), Fate::Prediction);
    let many: serde_json::Map<String, Value> = (0..20_000).map(|i| (format!("f{i}"), json!(i))).collect();
    cases.json("20 000 features", &with("many", ms, &json!({"features": many})), Fate::Prediction);
    let category = json!({"features": {"c": "c".repeat(900_000)}});
    cases.json("a category of 900 000 letters", &with("category", ms, &category), Fate::Prediction);
    for megabytes in [2, 10] {
        let name = format!("{megabytes} MB");
        let record = with(&name, ms, &json!({"features": {"c": "x".repeat(megabytes << 20)}}));
        cases.json(&name, &record, dead(Reason::TooLarge));
        cases.raw(format!("{name} of nothing"), vec![b' '; megabytes << 20], dead(Reason::TooLarge));
        cases.good(ms);
    }
}

/// Clocks that are wrong, and records that come again.
fn out_of_order(cases: &mut Cases, ms: i64) {
    for i in 0..20 {
        // One of three producers is a day behind, another a day ahead; nobody's panes wait for them.
        cases.good(ms + i * 1000);
        let name = format!("a day behind {i}");
        cases.json(&name, &good(&name, ms - DAY_MS + i * 1000), Fate::Late);
        let name = format!("a day ahead {i}");
        cases.json(&name, &good(&name, ms + DAY_MS + i * 1000), dead(Reason::Ahead));
    }
    cases.good(ms + 20_000);
    cases.json("seven hours ahead", &good("seven", ms + AHEAD_MS), dead(Reason::Ahead));
    cases.good(ms + 20_000);
    cases.json(
        "the year 9999",
        &with("9999", 0, &json!({"event_time": "9999-12-31T23:59:59Z"})),
        dead(Reason::Ahead),
    );
    cases.good(ms + 20_000);
    cases.json("the year 1", &with("1", 0, &json!({"event_time": "0001-01-01T00:00:00Z"})), Fate::Late);
    cases.json("first", &good("twin", ms + 20_000), Fate::Prediction);
    for i in 0..5 {
        cases.json(&format!("again {i}"), &good("twin", ms + 20_000), Fate::Duplicate);
    }
    cases.json(
        "the same id of another version",
        &with("twin", ms + 20_000, &json!({"version": "2"})),
        Fate::Prediction,
    );
}

fn labels(cases: &mut Cases, ms: i64) {
    cases.json("a label", &label("twin", ms, &json!({})), Fate::Label);
    cases.json("the same label", &label("twin", ms, &json!({"value": "no"})), Fate::LabelDuplicate);
    cases.json("a label of nothing", &label("nobody", ms, &json!({})), Fate::Unmatched);
    for (name, changes, fate) in [
        ("a label without a value", json!({"value": null}), dead(Reason::Missing)),
        ("a label that is a list", json!({"value": [1]}), dead(Reason::Invalid)),
        ("a label without an id", json!({"prediction_id": null}), dead(Reason::Missing)),
        ("a label without a time", json!({"event_time": null}), dead(Reason::Missing)),
        (
            "a label two days ahead",
            json!({"event_time": start().plus_ms(2 * DAY_MS + HOUR_MS)}),
            dead(Reason::Ahead),
        ),
    ] {
        cases.json(name, &label(name, ms, &changes), fate);
        cases.good(ms);
    }
    cases.text("a label beyond numbers", ms, r#""kind":"label","value":1e999"#, dead(Reason::Invalid));
}

/// Every case, in the order of event time, good records around each.
fn all() -> Vec<Case> {
    let mut cases = Cases::default();
    for i in 0..60 {
        cases.good(i * 100);
    }
    let groups: [fn(&mut Cases, i64); 6] = [broken, numbers, wrong_types, large, out_of_order, labels];
    for (i, group) in (0..).zip(groups) {
        let ms = 10_000 + i * 30_000;
        cases.good(ms);
        group(&mut cases, ms);
        cases.good(ms + 25_000);
    }
    cases.0
}

/// Ids remembered in the search for duplicates: fewer than come, and more than lie between two of the same.
const IDS_MAX: u32 = 100;

/// One partition, so that the records are read in the order in which they are written.
fn home(name: &str) -> Home {
    let home = home!(name);
    home.configure("[log.partitions]\ntelemetry = 1");
    home.configure(&format!("[telemetry.duplicates]\nwindow_s = 86400\nids_max = {IDS_MAX}"));
    home
}

/// Waits until the process has read records of these fates, ends it, and returns the dead letters that
/// `tocsin deadletters` had listed.
fn read_out(home: &Home, process: Process, fates: &[Fate]) -> Vec<Value> {
    let records = fates.len() as u64;
    let dead = fates.iter().filter(|fate| matches!(fate, Fate::Dead(_))).count();
    wait::until("every record is read", || {
        let status = process.json("/v1/status");
        (status["records"].as_u64() >= Some(records)).then_some(())
    });
    let kept = wait::until("every dead letter is kept", || {
        let listed = home.json(&["deadletters", "--limit", "1000"]);
        (listed.len() == dead).then_some(listed)
    });
    assert_told(&process, fates);
    let people = home.ok(&["deadletters", "--limit", "3"]);
    assert!(
        people.starts_with("The last 3; --limit shows more.\n") && people.lines().count() == 5,
        "{people}"
    );
    assert_eq!(paged(&process, 7), kept, "page by page, from the newest to the oldest");
    let said = process.said();
    assert!(!said.contains("panicked"), "{said}");
    let (ended, said) = process.terminate();
    assert!(ended.success(), "{ended}: {said}");
    kept
}

/// That metrics say of each fate how many records it befell, and how full the tables are that they filled.
fn assert_told(process: &Process, fates: &[Fate]) {
    let count =
        |fate: Fate| f64::from(u32::try_from(fates.iter().filter(|f| **f == fate).count()).expect("few"));
    for (reason, fate) in [
        ("late", Fate::Late),
        ("duplicate", Fate::Duplicate),
        ("label_unmatched", Fate::Unmatched),
        ("label_duplicate", Fate::LabelDuplicate),
    ] {
        assert!(count(fate) > 0.0, "no case of {reason}");
        let labels = [("reason", reason), ("source", "tocsin.telemetry.v1")];
        scrape::until(process, "tocsin_records_not_counted_total", &labels, count(fate));
    }
    for reason in ["folded", "label_early", "waiting_dropped", "profile_refused"] {
        scrape::until(process, "tocsin_records_not_counted_total", &[("reason", reason)], 0.0);
    }
    for outcome in ["halved", "lost"] {
        scrape::until(process, "tocsin_panes_too_large_total", &[("outcome", outcome)], 0.0);
    }
    let dead = fates.iter().filter(|fate| matches!(fate, Fate::Dead(_))).count();
    scrape::until(process, "tocsin_deadletters_total", &[], f64::from(u32::try_from(dead).expect("few")));
    assert!(count(Fate::Prediction) > f64::from(IDS_MAX), "the table is not filled");
    for metric in ["tocsin_table_size", "tocsin_table_bound"] {
        scrape::until(process, metric, &[("table", "duplicate_ids")], f64::from(IDS_MAX));
    }
}

/// All dead letters in pages of `limit`, put together again.
fn paged(process: &Process, limit: usize) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = process.json(&format!("/v1/deadletters?limit={limit}{cursor}"));
        let letters = page["letters"].as_array().expect("a list").clone();
        assert!(
            letters.len() == limit || page["next"].is_null(),
            "a page that is not the last is full: {page}"
        );
        all.splice(0..0, letters);
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// That what was listed is what lies in the topic, in its order, with the time.
fn assert_listed(listed: &[Value], letters: &[DeadLetter]) {
    let without_time = listed.iter().map(|entry| {
        assert!(entry["at"].is_string(), "{entry}");
        serde_json::from_value::<DeadLetter>(entry.clone()).expect("a dead letter")
    });
    assert_eq!(without_time.collect::<Vec<_>>(), letters);
}

fn expected(fates: impl Iterator<Item = Fate>) -> (Counted, BTreeMap<&'static str, u64>) {
    let (mut counted, mut letters) = (Counted::default(), BTreeMap::new());
    for fate in fates {
        match fate {
            Fate::Prediction => counted.predictions += 1,
            Fate::Duplicate => counted.duplicates += 1,
            Fate::Late => counted.late += 1,
            Fate::Label => counted.labels += 1,
            Fate::LabelDuplicate => counted.label_duplicates += 1,
            Fate::Unmatched => counted.unmatched += 1,
            Fate::Dead(reason) => *letters.entry(reason.name()).or_default() += 1,
        }
    }
    (counted, letters)
}

#[test]
fn straight_into_the_log() {
    let home = home("bad-log");
    let (path, topics) = (home.path("tocsin.log"), Topics::of("default"));
    let cases = all();
    let log = stored::embedded(&path);
    let spec =
        TopicSpec::new(topics.telemetry.as_str(), 1, Cleanup::Delete { retention_ms: Some(3 * 86_400_000) });
    log.ensure_topics(&[spec.set("max.message.bytes", "20000000")], true).expect("a topic");
    let record = |case: &Case| {
        let headers = case.headers.iter().map(|(n, v)| ((*n).into(), v.as_bytes().to_vec())).collect();
        NewRecord { value: case.value.clone(), headers, ..NewRecord::new(topics.telemetry.as_str(), "") }
    };
    let mut offsets = Vec::new();
    for case in &cases {
        offsets.push(log.append(&[record(case)]).unwrap_or_else(|e| panic!("{}: {e}", case.name))[0].1);
    }
    drop(log);
    let process = Process::start(&home, &[]);
    let fates: Vec<Fate> = cases.iter().map(|c| c.fate).collect();
    let listed = read_out(&home, process, &fates);

    let log = stored::embedded(&path);
    let letters: Vec<DeadLetter> = stored::json(&log, &topics.deadletters);
    assert_listed(&listed, &letters);
    let mut of: BTreeMap<i64, Vec<&DeadLetter>> = BTreeMap::new();
    letters.iter().for_each(|l| of.entry(l.offset).or_default().push(l));
    for (case, offset) in cases.iter().zip(&offsets) {
        let got: Vec<Reason> = of.remove(offset).unwrap_or_default().iter().map(|l| l.reason).collect();
        let want: &[Reason] =
            if let Fate::Dead(reason) = &case.fate { std::slice::from_ref(reason) } else { &[] };
        assert_eq!(got, want, "{} at {offset}", case.name);
    }
    assert!(of.is_empty(), "dead letters of nothing: {of:?}");
    assert_eq!(Schemas::read().check_topics(&log, "default")["deadletter"], letters.len());
    let (counted, _) = expected(cases.iter().map(|c| c.fate));
    assert_eq!(stored::counted(&log, "default"), counted);
    for letter in &letters {
        let case = cases.iter().zip(&offsets).find(|(_, o)| **o == letter.offset).expect("checked above").0;
        assert_eq!(letter.bytes, case.value.as_ref().map_or(0, Vec::len) as u64, "{}", case.name);
    }
}

/// Over HTTP a record is refused with a reason, or it is durable: then it ends in a pane or as a dead letter.
#[test]
fn through_http() {
    let home = home("bad-http");
    let process = Process::start(&home, &[]);
    let none = home.ok(&["deadletters"]);
    assert!(none.starts_with("No dead letter is kept"), "{none}");
    let url = format!("{}/v1/telemetry", process.address);
    let (mut accepted, mut fates) = (0, Vec::new());
    for case in all().iter().filter(|c| c.headers.is_empty()) {
        let body = case.value.clone().unwrap_or_default();
        let answer =
            web::post(&url, "application/x-ndjson", &body).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        match answer.status {
            202 | 207 => {
                let taken = answer.json()["accepted"].as_u64().expect("it says how many");
                accepted += taken;
                fates.extend((0..taken).map(|_| case.fate));
            }
            400 | 413 | 422 => {
                let refused = matches!(
                    case.fate,
                    Fate::Dead(
                        Reason::Malformed
                            | Reason::Empty
                            | Reason::TooLarge
                            | Reason::Missing
                            | Reason::Invalid
                    )
                );
                // Larger than what the listener takes for one record, though the log would have taken it.
                assert!(refused || body.len() > 900_000, "{}: {}", case.name, answer.text);
                assert!(
                    answer.json()["title"].is_string() || answer.json()["detail"].is_string(),
                    "{}",
                    answer.text
                );
            }
            status => panic!("{}: {status} {}", case.name, answer.text),
        }
    }
    assert!(accepted > 100, "{accepted} were taken");
    assert_eq!(process.get("/healthz").expect("it answers").status, 200);
    let listed = read_out(&home, process, &fates);

    let log = stored::embedded(&home.path("tocsin.log"));
    let topics = Topics::of("default");
    assert_eq!(stored::all(&log, &topics.telemetry).len() as u64, accepted);
    let letters: Vec<DeadLetter> = stored::json(&log, &topics.deadletters);
    assert_listed(&listed, &letters);
    let mut by_reason = BTreeMap::new();
    letters.iter().for_each(|l| *by_reason.entry(l.reason.name()).or_default() += 1u64);
    let (counted, want) = expected(fates.into_iter());
    assert_eq!((stored::counted(&log, "default"), by_reason), (counted, want));
    assert_eq!(counted.records() + letters.len() as u64, accepted);
}
