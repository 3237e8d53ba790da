//! A process that is asked to end finishes; asked twice, or where it cannot finish, it ends as it is. Whichever way,
//! nothing is lost and nothing is counted twice.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use runtime::log::{KafkaConfig, KafkaLog};
use rustix::process::{Signal, kill_process};
use tocsin_tests::fed::{Feed, as_it_is};
use tocsin_tests::gauntlet::Cluster;
use tocsin_tests::home::Home;
use tocsin_tests::process::Process;
use tocsin_tests::{env, foreign, home, not_tested, stored, wait};

const MINUTE_MS: i64 = 60_000;
/// Ten minutes of event time in each second.
const SPEED: u32 = 600;
const FINISHED: Option<i32> = Some(0);
const AT_ONCE: Option<i32> = Some(130);
const UNFINISHED: Option<i32> = Some(7);

fn ask_twice(process: &Process) {
    kill_process(process.pid(), Signal::TERM).unwrap();
    kill_process(process.pid(), Signal::INT).unwrap();
}

/// A process of this home that takes more of the feed, some of it not committed yet when it returns.
fn fed(home: &Home, feed: &mut Feed) -> Process {
    // A broker that has stood still does not answer everything at once: a start that says so is tried again, as by whatever
    // supervises a process.
    let process = wait::until("a process starts", || {
        let started = Process::of(home.command(&["run", "--config", "tocsin.toml", "--json"]));
        started.map_err(|said| assert!(said.contains("try again"), "{said}")).ok()
    });
    process.until_ready();
    feed.play(&process, 5 * MINUTE_MS, SPEED, as_it_is);
    process
}

fn ends(process: Process, want: Option<i32>) -> String {
    let (ended, said) = process.wait();
    assert_eq!(ended.code(), want, "{ended}: {said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[test]
fn asked_once_it_finishes_and_asked_twice_it_ends_at_once() {
    let home = home!("ending");
    home.configure("namespace = \"ending\"\n[telemetry]\nidle_s = 3600");
    let mut feed = Feed::new(&[], 1.0);
    for want in [FINISHED, AT_ONCE, AT_ONCE, FINISHED] {
        let process = fed(&home, &mut feed);
        if want == AT_ONCE {
            ask_twice(&process);
        } else {
            process.signal("TERM");
        }
        ends(process, want);
    }
    // What the last but one had not read.
    let process = fed(&home, &mut feed);
    process.signal("INT");
    let said = ends(process, FINISHED);
    assert!(said.contains("finishing: last commits, then out"), "{said}");
    stored::assert_counted_once(&stored::embedded(&home.path("tocsin.log")), "ending", feed.records);
}

#[test]
fn where_its_broker_hangs_it_ends_as_it_is_after_a_time_and_asked_twice_at_once() {
    let Some(port) = env("TOCSIN_TEST_ENDING_PORT") else {
        return not_tested(
            "the end of a process whose Kafka hangs: TOCSIN_TEST_ENDING_PORT=29692, where it starts one",
        );
    };
    let cluster = Cluster::start(1, port.parse().expect("a port"));
    let namespace = foreign::namespace("ending");
    let home = home!(&namespace);
    home.configure(&format!(
        "namespace = \"{namespace}\"\n[log]\nbrokers = \"{}\"\n[telemetry]\nidle_s = 3600",
        cluster.brokers
    ));
    let mut feed = Feed::new(&[], 1.0);
    for want in [UNFINISHED, AT_ONCE] {
        let process = fed(&home, &mut feed);
        cluster.hang();
        process.signal("TERM");
        wait::until("it tries to finish", || process.said().contains("finishing").then_some(()));
        if want == AT_ONCE {
            process.signal("TERM");
        }
        let said = ends(process, want);
        let told = said.lines().find(|line| line.contains("not finished in time"));
        assert_eq!(told.is_some(), want == UNFINISHED, "{said}");
        // Which of them had something to commit just then, nobody knows.
        let names_one = |line: &str| ["collect", "judge", "escalate"].iter().any(|role| line.contains(role));
        assert!(told.is_none_or(|line| line.contains("at_work") && names_one(line)), "{told:?}");
        cluster.wake();
    }
    let process = fed(&home, &mut feed);
    let log = KafkaLog::connect(KafkaConfig::new(&cluster.brokers)).unwrap();
    wait::until("all but the open panes are counted", || {
        (stored::counted(&log, &namespace).records() * 10 > feed.records * 9).then_some(())
    });
    process.signal("TERM");
    ends(process, FINISHED);
    stored::assert_counted_once(&log, &namespace, feed.records);
}
