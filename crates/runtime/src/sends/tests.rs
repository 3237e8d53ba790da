//! Receivers of the real thing: a log that takes pages, and one that hangs.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Mutex;

use receivers::ReceiverConfig;
use serde_json::json;

use super::*;
use crate::log::{Cleanup, EmbeddedLog, Isolation, TopicPartition, TopicSpec};

fn page(n: usize, receiver: &str) -> Page {
    let time = "2026-03-02T10:00:00Z";
    let page = json!({
        "notification_id": format!("page-{n}"), "alert_key": format!("alert-{n}"), "kind": "trigger",
        "receiver": receiver, "target": "oncall", "round": 0, "step": 0, "decided_at": time,
        "incident": {
            "incident_id": "incident", "generation": 1, "sequence": 1, "change": "opened", "namespace": "default",
            "source": "detector", "severity": "sev1", "family": "drift", "opened_at": time, "changed_at": time,
            "subject": {"kind": "model", "name": "fraud", "version": "7"}, "title": "Größe drifted",
            "evidence": {"statistic": "drift.feature", "value": 0.5, "reference": 0.1, "evidence": 2.0, "samples": 100,
                "effect": {"estimate": 0.4, "lower": 0.3, "upper": 0.5}, "window": [time, time]},
        },
    });
    serde_json::from_value(page).expect("a page")
}

fn receivers(handle: &Handle) -> Receivers {
    let of = |name: &str, config| {
        let config: ReceiverConfig = serde_json::from_value(config).expect("a receiver");
        Arc::new(
            Receiver::build(name, &config, &|_| Err("there are no secrets".into())).expect("it can be built"),
        )
    };
    let all = [of("log", json!({"type": "topic", "topic": "pages"})), of("inbox", json!({"type": "inbox"}))];
    Receivers::new(all, handle.clone(), Clock::start(), Arc::new(Views::default()))
}

/// Waits for so many outcomes.
fn outcomes(sends: &mut Receivers, n: usize) -> Vec<(String, &'static str)> {
    let (begin, mut all) = (sends.clock.now().mono, Vec::new());
    while all.len() < n {
        let waited = sends.clock.now().mono.saturating_sub(begin);
        assert!(waited < Duration::from_secs(20), "{} of {n} outcomes", all.len());
        all.extend(sends.outcomes().into_iter().map(|s| (s.notification_id.to_string(), s.outcome.class())));
        std::thread::sleep(Duration::from_millis(5));
    }
    all.sort();
    all
}

fn tokio() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads")
}

#[test]
fn a_page_to_a_topic_is_a_record_of_the_log() {
    let log = EmbeddedLog::in_memory();
    let tokio = tokio();
    let mut sends = receivers(tokio.handle()).with_log(log.clone());
    let until = sends.clock.now().mono + Duration::from_secs(20);
    sends.start(page(1, "log"), 1, until);
    assert_eq!(outcomes(&mut sends, 1), [("page-1".into(), "config")], "there is no such topic yet");
    log.ensure_topics(&[crate::topics::of_pages("pages")], true).expect("a topic");
    sends.start(page(1, "log"), 2, until);
    assert_eq!(outcomes(&mut sends, 1), [("page-1".into(), "delivered")]);
    let mut found = Vec::new();
    let at = TopicPartition::new("pages", 0);
    log.read(&at, 0, None, Isolation::Committed, &mut |record| {
        let page: Page = serde_json::from_slice(record.value.expect("a value")).expect("a page");
        found.push((record.key.expect("a key").to_vec(), page));
        ControlFlow::Continue(())
    })
    .expect("it can be read");
    assert_eq!(found, [(b"alert-1".to_vec(), page(1, "log"))]);
    let spec = TopicSpec::new("pages", 1, Cleanup::Compact);
    assert!(log.ensure_topics(&[spec], true).is_err(), "made as a topic of events");
}

#[test]
fn a_log_that_hangs_holds_up_its_own_pages_only() {
    let tokio = tokio();
    let mut sends = receivers(tokio.handle());
    let threads = Arc::new(Mutex::new(BTreeSet::new()));
    let (free, held) = mpsc::channel::<()>();
    let (seen, held) = (Arc::clone(&threads), Mutex::new(held));
    sends.append = Some(Arc::new(move |_| {
        seen.lock().expect("whole").insert(format!("{:?}", std::thread::current().id()));
        // Until the test lets go.
        match held.lock().expect("whole").recv() {
            Ok(()) | Err(mpsc::RecvError) => Ok(()),
        }
    }));
    let until = sends.clock.now().mono + Duration::from_secs(1);
    let many = IN_FLIGHT_MAX + 8;
    for n in 0..many {
        sends.start(page(n, "log"), 1, until);
    }
    sends.start(page(999, "inbox"), 1, until);
    assert_eq!(outcomes(&mut sends, 1), [("page-999".into(), "delivered")], "the other receiver is free");
    let ended = outcomes(&mut sends, many);
    assert!(ended.iter().all(|(_, class)| *class == "unknown"), "{ended:?}");
    assert_eq!(
        threads.lock().expect("whole").len(),
        IN_FLIGHT_MAX,
        "a turn is held until its thread is done"
    );
    drop(free);
}
