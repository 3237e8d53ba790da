//! What every kind of receiver must hold: one table of statuses, the schema and the limits of what is sent, no secret told.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tocsin_receivers::{
    PAGERDUTY_BYTES_MAX, Receiver, ReceiverConfig, Secret, TEAMS_BYTES_MAX, WEBHOOK_BYTES_MAX,
};
use wire::incident::Contributor;
use wire::outbox::Outcome;
use wire::page::{Page, PageKind};

use crate::made::{
    BOT, GENIE, KEY, OLD_KEY, PASSWORD, ROUTING_KEY, SIG, TOKEN, alertmanager, closed_port, now, opsgenie,
    page_to_team as page, pagerduty, slack, slack_bot, smtp, teams, webhook,
};
use crate::mailbox::{Mailbox, Rules};
use crate::server::{Do, Server, status};

/// Every kind that speaks HTTP. A bot of Slack's needs an answer in the body.
fn over_http(port: u16) -> [(&'static str, Receiver); 7] {
    [
        ("webhook", webhook(port)),
        ("alertmanager", alertmanager(&[port])),
        ("pagerduty", pagerduty(port)),
        ("slack", slack(port)),
        ("slack bot", slack_bot(port)),
        ("opsgenie", opsgenie(port)),
        ("teams", teams(port)),
    ]
}

/// What Slack's methods say when it was done; the others look at the status alone.
fn done() -> Do {
    Do::Answer { status: 200, headers: "", body: br#"{"ok":true,"channel":"C1","ts":"17.1"}"#.to_vec() }
}

#[tokio::test]
async fn every_status_has_its_outcome_whatever_the_kind() {
    let after = |status| Do::Answer { status, headers: "retry-after: 7\r\n", body: b"slow down".to_vec() };
    let mut table: Vec<(Do, &str)> = vec![
        (done(), "delivered"),
        (after(429), "retry_after"),
        (after(503), "retry_after"),
        (Do::Hang, "unknown"),
        (Do::Close, "unknown"),
    ];
    for (codes, want) in [
        (&[301, 302, 307, 308, 401, 403, 404, 405, 407, 410, 421, 451][..], "config"),
        (&[400, 402, 406, 409, 413, 414, 415, 422, 431], "reject"),
        (&[408, 425, 429, 500, 502, 503, 504, 529], "retry"),
    ] {
        table.extend(codes.iter().map(|code| (status(*code), want)));
    }
    for (act, want) in table {
        let server = Server::start(vec![act.clone()]).await;
        let kinds = over_http(server.port);
        let many = kinds.len();
        // Side by side, since some of them wait for a second.
        let sends = kinds.map(|(kind, receiver)| {
            tokio::spawn(async move { (kind, receiver.send(&page(), 1, now()).await) })
        });
        for send in sends {
            let (kind, got) = send.await.unwrap();
            assert_eq!(got.class(), want, "{kind}: {act:?}: {got:?}");
        }
        assert_eq!(server.seen().len(), many, "{act:?}: each was sent exactly once");
    }
}

/// As large as an incident may be, in a script of three bytes a letter and with what each format escapes.
fn largest() -> Page {
    let mut page = page();
    page.incident.title = "警\"<&>\\*_`\u{1}".repeat(840);
    page.incident.subject.name = "模".repeat(400);
    page.incident.context.owner = Some("<!channel>".repeat(100));
    page.owner = Some("名".repeat(300));
    let one = |n: usize| Contributor {
        name: format!("feature-{n}-{}", "特".repeat(20)),
        detail: "</td> 1 % -> 99 %".into(),
        value: 1.0,
        reference: 0.5,
        evidence: 2.0,
        segment: None,
    };
    page.incident.evidence.contributors = (0..300).map(one).collect();
    let bytes = serde_json::to_vec(&page.incident).unwrap().len();
    assert!((50_000..=wire::incident::INCIDENT_BYTES_MAX).contains(&bytes), "{bytes} bytes");
    page
}

fn valid(name: &str, schema: &str, body: &Value) {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator =
        jsonschema::draft202012::options().should_validate_formats(true).build(&schema).expect(name);
    let wrong: Vec<String> =
        validator.iter_errors(body).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(wrong.is_empty(), "{name}: {wrong:#?}");
}

#[tokio::test]
async fn every_body_has_the_form_that_its_receiver_asks_for() {
    let [webhook, alertmanager, pagerduty, slack, opsgenie, teams] = [
        include_str!("schemas/webhook.json"),
        include_str!("schemas/alertmanager.json"),
        include_str!("schemas/pagerduty.json"),
        include_str!("schemas/slack.json"),
        include_str!("schemas/opsgenie.json"),
        include_str!("schemas/teams.json"),
    ];
    for page in [page(), largest()] {
        for kind in [PageKind::Trigger, PageKind::Acknowledge, PageKind::Update, PageKind::Resolve] {
            for minimal in [false, true] {
                let page = Page { kind, minimal, ..page.clone() };
                let server = Server::start(vec![done()]).await;
                for (name, receiver) in over_http(server.port) {
                    let got = receiver.send(&page, 1, now()).await;
                    assert_eq!(got.class(), "delivered", "{name} {kind:?}: {got:?}");
                }
                let seen = server.seen();
                let bodies: Vec<Value> =
                    seen.iter().map(|s| serde_json::from_slice(&s.body).unwrap()).collect();
                let schemas = [webhook, alertmanager, pagerduty, slack, slack, opsgenie, teams];
                for (i, schema) in schemas.into_iter().enumerate() {
                    valid(&format!("{i} {kind:?} {minimal}"), schema, &bodies[i]);
                }
                valid("page", include_str!("../../../../schemas/page.v1.json"), &bodies[0]["data"]);
                for (i, max) in [(0, WEBHOOK_BYTES_MAX), (2, PAGERDUTY_BYTES_MAX), (6, TEAMS_BYTES_MAX)] {
                    assert!(seen[i].body.len() <= max, "{}: too long", seen[i].target);
                }
                let wholes = [20_000, 20_000, 60_000, 60_000, 60_000, 60_000, 20_000];
                for (seen, whole) in seen.iter().zip(wholes) {
                    let most = if minimal { 3500 } else { whole };
                    let bytes = seen.body.len();
                    // A label of an alert is which alert it is: it cannot be left out.
                    assert!(
                        bytes <= most || seen.target.contains("/api/v2/alerts"),
                        "{}: {bytes} bytes",
                        seen.target
                    );
                }
            }
        }
    }
}

/// What has no room is told to be missing: nothing is cut without a word.
#[tokio::test]
async fn nothing_is_lost_without_a_word() {
    let server = Server::start(vec![done()]).await;
    let page = largest();
    for (_, receiver) in over_http(server.port) {
        receiver.send(&page, 1, now()).await;
    }
    let bodies: Vec<Value> = server.seen().iter().map(|s| serde_json::from_slice(&s.body).unwrap()).collect();
    let title = page.incident.title.replace('\u{1}', "\u{fffd}");
    assert_eq!(bodies[0]["data"]["incident"]["title"], page.incident.title, "all of it has room");
    assert_eq!(bodies[0]["trimmed"], serde_json::json!(["contributors"]));
    let ends_in_dots = |v: &Value| v.as_str().unwrap().ends_with('…');
    assert!(ends_in_dots(&bodies[1][0]["annotations"]["summary"]));
    let details = &bodies[2]["payload"]["custom_details"];
    assert!(ends_in_dots(&details["title"]) && details["contributors_in_all"] == 300);
    for body in &bodies[3..5] {
        let sections: String = body["blocks"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|b| b["type"] == "section")
            .map(|b| b["text"]["text"].as_str().unwrap())
            .collect();
        let escaped = title.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        assert!(sections.starts_with(&escaped), "further sections hold the rest");
    }
    assert!(ends_in_dots(&bodies[5]["message"]));
    let description = bodies[5]["description"].as_str().unwrap();
    // As much of the title as leaves room for the rest, and then the rest.
    let (start, rest) = description.split_once("…\n\nWhat: ").unwrap();
    assert!(title.starts_with(start) && start.encode_utf16().count() == 4_999);
    assert!(rest.contains("\nNext: ") && rest.contains("What moved (the first 20 of 300):"), "{rest}");
    let card = bodies[6]["attachments"][0]["content"]["body"].as_array().unwrap();
    let lines: Vec<&str> = card.iter().map(|b| b["inlines"][0]["text"].as_str().unwrap()).collect();
    assert!(lines[0].ends_with('…') && lines[1] == title, "all of it has room below the header");
    let page = Page { target: "ann@example.org".into(), ..page };
    let mailbox = Mailbox::start(Rules::default()).await;
    assert_eq!(smtp(mailbox.port, "").send(&page, 1, now()).await.class(), "delivered");
    let message = mailbox.messages().remove(0).replace("=\r\n", "");
    assert!(message.contains("- and 280 more"), "{}", &message[message.len() - 500..]);
}

/// Everything that was logged on this thread.
#[derive(Clone, Default)]
pub(crate) struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    /// Until the guard goes.
    pub(crate) fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let logged = Self::default();
        let writer = logged.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (logged, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_kind_tells_a_secret() {
    let (logged, _until_the_end) = Logged::start();
    let key = |secret: &'static str| secret.strip_prefix("whsec_").unwrap();
    let secrets = [key(KEY), key(OLD_KEY), TOKEN, BOT, ROUTING_KEY, GENIE, SIG, PASSWORD, "sekret-path"];
    let clean = |what: &str, text: &str| {
        for secret in secrets {
            assert!(!text.contains(secret), "{what}: {text}");
        }
    };
    let bearer = format!("no: Bearer {TOKEN}").into_bytes();
    let refused = |status| Do::Answer { status, headers: "", body: bearer.clone() };
    let not_ok = Do::Answer {
        status: 200,
        headers: "",
        body: br#"{"ok":false,"error":"xoxb-0123456789-sekret"}"#.to_vec(),
    };
    for act in [Do::Echo, refused(401), refused(500), not_ok, Do::Close] {
        let server = Server::start(vec![act.clone()]).await;
        for attempt in [1, 2] {
            for (kind, receiver) in over_http(server.port) {
                let got: Outcome = receiver.send(&page(), attempt, now()).await;
                let json = serde_json::to_string(&got).unwrap();
                clean(kind, &format!("{got:?} {json} {receiver:?}"));
            }
        }
    }
    for (kind, receiver) in over_http(closed_port().await) {
        clean(kind, &format!("{:?}", receiver.send(&page(), 1, now()).await));
    }
    for (config, wrong) in [
        ("type = \"pagerduty\"\nrouting_key_env = \"X\"", ROUTING_KEY.repeat(2)),
        ("type = \"opsgenie\"\napi_key_env = \"X\"", format!("{GENIE} {GENIE}")),
        ("type = \"teams\"\nurl_env = \"X\"", format!("http://a.example/?sig={SIG}")),
        ("type = \"slack\"\nwebhook_env = \"X\"", "http://a.example/sekret-path".to_owned()),
        ("type = \"slack\"\ntoken_env = \"X\"", format!("{BOT} {BOT}")),
        (
            "type = \"alertmanager\"\nurls = [\"https://a.example\"]\ntoken_env = \"X\"",
            format!("{TOKEN}\n{TOKEN}"),
        ),
        ("type = \"webhook\"\nurl = \"https://a.example/\"\nsecret_env = \"X\"", format!("{KEY}!")),
        (
            "type = \"smtp\"\nhost = \"a.example\"\nfrom = \"a@b.c\"\nusername = \"u\"\npassword_env = \"X\"",
            format!("{PASSWORD}\0{PASSWORD}"),
        ),
    ] {
        let config: ReceiverConfig = toml::from_str(config).unwrap();
        let error = Receiver::build("r", &config, &|_| Ok(Secret::new(&wrong))).expect_err("no secret");
        clean("error", &format!("{error} {error:?} {config:?}"));
    }
    let log = logged.text();
    assert!(log.contains("Slack does not say"), "something was logged: {log}");
    clean("log", &log);
}
