//! Webhooks of PagerDuty: what a person did with an alert of ours there is done here, once, and nothing else is.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use wire::AlertKey;
use wire::command::{Action, Role};
use wire::id::hex;

use super::support::*;

const PATH: &str = "/v1/inbound/pagerduty";
const URL: &str = "https://acme.pagerduty.com/incidents/PGR0VU2";

fn key() -> String {
    AlertKey::of(&[b"the alert"]).to_string()
}

/// What PagerDuty sends when somebody acknowledges.
fn event(kind: &str, alert: &str) -> Value {
    json!({"event": {
        "id": "01CNPD7IOQ2P7BHDR4X6G8N0QV", "event_type": kind, "resource_type": "incident",
        "occurred_at": "2026-03-02T10:01:58.000Z",
        "agent": {
            "html_url": "https://acme.pagerduty.com/users/PLH1HKV", "id": "PLH1HKV",
            "self": "https://api.pagerduty.com/users/PLH1HKV", "summary": "Ada Lovelace", "type": "user_reference",
        },
        "client": null,
        "data": {
            "id": "PGR0VU2", "type": "incident", "self": "https://api.pagerduty.com/incidents/PGR0VU2", "html_url": URL,
            "number": 2, "status": "acknowledged", "incident_key": alert, "created_at": "2026-03-02T10:00:05Z",
            "title": "SEV2 fraud 7: 29 % of requests fail", "urgency": "high", "assignees": [], "teams": [],
            "resolve_reason": null,
        },
    }})
}

fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    format!("v1={}", hex(&mac.finalize().into_bytes()))
}

async fn send_as(running: &Running, signature: &str, body: &str) -> Answer {
    let headers = [("content-type", "application/json"), ("x-pagerduty-signature", signature)];
    running.ask("POST", PATH, &headers, body.as_bytes()).await
}

async fn send(running: &Running, event: &Value) -> Answer {
    let body = event.to_string();
    send_as(running, &signature(PAGERDUTY_SECRET, &body), &body).await
}

fn show(running: &Running, stage: &str, generation: u64) {
    let view = json!({
        "incident": {"incident_id": "abc", "generation": generation, "title": "too slow"}, "stage": stage,
        "pages": [
            {"alert_key": AlertKey::of(&[b"another"]), "generation": 1},
            {"alert_key": key(), "generation": 3},
        ],
    });
    running.memory.views.lock().unwrap().insert("abc".into(), view);
}

async fn running() -> Running {
    let running = Running::start("").await;
    show(&running, "open", 3);
    running
}

#[tokio::test]
async fn what_a_person_does_there_is_done_here_in_their_name() {
    let running = running().await;
    let said = format!("in PagerDuty: {URL}");
    let acknowledge = Action::Acknowledge { for_s: None, note: Some(said.clone()) };
    let resolve = Action::Resolve { reason: Some(said), not_actionable: false };
    for (stage, kind, done, action) in [
        ("open", "incident.acknowledged", "acknowledged", &acknowledge),
        ("open", "incident.resolved", "resolved", &resolve),
        ("acknowledged", "incident.resolved", "resolved", &resolve),
        ("mitigated", "incident.resolved", "resolved", &resolve),
    ] {
        show(&running, stage, 3);
        let got = send(&running, &event(kind, &key())).await;
        assert_eq!((got.status, &got.json()["done"]), (202, &done.into()), "{got:?}");
        assert_eq!(got.json()["incident_id"], "abc");
        let command = running.memory.commands.lock().unwrap().pop().expect("durable before the answer");
        assert_eq!((command.incident.as_str(), &command.action), ("abc", action));
        assert_eq!(
            (command.principal.name.as_str(), command.principal.role),
            ("pagerduty:Ada Lovelace", Role::Responder)
        );
    }
    assert_eq!(
        (running.inbound("pagerduty", "acknowledged"), running.inbound("pagerduty", "resolved")),
        (1, 3)
    );
}

#[tokio::test]
async fn the_same_event_again_is_the_same_command() {
    let running = running().await;
    let mut another = event("incident.acknowledged", &key());
    another["event"]["id"] = "01ANOTHER".into();
    for sent in [&event("incident.acknowledged", &key()), &event("incident.acknowledged", &key()), &another] {
        assert_eq!(send(&running, sent).await.status, 202);
    }
    let ids: Vec<_> = running.memory.commands.lock().unwrap().iter().map(|c| c.command_id.clone()).collect();
    assert!(ids[0].is_some() && ids[0] == ids[1] && ids[1] != ids[2], "{ids:?}");
}

#[tokio::test]
async fn what_is_no_business_of_ours_is_taken_and_ignored() {
    let running = running().await;
    let change = |path: &str, value: Value| {
        let mut event = event("incident.acknowledged", &key());
        *event.pointer_mut(path).unwrap() = value;
        event
    };
    let ping = json!({"event": {"id": "1", "event_type": "pagey.ping", "data": {"message": "Hello", "type": "ping"}}});
    let mut ignored = 0;
    for (stage, generation, event, why) in [
        ("open", 3, ping, "pagey.ping changes nothing here"),
        ("open", 3, event("incident.reassigned", &key()), "incident.reassigned changes nothing here"),
        ("open", 3, event("incident.delegated", &key()), "incident.delegated changes nothing here"),
        ("open", 3, event("incident.unacknowledged", &key()), "incident.unacknowledged changes nothing here"),
        ("open", 3, event("incident.resolved", "baf7cf21b1da41b4b0221008339ff357"), "none of tocsin's"),
        ("open", 3, event("incident.resolved", AlertKey::of(&[b"unknown"]).as_str()), "no incident here"),
        ("open", 4, event("incident.acknowledged", &key()), "an earlier alert"),
        ("acknowledged", 3, event("incident.acknowledged", &key()), "it is acknowledged already"),
        ("mitigated", 3, event("incident.acknowledged", &key()), "it is mitigated already"),
        ("resolved", 3, event("incident.acknowledged", &key()), "it is resolved already"),
        ("closed", 3, event("incident.resolved", &key()), "it is closed already"),
        // What we told PagerDuty ourselves, and what it does by itself.
        ("open", 3, change("/event/agent", Value::Null), "no person did it"),
        (
            "open",
            3,
            change("/event/agent/type", "events_api_v2_inbound_integration_reference".into()),
            "no person",
        ),
        ("open", 3, change("/event/occurred_at", "2026-03-02T08:00:00Z".into()), "more than an hour ago"),
    ] {
        show(&running, stage, generation);
        let got = send(&running, &event).await;
        let said = got.json()["ignored"].as_str().unwrap_or_default().to_owned();
        assert!(got.status == 202 && said.contains(why), "{why}: {got:?}");
        ignored += 1;
    }
    assert!(running.memory.commands.lock().unwrap().is_empty());
    assert_eq!(running.inbound("pagerduty", "ignored"), ignored);
}

#[tokio::test]
async fn one_of_its_secrets_signed_these_very_bytes() {
    let running = running().await;
    let body = event("incident.acknowledged", &key()).to_string();
    let [right, next, wrong] = [PAGERDUTY_SECRET, PAGERDUTY_NEXT, "another_secret_than_these"]
        .map(|secret| signature(secret, &body));
    let of_another = signature(PAGERDUTY_SECRET, "{}");
    for (what, shown, status) in [
        ("the first secret", right.clone(), 202),
        ("the next secret", next.clone(), 202),
        ("both, while it is changed", format!("{wrong},{next}"), 202),
        ("with a space", format!("{wrong}, {right}"), 202),
        ("a wrong secret", wrong.clone(), 401),
        ("another body", of_another, 401),
        ("another version", right.replace("v1=", "v2="), 401),
        ("cut", right[..60].to_owned(), 401),
        ("nothing", String::new(), 401),
    ] {
        let got = send_as(&running, &shown, &body).await;
        assert_eq!(got.status, status, "{what}: {got:?}");
        if status == 401 {
            assert_eq!(got.problem().kind, "urn:tocsin:unsigned", "{what}");
        }
    }
    assert_eq!(running.memory.commands.lock().unwrap().len(), 4);
    let bare = [("content-type", "application/json")];
    assert_eq!(running.ask("POST", PATH, &bare, body.as_bytes()).await.status, 401, "no signature at all");
    let header = [("x-pagerduty-signature", right.as_str())];
    assert_eq!(Running::untrusting().await.ask("POST", PATH, &header, body.as_bytes()).await.status, 401);
    assert_eq!(running.get(PATH).await.status, 405);
}

#[tokio::test]
async fn a_body_that_is_no_event_says_so() {
    let running = running().await;
    let long = event("incident.acknowledged", &"k".repeat(64 * 1024)).to_string();
    for (body, status, part) in [
        ("", 400, "cannot be read"),
        ("nonsense", 400, "cannot be read"),
        ("[]", 400, "event.id is missing"),
        ("{\"event\":{\"event_type\":\"incident.resolved\"}}", 400, "event.id is missing"),
        ("{\"event\":{\"id\":\"1\"}}", 400, "event.event_type is missing"),
        (long.as_str(), 413, "more than 65536 bytes"),
    ] {
        let got = send_as(&running, &signature(PAGERDUTY_SECRET, body), body).await;
        let problem = got.problem();
        assert!(got.status == status && problem.detail.contains(part), "{body:.60}: {got:?}");
        assert!(problem.at.is_some() && problem.fix.is_some(), "{problem:?}");
    }
    assert!(running.memory.commands.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_another_process_may_know_is_asked_again() {
    let running = running().await;
    let got = send(&running, &event("incident.acknowledged", AlertKey::of(&[b"elsewhere"]).as_str())).await;
    assert_eq!((got.status, got.headers["retry-after"].as_str()), (503, "5"));
    assert_eq!(running.inbound("pagerduty", "ignored"), 0);
}

#[tokio::test]
async fn a_listener_on_which_nobody_needs_a_token_takes_it_from_outside() {
    let running = running().await;
    let body = event("incident.acknowledged", &key()).to_string();
    let signature = signature(PAGERDUTY_SECRET, &body);
    let headers = [("host", "tocsin.example.com"), ("x-pagerduty-signature", signature.as_str())];
    assert_eq!(running.ask("POST", PATH, &headers, body.as_bytes()).await.status, 202);
    let accessed = running.memory.accessed.lock().unwrap().clone();
    let of: Vec<_> = accessed.iter().map(|a| (a.caller.clone(), a.route, a.status)).collect();
    assert_eq!(of, [(Some(("a webhook of PagerDuty".to_owned(), None)), PATH, 202)]);
}
