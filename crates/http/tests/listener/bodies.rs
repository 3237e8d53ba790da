//! What comes in, and the bounds on it.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::*;

#[tokio::test]
async fn telemetry_comes_in_every_shape() {
    let running = Running::start("").await;
    let (a, b) = (r#"{"model":"m","n":1}"#, r#"{"model":"m","n":2}"#);
    let plain = ("content-type", "application/json");
    for (media, body, want, logged) in [
        ("application/x-ndjson", format!("{a}\n{b}\n"), vec![a, b], plain),
        ("application/json", a.to_owned(), vec![a], plain),
        ("application/json", format!("[{a}, {b}]"), vec![a, b], plain),
        (
            "application/cloudevents+json",
            a.to_owned(),
            vec![a],
            ("content-type", "application/cloudevents+json"),
        ),
        (
            "application/cloudevents-batch+json; charset=UTF-8",
            format!("[{a},{b}]"),
            vec![a, b],
            ("content-type", "application/cloudevents+json"),
        ),
    ] {
        let answer = running.post("/v1/telemetry", media, &body).await;
        assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(want.len())), "{media}");
        let got = running.ingested();
        assert_eq!(
            got.iter().map(|r| r.body.as_ref()).collect::<Vec<_>>(),
            want.iter().map(|r| r.as_bytes()).collect::<Vec<_>>()
        );
        for record in got {
            assert_eq!(*record.headers, [(logged.0.into(), logged.1.into())], "{media}");
        }
    }
    let event = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "7"),
        ("ce-source", "/kserve"),
        ("ce-type", "org.kubeflow.serving.inference.request"),
        ("ce-inferenceservicename", "fraud"),
    ];
    assert_eq!(running.ask("POST", "/v1/telemetry", &event, a.as_bytes()).await.status, 202);
    let headers = running.ingested()[0].headers.clone();
    let value = |name: &str| {
        headers.iter().find(|(n, _)| n == name).map(|(_, v)| String::from_utf8_lossy(v).into_owned())
    };
    assert_eq!(value("ce_inferenceservicename").as_deref(), Some("fraud"));
    assert_eq!(value("ce_id").as_deref(), Some("7"));
    assert_eq!(value("content-type").as_deref(), Some("application/json"));
}

#[tokio::test]
async fn broken_telemetry_is_refused_by_line() {
    let running = Running::start("body_bytes_max = 2000\nrecord_bytes_max = 300\nrecords_max = 20").await;
    let some =
        running.post("/v1/telemetry", "application/x-ndjson", "{\"a\":1}\n{\"a\":\n{\"b\":2}\nnope").await;
    assert_eq!(some.status, 207);
    assert_eq!(some.json()["accepted"], 2);
    let lines: Vec<_> =
        some.json()["rejected"].as_array().unwrap().iter().map(|r| r["line"].clone()).collect();
    assert_eq!((lines, &some.json()["rejected_total"]), (vec![json!(2), json!(4)], &json!(2)));
    assert_eq!(running.ingested().len(), 2);

    let long = "x".repeat(400);
    for (name, media, body, status, word) in [
        ("nothing", "application/x-ndjson", String::new(), 400, "no-records"),
        ("blank", "application/x-ndjson", "\n\n".into(), 400, "no-records"),
        ("empty array", "application/json", "[]".into(), 400, "no-records"),
        ("no JSON", "application/x-ndjson", "hello".into(), 400, "malformed"),
        ("half an array", "application/json", "[{},".into(), 400, "malformed"),
        ("long record", "application/json", format!("{{\"a\":\"{long}\"}}"), 400, "malformed"),
        ("many records", "application/x-ndjson", "{}\n".repeat(21), 413, "too-many-records"),
        ("long body", "application/x-ndjson", "{}\n".repeat(1000), 413, "body-too-large"),
        ("text", "text/plain", "{}".into(), 415, "content-type"),
        ("form", "application/x-www-form-urlencoded", "{}".into(), 415, "content-type"),
    ] {
        let answer = running.post("/v1/telemetry", media, &body).await;
        let problem = answer.problem();
        assert_eq!((problem.status, problem.kind.clone()), (status, format!("urn:tocsin:{word}")), "{name}");
        assert!(!String::from_utf8_lossy(&answer.body).contains(&long), "{name}: no value is repeated");
    }
    let gzip = [("content-type", "application/json"), ("content-encoding", "gzip")];
    assert_eq!(running.ask("POST", "/v1/telemetry", &gzip, b"{}").await.status, 415);
    let chunked = [("content-type", "application/json"), ("transfer-encoding", "chunked")];
    let body = format!("bb8\r\n{}\r\n0\r\n\r\n", "x".repeat(3000));
    assert_eq!(running.ask("POST", "/v1/telemetry", &chunked, body.as_bytes()).await.status, 413);
    assert!(running.ingested().is_empty());
}

#[tokio::test]
async fn a_slow_or_cut_body_frees_its_place() {
    let running = Running::start("body_timeout_s = 1\ningest_concurrent_max = 1").await;
    let mut slow = TcpStream::connect(running.address).await.unwrap();
    let head = format!(
        "POST /v1/telemetry HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        running.address
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut first = vec![0; 4096];
    tokio::time::sleep(Duration::from_millis(100)).await;
    let busy = running.post("/v1/telemetry", "application/json", "{}").await;
    assert_eq!((busy.status, busy.headers["retry-after"].as_str()), (503, "1"));
    let n = slow.read(&mut first).await.unwrap();
    assert_eq!(parsed(&first[..n]).status, 408);
    assert_eq!(running.post("/v1/telemetry", "application/json", "{}").await.status, 202);

    let mut cut = TcpStream::connect(running.address).await.unwrap();
    cut.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(cut);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(running.post("/v1/telemetry", "application/json", "{}").await.status, 202);
    assert_eq!(running.ingested().len(), 2);
}

#[tokio::test]
async fn rates_are_bounded() {
    let running = Running::start("records_per_s = 10").await;
    let twenty = "{}\n".repeat(20);
    assert_eq!(running.post("/v1/telemetry", "application/x-ndjson", &twenty).await.status, 202);
    let over = running.post("/v1/telemetry", "application/x-ndjson", "{}").await;
    assert_eq!(over.status, 429);
    assert_eq!(over.headers["retry-after"], "1");
    assert_eq!(running.ingested().len(), 20);

    let running = Running::start("requests_per_s = 3").await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(running.get("/v1/status").await.status);
    }
    assert_eq!(statuses[..3], [200; 3]);
    assert!(statuses[3..].contains(&429), "{statuses:?}");
    assert_eq!(running.get("/healthz").await.status, 200, "health is always answered");
    assert_eq!(running.get("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_bounded_in_number_and_time() {
    let running = Running::start("concurrent_max = 2\ncall_timeout_s = 1").await;
    let release = running.hold_the_gate();
    let address = running.address;
    let waiting: Vec<_> = (0..2)
        .map(|_| tokio::spawn(async move { ask(address, "GET", "/v1/status", &[], b"").await.status }))
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(running.get("/v1/status").await.problem().kind, "urn:tocsin:busy");
    assert_eq!(running.get("/healthz").await.status, 200);
    assert_eq!(running.get("/readyz").await.status, 200);
    for call in waiting {
        assert_eq!(call.await.unwrap(), 504);
    }
    assert_eq!(running.get("/v1/inbox").await.status, 503, "what still runs holds its place");
    release();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(running.get("/v1/status").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_chain_is_checked_by_one_at_a_time() {
    let running = Running::start("call_timeout_s = 1").await;
    let release = running.hold_the_gate();
    assert_eq!(running.get("/v1/audit/verify").await.status, 504, "the gate holds it");
    let second = running.get("/v1/audit/verify").await;
    assert_eq!((second.status, second.headers["retry-after"].as_str()), (503, "1"));
    assert!(second.problem().detail.contains("checks of the audit chain"), "{}", second.problem().detail);
    assert_eq!(running.get("/v1/audit").await.status, 200, "what reads a page of it goes on");
    release();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(running.get("/v1/audit/verify").await.status, 200);
}

#[tokio::test]
async fn context_is_taken_whole_or_not_at_all() {
    let running = Running::start("").await;
    let good = r#"{"kind":"deployment","model":"m","version":"1","event_time":1772445600000}"#;
    let lineage = r#"{"kind":"lineage","subject":{"kind":"model","name":"m"},"event_time":0,"upstream":[{"kind":"dataset","name":"d"}]}"#;
    let both = running.post("/v1/context", "application/x-ndjson", format!("{good}\n{lineage}")).await;
    assert_eq!((both.status, both.json()), (202, json!({"accepted": 2})));
    assert_eq!(running.memory.context.lock().unwrap().len(), 2);
    for bad in [
        r#"{"kind":"deployment","model":"m"}"#,
        r#"{"kind":"deployment","model":"","version":"1","event_time":0}"#,
        r#"{"kind":"profile","model":"m"}"#,
        r#"{"kind":"other"}"#,
        "nope",
    ] {
        let answer = running.post("/v1/context", "application/x-ndjson", format!("{good}\n{bad}")).await;
        assert_eq!((answer.status, answer.problem().rejected.len()), (400, 1), "{bad}");
    }
    assert_eq!(running.memory.context.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_not_http_ends_one_connection() {
    let running = Running::start("").await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00hello"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/telemetry HTTP/1.1\r\ncontent-length: x\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut raw = Vec::new();
        _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut raw))
            .await
            .expect("it closes");
    }
    let many: String = (0..3000).map(|i| format!("x-h{i}: {}\r\n", "v".repeat(40))).collect();
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    _ = stream.write_all(format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{many}\r\n").as_bytes()).await;
    let mut raw = Vec::new();
    _ = stream.read_to_end(&mut raw).await;
    assert!(raw.is_empty() || parsed(&raw).status == 431, "{}", String::from_utf8_lossy(&raw));
    assert_eq!(running.get("/healthz").await.status, 200);
}
