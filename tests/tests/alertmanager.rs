//! A real Prometheus Alertmanager takes a page, shows it, keeps showing it, and sees it resolved.

use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tocsin_tests::fed::{Feed, as_it_is, slower};
use tocsin_tests::home;
use tocsin_tests::home::Home;
use tocsin_tests::process::Process;
use tocsin_tests::{wait, web};

const MINUTE_MS: i64 = 60_000;
const PACE: u32 = 120;

/// Alertmanager on a free port. Ends when dropped.
struct Alertmanager {
    child: Child,
    url: String,
}

impl Alertmanager {
    /// `None` where it is not installed.
    fn start(home: &Home) -> Option<Self> {
        let names = ["prometheus-alertmanager", "alertmanager"];
        let name = names.into_iter().find(|name| Command::new(name).arg("--version").output().is_ok())?;
        let config =
            home.write("alertmanager.yml", "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n");
        let port = tocsin_tests::free_port();
        let child = Command::new(name)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", home.path("alertmanager").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it answered --version");
        let url = format!("http://127.0.0.1:{port}");
        let started = Self { child, url };
        wait::until("Alertmanager is ready", || {
            web::get(&format!("{}/-/ready", started.url)).ok().filter(|a| a.status == 200)
        });
        Some(started)
    }

    /// Alerts that fire now.
    fn alerts(&self) -> Vec<Value> {
        let answer = web::get(&format!("{}/api/v2/alerts?active=true", self.url)).expect("it answers");
        answer.ok().as_array().cloned().expect("a list")
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn an_alert_fires_holds_and_is_resolved() {
    let home = home!("alertmanager");
    let Some(alertmanager) = Alertmanager::start(&home) else {
        tocsin_tests::not_tested(
            "pages to a real Prometheus Alertmanager; none is installed (Debian: prometheus-alertmanager)",
        );
        return;
    };
    home.pin_references_of(&["fraud"]);
    home.configure(&format!(
        r#"
        [receiver.alertmanager]
        type = "alertmanager"
        urls = ["{}"]
        resend_s = 2
        hold_s = 10
        labels = {{ team = "risk" }}
        [policy.default]
        steps = [{{ targets = ["alertmanager/on-call"], delay_s = 3600 }}]
        "#,
        alertmanager.url
    ));
    let process = Process::start(&home, &[]);
    let mut feed = Feed::new(&["fraud"], 1.0);
    feed.play(&process, 5 * MINUTE_MS, PACE, as_it_is);
    assert_eq!(alertmanager.alerts(), Vec::<Value>::new(), "nothing is wrong yet");
    let one = || alertmanager.alerts().into_iter().next();
    let alert = feed.play_until(&process, "an alert", (30 * MINUTE_MS, PACE), slower("fraud", 4.0), one);
    let labels = &alert["labels"];
    assert_eq!((&labels["team"], &labels["subject"]), (&"risk".into(), &"fraud".into()), "{alert:#}");
    assert_eq!(alert["status"]["state"], "active");
    let fingerprint = alert["fingerprint"].as_str().expect("it has one").to_owned();
    let fires = || {
        let alerts = alertmanager.alerts();
        alerts.len() == 1 && alerts[0]["fingerprint"] == fingerprint.as_str()
    };

    // It would end by itself after 10 s: it is kept alive, by the same process and by its successor.
    let longer_than_held = std::time::Duration::from_secs(13);
    wait::stays("the alert fires", longer_than_held, fires);
    process.kill();
    let process = Process::start(&home, &[]);
    wait::until("the alert fires again", || fires().then_some(()));
    wait::stays("the alert fires after a restart", longer_than_held, fires);

    let gone = || alertmanager.alerts().is_empty().then_some(());
    feed.play_until(&process, "the alert is resolved", (60 * MINUTE_MS, PACE), as_it_is, gone);
    let view = &home.json(&["incidents", "--all"])[0];
    assert_eq!(view["signal"], "cleared", "{view:#}");
    let (ended, said) = process.terminate();
    assert!(ended.success(), "{ended}: {said}");
}
