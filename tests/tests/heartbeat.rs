//! Signs of life to a checker outside: they come while all is well, and stop where the log hangs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tocsin_tests::gauntlet::Cluster;
use tocsin_tests::home::Home;
use tocsin_tests::process::Process;
use tocsin_tests::{env, foreign, home, not_tested, wait};

/// A checker: takes what comes. Ends with the test.
struct Checker {
    url: String,
    signs: Arc<Mutex<Vec<String>>>,
}

impl Checker {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/ping/a-secret", listener.local_addr().unwrap());
        let signs = Arc::new(Mutex::new(vec![]));
        let heard = Arc::clone(&signs);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(&stream);
                let (mut head, mut length) = (String::new(), 0);
                while reader.read_line(&mut head).unwrap_or(0) > 2 {
                    let last = head.lines().last().unwrap_or_default().to_ascii_lowercase();
                    let found = last.strip_prefix("content-length:").and_then(|n| n.trim().parse().ok());
                    length = found.unwrap_or(length);
                }
                let mut body = vec![0; length];
                if reader.read_exact(&mut body).is_ok() {
                    assert!(head.starts_with("POST /ping/a-secret HTTP/1.1"), "{head}");
                    heard.lock().unwrap().push(String::from_utf8(body).unwrap());
                }
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                (&stream).write_all(answer).unwrap_or_default();
            }
        });
        Self { url, signs }
    }

    fn heard(&self) -> usize {
        self.signs.lock().unwrap().len()
    }

    fn hears_more(&self, than: usize) {
        wait::until("signs of life come", || (self.heard() > than + 1).then_some(()));
    }
}

fn configure(home: &Home, checker: &Checker) {
    home.write("checker.url", &checker.url);
    home.configure(
        r#"
        [receiver.checker]
        type = "heartbeat"
        url_file = "checker.url"
        allow_private = true
        [heartbeat]
        receiver = "checker"
        every_s = 1
        "#,
    );
}

#[test]
fn signs_of_life_come_while_all_is_well() {
    let (home, checker) = (home!("heartbeat"), Checker::start());
    configure(&home, &checker);
    let process = Process::start(&home, &[]);
    checker.hears_more(1);
    assert_eq!(checker.signs.lock().unwrap()[0], "tocsin default 1");
    let metrics = process.get("/metrics").unwrap().text;
    assert!(metrics.contains("tocsin_heartbeats_total{outcome=\"sent\"}"), "{metrics}");
    let (ended, said) = process.terminate();
    assert!(ended.success() && !said.contains("a-secret"), "{said}");
}

#[test]
fn what_cannot_be_is_told_of_before_it_runs() {
    let checker = "[receiver.checker]\ntype = \"heartbeat\"\n";
    for (config, want) in [
        (format!("{checker}url_env = \"TOCSIN_TEST_NO_SUCH\""), "environment variable TOCSIN_TEST_NO_SUCH"),
        ("[heartbeat]\nreceiver = \"checker\"".into(), "there is no receiver \"checker\""),
        ("[heartbeat]\nreceiver = \"inbox\"".into(), "receiver \"inbox\" is of type inbox, not heartbeat"),
        (
            "[canary]\nevery_s = 60".into(),
            "every_s = 60 is not between 600 (300 beyond [judge] recovery_s) and 86400",
        ),
        (
            "[canary]".into(),
            "the canary would page by policy \"tickets\": write a [[route]] with drill = true",
        ),
    ] {
        let home = home!("heartbeat-check");
        home.configure(&config);
        let checked = home.command(&["check"]).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(!checked.status.success() && said.contains(want), "{config}: {said}");
    }
}

#[test]
fn where_the_log_hangs_none_comes() {
    let Some(port) = env("TOCSIN_TEST_ENDING_PORT") else {
        return not_tested(
            "signs of life where Kafka hangs: TOCSIN_TEST_ENDING_PORT=29692, where it starts one",
        );
    };
    let cluster = Cluster::start(1, port.parse().unwrap());
    let (namespace, checker) = (foreign::namespace("heartbeat"), Checker::start());
    let home = home!(&namespace);
    home.configure(&format!("namespace = \"{namespace}\"\n[log]\nbrokers = \"{}\"", cluster.brokers));
    configure(&home, &checker);
    let process = Process::start(&home, &[]);
    checker.hears_more(0);
    cluster.hang();
    let stops = wait::within(Duration::from_secs(30), || {
        process.said().contains("no sign of life is sent").then_some(())
    });
    assert!(stops.is_some(), "it goes on for 30 s: {}", process.said());
    let last = checker.heard();
    wait::stays("none comes", Duration::from_secs(5), || checker.heard() == last);
    cluster.wake();
    checker.hears_more(last);
    let (ended, said) = process.terminate();
    assert!(ended.success(), "{said}");
}
