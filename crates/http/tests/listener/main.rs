//! The listener on a real socket, with a backend that remembers what it was asked.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod alertmanager;
mod bodies;
mod links;
mod pagerduty;
mod slack;
mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tocsin_http::*;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use wire::command::{Action, Role};
use wire::{CommandId, Severity};

use support::*;

/// A request that each route answers with success, given the right to it.
fn fine(route: &Route) -> (String, &'static str) {
    let path = route.path.replace("{id}", "abc");
    let body = match route.endpoint {
        Endpoint::Telemetry => r#"{"model":"m"}"#,
        Endpoint::Context => {
            r#"{"kind":"deployment","model":"m","version":"1","event_time":"2026-03-02T10:00:00Z"}"#
        }
        Endpoint::Close => r#"{"reason":"done"}"#,
        Endpoint::Note => r#"{"text":"hm"}"#,
        Endpoint::Raise => r#"{"title":"checkout fails","severity":"sev2"}"#,
        Endpoint::Clear => "{}",
        Endpoint::Snooze => r#"{"for_s":60}"#,
        Endpoint::SilencePreview => r#"{"of":{"model":["m"]}}"#,
        Endpoint::SilenceMake => r#"{"of":{"model":["m"]},"for_s":60,"listed":[],"reason":"a rollout"}"#,
        Endpoint::SilenceEnd => "{}",
        Endpoint::Assign => r#"{"to":"team:ml"}"#,
        Endpoint::Merge => r#"{"into":"abd"}"#,
        Endpoint::Forget => r#"{"name":"ana"}"#,
        Endpoint::Alertmanager => {
            r#"{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"A"}}]}"#
        }
        Endpoint::Acknowledge
        | Endpoint::Mitigate
        | Endpoint::Resolve
        | Endpoint::Repin
        | Endpoint::AuditAnchors => "{}",
        Endpoint::Status
        | Endpoint::Incidents
        | Endpoint::Incident
        | Endpoint::CommandAnswer
        | Endpoint::Why
        | Endpoint::Silences
        | Endpoint::Tail
        | Endpoint::Inbox
        | Endpoint::DeadLetters
        | Endpoint::Audit
        | Endpoint::AuditVerify
        | Endpoint::Metrics
        | Endpoint::Health
        | Endpoint::LinkPage
        | Endpoint::LinkAction
        | Endpoint::Slack
        | Endpoint::PagerDuty
        | Endpoint::Ready => "",
    };
    (path, body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_at_every_route() {
    let mut of: Vec<_> = Role::ALL.iter().map(|r| (r.name(), Some(*r), false)).collect();
    of.push(("service", None, true));
    of.push(("both", Some(Role::Viewer), true));
    let (config, held) = tokens(&of);
    let running = Running::start(&config).await;
    let mut callers: Vec<(&str, Option<String>, Option<Role>, bool)> =
        of.iter().map(|(name, role, ingest)| (*name, Some(held[*name].clone()), *role, *ingest)).collect();
    let stranger = generate_token([99; 32]).token;
    callers.push(("nobody", None, None, false));
    callers.push(("stranger", Some(format!("Bearer {stranger}")), None, false));

    for route in ROUTES {
        let (path, body) = fine(route);
        for (name, token, role, ingest) in &callers {
            let mut headers = vec![("content-type", "application/json")];
            headers.extend(token.as_deref().map(|t| ("authorization", t)));
            let known = !matches!(*name, "nobody" | "stranger");
            let (may, needs) = match route.access {
                Access::Open => (true, None),
                Access::Ingest => (*ingest, Some("ingest")),
                // Nothing of what these show is signed: the tests of links are elsewhere.
                Access::Signed => continue,
                Access::Role(needed) => (role.is_some_and(|own| own >= needed), Some(needed.name())),
            };
            // A stream has no end: what follows its start is a test of its own.
            if may && route.endpoint == Endpoint::Tail {
                continue;
            }
            let answer = running.ask(route.method, &path, &headers, body.as_bytes()).await;
            let what = format!("{name} at {} {path}: {answer:?}", route.method);
            match (may, known) {
                (true, _) => assert!((200..300).contains(&answer.status), "{what}"),
                (false, true) => assert_eq!(answer.status, 403, "{what}"),
                (false, false) => assert_eq!(answer.status, 401, "{what}"),
            }
            if !may {
                assert_eq!(answer.problem().needs.as_deref(), needs, "{what}");
                assert_eq!(answer.headers.contains_key("www-authenticate"), answer.status == 401, "{what}");
            }
        }
        let is_read = ROUTES.iter().any(|r| r.path == route.path && r.method == "GET");
        let other = if is_read { "DELETE" } else { "GET" };
        let admin = [("authorization", held["admin"].as_str())];
        let answer = running.ask(other, &path, &admin, b"").await;
        assert_eq!((answer.status, answer.problem().status), (405, 405), "{other} {path}");
    }
    let commands = running.memory.commands.lock().unwrap();
    assert!(
        commands
            .iter()
            .all(|c| c.principal.role >= Role::Responder && c.principal.name == c.principal.role.name())
    );
}

#[tokio::test]
async fn an_address_that_others_reach_needs_a_token() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let open: HttpConfig = toml::from_str(&format!("address = \"{address}\"")).unwrap();
        let error = Server::bind(open).await.err().expect("open to all").to_string();
        assert!(error.contains("[[http.token]]") && error.contains(address), "{error}");
    }
    let (tokens, _) = tokens(&[("a", Some(Role::Admin), false)]);
    let held: HttpConfig = toml::from_str(&format!("address = \"0.0.0.0:0\"\n{tokens}")).unwrap();
    assert!(!Server::bind(held).await.unwrap().is_open());
    let taken = Server::bind(toml::from_str("address = \"127.0.0.1:0\"").unwrap()).await.unwrap();
    let again: HttpConfig = toml::from_str(&format!("address = \"{}\"", taken.local_addr())).unwrap();
    assert!(matches!(Server::bind(again).await, Err(BindError::Listen { .. })));
}

#[tokio::test]
async fn on_ones_own_machine_everything_is_open_but_to_pages() {
    let running = Running::start("").await;
    assert_eq!(running.get("/v1/status").await.status, 200);
    assert_eq!(running.post("/v1/incidents/abc/ack", "application/json", "").await.status, 202);
    assert_eq!(running.memory.commands.lock().unwrap()[0].principal.name, "local");
    let rebound = running.ask("GET", "/v1/inbox", &[("host", "evil.example")], b"").await;
    assert_eq!((rebound.status, rebound.problem().kind.as_str()), (403, "urn:tocsin:foreign-host"));
    let page = [("origin", "https://evil.example"), ("content-type", "application/json")];
    assert_eq!(running.ask("POST", "/v1/incidents/abc/ack", &page, b"{}").await.status, 403);
    assert_eq!(running.memory.commands.lock().unwrap().len(), 1);
    let wrong = running.ask("GET", "/v1/status", &[("authorization", "Bearer tocsin_x")], b"").await;
    assert_eq!(wrong.status, 401, "a wrong token is not the same as none");
}

#[tokio::test]
async fn a_token_of_the_process_does_not_close_the_door() {
    let server = Server::bind(toml::from_str("address = \"127.0.0.1:0\"").unwrap()).await.unwrap();
    let (config, held) = tokens(&[("own", Some(Role::Viewer), false)]);
    let config: HttpConfig = toml::from_str(&config).unwrap();
    let server = server.allow(config.tokens[0].clone());
    assert!(server.is_open());
    let address = server.local_addr();
    tokio::spawn(server.serve(Arc::new(Memory::default()), std::future::pending()));
    for (headers, want) in [(vec![], 202), (vec![("authorization", held["own"].as_str())], 403)] {
        let got = ask(address, "POST", "/v1/incidents/a/ack", &headers, b"").await;
        assert_eq!(got.status, want);
    }
}

/// Every command as it is asked for, and what it comes to.
fn asked() -> Vec<(&'static str, &'static str, Action)> {
    let note = |text: &str| Some(text.to_owned());
    vec![
        ("ack", r#"{"for_s":60,"note":"mine"}"#, Action::Acknowledge { for_s: Some(60), note: note("mine") }),
        ("ack", "", Action::Acknowledge { for_s: None, note: None }),
        ("mitigate", r#"{"for_s":60}"#, Action::Mitigate { for_s: Some(60), note: None }),
        (
            "resolve",
            r#"{"reason":"rolled back"}"#,
            Action::Resolve { reason: note("rolled back"), not_actionable: false },
        ),
        ("resolve", r#"{"not_actionable":true}"#, Action::Resolve { reason: None, not_actionable: true }),
        (
            "close",
            r#"{"reason":"bad deploy"}"#,
            Action::Close { reason: "bad deploy".into(), not_actionable: false },
        ),
        (
            "close",
            r#"{"reason":"a test","not_actionable":true}"#,
            Action::Close { reason: "a test".into(), not_actionable: true },
        ),
        ("clear", "", Action::Clear { reason: None }),
        ("snooze", r#"{"for_s":60}"#, Action::Snooze { for_s: 60, reason: None }),
        ("assign", r#"{"to":"team:ml"}"#, Action::Assign { to: "team:ml".into(), note: None }),
        (
            "merge",
            r#"{"into":"abc","reason":"one cause"}"#,
            Action::Merge { into: wire::IncidentId::new("abc"), reason: note("one cause") },
        ),
        ("repin", r#"{"reason":"ana left"}"#, Action::Repin { reason: note("ana left") }),
        ("note", "{\"text\":\"Größe\\nzwei\"}", Action::Note { text: "Größe\nzwei".into() }),
    ]
}

#[tokio::test]
async fn commands_say_who_what_and_under_which_key() {
    let (config, held) = tokens(&[("ann", Some(Role::Responder), false)]);
    let running = Running::start(&config).await;
    let ann = held["ann"].as_str();
    let headers = [("authorization", ann), ("content-type", "application/json"), ("idempotency-key", "k-1")];
    for (what, body, want) in asked() {
        let answer =
            running.ask("POST", &format!("/v1/incidents/ab12/{what}"), &headers, body.as_bytes()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.json(), json!({"command_id": "k-1", "incident_id": "ab12", "repeated": false}));
        let got = running.memory.commands.lock().unwrap().pop().unwrap();
        assert_eq!((got.action, got.incident.as_str()), (want, "ab12"));
        assert_eq!((got.principal.name.as_str(), got.principal.role), ("ann", Role::Responder));
        assert_eq!(got.command_id, Some(CommandId::new("k-1")));
    }
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(4097));
    let at_most = format!("{{\"text\":\"{}\"}}", "x".repeat(4096));
    for (what, media, key, body, status) in [
        ("note", "application/json", "k", at_most.as_str(), 202),
        ("note", "application/json", "k", long.as_str(), 422),
        ("note", "application/json", "k", r#"{"text":"  "}"#, 422),
        ("note", "application/json", "k", "{\"text\":\"a\\u0000b\"}", 422),
        ("note", "application/json", "k", "", 400),
        ("ack", "application/json", "k", r#"{"for_s":0}"#, 422),
        ("ack", "application/json", "k", r#"{"for_s":-5}"#, 400),
        ("ack", "application/json", "k", r#"{"fors":5}"#, 400),
        ("ack", "application/json", "k", "[]", 400),
        ("ack", "text/plain", "k", "{}", 415),
        ("ack", "application/json", "k k", "{}", 400),
        ("ack", "application/json", "", "{}", 400),
        ("close", "application/json", "k", "{}", 400),
    ] {
        let headers = [("authorization", ann), ("content-type", media), ("idempotency-key", key)];
        let answer =
            running.ask("POST", &format!("/v1/incidents/ab12/{what}"), &headers, body.as_bytes()).await;
        assert_eq!(answer.status, status, "{what} {body:.40} {answer:?}");
    }
    for id in ["a-b", "%2e%2e", &"a".repeat(65)] {
        assert_eq!(
            running.ask("POST", &format!("/v1/incidents/{id}/ack"), &headers, b"").await.status,
            404,
            "{id}"
        );
    }
    assert_eq!(running.memory.commands.lock().unwrap().len(), 1, "nothing wrong was written");
}

#[tokio::test]
async fn lists_are_asked_for_by_page() {
    let running = Running::start("").await;
    assert_eq!(running.get("/v1/incidents").await.json()["total"], 7);
    running.get("/v1/incidents?state=all&severity=sev1,sev2&limit=200&cursor=n").await;
    let queries = std::mem::take(&mut *running.memory.queries.lock().unwrap());
    assert_eq!(
        queries[0],
        IncidentQuery { state: IncidentsState::Open, severities: vec![], limit: 50, cursor: None }
    );
    assert_eq!(
        queries[1],
        IncidentQuery {
            state: IncidentsState::All,
            severities: vec![Severity::Sev1, Severity::Sev2],
            limit: 200,
            cursor: Some("n".into())
        }
    );
    for query in
        ["limit=0", "limit=201", "limit=x", "state=shut", "severity=sev9", "colour=red", "cursor=%20"]
    {
        let answer = running.get(&format!("/v1/incidents?{query}")).await;
        assert_eq!((answer.status, answer.problem().kind.as_str()), (400, "urn:tocsin:query"), "{query}");
    }
    assert_eq!(running.get("/v1/audit?limit=1000").await.json()["next"], "1000");
    assert_eq!(running.get("/v1/audit?limit=1001").await.status, 400);
    assert_eq!(running.get("/v1/deadletters").await.json()["next"], "50");
    assert_eq!(running.get("/v1/deadletters?limit=1000&cursor=7").await.json()["next"], "7");
    assert_eq!(running.get("/v1/deadletters?limit=1001").await.status, 400);
    assert_eq!(running.get("/v1/audit/verify").await.json()["ok"], true);
    let body = br#"{"anchors":[],"public_keys":["ab"]}"#;
    let json = [("content-type", "application/json")];
    assert_eq!(running.ask("POST", "/v1/audit/anchors", &json, body).await.json()["public_keys"][0], "ab");
    for (name, status) in [("ana", 202), ("", 422), ("a\\nb", 422)] {
        let body = format!("{{\"name\":\"{name}\"}}");
        let answer = running.ask("POST", "/v1/people/forget", &json, body.as_bytes()).await;
        assert_eq!(answer.status, status, "{name:?}");
    }
    assert_eq!(running.memory.forgotten.lock().unwrap().len(), 1);
    let accessed = running.memory.accessed.lock().unwrap().clone();
    let of: Vec<_> = accessed.iter().map(|a| (a.method, a.route, a.status)).collect();
    assert!(of.contains(&("POST", "/v1/people/forget", 422)), "refusals are logged too: {of:?}");
    assert!(of.iter().all(|(_, route, _)| *route != "/v1/incidents"), "a list shows nothing of one: {of:?}");
    let metrics = running.get("/metrics").await;
    assert_eq!(metrics.body, b"tocsin_up 1\n");
    assert!(metrics.headers["content-type"].starts_with("text/plain; version=0.0.4"));
}

#[tokio::test]
async fn what_the_backend_says_becomes_a_status() {
    let running = Running::start("").await;
    for (id, status, word) in [
        ("gone", 404, "not-found"),
        ("many", 409, "ambiguous-id"),
        ("invalid", 422, "invalid"),
        ("later", 503, "unavailable"),
        ("elsewhere", 503, "role-not-here"),
        ("broken", 500, "internal"),
        ("panic", 500, "internal"),
    ] {
        let answer = running.get(&format!("/v1/incidents/{id}")).await;
        let problem = answer.problem();
        assert_eq!((problem.status, problem.kind.clone()), (status, format!("urn:tocsin:{word}")), "{id}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("inner secret"), "{answer:?}");
        if id == "later" {
            assert_eq!(answer.headers["retry-after"], "7");
        }
    }
    assert_eq!(running.get("/v1/incidents/abc").await.status, 200, "a panic ends one request only");
}

#[tokio::test]
async fn what_became_of_a_command_can_be_asked() {
    let running = Running::start("").await;
    let refused = running.get("/v1/commands/refused").await.json();
    assert_eq!(refused["answer"], "refused");
    assert_eq!(refused["why"], "it is closed");
    let accepted = running.get("/v1/commands/accepted").await.json();
    assert_eq!((accepted["answer"].as_str(), accepted.get("why")), (Some("accepted"), None));
    assert_eq!(running.get("/v1/commands/a:b.c-d_e").await.json()["answer"], "unknown");
    assert_eq!(running.get("/v1/commands/a%20b").await.status, 404, "no command has such an id");
}

#[tokio::test]
async fn every_answer_is_dressed() {
    let running = Running::start("").await;
    let mut ids = std::collections::BTreeSet::new();
    for path in ["/v1/status", "/nowhere", "/healthz", "/extra", "/v1/incidents/gone"] {
        let answer = running.get(path).await;
        for (name, want) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.headers[name], want, "{path}");
        }
        assert!(answer.headers["content-security-policy"].starts_with("default-src 'none'"));
        assert!(ids.insert(answer.headers["x-request-id"].clone()), "ids differ");
    }
    assert_eq!(running.get("/nowhere").await.problem().status, 404);
    let extra = running.get("/extra").await;
    assert!(
        String::from_utf8_lossy(&extra.body).contains("local"),
        "a mounted page knows who asks: {extra:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_stream_until_the_end() {
    let mut running = Running::start("tails_max = 2").await;
    let mut lines = follow(running.address, "/v1/tail?from=c5", "").await;
    let mut events =
        follow(running.address, "/v1/tail", "accept: text/event-stream\r\nlast-event-id: c6\r\n").await;
    assert!(read_until(&mut lines, "\r\n\r\n").await.contains("application/x-ndjson"));
    assert!(read_until(&mut events, "\r\n\r\n").await.contains("text/event-stream"));
    let senders = running.memory.tails.lock().unwrap().clone();
    let from: std::collections::BTreeSet<_> = senders.iter().map(|(from, _)| from.clone().unwrap()).collect();
    assert_eq!(from.into_iter().collect::<Vec<_>>(), ["c5", "c6"]);
    for (_, out) in &senders {
        out.send(TailEvent { id: "7".into(), kind: "page".into(), data: json!({"title": "x"}) })
            .await
            .unwrap();
    }
    assert!(
        read_until(&mut lines, "\"x\"").await.contains(r#"{"id":"7","kind":"page","data":{"title":"x"}}"#)
    );
    assert!(
        read_until(&mut events, "\"x\"").await.contains("id: 7\nevent: page\ndata: {\"title\":\"x\"}\n\n")
    );
    assert_eq!(running.get("/v1/tail").await.problem().kind, "urn:tocsin:busy");

    drop(lines);
    let gone = senders.iter().find(|(from, _)| from.as_deref() == Some("c5")).unwrap();
    tokio::time::timeout(Duration::from_secs(5), gone.1.closed())
        .await
        .expect("a reader that left is noticed");
    let stop = running.stop.take().unwrap();
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(4), running.served)
        .await
        .expect("a stream does not hold the end up")
        .unwrap();
    let mut rest = Vec::new();
    events.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "the stream was ended, not cut");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_begun_is_finished() {
    let mut running = Running::start("").await;
    let release = running.hold_the_gate();
    let address = running.address;
    let begun = tokio::spawn(async move {
        let headers = [("content-type", "application/json")];
        ask(address, "POST", "/v1/telemetry", &headers, b"{}").await.status
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    running.stop.take().unwrap().send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(TcpStream::connect(address).await.is_err(), "no new connection");
    release();
    assert_eq!(begun.await.unwrap(), 202);
    tokio::time::timeout(Duration::from_secs(4), running.served).await.expect("and then it ends").unwrap();
}

#[tokio::test]
async fn people_raise_what_no_detector_found() {
    let (config, held) = tokens(&[("ada", Some(Role::Responder), false)]);
    let running = Running::start(&config).await;
    let headers = [("authorization", held["ada"].as_str()), ("content-type", "application/json")];
    for (body, status, part) in [
        (r#"{"title":"checkout fails","severity":"sev2"}"#, 202, "raised"),
        (r#"{"title":" ","severity":"sev2"}"#, 422, "title is empty"),
        (r#"{"title":"x","severity":"sev2","source":"detector"}"#, 422, "in the name of detector"),
        (r#"{"title":"x","severity":"sev9"}"#, 400, "sev9"),
        (r#"{"title":"x","severity":"sev1","subject":{"kind":"model","name":""}}"#, 422, "subject.name"),
    ] {
        let answer = running.ask("POST", "/v1/incidents", &headers, body.as_bytes()).await;
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert!(answer.json().to_string().contains(part), "{body}: {answer:?}");
    }
    let raised = running.memory.raised.lock().unwrap();
    assert_eq!(raised.len(), 1);
    assert_eq!(
        (raised[0].title.as_str(), raised[0].subject.name.as_str()),
        ("checkout fails", "checkout fails")
    );
}
