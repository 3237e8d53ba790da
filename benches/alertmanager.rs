//! The load and the kills of `tests/tests/flood.rs` on two Alertmanagers that know of each other, as a Prometheus feeds them:
//! how many alerts nobody is told of, and how many are told again.
//!
//! A minute of 1,000 alerts a second comes first; then one of the two is killed in turn. Needs Alertmanager (Debian:
//! prometheus-alertmanager). `TOCSIN_BENCH_KILLS` (100), `TOCSIN_BENCH_RATE` alerts a second from then on (100),
//! `TOCSIN_BENCH_EVERY` seconds between kills (10).
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark is set up by the environment and reads the clock"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tocsin_benches::running::ask;
use tocsin_benches::web::{listen, read_request};
use tocsin_benches::{machine, now};
use wire::Timestamp;

/// How often a Prometheus says again what still fires (its `rules.alert.resend-delay`).
const AGAIN_MS: i64 = 60_000;
const AGAIN: Duration = Duration::from_millis(AGAIN_MS.unsigned_abs());
const EVERY: Duration = Duration::from_millis(100);
/// For so long nobody is killed, and so many come each second.
const HIGH: Duration = Duration::from_secs(60);
const HIGH_RATE: u64 = 1_000;
/// For what is on its way when the last new alert was written: long enough for all to be said twice more.
const QUIET: Duration = Duration::from_secs(150);

fn main() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
    };
    let (kills, rate) = (number("TOCSIN_BENCH_KILLS", 100), number("TOCSIN_BENCH_RATE", 100));
    let every = Duration::from_secs(number("TOCSIN_BENCH_EVERY", 10));
    let names = ["prometheus-alertmanager", "alertmanager"];
    let found = names.into_iter().find(|name| Command::new(name).arg("--version").output().is_ok());
    let Some(program) = found else {
        println!("not measured: no Alertmanager is installed");
        return;
    };
    let version = Command::new(program).arg("--version").output().expect("it is there");
    let version = [version.stdout, version.stderr].concat();
    println!("machine: {}", machine());
    println!("{}", String::from_utf8_lossy(&version).lines().next().unwrap_or_default());
    let told = Arc::new(Mutex::new(BTreeMap::new()));
    let dir = std::env::temp_dir().join(format!("alertmanagers-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let pair = Pair::new(program, &dir, &receive(Arc::clone(&told)));
    let mut running: [Child; 2] = [pair.start(0), pair.start(1)];
    std::thread::sleep(Duration::from_secs(5));

    let flags = || Arc::new(AtomicBool::new(false));
    let (no_more, end, written) = (flags(), flags(), Arc::new(AtomicUsize::new(0)));
    let (last, ended, count) = (Arc::clone(&no_more), Arc::clone(&end), Arc::clone(&written));
    let addresses = pair.web.clone();
    let prometheus = std::thread::spawn(move || feed(&addresses, rate, [&last, &ended], &count));
    std::thread::sleep(HIGH);
    println!("{} alerts in the first {} s", written.load(Ordering::Relaxed), HIGH.as_secs());
    for n in 0..kills {
        std::thread::sleep(every);
        let which = usize::try_from(n % 2).expect("one of two");
        running[which].kill().expect("ours");
        running[which].wait().expect("ours");
        running[which] = pair.start(which);
    }
    no_more.store(true, Ordering::Relaxed);
    std::thread::sleep(QUIET);
    end.store(true, Ordering::Relaxed);
    prometheus.join().expect("to the end");
    for mut one in running {
        one.kill().expect("ours");
        one.wait().expect("ours");
    }
    std::fs::remove_dir_all(dir).expect("ours");
    let (written, told) = (written.load(Ordering::Relaxed), told.lock().expect("nobody panics"));
    let lost = (0..written).filter(|n| !told.contains_key(n)).count();
    let again: usize = told.values().map(|times| times - 1).sum();
    let doubled = told.values().filter(|times| **times > 1).count();
    println!("{written} alerts, {kills} kill -9, one of two in turn every {} s:", every.as_secs());
    println!("{lost} of which nobody was told, {doubled} told again ({again} more messages than alerts)");
}

/// Two of them, each with a folder and ports of its own.
struct Pair {
    program: &'static str,
    dir: PathBuf,
    web: Vec<String>,
    cluster: Vec<String>,
}

impl Pair {
    fn new(program: &'static str, dir: &Path, receiver: &str) -> Self {
        let address = || {
            let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
            format!("127.0.0.1:{}", port.port())
        };
        // Each alert is a message of its own, at once, and is not said again.
        let config = format!(
            "route: {{receiver: hook, group_by: ['...'], group_wait: 0s, group_interval: 1m, repeat_interval: 24h}}\n\
             receivers: [{{name: hook, webhook_configs: [{{url: '{receiver}', send_resolved: false}}]}}]\n"
        );
        std::fs::write(dir.join("alertmanager.yml"), config).expect("a file");
        let [web, cluster] = [(); 2].map(|()| (0..2).map(|_| address()).collect());
        Self { program, dir: dir.to_owned(), web, cluster }
    }

    fn start(&self, which: usize) -> Child {
        Command::new(self.program)
            .arg(format!("--config.file={}", self.dir.join("alertmanager.yml").display()))
            .arg(format!("--storage.path={}", self.dir.join(which.to_string()).display()))
            .arg(format!("--web.listen-address={}", self.web[which]))
            .arg(format!("--cluster.listen-address={}", self.cluster[which]))
            .arg(format!("--cluster.peer={}", self.cluster[1 - which]))
            .arg("--cluster.advertise-address")
            .arg(&self.cluster[which])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it answered --version")
    }
}

/// As a Prometheus: what is new to both, and every minute all that fires.
fn feed(addresses: &[String], rate: u64, [no_more, end]: [&AtomicBool; 2], written: &AtomicUsize) {
    let (began, mut next) = (Instant::now(), AGAIN);
    let mut starts: Vec<Timestamp> = vec![];
    while !end.load(Ordering::Relaxed) {
        std::thread::sleep(EVERY);
        let passed = began.elapsed();
        let of = |passed: Duration, rate: u64| passed.as_millis() * u128::from(rate) / 1_000;
        let due = of(passed.min(HIGH), HIGH_RATE) + of(passed.saturating_sub(HIGH), rate);
        let due = usize::try_from(due).expect("fits");
        let from = if passed >= next { 0 } else { starts.len() };
        if from == 0 {
            next = passed + AGAIN;
        }
        if !no_more.load(Ordering::Relaxed) {
            starts.resize(due.max(starts.len()), now());
        }
        for chunk in (from..starts.len()).collect::<Vec<_>>().chunks(1_000) {
            let mut alerts = String::from("[");
            for n in chunk {
                let comma = if alerts.len() > 1 { "," } else { "" };
                let ends = now().plus_ms(4 * AGAIN_MS);
                write!(
                    alerts,
                    r#"{comma}{{"labels":{{"alertname":"flood","n":"{n}"}},"startsAt":"{}","endsAt":"{ends}"}}"#,
                    starts[*n]
                )
                .expect("a string");
            }
            alerts.push(']');
            for address in addresses {
                // One that was just killed is told again in a minute.
                drop(ask(address, "POST /api/v2/alerts", &alerts));
            }
        }
        written.store(starts.len(), Ordering::Relaxed);
    }
}

#[derive(Deserialize)]
struct Message {
    alerts: Vec<Alert>,
}

#[derive(Deserialize)]
struct Alert {
    labels: BTreeMap<String, String>,
}

/// Counts how often each alert is told of.
fn receive(told: Arc<Mutex<BTreeMap<usize, usize>>>) -> String {
    listen(move |stream| serve(stream, &told))
}

/// One message: each connection is for one, as thousands would lie open.
fn serve(mut stream: &TcpStream, told: &Mutex<BTreeMap<usize, usize>>) -> std::io::Result<()> {
    let Some((_, body)) = read_request(&mut BufReader::new(stream))? else { return Ok(()) };
    let message: Message = serde_json::from_slice(&body).map_err(std::io::Error::other)?;
    let mut told = told.lock().expect("nobody panics");
    for alert in message.alerts {
        if let Some(n) = alert.labels.get("n").and_then(|n| n.parse().ok()) {
            *told.entry(n).or_default() += 1;
        }
    }
    drop(told);
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}
