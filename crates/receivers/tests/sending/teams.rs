//! Microsoft Teams.

use serde_json::Value;
use tocsin_receivers::{Receiver, ReceiverConfig, Secret};
use wire::outbox::Outcome;
use wire::page::{Page, PageKind};

use crate::made::{SIG, now, page, teams};
use crate::server::{Do, Server, status};

#[tokio::test]
async fn what_happens_to_an_alert_is_a_message_of_its_own() {
    let server = Server::start(vec![status(202), status(200)]).await;
    let receiver = teams(server.port);
    let kinds = [PageKind::Trigger, PageKind::Acknowledge, PageKind::Update, PageKind::Resolve];
    for kind in kinds {
        let got = receiver.send(&Page { kind, ..page() }, 1, now()).await;
        assert_eq!(got, Outcome::Delivered { reference: None });
    }
    let seen = server.seen();
    assert_eq!(seen.len(), kinds.len());
    for request in &seen {
        let path = format!("/workflows/f1/triggers/manual/paths/invoke?api-version=1&sig={SIG}");
        assert_eq!(request.target, format!("POST {path} HTTP/1.1"));
        assert_eq!(request.headers["content-type"], "application/json; charset=utf-8");
    }
    let title = |i: usize| {
        let body: Value = serde_json::from_slice(&seen[i].body).unwrap();
        body["attachments"][0]["content"]["body"][0]["inlines"][0]["text"].as_str().unwrap().to_owned()
    };
    let want = ["SEV1 Größe", "SEV1 acknowledged: Größe", "SEV1 Größe", "SEV1 resolved: Größe"];
    for (i, want) in want.into_iter().enumerate() {
        assert!(title(i).starts_with(want), "{}", title(i));
    }
}

#[tokio::test]
async fn an_attempt_repeats_the_message() {
    let server = Server::start(vec![Do::Hang, status(202)]).await;
    let receiver = teams(server.port);
    assert_eq!(receiver.send(&page(), 1, now()).await.class(), "unknown");
    assert_eq!(receiver.send(&page(), 2, now()).await.class(), "delivered");
    let seen = server.seen();
    assert_eq!(seen[0].body, seen[1].body);
}

#[tokio::test]
async fn no_part_of_the_address_is_told() {
    let body = format!("the signature {SIG} is not one of ours").into_bytes();
    for act in [Do::Echo, Do::Answer { status: 400, headers: "", body }, status(401), Do::Close] {
        let server = Server::start(vec![act]).await;
        let receiver = teams(server.port);
        let got = receiver.send(&page(), 1, now()).await;
        let shown = format!("{got:?} {receiver:?}");
        assert!(!shown.contains(SIG) && !shown.contains("invoke"), "{shown}");
    }
    let config: ReceiverConfig = toml::from_str("type = \"teams\"\nurl_env = \"TEAMS\"").unwrap();
    for (wrong, why) in [
        (format!("http://teams.example/?sig={SIG}"), "must be https"),
        (format!("teams.example/?sig={SIG}"), "is not an address"),
        (String::new(), "is not an address"),
    ] {
        let error = Receiver::build("r", &config, &|_| Ok(Secret::new(&wrong))).expect_err("no address");
        assert!(error.to_string().contains(why) && !error.to_string().contains(SIG), "{error}");
    }
}
