//! Receivers of the real thing: a log that takes pages, and one that hangs.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use receivers::ReceiverConfig;
use serde_json::json;
use wire::Timestamp;
use wire::page::PageKind;

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

/// A server on a port of its own that answers whole requests with what `answer` makes of their bodies.
fn serve(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.expect("a caller"), Arc::clone(&answer));
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
                let (mut line, mut length) = (String::new(), 0);
                while reader.read_line(&mut line).expect("a head") > 2 {
                    if let Some(of) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = of.trim().parse().expect("a length");
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).expect("a body");
                let head = answer(std::str::from_utf8(&body).expect("text"));
                let answered = format!("{head}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answered.as_bytes()).expect("it listens");
            });
        }
    });
    port
}

/// Answers each request with "ask again in so many seconds", and says how many there were.
fn a_place_that_wants_to_be_left_alone(seconds: u64) -> (u16, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&asked);
    let port = serve(move |_| {
        seen.fetch_add(1, Ordering::Relaxed);
        format!("HTTP/1.1 429 Slow Down\r\nretry-after: {seconds}")
    });
    (port, asked)
}

#[test]
fn reminders_and_pages_of_an_alert_take_turns() {
    let ((free, held), (tell, told)) = (mpsc::channel::<()>(), mpsc::channel());
    let held = Mutex::new(held);
    let port = serve(move |body| {
        let alerts: serde_json::Value = serde_json::from_str(body).expect("alerts");
        let ends: Timestamp = alerts[0]["endsAt"].as_str().and_then(|at| at.parse().ok()).expect("an end");
        tell.send(ends > Clock::start().now().wall).expect("a test");
        // Until the test lets go.
        held.lock().expect("whole").recv().expect("a test");
        "HTTP/1.1 200 OK".to_owned()
    });
    let tokio = tokio();
    let config = json!({"type": "alertmanager", "urls": [format!("http://127.0.0.1:{port}")], "resend_s": 1});
    let config: ReceiverConfig = serde_json::from_value(config).expect("a receiver");
    let receiver = Receiver::build("am", &config, &|_| Err("no secrets".into())).expect("it can be built");
    let (handle, views) = (tokio.handle().clone(), Arc::new(Views::default()));
    let mut sends = Receivers::new([Arc::new(receiver)], handle, Clock::start(), views);
    let until = sends.clock.now().mono + Duration::from_secs(60);
    // What was sent within so long, without an outcome.
    let within = |sends: &mut Receivers, ms: u64| {
        for _ in 0..ms / 10 {
            assert!(sends.outcomes().is_empty());
            std::thread::sleep(Duration::from_millis(10));
        }
        told.try_iter().collect::<Vec<bool>>()
    };
    let (fires, over) = (true, false);
    let opens = page(1, "am");
    sends.start(opens.clone(), 1, until);
    assert_eq!(within(&mut sends, 300), [fires]);
    free.send(()).expect("a server");
    assert_eq!(outcomes(&mut sends, 1), [("page-1".into(), "delivered")]);
    assert_eq!(within(&mut sends, 3_500), [fires], "a reminder that hangs, and none behind it");
    let end =
        Page { kind: PageKind::Resolve, notification_id: page(2, "am").notification_id, ..opens.clone() };
    sends.start(end.clone(), 1, until);
    assert_eq!(within(&mut sends, 1_000), [false; 0], "the end waits for it");
    free.send(()).expect("a server");
    assert_eq!(within(&mut sends, 1_000), [over]);
    free.send(()).expect("a server");
    assert_eq!(outcomes(&mut sends, 1), [("page-2".into(), "delivered")]);
    assert_eq!(within(&mut sends, 1_500), [false; 0], "nothing is to be repeated any more");
}

#[test]
fn a_reminder_that_waited_for_its_turn_is_not_sent_once_something_else_was_said() {
    let mut reminders = reminders::Reminders::default();
    let (opens, every) = (page(1, "am"), Duration::from_secs(60));
    let said = reminders.said(&opens, every);
    assert!(reminders.due(every * 9, |_| Some(every)).is_empty(), "nothing has arrived yet");
    said.arrived();
    assert!(reminders.due(every - Duration::from_secs(1), |_| Some(every)).is_empty());
    let waits = reminders.due(every, |_| Some(every)).remove(0);
    assert!(waits.holds());
    assert!(reminders.due(every * 2, |_| Some(every)).is_empty(), "one at a time");
    let said = reminders.said(&Page { kind: PageKind::Update, ..opens.clone() }, every * 4);
    assert!(!waits.holds() && said.turn.try_lock().is_err());
    drop(waits);
    assert!(said.turn.try_lock().is_ok());
    let update = reminders.due(every * 4, |_| Some(every)).remove(0);
    assert!(update.holds() && update.page.kind == PageKind::Update);
    reminders.known(opens.clone(), every);
    assert!(update.holds(), "known better");
    drop(reminders.said(&Page { kind: PageKind::Resolve, ..opens }, every));
    assert!(!update.holds());
    drop(update);
    assert!(reminders.due(every * 9, |_| Some(every)).is_empty());
}

#[test]
fn who_asks_to_wait_is_not_asked_again_for_another_page() {
    let (port, asked) = a_place_that_wants_to_be_left_alone(2);
    let tokio = tokio();
    let config = json!({"type": "webhook", "url": format!("http://127.0.0.1:{port}/"), "secret_env": "HOOK", "allow_private": true});
    let config: ReceiverConfig = serde_json::from_value(config).expect("a receiver");
    let secret =
        |_: &receivers::SecretSource| Ok(receivers::Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    let hook = Receiver::build("hook", &config, &secret).expect("it can be built");
    let mut sends =
        Receivers::new([Arc::new(hook)], tokio.handle().clone(), Clock::start(), Arc::new(Views::default()));
    let until = sends.clock.now().mono + Duration::from_secs(20);
    let again = |n: usize| (format!("page-{n}"), "retry_after");
    // One alone may be about that page.
    for n in 0..3 {
        sends.start(page(n, "hook"), 1, until);
        assert_eq!(outcomes(&mut sends, 1), [again(n)]);
    }
    for n in 3..9 {
        sends.start(page(n, "hook"), 1, until);
    }
    assert_eq!(outcomes(&mut sends, 6), (3..9).map(again).collect::<Vec<_>>());
    assert_eq!(asked.load(Ordering::Relaxed), 3, "the others were not sent");
    // Another place there has a limit of its own.
    sends.start(Page { target: "elsewhere".into(), ..page(9, "hook") }, 1, until);
    assert_eq!((outcomes(&mut sends, 1), asked.load(Ordering::Relaxed)), (vec![again(9)], 4));
    std::thread::sleep(Duration::from_millis(2_100));
    sends.start(page(1, "hook"), 2, until);
    assert_eq!((outcomes(&mut sends, 1), asked.load(Ordering::Relaxed)), (vec![again(1)], 5));
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
    let of = |class: &str| ended.iter().filter(|(_, of)| *of == class).count();
    assert_eq!((of("unknown"), of("retry")), (IN_FLIGHT_MAX, 8), "what had no turn was not sent: {ended:?}");
    assert_eq!(
        threads.lock().expect("whole").len(),
        IN_FLIGHT_MAX,
        "a turn is held until its thread is done"
    );
    drop(free);
}
