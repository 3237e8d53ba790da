//! Decode and collect, records a second on one core, by stage, beside a typed serde_json decode of the same records.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::borrow::Cow;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use detect::collect::{CollectConfig, Collector, RecordAt, Role};
use detect::decode::{Attributes, Kind};
use detect::progress::SourceId;
use detect::reference::ReferenceBuilder;
use serde::Deserialize;
use tocsin_benches::{machine, predictions, thread_time};

const RECORDS: usize = 200_000;
const ROUNDS: usize = 7;

/// The rival: what a careful author writes with serde_json, borrowing what can be borrowed.
#[derive(Deserialize)]
#[expect(dead_code, reason = "what is decoded is the point")]
struct Borrowed<'a> {
    #[serde(borrow)]
    prediction_id: Cow<'a, str>,
    #[serde(borrow)]
    event_time: Cow<'a, str>,
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
    latency_ms: f64,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    features: std::collections::BTreeMap<&'a str, &'a serde_json::value::RawValue>,
}

fn main() {
    let records = predictions(RECORDS);
    let bytes: usize = records.iter().map(Vec::len).sum();
    println!("machine: {}", machine());
    println!("records: {RECORDS} of {} bytes on average, two models, ten features", bytes / RECORDS);
    let config = Arc::new(CollectConfig::default());
    let rival = best(|| {
        for r in &records {
            black_box(serde_json::from_slice::<Borrowed<'_>>(r).expect("a record"));
        }
    });
    let mut decoder = config.decoder().expect("default fields");
    let decode = best(|| {
        for r in &records {
            black_box(decoder.decode(Some(r), &Attributes::default(), Kind::Prediction).expect("a record"));
        }
    });
    let raw = best(|| {
        black_box(collect(&config, &records, &[]));
    });
    let profiles = profiles(&config, &records);
    let whole = best(|| {
        black_box(collect(&config, &records, &profiles));
    });
    line("serde_json, typed and borrowed", rival, rival);
    line("decode", decode, rival);
    line("decode + collect, no profile yet", raw, rival);
    line("decode + collect under a profile", whole, rival);
    let per_s = per_second(whole);
    println!(
        "collect takes {:.2} of a serde_json decode; {per_s:.0} records/s on one core (bar for later: 1,000,000)",
        ratio(whole, rival)
    );
}

fn collect(
    config: &Arc<CollectConfig>,
    records: &[Vec<u8>],
    profiles: &[Arc<wire::profile::Profile>],
) -> usize {
    let source = SourceId { topic: "bench".into(), partition: 0 };
    let mut collector = Collector::new(source.clone(), vec![source], Arc::clone(config));
    for profile in profiles {
        collector.profile(Arc::clone(profile));
    }
    let mut panes = 0;
    for (offset, r) in (0..).zip(records) {
        collector.record(RecordAt { role: Role::Predictions, offset, value: Some(r) }, |_| None);
        if offset % 20_000 == 19_999 {
            panes += collector.flush(false, false).panes.len();
        }
    }
    panes
}

fn profiles(config: &Arc<CollectConfig>, records: &[Vec<u8>]) -> Vec<Arc<wire::profile::Profile>> {
    let judge = Arc::new(detect::config::JudgeConfig::default());
    let mut builder = ReferenceBuilder::new(Arc::clone(config), judge);
    records.iter().for_each(|r| builder.record(Role::Predictions, r));
    builder.next_pass();
    records.iter().for_each(|r| builder.record(Role::Predictions, r));
    let references = builder.finish().references;
    assert!(!references.is_empty(), "enough records for a reference");
    references
        .into_iter()
        .map(|r| Arc::new(wire::profile::Profile { effective_from: wire::Timestamp::MIN, ..r.profile }))
        .collect()
}

/// The best of several rounds, in CPU time of this thread: other work on the machine only ever adds.
fn best(mut round: impl FnMut()) -> Duration {
    (0..ROUNDS)
        .map(|_| {
            let began = thread_time();
            round();
            thread_time() - began
        })
        .min()
        .expect("several rounds")
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn per_second(time: Duration) -> f64 {
    RECORDS as f64 / time.as_secs_f64()
}

fn ratio(time: Duration, rival: Duration) -> f64 {
    time.as_secs_f64() / rival.as_secs_f64()
}

fn line(what: &str, time: Duration, rival: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let ns = time.as_nanos() as f64 / RECORDS as f64;
    println!("{what:<36} {ns:>8.0} ns/record  {:>10.0}/s  ratio {:.2}", per_second(time), ratio(time, rival));
}
