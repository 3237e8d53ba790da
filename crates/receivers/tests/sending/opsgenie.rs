//! Opsgenie, and Jira Service Management.

use serde_json::{Value, json};
use tocsin_receivers::{Receiver, ReceiverConfig, Secret};
use wire::outbox::Outcome;
use wire::page::{Page, PageKind};

use crate::made::{GENIE, now, opsgenie, page, page_to_team};
use crate::server::{Do, Server};

const REQUEST: &str = "43a29c5c-3dbf-4fa4-9c26-f4f71023e120";

fn accepted() -> Do {
    let body = format!(r#"{{"result":"Request will be processed","took":0.302,"requestId":"{REQUEST}"}}"#);
    Do::Answer { status: 202, headers: "", body: body.into_bytes() }
}

/// Path and body of each request.
fn requests(server: &Server) -> Vec<(String, Value)> {
    let of = |s: crate::server::Seen| {
        assert_eq!(s.headers["authorization"], format!("GenieKey {GENIE}"));
        assert_eq!(s.headers["content-type"], "application/json");
        let path = s.target.strip_prefix("POST ").and_then(|t| t.strip_suffix(" HTTP/1.1")).unwrap();
        (path.to_owned(), serde_json::from_slice(&s.body).unwrap())
    };
    server.seen().into_iter().map(of).collect()
}

#[tokio::test]
async fn one_alias_for_all_that_happens_to_an_alert() {
    let server = Server::start(vec![accepted()]).await;
    let receiver = opsgenie(server.port);
    for kind in [PageKind::Trigger, PageKind::Acknowledge, PageKind::Update, PageKind::Resolve] {
        let page = Page { kind, owner: Some("ada".into()), ..page_to_team() };
        let got = receiver.send(&page, 1, now()).await;
        assert_eq!(got, Outcome::Delivered { reference: Some(REQUEST.into()) });
    }
    let seen = requests(&server);
    let key = page().alert_key;
    let paths: Vec<&str> = seen.iter().map(|(path, _)| path.as_str()).collect();
    let to = |action: &str| format!("/jsm/v2/alerts/{key}/{action}?identifierType=alias");
    assert_eq!(paths, ["/jsm/v2/alerts", &to("acknowledge"), &to("notes"), &to("close")]);
    assert_eq!(seen[0].1["alias"], json!(key));
    assert_eq!(seen[0].1["responders"], json!([{"type": "team", "name": "oncall"}]));
    assert_eq!(seen[1].1["user"], "ada");
}

#[tokio::test]
async fn who_is_called_again_is_told_in_a_note() {
    let again = Page { thread: Some(REQUEST.into()), ..page_to_team() };
    let server = Server::start(vec![accepted()]).await;
    let receiver = opsgenie(server.port);
    assert_eq!(receiver.send(&again, 1, now()).await.class(), "delivered");
    let seen = requests(&server);
    let key = again.alert_key.to_string();
    assert_eq!((seen.len(), seen[0].0.as_str()), (2, "/jsm/v2/alerts"), "it may have been closed there");
    assert!(seen[1].0.contains(&format!("{key}/notes?")) && seen[1].1["note"].is_string(), "{seen:?}");

    // What is done to it brings no second request; and no answer to the note holds up what has been taken.
    let resolve = Page { kind: PageKind::Resolve, ..again.clone() };
    assert_eq!(receiver.send(&resolve, 1, now()).await.class(), "delivered");
    assert_eq!(server.seen().len(), 3);
    for then in [Do::Hang, Do::Echo, Do::Close] {
        let server = Server::start(vec![accepted(), then]).await;
        assert_eq!(opsgenie(server.port).send(&again, 1, now()).await.class(), "delivered");
    }
    let refused = Server::start(vec![Do::Echo]).await;
    assert_eq!(opsgenie(refused.port).send(&again, 1, now()).await.class(), "reject");
    assert_eq!(refused.seen().len(), 1, "nothing is noted on an alert that was not taken");
}

#[tokio::test]
async fn the_integration_decides_by_default() {
    let server = Server::start(vec![accepted()]).await;
    let page = Page { target: "default".into(), ..page() };
    assert_eq!(opsgenie(server.port).send(&page, 1, now()).await.class(), "delivered");
    assert!(requests(&server)[0].1.get("responders").is_none());
}

#[tokio::test]
async fn what_nobody_can_be_called_by_never_leaves() {
    let server = Server::start(vec![accepted()]).await;
    let receiver = opsgenie(server.port);
    let got = receiver.send(&Page { target: "ann".into(), ..page() }, 1, now()).await;
    assert!(matches!(&got, Outcome::Config { reason } if reason.contains("team:NAME")), "{got:?}");
    assert!(!format!("{got:?}").contains("ann"), "{got:?}");
    let mut odd = page_to_team();
    odd.alert_key = serde_json::from_value(json!("a/../b?c=d")).unwrap();
    assert_eq!(receiver.send(&odd, 1, now()).await.class(), "reject");
    assert_eq!(server.connections(), 0);
}

/// The answer says no more than that it was taken: what it names is only kept where it can be a number of a request.
#[tokio::test]
async fn an_answer_without_a_number_is_one() {
    for body in ["", "{}", "ok", r#"{"requestId":7}"#, r#"{"requestId":"a b"}"#, "[]"] {
        let act = Do::Answer { status: 202, headers: "", body: body.into() };
        let server = Server::start(vec![act]).await;
        let got = opsgenie(server.port).send(&page_to_team(), 1, now()).await;
        assert_eq!(got, Outcome::Delivered { reference: None }, "{body}");
    }
}

#[tokio::test]
async fn neither_the_key_nor_who_is_called_is_told() {
    let page = Page { target: "user:ada@example.org".into(), ..page() };
    let body = format!("no user ada@example.org for {GENIE}").into_bytes();
    for act in [Do::Echo, Do::Answer { status: 422, headers: "", body }] {
        let server = Server::start(vec![act]).await;
        let receiver = opsgenie(server.port);
        let got = receiver.send(&page, 1, now()).await;
        let shown = format!("{got:?} {receiver:?}");
        assert!(matches!(got, Outcome::Reject { .. }), "{shown}");
        assert!(!shown.contains(GENIE) && !shown.contains("ada"), "{shown}");
    }
    let config: ReceiverConfig = toml::from_str("type = \"opsgenie\"\napi_key_env = \"OG\"").unwrap();
    for wrong in ["", "GenieKey 0123", "ключ"] {
        let error = Receiver::build("r", &config, &|_| Ok(Secret::new(wrong))).expect_err("no key");
        assert!(error.to_string().contains("environment variable OG: the key"), "{error}");
        assert!(wrong.is_empty() || !error.to_string().contains(wrong), "{error}");
    }
}
