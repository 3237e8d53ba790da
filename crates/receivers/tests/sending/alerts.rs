//! Pagers that know an alert by its key, and Slack, which does not.

use serde_json::json;
use tocsin_receivers::{Receiver, ReceiverConfig, Secret};
use wire::outbox::Outcome;
use wire::page::{Page, PageKind};

use crate::made::{BOT, ROUTING_KEY, now, page, pagerduty, slack_bot};
use crate::server::{Do, Seen, Server};

#[tokio::test]
async fn pagerduty_gets_one_key_for_all_that_happens_to_an_alert() {
    let accepted = br#"{"status":"success","message":"Event processed","dedup_key":"k"}"#;
    let act = Do::Answer { status: 202, headers: "", body: accepted.to_vec() };
    let server = Server::start(vec![act]).await;
    let receiver = pagerduty(server.port);
    for kind in [PageKind::Trigger, PageKind::Acknowledge, PageKind::Resolve] {
        let got = receiver.send(&Page { kind, ..page() }, 1, now()).await;
        assert_eq!(got, Outcome::Delivered { reference: Some(page().alert_key.to_string()) });
    }
    let seen = server.seen();
    let events: Vec<serde_json::Value> =
        seen.iter().map(|s| serde_json::from_slice(&s.body).unwrap()).collect();
    for (event, action) in events.iter().zip(["trigger", "acknowledge", "resolve"]) {
        let want = (action, page().alert_key.to_string(), ROUTING_KEY);
        let of = |name: &str| event[name].as_str().unwrap();
        assert_eq!((of("event_action"), of("dedup_key").to_owned(), of("routing_key")), want);
    }
    assert!(seen.iter().all(|s| s.target == "POST /v2/enqueue HTTP/1.1"));
    assert_eq!(seen[0].headers["content-type"], "application/json");
    let echo = Server::start(vec![Do::Echo]).await;
    let refused = pagerduty(echo.port).send(&Page { kind: PageKind::Resolve, ..page() }, 1, now()).await;
    let shown = format!("{refused:?} {receiver:?}");
    assert!(matches!(refused, Outcome::Reject { .. }) && !shown.contains(ROUTING_KEY), "{shown}");
    for wrong in ["", "short", "R0UT1NGKEY0123456789ABCDEFGHIJK!", "R0UT1NGKEY0123456789ABCDEFGHIJKLM"] {
        let config: ReceiverConfig =
            toml::from_str("type = \"pagerduty\"\nrouting_key_env = \"PD\"").unwrap();
        let error = Receiver::build("r", &config, &|_| Ok(Secret::new(wrong))).expect_err("no key");
        assert!(error.to_string().contains("32 letters and digits"), "{error}");
        assert!(wrong.is_empty() || !error.to_string().contains(wrong), "{error}");
    }
}

#[tokio::test]
async fn pagerduty_is_told_of_each_deployment_once() {
    let accepted = || Do::Answer { status: 202, headers: "", body: br#"{"status":"success"}"#.to_vec() };
    let server = Server::start(vec![accepted()]).await;
    let receiver = pagerduty(server.port);
    let deployed = |version: &str| wire::context::Deployment {
        model: "fraud".into(),
        version: version.into(),
        event_time: now(),
        change: "deployed".into(),
        by: Some("release".into()),
        commit: Some("3c2f6e1".into()),
        image: None,
    };
    let mut page = page();
    for versions in [&["7"][..], &["7", "8"]] {
        page.incident.context.deployments = versions.iter().map(|version| deployed(version)).collect();
        let got = receiver.send(&page, 1, now()).await;
        assert!(matches!(got, Outcome::Delivered { .. }), "{got:?}");
    }
    let resolve = Page { kind: PageKind::Resolve, ..page.clone() };
    drop(receiver.send(&resolve, 1, now()).await);
    let seen = server.seen();
    let to: Vec<&str> = seen.iter().map(|s| s.target.split(' ').nth(1).unwrap()).collect();
    let (event, change) = ("/v2/enqueue", "/v2/change/enqueue");
    assert_eq!(to, [event, change, event, change, event], "the page first, and what has changed once");
    let told: serde_json::Value = serde_json::from_slice(&seen[3].body).unwrap();
    assert_eq!((&told["routing_key"], &told["dedup_key"]), (&ROUTING_KEY.into(), &serde_json::Value::Null));
    assert_eq!(told["payload"]["summary"], format!("fraud 8 deployed at {} by release", now()));
    assert_eq!(told["payload"]["custom_details"]["commit"], "3c2f6e1");
    // A receiver of changes that hangs holds up no page.
    let server = Server::start(vec![accepted(), Do::Hang]).await;
    let got = pagerduty(server.port).send(&page, 1, now()).await;
    assert!(matches!(got, Outcome::Delivered { .. }), "{got:?}");
}

fn says(body: &str) -> Do {
    Do::Answer { status: 200, headers: "", body: body.as_bytes().to_vec() }
}

fn posted() -> Do {
    says(r#"{"ok":true,"channel":"C1","ts":"17.1"}"#)
}

/// What a method that reads answers, once it is asked in a form.
fn listed(messages: &str) -> Do {
    Do::AnswerForm(format!(r#"{{"ok":true,"messages":[{messages}]}}"#).into_bytes())
}

/// Some message, and the one of [`page`].
fn both_listed() -> Do {
    let id = page().notification_id;
    listed(&format!(
        r#"{{"ts":"1.0"}},{{"ts":"9.9","metadata":{{"event_type":"tocsin_page","event_payload":{{"notification_id":"{id}"}}}}}}"#
    ))
}

/// Method and body of each request: those that read take a form, those that write JSON.
fn calls(server: &Server) -> Vec<(String, serde_json::Value)> {
    let call = |s: Seen| {
        assert_eq!(s.headers["authorization"], format!("Bearer {BOT}"));
        let method = s.target.strip_prefix("POST /api/").and_then(|t| t.split(' ').next()).unwrap();
        let (media_type, body) = if method.starts_with("conversations.") {
            ("application/x-www-form-urlencoded", form_urlencoded::parse(&s.body).collect())
        } else {
            ("application/json; charset=utf-8", serde_json::from_slice(&s.body).unwrap())
        };
        assert_eq!(s.headers["content-type"], media_type, "{method}");
        (method.to_owned(), body)
    };
    server.seen().into_iter().map(call).collect()
}

#[tokio::test]
async fn a_slack_bot_keeps_one_thread_for_an_alert() {
    let server = Server::start(vec![posted()]).await;
    let bot = slack_bot(server.port);
    let Outcome::Delivered { reference: Some(thread) } = bot.send(&page(), 1, now()).await else {
        panic!("not delivered");
    };
    assert_eq!(thread, "C1:17.1");
    let resolve = Page { kind: PageKind::Resolve, thread: Some(thread.clone()), ..page() };
    let again = Page { thread: Some(thread.clone()), ..page() };
    for page in [resolve, again] {
        assert_eq!(bot.send(&page, 1, now()).await, Outcome::Delivered { reference: Some(thread.clone()) });
    }
    let calls = calls(&server);
    let methods: Vec<&str> = calls.iter().map(|(method, _)| method.as_str()).collect();
    let [post, update] = ["chat.postMessage", "chat.update"];
    assert_eq!(methods, [post, update, post, update, post]);
    let of = |i: usize, name: &str| calls[i].1[name].clone();
    assert_eq!(
        (of(0, "channel"), of(1, "channel"), of(2, "channel")),
        ("oncall".into(), "C1".into(), "C1".into())
    );
    assert_eq!((of(1, "ts"), of(2, "thread_ts")), ("17.1".into(), "17.1".into()));
    assert_eq!(
        (of(2, "reply_broadcast"), of(4, "reply_broadcast")),
        (false.into(), true.into()),
        "who is called sees it"
    );
    assert_eq!(of(0, "metadata")["event_payload"]["notification_id"], page().notification_id.as_str());
}

#[tokio::test]
async fn a_slack_bot_looks_before_it_sends_again() {
    let server = Server::start(vec![Do::Hang, both_listed()]).await;
    let bot = slack_bot(server.port);
    assert_eq!(bot.send(&page(), 1, now()).await.class(), "unknown");
    assert_eq!(
        bot.send(&page(), 2, now()).await,
        Outcome::Delivered { reference: Some("oncall:9.9".into()) }
    );
    let asked = calls(&server);
    assert_eq!(asked[1].0, "conversations.history");
    // A minute before the page was decided.
    let want = json!({
        "channel": "oncall",
        "oldest": "1772445601",
        "limit": "100",
        "include_all_metadata": "true",
    });
    assert_eq!(asked[1].1, want);
    assert_eq!(asked.len(), 2, "it has arrived: nothing is sent");

    let none = Server::start(vec![listed(""), posted()]).await;
    assert_eq!(slack_bot(none.port).send(&page(), 2, now()).await.class(), "delivered");
    assert_eq!(calls(&none).len(), 2, "it has not: it is sent");
    let blind = Server::start(vec![says(r#"{"ok":false,"error":"missing_scope"}"#), posted()]).await;
    assert_eq!(
        slack_bot(blind.port).send(&page(), 2, now()).await.class(),
        "delivered",
        "better twice than never"
    );
}

#[tokio::test]
async fn a_slack_bot_looks_in_the_thread_before_it_replies_again() {
    let server = Server::start(vec![posted(), Do::Hang, posted(), both_listed()]).await;
    let bot = slack_bot(server.port);
    let resolve = Page { kind: PageKind::Resolve, thread: Some("C1:17.1".into()), ..page() };
    assert_eq!(bot.send(&resolve, 1, now()).await.class(), "unknown");
    assert_eq!(bot.send(&resolve, 2, now()).await, Outcome::Delivered { reference: Some("C1:17.1".into()) });
    let asked = calls(&server);
    let methods: Vec<&str> = asked.iter().map(|(method, _)| method.as_str()).collect();
    let [post, update, look] = ["chat.postMessage", "chat.update", "conversations.replies"];
    assert_eq!(methods, [update, post, update, look], "the reply has arrived: none is sent");
    let want = json!({
        "channel": "C1",
        "ts": "17.1",
        "oldest": "1772445601",
        "limit": "100",
        "include_all_metadata": "true",
    });
    assert_eq!(asked[3].1, want);
}

#[tokio::test]
async fn what_slack_says_in_the_body_counts() {
    for (body, want) in [
        (r#"{"ok":false,"error":"ratelimited"}"#, "retry_after"),
        (r#"{"ok":false,"error":"fatal_error"}"#, "retry"),
        (r#"{"ok":false,"error":"channel_not_found"}"#, "config"),
        (r#"{"ok":false,"error":"invalid_blocks"}"#, "reject"),
        (r#"{"ok":true}"#, "unknown"),
        ("<html>", "unknown"),
    ] {
        let server = Server::start(vec![says(body)]).await;
        let got = slack_bot(server.port).send(&page(), 1, now()).await;
        assert_eq!(got.class(), want, "{body}: {got:?}");
        assert!(!format!("{got:?}").contains(BOT));
    }
    let gone = Server::start(vec![says(r#"{"ok":false,"error":"message_not_found"}"#), posted()]).await;
    let page = Page { kind: PageKind::Resolve, thread: Some("C1:17.1".into()), ..page() };
    assert_eq!(
        slack_bot(gone.port).send(&page, 1, now()).await.class(),
        "delivered",
        "the reply is what counts"
    );
}
