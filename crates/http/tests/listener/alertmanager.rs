//! Webhooks of Alertmanager: what fires is an incident once, what is resolved is over, and a bad alert holds up no other.

use serde_json::{Value, json};
use wire::command::Role;
use wire::{Severity, Source};

use super::support::*;

const PATH: &str = "/v1/inbound/alertmanager";

fn alert(fingerprint: &str, status: &str) -> Value {
    json!({
        "status": status,
        "labels": {"alertname": "ProbeFailure", "instance": fingerprint, "severity": "critical", "team": "risk"},
        "annotations": {"summary": format!("the probe of {fingerprint} fails")},
        "startsAt": "2026-03-02T10:01:26.739266876Z",
        "endsAt": if status == "firing" { "0001-01-01T00:00:00Z" } else { "2026-03-02T10:01:56Z" },
        "generatorURL": "http://prometheus.example.org:9090/graph", "fingerprint": fingerprint,
    })
}

fn webhook(alerts: &[Value]) -> Value {
    json!({
        "receiver": "tocsin", "status": "firing", "alerts": alerts, "groupLabels": {"alertname": "ProbeFailure"},
        "commonLabels": {"alertname": "ProbeFailure"}, "commonAnnotations": {}, "routeLabels": {},
        "externalURL": "http://alertmanager.example.org:9093", "version": "4",
        "groupKey": "{}:{alertname=\"ProbeFailure\"}", "truncatedAlerts": 0, "notification_reason": "first",
    })
}

async fn send(running: &Running, body: &Value) -> Answer {
    running.post(PATH, "application/json", body.to_string()).await
}

fn counts(raised: u64, repeated: u64, cleared: u64, refused: u64) -> Value {
    json!({"raised": raised, "repeated": repeated, "cleared": cleared, "refused": refused, "truncated": 0})
}

#[tokio::test]
async fn an_alert_is_raised_once_and_is_over_when_it_is_resolved() {
    let running = Running::start("").await;
    for (body, want) in [
        (webhook(&[alert("a", "firing")]), counts(1, 0, 0, 0)),
        (webhook(&[alert("a", "firing")]), counts(0, 1, 0, 0)),
        (webhook(&[alert("a", "firing"), alert("b", "firing"), alert("c", "firing")]), counts(2, 1, 0, 0)),
        (webhook(&[alert("a", "resolved"), alert("b", "firing")]), counts(0, 1, 1, 0)),
        (webhook(&[alert("a", "firing")]), counts(1, 0, 0, 0)),
        (webhook(&[]), counts(0, 0, 0, 0)),
    ] {
        let got = send(&running, &body).await;
        assert_eq!((got.status, got.json()), (200, want), "{body}");
    }
    let imported = running.memory.imported.lock().unwrap();
    let keys: Vec<_> = imported.iter().map(|(key, _, open)| (key.as_str(), *open)).collect();
    assert_eq!(keys, [("a", false), ("b", true), ("c", true), ("a", true)]);
    let (_, first, _) = &imported[0];
    assert_eq!(
        (first.source, first.severity, first.owner.as_deref()),
        (Source::Import, Severity::Sev1, Some("risk"))
    );
    assert_eq!(first.title, "the probe of a fails");
    assert_eq!(first.subject.to_string(), "platform:ProbeFailure a");
    assert_eq!(first.opened_at.unwrap().to_string(), "2026-03-02T10:01:26.739Z");
    assert!(first.command_id.is_some() && first.command_id != imported[1].1.command_id);
    assert_eq!(first.command_id, imported[3].1.command_id, "made of fingerprint and start");
    assert_eq!(
        (running.inbound("alertmanager", "raised"), running.inbound("alertmanager", "repeated")),
        (4, 3)
    );
    assert_eq!(running.inbound("alertmanager", "cleared"), 1);
}

#[tokio::test]
async fn it_needs_a_token_of_a_responder() {
    let (config, held) =
        tokens(&[("alertmanager", Some(Role::Responder), false), ("screen", Some(Role::Viewer), false)]);
    let running = Running::start(&config).await;
    let body = webhook(&[alert("a", "firing")]).to_string();
    for (name, status) in [("alertmanager", 200), ("screen", 403)] {
        let headers = [("authorization", held[name].as_str()), ("content-type", "application/json")];
        assert_eq!(running.ask("POST", PATH, &headers, body.as_bytes()).await.status, status, "{name}");
    }
    assert_eq!(running.post(PATH, "application/json", &body).await.status, 401);
    let imported = running.memory.imported.lock().unwrap();
    assert_eq!(imported.len(), 1);
    assert_eq!(
        (imported[0].1.principal.name.as_str(), imported[0].1.principal.role),
        ("alertmanager", Role::Responder)
    );
    let accessed = running.memory.accessed.lock().unwrap();
    assert_eq!(accessed.iter().map(|a| a.status).collect::<Vec<_>>(), [200, 403, 401]);
}

#[tokio::test]
async fn a_bad_alert_is_named_and_the_others_are_taken() {
    let running = Running::start("").await;
    let with = |path: &str, value: Value| {
        let mut alert = alert("x", "firing");
        alert[path] = value;
        alert
    };
    let bad = [
        with("status", "pending".into()),
        with("labels", json!({})),
        json!("nonsense"),
        with("annotations", json!({"summary": "too large"})),
        alert("never-raised", "resolved"),
    ];
    let all: Vec<_> = [alert("a", "firing")].into_iter().chain(bad).chain([alert("b", "firing")]).collect();
    let got = send(&running, &webhook(&all)).await;
    let said = got.json();
    assert_eq!((got.status, &said["raised"], &said["refused"]), (200, &2.into(), &5.into()), "{said}");
    for (i, (line, part)) in [
        (2, "status is \"pending\""),
        (3, "labels is empty"),
        (4, "cannot be read"),
        (5, "it is too large"),
        (6, "no such incident that is open"),
    ]
    .into_iter()
    .enumerate()
    {
        let why = &said["why"][i];
        assert_eq!(why["line"], line, "{why}");
        assert!(why["why"].as_str().unwrap().contains(part), "{why}");
    }
    assert_eq!(running.inbound("alertmanager", "refused"), 5);
}

#[tokio::test]
async fn what_was_left_out_is_said() {
    let running = Running::start("").await;
    let mut body = webhook(&[alert("a", "firing")]);
    body["truncatedAlerts"] = 3.into();
    assert_eq!(send(&running, &body).await.json()["truncated"], 3);
    assert_eq!(running.inbound("alertmanager", "truncated"), 3);
}

#[tokio::test]
async fn what_may_work_later_is_sent_again() {
    let running = Running::start("").await;
    let mut later = alert("b", "firing");
    later["annotations"]["summary"] = "later".into();
    let got = send(&running, &webhook(&[alert("a", "firing"), later])).await;
    assert_eq!((got.status, got.headers["retry-after"].as_str()), (503, "7"));
    let again = send(&running, &webhook(&[alert("a", "firing"), alert("b", "firing")])).await;
    assert_eq!(again.json(), counts(1, 1, 0, 0));
}

#[tokio::test]
async fn what_is_no_webhook_of_version_4_says_so() {
    let running = Running::start("").await;
    let version = |version: Value| {
        let mut body = webhook(&[alert("a", "firing")]);
        body["version"] = version;
        body.to_string()
    };
    let mut without = webhook(&[]);
    without.as_object_mut().unwrap().remove("alerts");
    for (media, body, status, part) in [
        ("application/json", version("5".into()), 422, "version is \"5\""),
        ("application/json", version(4.into()), 422, "version is 4"),
        ("application/json", version(Value::Null), 422, "version is missing"),
        ("application/json", without.to_string(), 400, "missing field `alerts`"),
        ("application/json", "[]".into(), 400, "a JSON object"),
        ("application/json", String::new(), 400, "a JSON object"),
        ("application/json", "{nonsense".into(), 400, "cannot be read"),
        ("application/json", r#"{"version":"4","alerts":{}}"#.into(), 400, "cannot be read"),
        ("text/plain", webhook(&[]).to_string(), 415, "a JSON object"),
        (
            "application/json",
            format!("{}{}", webhook(&[]), " ".repeat(4 << 20)),
            413,
            "more than 4194304 bytes",
        ),
    ] {
        let got = running.post(PATH, media, &body).await;
        let problem = got.problem();
        assert!(got.status == status && problem.detail.contains(part), "{body:.60}: {got:?}");
        assert!(problem.at.is_some() && problem.fix.is_some(), "{problem:?}");
    }
    assert!(running.memory.imported.lock().unwrap().is_empty());
}
