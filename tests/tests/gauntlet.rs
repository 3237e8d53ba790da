//! Three processes on three brokers, killed wherever a crash can matter, stopped for longer than their sessions, their
//! brokers lost one after the other: what they tell is what one process tells to which nothing happens.
//!
//! 10 kills in CI, three minutes; in full 200, half an hour:
//! `TOCSIN_TEST_GAUNTLET=200 cargo test -p tocsin-tests --test gauntlet -- --nocapture`. It starts its own Kafka.

use std::collections::BTreeMap;
use std::time::Duration;

use runtime::log::{KafkaConfig, KafkaLog};
use tocsin_tests::gauntlet::{Arena, Cluster, Gap, Telemetry};
use tocsin_tests::home;
use tocsin_tests::home::Home;
use tocsin_tests::pager::Pager;
use tocsin_tests::process::Process;
use tocsin_tests::told::{assert_no_page_lost, incidents, none_under_way};
use tocsin_tests::{env, foreign, not_tested, record, stored, wait};
use wire::topic::Topics;
use wire::{Incident, Timestamp};

/// Seconds of event time in one of the clock.
const SPEED: u32 = 20;
/// Event time in which enough goes wrong to be compared.
const LEAST: Duration = Duration::from_secs(40 * 60);
const MINUTE_MS: i64 = 60_000;

fn number(variable: &str) -> Option<u32> {
    env(variable).map(|n| n.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {n:?}")))
}

/// Three copies of all it writes; its work in several parts, so that processes share it.
fn home_on(cluster: &Cluster, (namespace, telemetry): (&str, &str), pager: &Pager, instance: u32) -> Home {
    let home = home!(&format!("{namespace}-{instance}"));
    home.pin_references();
    home.hook(pager);
    home.configure(&format!(
        r#"
        namespace = "{namespace}"
        [log]
        brokers = "{}"
        instance = "{instance}"
        replication = 3
        [log.partitions]
        telemetry = 6
        judge = 3
        escalate = 2
        collect = 6
        [telemetry]
        topic = "{telemetry}"
        # Nothing here is idle, however long a kill takes.
        idle_s = 3600
        [escalate]
        lease_s = 5
        [policy.default]
        acknowledge_expires_s = 86400
        steps = [{{ targets = ["hook/on-call"], delay_s = 3600 }}]
        [policy.tickets]
        steps = [{{ targets = ["hook/tickets"], delay_s = 86400 }}]
        "#,
        cluster.brokers,
    ));
    home
}

/// References enter the judge's log when it first runs; panes that were there before would be judged without.
fn prepare(home: &Home, log: &KafkaLog, namespace: &str) {
    wait::until("the judge has its references", || {
        let (ended, said) = Process::start(home, &[]).terminate();
        assert!(ended.success(), "{ended}: {said}");
        (stored::references(log, namespace) == 5).then_some(())
    });
}

/// One process, to which nothing happens, reads all of it. What it judged.
fn calm(home: &Home, end: Timestamp, history: impl Fn() -> Vec<String>) -> Vec<String> {
    let process = Process::start(home, &[]);
    let judged = || {
        let status = process.json("/v1/status");
        status["watermark"].as_str()?.parse().ok().filter(|w: &Timestamp| *w >= end.plus_ms(-MINUTE_MS))
    };
    wait::until("all telemetry is judged", judged);
    let mut last = history();
    wait::until("nothing more is judged", || {
        std::thread::sleep(Duration::from_secs(2));
        let now = history();
        (std::mem::replace(&mut last, now).len() == last.len()).then_some(())
    });
    let (ended, said) = process.terminate();
    assert!(ended.success(), "{ended}: {said}");
    last
}

#[test]
fn whatever_is_killed_nothing_is_lost_or_doubled() {
    let Some(kills) = number("TOCSIN_TEST_GAUNTLET") else {
        return not_tested("three processes on a Kafka of three brokers, killed: TOCSIN_TEST_GAUNTLET=10");
    };
    let seed = number("TOCSIN_TEST_SEED").unwrap_or(1);
    let port =
        number("TOCSIN_TEST_GAUNTLET_PORT").map_or(29_492, |port| u16::try_from(port).expect("a port"));
    let mut cluster = Cluster::start(3, port);
    let log = KafkaLog::connect(KafkaConfig::new(&cluster.brokers)).expect("it is there");
    let [pager, quiet] = [Pager::start(), Pager::start()];
    let [harried, undisturbed] = ["harried", "calm"].map(foreign::namespace);
    let topic = Topics::of(&harried).telemetry;
    let names = [(&*harried, &*topic), (&*undisturbed, &*topic)];
    let homes: Vec<Home> = (1..=3).map(|i| home_on(&cluster, names[0], &pager, i)).collect();
    let other = home_on(&cluster, names[1], &quiet, 1);
    prepare(&homes[0], &log, &harried);
    prepare(&other, &log, &undisturbed);

    let telemetry = Telemetry::start(&cluster.brokers, &topic, SPEED);
    let mut arena = Arena::new(homes, seed.into());
    arena.settle(&mut cluster);
    // Where the machine is busy with other things, telemetry is slower and deeds are not.
    arena.play(
        &mut cluster,
        kills,
        || telemetry.passed() >= LEAST,
        |deeds| {
            println!("{} killed, {} stopped, {} records", deeds.kills(), deeds.stops, telemetry.records());
        },
    );
    arena.settle(&mut cluster);
    let records = telemetry.records();
    let end = telemetry.end();

    let history = |namespace: &str| record::history(&log, namespace, &other.pinned());
    let judged = calm(&other, end, || history(&undisturbed));
    let want = incidents(&cluster.brokers, &undisturbed);
    // The last panes of the harried may still be under way; what they are not in time shows below.
    let caught_up = wait::within(wait::PATIENCE, || (history(&harried).len() >= judged.len()).then_some(()));
    if caught_up.is_some() {
        wait::until("every page has left", || none_under_way(&log, &harried).then_some(()));
    }
    arena.settle(&mut cluster);
    for home in arena.homes() {
        assert_eq!(home.json(&["audit", "verify"])[0]["ok"], true);
    }
    let homes = arena.end();

    let told = incidents(&cluster.brokers, &harried);
    record::assert_whole(&told);
    record::assert_same("incidents", &record::essence(&told), &record::essence(&want));
    record::assert_same("history", &history(&harried), &judged);
    assert_eq!(stored::counted(&log, &harried), stored::counted(&log, &undisturbed));
    assert_no_page_lost(&cluster.brokers, &harried, &[&pager]);
    pager.assert_none_doubled();
    assert!(arena.deeds.kills() >= kills && told.len() > 3, "{:?}, {} incidents", arena.deeds, told.len());
    report(&arena, &cluster, records, &told, &pager);
    drop(homes);
}

#[expect(clippy::print_stdout, reason = "a gauntlet tells its figures")]
fn report(arena: &Arena, cluster: &Cluster, records: u64, told: &[Incident], pager: &Pager) {
    let deeds = &arena.deeds;
    println!("\n{} kill -9, {} where no place was come by in 5 s:", deeds.kills(), deeds.anywhere);
    for (place, times) in &deeds.at_places {
        println!("  {times:>4}  {place}");
    }
    println!(
        "{} pauses, {} brokers lost, {} starts that failed",
        deeds.stops, cluster.killed, deeds.failed_starts
    );
    let ids: std::collections::BTreeSet<_> = told.iter().map(|i| &i.incident_id).collect();
    println!("{records} records, {} incidents in {} records: 0 lost, 0 doubled", ids.len(), told.len());
    let shown = pager.shown();
    let repeats: u32 = shown.iter().map(|page| page.times - 1).sum();
    println!("{} pages shown, {repeats} repeats that the receiver took for what they were", shown.len());
    let mut by_role: BTreeMap<&str, Vec<&Gap>> = BTreeMap::new();
    let gaps = arena.owners.clone().gaps();
    gaps.iter().for_each(|gap| by_role.entry(&gap.work.0).or_default().push(gap));
    println!("without an owner, seconds:          parts  median     p90  longest");
    for (role, mut gaps) in by_role {
        gaps.sort_by_key(|gap| gap.ms);
        let at = |share: usize| seconds(gaps[(gaps.len() - 1) * share / 100].ms);
        println!("  {role:<32} {:>6} {:>7} {:>7} {:>8}", gaps.len(), at(50), at(90), at(100));
    }
}

fn seconds(ms: i64) -> String {
    format!("{}.{}", ms / 1000, ms % 1000 / 100)
}
