//! A whole process takes what Alertmanager and PagerDuty send.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use runtime::log::embedded::EmbeddedLog;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use wire::id::hex;

use crate::app::{App, Options};
use crate::args::Role;

const SECRET: &str = "a_webhook_secret_as_pagerduty_makes_it";
const CONFIG: &str = r#"
[http]
address = "127.0.0.1:0"
pagerduty_secret_file = "secret"
[receiver.inbox]
type = "inbox"
[[route]]
policy = "default"
[policy.default]
steps = [{ targets = ["inbox/ada"], delay_s = 3600 }]
"#;

struct Here {
    app: App,
    dir: PathBuf,
}

impl Here {
    fn start() -> Self {
        let dir = std::env::temp_dir().join(format!("tocsin-inbound-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("secret"), SECRET).unwrap();
        let checked = crate::config::parse(&dir.join("tocsin.toml"), CONFIG)
            .unwrap_or_else(|faults| panic!("{}", faults[0]));
        let options = Options { roles: vec![Role::Escalate], stop: Arc::default(), client_file: None };
        let app = App::start(EmbeddedLog::in_memory(), &checked, options)
            .unwrap_or_else(|failure| panic!("{failure:?}"));
        let here = Self { app, dir };
        until("it is ready", || here.app.is_ready().then_some(()));
        here
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.app.address)
    }

    fn send(&self, alerts: &[Value]) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let body = json!({"version": "4", "alerts": alerts}).to_string();
        ureq::post(self.url("/v1/inbound/alertmanager")).content_type("application/json").send(body)
    }

    fn alerts(&self, alerts: &[Value]) -> [u64; 3] {
        let mut answer = self.send(alerts).unwrap();
        let said: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        assert_eq!(said["refused"], 0, "{said}");
        ["raised", "repeated", "cleared"].map(|name| said[name].as_u64().unwrap())
    }

    fn event(&self, id: &str, kind: &str, alert: &Value) -> Value {
        let agent = json!({"type": "user_reference", "summary": "Ada Lovelace"});
        let event = json!({"id": id, "event_type": kind, "agent": agent, "data": {"incident_key": alert}});
        let body = json!({"event": event}).to_string();
        let signature = format!("v1={}", hex(&hmac(SECRET.as_bytes(), body.as_bytes())));
        let url = self.url("/v1/inbound/pagerduty");
        let mut answer = ureq::post(&url).header("x-pagerduty-signature", signature).send(body).unwrap();
        assert_eq!(answer.status(), 202);
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
    }

    fn get(&self, path: &str) -> Value {
        let text = ureq::get(self.url(path)).call().unwrap().body_mut().read_to_string().unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Open incidents by their titles.
    fn open(&self) -> Vec<(String, Value)> {
        let page = self.get("/v1/incidents");
        let title = |view: &Value| view["incident"]["title"].as_str().unwrap().to_owned();
        let mut open: Vec<_> =
            page["incidents"].as_array().unwrap().iter().map(|view| (title(view), view.clone())).collect();
        open.sort_by(|a, b| a.0.cmp(&b.0));
        open
    }

    fn until_open(&self, titles: &[&str]) -> Vec<(String, Value)> {
        until(&format!("{titles:?} are open"), || {
            Some(self.open()).filter(|open| open.iter().map(|(title, _)| title).eq(titles))
        })
    }
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1_000 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("not within 20 s: {what}")
}

/// RFC 2104, for secrets of at most one block.
fn hmac(secret: &[u8], text: &[u8]) -> [u8; 32] {
    let pad = |with: u8| -> Vec<u8> { (0..64).map(|i| secret.get(i).unwrap_or(&0) ^ with).collect() };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

/// An alert about a model; several of one model are told apart by nothing but their names and fingerprints.
fn alert(name: &str, status: &str, starts_at: &str) -> Value {
    json!({
        "status": status, "labels": {"alertname": name, "model": "fraud", "severity": "page"},
        "startsAt": starts_at, "fingerprint": format!("f{name}"),
    })
}

#[test]
fn from_an_alert_to_its_end() {
    let here = Here::start();
    let at = "2026-03-02T10:00:00.123Z";
    assert_eq!(here.alerts(&[alert("A", "firing", at), alert("B", "firing", at)]), [2, 0, 0]);
    let open = here.until_open(&["A", "B"]);
    assert_ne!(open[0].1["incident"]["incident_id"], open[1].1["incident"]["incident_id"]);
    assert_eq!(open[0].1["incident"]["subject"], json!({"kind": "model", "name": "fraud"}));
    assert_eq!(
        (&open[0].1["incident"]["source"], &open[0].1["incident"]["severity"]),
        (&json!("import"), &json!("sev2"))
    );
    assert_eq!(here.alerts(&[alert("A", "firing", at), alert("B", "firing", at)]), [0, 2, 0]);
    // After a restart there it may begin at another time.
    assert_eq!(here.alerts(&[alert("A", "firing", "2026-03-02T10:07:00Z")]), [0, 1, 0]);

    // Somebody takes A in PagerDuty: the key is that of the page.
    let key = until("A is paged", || here.open()[0].1["pages"][0].get("alert_key").cloned());
    let done = here.event("E1", "incident.acknowledged", &key);
    assert_eq!(
        (&done["done"], &done["incident_id"]),
        (&json!("acknowledged"), &open[0].1["incident"]["incident_id"])
    );
    let taken = until("it is acknowledged", || {
        Some(here.open().remove(0).1).filter(|view| view["stage"] == "acknowledged")
    });
    assert_eq!(taken["owner"], "pagerduty:Ada Lovelace");
    assert!(taken["next_step_at"].is_null(), "nobody is paged any more: {taken}");
    for id in ["E1", "E2"] {
        assert_eq!(here.event(id, "incident.acknowledged", &key)["ignored"], "it is acknowledged already");
    }
    let unknown = wire::AlertKey::of(&[b"unknown"]);
    let ignored = here.event("E3", "incident.resolved", &json!(unknown));
    assert_eq!(ignored["ignored"], "no incident here has this alert");
    assert_eq!(here.open()[1].1["stage"], "open", "B is still nobody's");

    // Each ends for itself, whichever start it names, and once.
    assert_eq!(here.alerts(&[alert("A", "resolved", "2026-03-02T10:07:00Z")]), [0, 0, 1]);
    here.until_open(&["B"]);
    assert_eq!(here.alerts(&[alert("A", "resolved", at)]), [0, 1, 0]);
    // It fires still for who has not heard that it is over; anew it is another incident.
    assert_eq!(here.alerts(&[alert("A", "firing", at)]), [0, 1, 0]);
    assert_eq!(here.alerts(&[alert("A", "firing", "2026-03-02T11:00:00Z")]), [1, 0, 0]);
    here.until_open(&["A", "B"]);

    // It is over before it is shown; of what nobody knows nothing comes.
    assert_eq!(here.alerts(&[alert("D", "firing", at), alert("D", "resolved", at)]), [1, 0, 1]);
    assert_eq!(here.alerts(&[alert("C", "resolved", at)]), [0, 0, 1]);
    until("D has ended", || Some(here.get("/v1/incidents?state=all")).filter(|all| all["total"] == 4));
    here.until_open(&["A", "B"]);
    let resolved = here.event("E4", "incident.resolved", &here.open()[1].1["pages"][0]["alert_key"]);
    assert_eq!(resolved["done"], "resolved");
    let resolved =
        until("B is resolved", || Some(here.open().remove(1).1).filter(|view| view["stage"] == "resolved"));
    assert_eq!(resolved["done_by"], "pagerduty:Ada Lovelace");
    assert_eq!(here.get("/v1/incidents?state=all")["total"], 4, "A twice, B and D");

    let metrics = ureq::get(here.url("/metrics")).call().unwrap().body_mut().read_to_string().unwrap();
    for line in [
        "tocsin_inbound_total{from=\"alertmanager\",outcome=\"raised\"} 4",
        "tocsin_inbound_total{from=\"pagerduty\",outcome=\"acknowledged\"} 1",
        "tocsin_inbound_total{from=\"pagerduty\",outcome=\"ignored\"} 3",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let dir: &Path = &here.dir;
    std::fs::remove_dir_all(dir).unwrap();
    here.app.stop().unwrap_or_else(|failure| panic!("{failure:?}"));
}
