//! A silence that was confirmed is there, whatever happens to whoever confirmed it; one that has ended never is again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use tocsin_tests::home;
use tocsin_tests::home::Home;
use tocsin_tests::process::Process;
use tocsin_tests::wait;

const TIMES: usize = 5;

fn make(home: &Home, model: &str) -> String {
    let said = home.ok(&["silence", "make", "--model", model, "--for", "2h", "--reason", "a test", "--yes"]);
    let id = said.lines().find_map(|line| line.strip_prefix("silenced: "));
    id.unwrap_or_else(|| panic!("{said}")).to_owned()
}

fn active(home: &Home) -> BTreeSet<String> {
    let list = home.json(&["silence", "list"]);
    list.iter().map(|silence| silence["silence_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_confirmed_outlives_a_kill_at_once() {
    let home = home!("silences");
    let mut made = BTreeSet::new();
    let mut ended = BTreeSet::new();
    for n in 0..TIMES {
        let process = Process::start(&home, &[]);
        wait::until("all that was confirmed is there", || (active(&home) == made).then_some(()));
        if n % 2 == 1
            && let Some(one) = made.pop_first()
        {
            home.ok(&["silence", "end", &one, "--reason", "over"]);
            ended.insert(one);
        }
        made.insert(make(&home, &format!("model-{n}")));
        process.kill();
    }
    let process = Process::start(&home, &[]);
    wait::until("all that was confirmed is there", || (active(&home) == made).then_some(()));
    assert!(!made.is_empty() && !ended.is_empty() && made.is_disjoint(&ended));
    assert_eq!(home.json(&["audit", "verify"])[0]["ok"], true);
    drop(process);
}
