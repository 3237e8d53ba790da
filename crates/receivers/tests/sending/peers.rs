//! A cluster of Alertmanagers: every peer gets every alert, and one that took it is enough.

use std::time::Duration;

use tocsin_receivers::Receiver;
use tokio::time::Instant;
use wire::outbox::Outcome;
use wire::page::{Page, PageKind};

use crate::contract::Logged;
use crate::made::{alertmanager, closed_port, now, page, receiver};
use crate::server::{Do, Server, status};

const MISSED: &str = "did not take an alert that another took";
const BACK: &str = "takes alerts again";

#[tokio::test]
async fn every_peer_gets_the_alert() {
    let (a, b) =
        (Server::start(vec![status(200)]).await, Server::start(vec![status(503), status(200)]).await);
    let am = alertmanager(&[a.port, b.port]);
    assert_eq!(am.resend_every(), Some(Duration::from_secs(60)));
    assert_eq!(am.send(&page(), 1, now()).await, Outcome::Delivered { reference: None }, "one took it");
    assert_eq!(am.send(&page(), 0, now()).await.class(), "delivered");
    let resolve = Page { kind: PageKind::Resolve, ..page() };
    assert_eq!(am.send(&resolve, 1, now().plus_ms(5000)).await.class(), "delivered");
    for server in [&a, &b] {
        let seen = server.seen();
        assert_eq!(seen.len(), 3);
        assert!(seen.iter().all(|s| s.target == "POST /prefix/api/v2/alerts HTTP/1.1"));
        let alerts: Vec<serde_json::Value> =
            seen.iter().map(|s| serde_json::from_slice(&s.body).unwrap()).collect();
        assert_eq!(alerts[0][0]["labels"], alerts[2][0]["labels"], "trigger and resolve are one alert");
        assert_eq!(alerts[0][0]["endsAt"], "2026-03-02T10:06:02.900Z");
        assert_eq!(alerts[2][0]["endsAt"], "2026-03-02T10:01:07.900Z");
    }
}

#[tokio::test]
async fn a_page_fails_only_where_no_peer_took_it() {
    let closed = closed_port().await;
    let refuses = Server::start(vec![status(404)]).await;
    let am = alertmanager(&[closed, refuses.port]);
    let got = am.send(&page(), 1, now()).await;
    assert!(matches!(&got, Outcome::Retry { reason } if reason.contains(&closed.to_string())), "{got:?}");
    let takes = Server::start(vec![status(200)]).await;
    for other in [closed, refuses.port] {
        let got = alertmanager(&[other, takes.port]).send(&page(), 1, now()).await;
        assert_eq!(got.class(), "delivered", "{got:?}");
    }
}

/// With a time-out that nobody in a test waits for.
fn patient(ports: [u16; 2]) -> Receiver {
    let [a, b] = ports.map(|port| format!("http://127.0.0.1:{port}"));
    receiver(&format!("type = \"alertmanager\"\nurls = [{a:?}, {b:?}]\ntimeout_s = 30"))
}

#[tokio::test]
async fn a_peer_that_hangs_does_not_hold_up_the_page() {
    let (a, b) = (Server::start(vec![status(200)]).await, Server::start(vec![Do::Hang]).await);
    for ports in [[a.port, b.port], [b.port, a.port]] {
        let begin = Instant::now();
        let got = patient(ports).send(&page(), 1, now()).await;
        assert_eq!(got.class(), "delivered", "{got:?}");
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    }
    assert_eq!((a.seen().len(), b.seen().len()), (2, 2), "each was asked");
}

#[tokio::test]
async fn a_peer_that_misses_alerts_is_told_of_now_and_then() {
    let (logged, _until_the_end) = Logged::start();
    let a = Server::start(vec![status(200)]).await;
    let b = Server::start(vec![status(503), status(503), status(503), status(200)]).await;
    let am = alertmanager(&[a.port, b.port]);
    let minute_ms = 60_000;
    for (minute, missed, back) in [(0, 1, 0), (1, 1, 0), (10, 2, 0), (11, 2, 1), (12, 2, 1)] {
        assert_eq!(am.send(&page(), 1, now().plus_ms(minute * minute_ms)).await.class(), "delivered");
        let text = logged.text();
        let times = |what| text.matches(what).count();
        assert_eq!((times(MISSED), times(BACK)), (missed, back), "minute {minute}: {text}");
        assert!(text.contains(&format!("127.0.0.1:{} answered 503", b.port)), "{text}");
    }
}

#[tokio::test]
async fn an_end_is_said_again_until_every_peer_has_taken_it_or_the_alert_has_ended_there() {
    let a = Server::start(vec![status(200)]).await;
    let b = Server::start(vec![status(503), status(200), status(503)]).await;
    let am = alertmanager(&[a.port, b.port]);
    let resolve = Page { kind: PageKind::Resolve, ..page() };
    let at = |s: i64| resolve.decided_at.plus_ms(s * 1000);
    let missed = am.send(&resolve, 1, at(1)).await;
    assert!(
        matches!(&missed, Outcome::Retry { reason } if reason.starts_with("1 of 2 peers took the end; ")),
        "{missed:?}"
    );
    assert_eq!(am.send(&resolve, 2, at(3)).await.class(), "delivered");
    assert_eq!(am.send(&resolve, 3, at(299)).await.class(), "retry");
    assert_eq!(am.send(&resolve, 4, at(300)).await.class(), "delivered", "by now it has ended there");
}
