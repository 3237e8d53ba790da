//! Storms on a real Kafka: with pages folded, how soon the first page to each of a thousand people comes at a thousand
//! incidents a second, and what ten thousand incidents in ten seconds are to one person.
//!
//! Needs `TOCSIN_TEST_KAFKA=host:port` and the release build (`cargo build --release`).
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark is set up by the environment and reads the clock"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use runtime::log::{KafkaConfig, KafkaLog, Log as _, NewRecord};
use serde_json::Value;
use tocsin_benches::machine;
use tocsin_benches::now;
use tocsin_benches::pages::{SECRET, incident};
use tocsin_benches::running::Running;
use tocsin_benches::web::{listen, read_request};
use wire::topic::Topics;

const PEOPLE: usize = 998;
const RATE: usize = 1_000;
const SECONDS: usize = 60;
const AT_ONCE: usize = 10_000;
const EVERY: Duration = Duration::from_millis(10);
/// After the last incident what is held leaves within a minute.
const PATIENCE: Duration = Duration::from_secs(90);

/// A page as it came.
struct Came {
    person: String,
    at: Instant,
    /// Incidents that it speaks for, its own included.
    incidents: u64,
}

fn main() {
    let Ok(brokers) = std::env::var("TOCSIN_TEST_KAFKA") else {
        println!("not measured: name a real Kafka in TOCSIN_TEST_KAFKA (tests/kafka/kafka.sh starts one)");
        return;
    };
    println!("machine: {}, and on it the broker, the receiver and tocsin", machine());
    many(&brokers);
    one(&brokers);
}

/// A thousand people, each with one incident a second.
fn many(brokers: &str) {
    let storm = Storm::start(brokers, "storm", PEOPLE);
    let began = storm.write(RATE, RATE * SECONDS, PEOPLE);
    let came = storm.until_all(RATE * SECONDS);
    let mut first: BTreeMap<&str, Instant> = BTreeMap::new();
    for page in &came {
        let at = first.entry(&page.person).or_insert(page.at);
        *at = page.at.min(*at);
    }
    // The first incident of each person is one of the first, in the order of their numbers.
    let mut took: Vec<Duration> = (0..PEOPLE)
        .map(|n| first[format!("team-{n}").as_str()].saturating_duration_since(began[n]))
        .collect();
    took.sort();
    let at = |share: usize| took[(took.len() - 1) * share / 1_000].as_secs_f64() * 1e3;
    println!(
        "{RATE} incidents a second for {SECONDS} s to {PEOPLE} people, folded: first page of each person median {:.0} ms, \
         p99 {:.0}, longest {:.0}; {} incidents in {} pages",
        at(500),
        at(990),
        at(1_000),
        RATE * SECONDS,
        came.len()
    );
    storm.end();
}

/// All of it to one person.
fn one(brokers: &str) {
    let storm = Storm::start(brokers, "one", 1);
    let began = storm.write(1_000, AT_ONCE, 1);
    let came = storm.until_all(AT_ONCE);
    println!("{AT_ONCE} incidents in {} s to one person: {} pages", AT_ONCE / 1_000, came.len());
    for page in &came {
        let after = page.at.saturating_duration_since(began[0]).as_secs_f64();
        println!("  after {after:.2} s, of {} incidents", page.incidents);
    }
    storm.end();
}

struct Storm {
    tocsin: Running,
    log: KafkaLog,
    topic: String,
    namespace: String,
    arrived: Receiver<Came>,
}

impl Storm {
    fn start(brokers: &str, name: &str, people: usize) -> Self {
        let namespace = format!("{name}-{}", std::process::id());
        let (to, arrived) = channel();
        let url = listen(move |stream| serve(stream, &to));
        let mut tocsin = Running::start(brokers, &namespace, &["--roles", "escalate"], |text| {
            config(&text, &url, &namespace, people)
        });
        while !tocsin.is_ready() {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_secs(10));
        let log = KafkaLog::connect(KafkaConfig::new(brokers)).expect("a Kafka");
        Self { tocsin, log, topic: Topics::of(&namespace).incidents, namespace, arrived }
    }

    /// So many a second. When each was about to be written.
    fn write(&self, rate: usize, n: usize, people: usize) -> Vec<Instant> {
        let (began, mut told) = (Instant::now(), vec![]);
        while told.len() < n {
            let due = (began.elapsed().as_millis() as usize * rate / 1_000 + 1).min(n);
            let (since, at) = (now(), Instant::now());
            let batch: Vec<NewRecord> = (told.len()..due)
                .map(|i| {
                    let incident = incident(&self.namespace, i, people, since);
                    let value = serde_json::to_vec(&incident).expect("plain data");
                    NewRecord::new(self.topic.as_str(), value).key(incident.incident_id.as_str()).partition(0)
                })
                .collect();
            told.resize(due, at);
            self.log.append(&batch).expect("written");
            std::thread::sleep(EVERY);
        }
        told
    }

    /// What comes until so many incidents were spoken for.
    fn until_all(&self, incidents: usize) -> Vec<Came> {
        let (mut came, mut spoken) = (vec![], 0);
        while spoken < incidents as u64 {
            let next = self.arrived.recv_timeout(PATIENCE);
            let next = next.unwrap_or_else(|_| panic!("{spoken} of {incidents} incidents were in a page"));
            spoken += next.incidents;
            came.push(next);
        }
        assert_eq!(spoken, incidents as u64, "some were told twice");
        came
    }

    fn end(self) {
        self.tocsin.kill();
    }
}

/// The config that `tocsin init` writes, with a response bundle in which each owner of an incident is a person.
fn config(text: &str, url: &str, namespace: &str, people: usize) -> String {
    let (mut routes, mut policies, mut persons) = (String::new(), String::new(), String::new());
    for n in 0..people {
        writeln!(routes, "[[route]]\nowner = [\"team-{n}\"]\npolicy = \"team-{n}\"\n").expect("a string");
        let step = format!("{{ targets = [\"person:team-{n}\"], delay_s = 3600 }}");
        writeln!(policies, "[policy.team-{n}]\nsteps = [{step}]\n").expect("a string");
        writeln!(persons, "[person.team-{n}]\ncontact.page = [\"hook/team-{n}\"]\n").expect("a string");
    }
    let rest = "[[route]]\npolicy = \"rest\"\n\n[policy.rest]\nsteps = [{ targets = [\"inbox/x\"], delay_s = 3600 }]\n";
    let dir = std::env::temp_dir().join(namespace);
    let folder = dir.join("response");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("policy.toml"), format!("{routes}{policies}{rest}")).expect("a file");
    std::fs::write(folder.join("people.toml"), persons).expect("a file");
    let secret = dir.join("webhook.secret");
    std::fs::write(&secret, SECRET).expect("a file");
    let mut table: toml::Table = text.parse().expect("its own config");
    table.remove("route");
    table.remove("policy");
    let more = format!(
        "response = \"response\"\n[escalate]\nincidents_max = 1000000\n[receiver.hook]\ntype = \"webhook\"\n\
         url = \"{url}\"\nallow_private = true\nsecret_file = \"{}\"\n",
        secret.display()
    );
    let mut more: toml::Table = more.parse().expect("a table");
    let hook = more["receiver"]["hook"].clone();
    let receivers = table["receiver"].as_table_mut().expect("the inbox is one");
    receivers.insert("hook".into(), hook);
    more.remove("receiver");
    table.extend(more);
    table.to_string()
}

/// Takes every page, and says when its first byte came.
fn serve(mut stream: &TcpStream, arrived: &Sender<Came>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some((first, body)) = read_request(&mut reader)? {
        let body: Value = serde_json::from_slice(&body).expect("a page is JSON");
        let page = &body["data"];
        let others = page["folded"]["others"].as_u64().unwrap_or(0);
        let person = page["person"].as_str().unwrap_or_default().to_owned();
        // Nobody may be listening any more.
        arrived.send(Came { person, at: first, incidents: 1 + others }).unwrap_or_default();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    }
    Ok(())
}
