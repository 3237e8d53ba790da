//! Judge closed panes: nanoseconds a pane and test (each direction counts), and bytes of state, beside a rival that keeps a
//! mean and a deviation.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use detect::collect::CollectConfig;
use detect::config::JudgeConfig;
use detect::judge::Judge;
use detect::judge::plan::{Shape, plan};
use detect::record::PanesRecord;
use detect::reference::Reference;
use tocsin_benches::panes::{panes, references};
use tocsin_benches::{machine, predictions, thread_time};

const RECORDS: usize = 400_000;
const RIVAL_PANES: usize = 2_000;
/// Enough for the resolution of a thread's clock.
const RIVAL_PASSES: usize = 50;
const ROUNDS: usize = 20;

fn main() {
    let records = predictions(RECORDS);
    let collect = Arc::new(CollectConfig::default());
    let whole = Arc::new(JudgeConfig::default());
    let mut without = whole.judge.clone();
    without.latency.enabled = false;
    let JudgeConfig { namespace, partitions, pane_ms, budget, models, .. } = (*whole).clone();
    let without = Arc::new(JudgeConfig::new(namespace, partitions, pane_ms, without, budget, models));
    let references = references(&collect, &whole, &records);
    let panes = panes(&collect, &references, &records);
    println!("machine: {}", machine());
    for (what, config) in [("every family", &whole), ("without latency", &without)] {
        let judged = judged(config, &references, &panes);
        let Judged { versions, tests, closed, .. } = judged;
        println!(
            "{what}: {versions} versions of {tests} tests, {closed} panes of {} records",
            RECORDS as u64 / closed
        );
        println!("  judge     {:>6.1} ns a pane and test (bar: 100)", judged.ns());
        println!("  EWMA 3σ   {:>6.1} ns a pane and test", rival(tests));
        println!("  state     {:>6} bytes a test, as written", judged.state / (versions * tests));
    }
}

struct Judged {
    versions: usize,
    /// Of a version.
    tests: usize,
    closed: u64,
    took: Duration,
    /// Bytes.
    state: usize,
}

impl Judged {
    fn ns(&self) -> f64 {
        self.took.as_nanos() as f64 / (self.closed as f64 * self.tests as f64)
    }
}

fn judged(config: &Arc<JudgeConfig>, references: &[Reference], panes: &[PanesRecord]) -> Judged {
    let shape = Shape { versions: 2, features: 10, rate: 50.0 };
    let tests: usize = plan(config, references, shape).families.iter().map(|family| family.tests).sum();
    let (mut closed, mut state, mut versions) = (0, 0, 0);
    let took = best(|| {
        let mut judge = judge(config, references);
        let handed = panes.to_vec();
        let began = thread_time();
        for (offset, record) in (100..).zip(handed) {
            judge.handle(offset, record);
        }
        let took = thread_time() - began;
        (closed, versions) = (judge.counters().panes, judge.keys_len());
        state = judge.take_effects().state.iter().filter_map(|(_, value)| value.as_ref()).map(Vec::len).sum();
        took
    });
    Judged { versions, tests: tests / versions, closed, took, state }
}

/// An exponentially weighted mean and variance a test, and an alarm three deviations away: nanoseconds a pane and test.
fn rival(tests: usize) -> f64 {
    let values: Vec<f64> = (0..RIVAL_PANES * tests).map(|i| (i % 97) as f64).collect();
    let took = best(|| {
        let mut sums = vec![[0.0_f64; 2]; tests];
        let mut alarms = 0_u64;
        let began = thread_time();
        for pane in std::iter::repeat_n(&values, RIVAL_PASSES).flat_map(|values| values.chunks(tests)) {
            for (sum, x) in sums.iter_mut().zip(pane) {
                alarms += u64::from((x - sum[0]).abs() > 3.0 * sum[1].sqrt());
                *sum = [0.97 * sum[0] + 0.03 * x, 0.97 * sum[1] + 0.03 * (x - sum[0]).powi(2)];
            }
        }
        black_box((&sums, alarms));
        thread_time() - began
    });
    took.as_nanos() as f64 / (RIVAL_PASSES * values.len()) as f64
}

fn judge(config: &Arc<JudgeConfig>, references: &[Reference]) -> Judge {
    let mut judge = Judge::new(0, Arc::clone(config));
    for (offset, reference) in (0..).zip(references) {
        judge.handle(offset, PanesRecord::Reference(Box::new(reference.clone())));
    }
    drop(judge.take_effects());
    judge
}

/// The best of several rounds: other work on the machine only ever adds.
fn best(round: impl FnMut() -> Duration) -> Duration {
    std::iter::repeat_with(round).take(ROUNDS).min().expect("several rounds")
}
