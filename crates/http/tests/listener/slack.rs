//! Buttons in Slack: what Slack signed is done in the name of who pressed, and they are told.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tocsin_http::AnswerState;
use wire::Timestamp;
use wire::command::{Action, Role};
use wire::id::hex;

use super::support::*;

const PATH: &str = "/v1/inbound/slack";
const FORM: &str = "application/x-www-form-urlencoded";

/// What Slack sends when the button is pressed.
fn payload() -> Value {
    json!({
        "type": "block_actions",
        "user": {"id": "U2CERLKJA", "username": "ada", "name": "ada", "team_id": "T1DC2JH3J"},
        "api_app_id": "A02", "token": "Shh_its_a_seekrit", "trigger_id": "12466734323.1395872398",
        "container": {"type": "message", "message_ts": "1548261231.000200", "channel_id": "C024BE91L"},
        "response_url": "https://hooks.slack.com/actions/AABA1ABCD/1232321423432/D09sSasdasdAS9091209",
        "actions": [{"action_id": "tocsin_acknowledge", "block_id": "=qXel", "type": "button", "value": "abc:3",
                     "action_ts": "1548426417.840180"}],
    })
}

fn body(payload: &Value) -> String {
    let encoded: String = payload.to_string().bytes().map(|b| format!("%{b:02X}")).collect();
    format!("payload={encoded}")
}

fn now() -> i64 {
    NOW.parse::<Timestamp>().unwrap().as_ms() / 1000
}

fn signature(secret: &str, at: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("v0:{at}:{body}").as_bytes());
    format!("v0={}", hex(&mac.finalize().into_bytes()))
}

async fn press(running: &Running, at: i64, secret: &str, body: &str) -> Answer {
    let (at, signature) = (at.to_string(), signature(secret, &at.to_string(), body));
    let headers = [
        ("content-type", FORM),
        ("x-slack-request-timestamp", at.as_str()),
        ("x-slack-signature", signature.as_str()),
    ];
    running.ask("POST", PATH, &headers, body.as_bytes()).await
}

async fn running() -> Running {
    let running = Running::start("").await;
    let view = json!({"incident": {"incident_id": "abc", "generation": 3, "title": "too slow"}});
    running.memory.views.lock().unwrap().insert("abc".into(), view);
    *running.memory.verdict.lock().unwrap() = Some((AnswerState::Accepted, None));
    running
}

/// What the person who pressed was told.
async fn told(running: &Running) -> [String; 3] {
    for _ in 0..500 {
        if let Some(reply) = running.memory.replies.lock().unwrap().pop() {
            return reply;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody was told")
}

#[tokio::test]
async fn a_press_is_an_acknowledgement_by_who_pressed() {
    let running = running().await;
    let mut ids = vec![];
    for _ in 0..2 {
        let got = press(&running, now(), SLACK_SECRET, &body(&payload())).await;
        assert_eq!((got.status, got.body.len()), (200, 0));
        let command =
            running.memory.commands.lock().unwrap().pop().expect("durable before Slack is answered");
        assert_eq!(
            (command.principal.name.as_str(), command.principal.role),
            ("slack:U2CERLKJA/ada", Role::Responder)
        );
        assert_eq!(
            (command.incident.as_str(), command.action),
            ("abc", Action::Acknowledge { for_s: None, note: None })
        );
        let to = payload()["response_url"].as_str().unwrap().to_owned();
        assert_eq!(told(&running).await, ["team".into(), to, "Acknowledged: too slow".into()]);
        ids.push(command.command_id.unwrap());
    }
    assert_eq!(ids[0], ids[1], "the same press again is the same command");
    let mut again = payload();
    again["actions"][0]["action_ts"] = "1548426999.1".into();
    press(&running, now(), SLACK_SECRET, &body(&again)).await;
    assert_ne!(running.memory.commands.lock().unwrap().pop().unwrap().command_id.as_ref(), ids.first());
}

#[tokio::test]
async fn the_access_log_names_who_pressed_and_for_which_incident() {
    let running = running().await;
    let mut another = payload();
    another["actions"][0]["action_id"] = "another_button".into();
    for (secret, payload) in [(SLACK_SECRET, payload()), ("wrong", payload()), (SLACK_SECRET, another)] {
        press(&running, now(), secret, &body(&payload)).await;
    }
    let accessed = running.memory.accessed.lock().unwrap().clone();
    let of: Vec<_> = accessed
        .iter()
        .map(|a| (a.caller.as_ref().map(|(name, _)| name.as_str()), a.incident.as_deref(), a.status))
        .collect();
    let want = [
        (Some("slack:U2CERLKJA/ada"), Some("abc"), 200),
        (Some("a link"), None, 401),
        (Some("a link"), None, 200),
    ];
    assert_eq!(of, want);
}

#[tokio::test]
async fn a_press_on_what_another_process_has_is_handed_on() {
    let running = running().await;
    let mut theirs = payload();
    theirs["actions"][0]["value"] = "theirs:3".into();
    press(&running, now(), SLACK_SECRET, &body(&theirs)).await;
    let (command, generation) = running.memory.handed_on.lock().unwrap().pop().expect("durable by now");
    assert_eq!((command.incident.as_str(), generation), ("theirs", 3));
    assert_eq!(command.principal.name, "slack:U2CERLKJA/ada");
    assert!(told(&running).await[2].contains("handed on"));
    theirs["actions"][0]["value"] = "theirs:2".into();
    press(&running, now(), SLACK_SECRET, &body(&theirs)).await;
    let text = told(&running).await[2].clone();
    assert!(text.starts_with("Not done: ") && text.contains("an earlier alert"), "{text}");
}

#[tokio::test]
async fn what_slack_did_not_sign_just_now_is_nothing() {
    let running = running().await;
    let text = body(&payload());
    for (what, at, secret) in [
        ("a wrong secret", now(), "wrong"),
        ("long ago", now() - 301, SLACK_SECRET),
        ("the future", now() + 301, SLACK_SECRET),
    ] {
        let got = press(&running, at, secret, &text).await;
        assert_eq!((got.status, got.problem().kind.as_str()), (401, "urn:tocsin:unsigned"), "{what}");
    }
    let (at, of_another) = (now().to_string(), signature(SLACK_SECRET, &now().to_string(), "payload=x"));
    for headers in [
        vec![],
        vec![("x-slack-request-timestamp", at.as_str())],
        vec![("x-slack-request-timestamp", at.as_str()), ("x-slack-signature", of_another.as_str())],
        vec![("x-slack-signature", of_another.as_str())],
    ] {
        assert_eq!(running.ask("POST", PATH, &headers, text.as_bytes()).await.status, 401, "{headers:?}");
    }
    assert_eq!(running.get(PATH).await.status, 405);
    assert!(running.memory.commands.lock().unwrap().is_empty());
    for (what, at) in [("a little ago", now() - 299), ("a little ahead", now() + 299)] {
        assert_eq!(press(&running, at, SLACK_SECRET, &text).await.status, 200, "{what}");
    }
    assert_eq!(Running::untrusting().await.ask("POST", PATH, &[], text.as_bytes()).await.status, 401);
}

#[tokio::test]
async fn who_pressed_is_told_why_not() {
    let running = running().await;
    let mut earlier = payload();
    earlier["actions"][0]["value"] = "abc:2".into();
    let mut gone = payload();
    gone["actions"][0]["value"] = "gone:1".into();
    for (what, part) in [(&earlier, "an earlier alert"), (&gone, "no such incident")] {
        assert_eq!(press(&running, now(), SLACK_SECRET, &body(what)).await.status, 200);
        let [_, _, text] = told(&running).await;
        assert!(
            text.starts_with("Not done: ") && text.contains(part) && text.contains("tocsin ack"),
            "{text}"
        );
    }
    assert!(running.memory.commands.lock().unwrap().is_empty());
    *running.memory.verdict.lock().unwrap() =
        Some((AnswerState::Refused, Some("it is resolved already".into())));
    press(&running, now(), SLACK_SECRET, &body(&payload())).await;
    assert_eq!(told(&running).await[2], "Not done: it is resolved already.");
}

#[tokio::test]
async fn what_is_not_our_button_is_passed_over() {
    let running = running().await;
    let with = |path: &str, value: Value| {
        let mut payload = payload();
        *payload.pointer_mut(path).unwrap() = value;
        body(&payload)
    };
    for (body, status) in [
        ("ssl_check=1".to_owned(), 200),
        (with("/type", "view_submission".into()), 200),
        (with("/actions/0/action_id", "another_button".into()), 200),
        (with("/actions", json!([])), 200),
        (with("/actions/0/value", "abc".into()), 400),
        (with("/actions/0/value", "../x:1".into()), 400),
        (with("/user/id", "".into()), 400),
        ("payload=nonsense".to_owned(), 400),
    ] {
        assert_eq!(press(&running, now(), SLACK_SECRET, &body).await.status, status, "{body:.60}");
    }
    assert!(
        running.memory.commands.lock().unwrap().is_empty()
            && running.memory.replies.lock().unwrap().is_empty()
    );
}
