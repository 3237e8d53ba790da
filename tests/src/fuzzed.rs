//! What must withstand any bytes, one function a decoder: for `tests/fuzz`, which looks for bytes that break it, and for
//! `tests/fuzzed.rs`, which tries those that once did.

mod http;

use std::path::Path;
use std::sync::{Arc, LazyLock};

use detect::collect::{CollectConfig, Collector, RecordAt, Role};
use detect::config::JudgeConfig;
use detect::judge::Judge;
use detect::progress::{Progress, SourceId};
use detect::record::PanesRecord;
use detect::reference::Reference;
use tocsin::config::Checked;
use wire::context::ContextRecord;
use wire::{Incident, Timestamp};

/// A decoder and all that comes behind it.
pub type Target = fn(&[u8]);

/// By name: a folder of `tests/fuzz/seeds` each, and a target of `tests/fuzz`.
pub const TARGETS: [(&str, Target); 10] = [
    ("telemetry", telemetry),
    ("panes", panes),
    ("state_collect", state_collect),
    ("state_judge", state_judge),
    ("state_escalate", state_escalate),
    ("context", context),
    ("reference", reference),
    ("escalation", escalation),
    ("config", config),
    ("http", http::http),
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Target {
    TARGETS.iter().find(|(known, _)| *known == name).expect("a target of this name").1
}

const NAMES: [&str; 5] = ["content-type", "ce_specversion", "ce_type", "ce_id", "ce_time"];

fn source() -> SourceId {
    SourceId { topic: "t".into(), partition: 0 }
}

fn collector() -> Collector {
    static CONFIG: LazyLock<Arc<CollectConfig>> = LazyLock::new(|| {
        let said = "labels.topic = \"l\"\nsegments = [\"region\"]\nmodels_max = 3\nversions_max = 3\nsegments_max = 2\n\
                    features_max = 4\ncategories_max = 4\nrecord_bytes_max = 4096\nlabels.per_pane = 2\n\
                    labels.waiting_max = 8\nduplicates.ids_max = 8";
        Arc::new(toml::from_str(said).expect("settings that are allowed"))
    });
    Collector::new(source(), vec![source()], Arc::clone(&CONFIG))
}

fn judge() -> Judge {
    static CONFIG: LazyLock<Arc<JudgeConfig>> = LazyLock::new(|| {
        let mut config = JudgeConfig::default();
        config.judge.open_panes_max = 100;
        config.judge.keys_max = 4;
        Arc::new(config)
    });
    Judge::new(0, Arc::clone(&CONFIG))
}

fn checked() -> &'static Checked {
    static CHECKED: LazyLock<Checked> = LazyLock::new(|| {
        tocsin::config::parse(Path::new("tocsin.toml"), include_str!("../fuzz/seeds/config/default.toml"))
            .unwrap_or_else(|faults| panic!("{faults:?}"))
    });
    &CHECKED
}

/// Key and value: the first byte says how long the key is.
fn key_and_value(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (n, rest) = bytes.split_first().map_or((0, bytes), |(n, rest)| (usize::from(*n), rest));
    rest.split_at(n.min(rest.len()))
}

/// Lines, of which the first byte says what they are: a label, with headers of a CloudEvent, a flush.
fn telemetry(bytes: &[u8]) {
    let mut collector = collector();
    let (mut read, mut counted) = (0_u64, 0);
    let mut tell = |collector: &mut Collector, last: bool| {
        let flush = collector.flush(last, last);
        counted = flush.counters.predictions + flush.counters.labels + flush.sizes.held as u64;
        let dead: u64 = flush.counters.dead_letters.iter().sum();
        counted += dead;
        for pane in flush.panes {
            let record = PanesRecord::Partial(pane);
            let again = PanesRecord::decode(&record.encode()).expect("its own bytes");
            assert_eq!(again, record);
        }
        for (key, value) in flush.state {
            value
                .into_iter()
                .for_each(|value| self::collector().restore(&key, &value).expect("its own state"));
        }
    };
    for (offset, line) in (0..).zip(bytes.split(|byte| *byte == b'\n')) {
        let (kind, value) = line.split_first().map_or((0, line), |(kind, value)| (*kind, value));
        let role = if kind & 1 == 0 { Role::Predictions } else { Role::Labels };
        let headers = kind & 2 != 0;
        let header = |name: &str| (headers && NAMES.contains(&name)).then_some(&value[..value.len().min(20)]);
        collector.record(RecordAt { role, offset, value: (kind & 4 == 0).then_some(value) }, header);
        read += 1;
        if kind & 8 != 0 {
            tell(&mut collector, false);
        }
    }
    tell(&mut collector, true);
    assert_eq!(counted, read, "every record is counted or a dead letter");
}

/// Records of a panes partition: each begins with its length, in two bytes.
fn panes(mut bytes: &[u8]) {
    let mut judge = judge();
    let mut offset = 0;
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let n = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        if let Ok(record) = PanesRecord::decode(&rest[..n]) {
            judge.handle(offset, record);
        }
        (bytes, offset) = (&rest[n..], offset + 1);
    }
    let mut again = self::judge();
    for (key, value) in judge.take_effects().state {
        value.into_iter().for_each(|value| again.restore(&key, &value).expect("its own state"));
    }
    drop(again.take_effects());
}

fn state_collect(bytes: &[u8]) {
    let (key, value) = key_and_value(bytes);
    let mut collector = collector();
    if collector.restore(key, value).is_ok() {
        let json = br#"{"prediction_id":"1","event_time":1780000000000,"model":"m","version":"v"}"#;
        collector.record(RecordAt { role: Role::Predictions, offset: 0, value: Some(json) }, |_| None);
        drop(collector.flush(true, true));
    }
}

fn state_judge(bytes: &[u8]) {
    let (key, value) = key_and_value(bytes);
    let mut judge = judge();
    if judge.restore(key, value).is_ok() {
        let progress = Progress {
            source: source(),
            watermark: Some(Timestamp::EPOCH.plus_ms(1_780_000_000_000)),
            read_to: 1,
            caught_up: true,
            idle: false,
            sources: vec![source()],
        };
        judge.handle(1, PanesRecord::Progress(progress));
        drop(judge.take_effects());
    }
}

fn state_escalate(bytes: &[u8]) {
    let (key, value) = key_and_value(bytes);
    let mut machine = escalate::Machine::new(0, Arc::clone(&checked().policy));
    if machine.restore(key, value).is_ok() {
        drop(machine.handle(escalate::Input::Started { owner: "o".into() }, Timestamp::EPOCH));
        drop(machine.handle(escalate::Input::Tick, Timestamp::MAX));
    }
}

fn context(bytes: &[u8]) {
    let Ok(record) = serde_json::from_slice::<ContextRecord>(bytes) else { return };
    let mut collector = collector();
    if let ContextRecord::Profile(profile) = &record {
        collector.profile(Arc::new((**profile).clone()));
        let json = br#"{"prediction_id":"1","event_time":1780000000000,"model":"fraud","version":"v","latency_ms":4,"features":{"amount":2,"country":"DE"},"prediction":"a"}"#;
        collector.record(RecordAt { role: Role::Predictions, offset: 0, value: Some(json) }, |_| None);
        drop(collector.flush(true, true));
    }
    let mut judge = judge();
    judge.handle(0, PanesRecord::Context(record));
    drop(judge.take_effects());
}

fn reference(bytes: &[u8]) {
    let Ok(reference) = serde_json::from_slice::<Reference>(bytes) else { return };
    let mut judge = judge();
    judge.handle(0, PanesRecord::Reference(Box::new(reference)));
    drop(judge.take_effects());
}

/// Lines of JSON: incidents and commands as they stand in their topics.
fn escalation(bytes: &[u8]) {
    let mut machine = escalate::Machine::new(0, Arc::clone(&checked().policy));
    drop(machine.handle(escalate::Input::Started { owner: "o".into() }, Timestamp::EPOCH));
    for (second, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let now = Timestamp::EPOCH.plus_ms(second * 1000);
        if let Ok(incident) = serde_json::from_slice::<Incident>(line) {
            drop(machine.handle(escalate::Input::Incident(Box::new(incident)), now));
        } else if let Ok(command) = serde_json::from_slice(line) {
            drop(machine.handle(escalate::Input::Command(command), now));
        }
        drop(machine.handle(escalate::Input::Tick, now));
    }
}

fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // What it refuses it says of which place.
    if let Err(faults) = tocsin::config::parse(Path::new("tocsin.toml"), text) {
        assert!(!faults.is_empty());
        faults.iter().for_each(|fault| assert!(!fault.to_string().is_empty()));
    }
}
