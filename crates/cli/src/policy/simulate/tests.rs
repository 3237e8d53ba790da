use std::path::PathBuf;

use super::*;
use crate::args::ConfigArgs;

/// A bundle: whom its first step pages, and how long they are left alone after it.
#[derive(Clone, Copy)]
struct Bundle {
    first: &'static str,
    fold_s: u32,
}

const ADA: Bundle = Bundle { first: "person:ada", fold_s: 0 };
const BO: Bundle = Bundle { first: "person:bo", fold_s: 0 };
const ADA_FOLDED: Bundle = Bundle { first: "person:ada", fold_s: 60 };

/// Two configs and recorded incidents, in a folder of their own.
struct Made(PathBuf);

impl Made {
    fn new(name: &str, [before, after]: [Bundle; 2], records: &[serde_json::Value]) -> Self {
        let dir = std::env::temp_dir().join(format!("tocsin-simulate-{name}-{}", std::process::id()));
        let write = |file: String, text: String| std::fs::write(dir.join(file), text).expect("a file");
        for (name, Bundle { first, fold_s }) in [("before", before), ("after", after)] {
            std::fs::create_dir_all(dir.join(name)).expect("a folder");
            let config = format!(
                "response = \"{name}\"\nescalate.fold_s = {fold_s}\nreceiver.inbox.type = \"inbox\"\n"
            );
            let people = "person.ada = { zone = \"Asia/Singapore\", contact.page = [\"inbox/ada\"] }\n\
                          person.bo.contact.page = [\"inbox/bo\"]\n";
            let policy = format!(
                "[[route]]\npolicy = \"page\"\n[policy.page]\nsteps = [\n\
                 {{ targets = [\"{first}\"], delay_s = 300 }},\n{{ targets = [\"inbox/lead\"], delay_s = 43200 }},\n]\n"
            );
            write(format!("{name}.toml"), config);
            write(format!("{name}/people.toml"), people.into());
            write(format!("{name}/policy.toml"), policy);
        }
        write("incidents.jsonl".into(), records.iter().map(|record| format!("{record}\n")).collect());
        Self(dir)
    }

    fn args(&self, answered_after_s: Option<u32>) -> PolicySimulateArgs {
        PolicySimulateArgs {
            incidents: vec![self.0.join("incidents.jsonl")],
            against: self.0.join("before.toml"),
            answered_after_s,
            config: ConfigArgs { config: self.0.join("after.toml") },
        }
    }

    fn compared(&self, answered_after_s: Option<u32>) -> Compared {
        compared(&self.args(answered_after_s)).unwrap_or_else(|failure| panic!("{failure}"))
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("its own folder");
    }
}

/// Opens so many seconds after noon of London.
fn opened(model: &str, after_s: i64) -> serde_json::Value {
    let noon: Timestamp = "2026-03-10T12:00:00Z".parse().expect("a time");
    let at = noon.plus_ms(after_s * 1000);
    serde_json::json!({
        "incident_id": format!("{model}-0123456789"), "generation": 1, "sequence": 1, "change": "opened",
        "namespace": "default", "source": "detector", "severity": "sev2", "family": "availability",
        "subject": {"kind": "model", "name": model}, "opened_at": at, "changed_at": at,
        "title": format!("{model} fails"), "context": {}, "drill": false,
        "evidence": {
            "statistic": "availability.failed_share", "value": 0.3, "reference": 0.002, "unit": "share",
            "effect": {"estimate": 0.3, "lower": 0.2, "upper": 0.4}, "evidence": 1.0, "samples": 1000,
            "window": [at, at], "contributors": [], "profile": null,
        },
    })
}

/// The same, whose signal is over so many seconds after noon.
fn cleared(model: &str, after_s: i64) -> serde_json::Value {
    let mut record = opened(model, after_s);
    record["sequence"] = 2.into();
    record["change"] = "cleared".into();
    record
}

/// Pages, those at night, and incidents: before and after.
fn numbers(compared: &Compared) -> Vec<(&str, [u64; 3], [u64; 3])> {
    let of = |load: Load| [load.pages, load.at_night, load.incidents];
    compared.told.iter().map(|told| (told.who.as_str(), of(told.before), of(told.after))).collect()
}

#[test]
fn who_is_paged_more_and_who_less() {
    // Noon in London is the evening in Singapore, and three hours later it is night there.
    let records = [opened("fraud", 0), opened("ranker", 3 * 3600)];
    let made = Made::new("moved", [ADA, BO], &records);
    let compared = made.compared(None);
    assert_eq!(
        numbers(&compared),
        [
            ("person:ada", [2, 1, 2], [0, 0, 0]),
            ("person:bo", [0, 0, 0], [2, 0, 2]),
            ("inbox/lead", [5, 2, 2], [5, 2, 2]),
        ]
    );
    assert_eq!(compared.incidents, 2);
    let moved: Vec<_> = compared.moved.iter().map(|moved| moved.title.as_str()).collect();
    assert_eq!(moved, ["fraud fails", "ranker fails"]);
    let of = |names: [&str; 2]| BTreeSet::from(names.map(String::from));
    assert_eq!(compared.moved[0].before, of(["inbox/lead", "person:ada"]));
    assert_eq!(compared.moved[0].after, of(["inbox/lead", "person:bo"]));
}

#[test]
fn by_the_same_bundle_nobody_is() {
    let records = [opened("fraud", 0), cleared("fraud", 4000), opened("ranker", 60)];
    let made = Made::new("same", [ADA_FOLDED, ADA_FOLDED], &records);
    for answered_after_s in [None, Some(0), Some(100), Some(4000)] {
        let compared = made.compared(answered_after_s);
        assert!(compared.told.iter().all(|told| told.before == told.after), "{compared:?}");
        assert_eq!((compared.incidents, compared.moved), (2, vec![]));
    }
}

/// The page for several lists twenty of them, and its reader is told of all.
#[test]
fn a_page_for_several_reaches_its_reader_about_each() {
    let model = |n: i64| format!("model-{n:02}");
    let records: Vec<_> =
        (0..30).flat_map(|n| [opened(&model(n), n), cleared(&model(n), 2000 + n)]).collect();
    let made = Made::new("storm", [ADA, ADA_FOLDED], &records);
    let compared = made.compared(Some(60));
    assert_eq!(numbers(&compared), [("person:ada", [30, 0, 30], [2, 0, 30])]);
    assert_eq!(compared.moved, []);
}

#[test]
fn whoever_answers_in_time_keeps_it_from_the_next_step() {
    let records = [opened("fraud", 0), cleared("fraud", 3000)];
    let made = Made::new("answered", [ADA, ADA], &records);
    for (answered_after_s, lead) in [(None, 1), (Some(0), 0), (Some(299), 0), (Some(301), 1)] {
        let compared = made.compared(answered_after_s);
        let pages = |who: &str| {
            let told = compared.told.iter().find(|told| told.who == who);
            told.map_or(0, |told| told.after.pages)
        };
        assert_eq!((pages("person:ada"), pages("inbox/lead")), (1, lead), "{answered_after_s:?}");
    }
}

#[test]
fn files_without_an_incident_are_no_answer() {
    let made = Made::new("none", [ADA, BO], &[]);
    let failure = compared(&made.args(None)).expect_err("refused");
    assert_eq!(failure, Failure::new(Kind::No, "there is no incident in these files"));
    std::fs::write(made.0.join("incidents.jsonl"), "{}\n").expect("a file");
    let failure = compared(&made.args(None)).expect_err("refused");
    assert!(failure.message.starts_with("line 1 is no incident: missing field"), "{failure}");
}
