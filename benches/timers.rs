//! What a million incidents that wait for their next step cost: memory, and time from one due timer to the next.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]
#![expect(clippy::disallowed_methods, reason = "a benchmark is set up by the environment")]

use std::collections::BTreeMap;
use std::sync::Arc;

use escalate::{
    Bundle, Effect, EscalateConfig, Input, Machine, PeopleConfig, Policy, PolicyConfig, RouteConfig,
    SchedulesConfig, StepConfig,
};
use tocsin_benches::pages::incident;
use tocsin_benches::{machine, thread_time};
use wire::Timestamp;
use wire::outbox::Outcome;

const OWNERS: usize = 1_000;

fn main() {
    let n: usize =
        std::env::var("TOCSIN_BENCH_TIMERS").map_or(1_000_000, |text| text.parse().expect("a number"));
    println!("machine: {}", machine());
    let mut machine = Machine::new(0, policy(n));
    let start = Timestamp::EPOCH.plus_ms(1_790_000_000_000);
    drop(machine.handle(Input::Started { owner: "bench".into() }, start));
    let (before, began) = (resident(), thread_time());
    for i in 0..n {
        let now = start.plus_ms(i as i64);
        let effects = machine.handle(Input::Incident(Box::new(incident("bench", i, OWNERS, now))), now);
        for effect in effects {
            if let Effect::Send { page, attempt, .. } = effect {
                let outcome = Outcome::Delivered { reference: None };
                let (notification_id, incident_id) = (page.notification_id, page.incident.incident_id);
                drop(machine.handle(Input::Outcome { notification_id, incident_id, attempt, outcome }, now));
            }
        }
        drop((machine.take_changed(), machine.take_answered()));
    }
    let took = thread_time() - began;
    let held = resident() - before;
    println!(
        "{n} incidents, each paged and waiting for its next step: {:.0} MB, {} bytes each; {:.1} µs each to take in and page",
        held as f64 / 1e6,
        held / n,
        took.as_secs_f64() * 1e6 / n as f64
    );
    let due = machine.deadline().expect("they wait");
    let (began, mut paged, mut ticks) = (thread_time(), 0, 0);
    while paged < 10_000.min(n) {
        let effects = machine.handle(Input::Tick, due.plus_ms(20_000));
        paged += effects.iter().filter(|e| matches!(e, Effect::Outbox(_))).count();
        ticks += 1;
    }
    let took = thread_time() - began;
    println!("{ticks} ticks of what is due: {:.1} µs for each page", took.as_secs_f64() * 1e6 / paged as f64);
}

fn policy(n: usize) -> Arc<Policy> {
    let step = StepConfig { targets: vec!["hook/on-call".into()], delay_s: 3_600, ..StepConfig::default() };
    let bundle = Bundle {
        namespace: "bench".into(),
        route: vec![RouteConfig { policy: "page".into(), ..RouteConfig::default() }],
        policy: BTreeMap::from([("page".to_owned(), PolicyConfig::of(vec![step.clone(), step]))]),
        escalate: EscalateConfig {
            incidents_max: u32::try_from(n).expect("fits"),
            ..EscalateConfig::default()
        },
        people: PeopleConfig::default(),
        schedules: SchedulesConfig::default(),
        silences: escalate::SilencesConfig::default(),
        stakeholders: escalate::StakeholdersConfig::default(),
        templates: BTreeMap::new(),
    };
    Arc::new(Policy::new(bundle, &["hook".to_owned()].into()).expect("it is valid"))
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel says");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}
