//! Kafka through a client that is not ours: `kcat`, as it comes with Debian.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// The Kafka that tests may use, if one is named. Where it is not, says in plain words what is not tested.
#[must_use]
pub fn kafka(what: &str) -> Option<String> {
    let named = crate::env("TOCSIN_TEST_KAFKA");
    if named.is_none() {
        crate::not_tested(&format!("{what}. Name a Kafka: TOCSIN_TEST_KAFKA=$(tests/kafka/kafka.sh start)"));
        return None;
    }
    assert!(
        Command::new("kcat").arg("-V").output().is_ok(),
        "a Kafka is named, but `kcat` is missing (Debian: kcat)"
    );
    named
}

/// A namespace that no run before has used.
///
/// # Panics
/// Never in this century.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a name that was never used before")]
pub fn namespace(name: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    format!("test-{name}-{:x}", now.as_nanos() & 0xff_ffff_ffff)
}

/// One record as kcat prints it with `-J`.
#[derive(Clone, Debug)]
pub struct Consumed {
    pub key: String,
    /// Null for a tombstone.
    pub value: Value,
    pub headers: Value,
}

fn consumed(line: &str) -> Consumed {
    let envelope: Value =
        serde_json::from_str(line).unwrap_or_else(|e| panic!("kcat wrote no JSON ({e}): {line}"));
    let text = |name: &str| envelope.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let payload = text("payload");
    let value = if payload.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&payload).unwrap_or_else(|e| panic!("no JSON ({e}): {payload}"))
    };
    Consumed { key: text("key"), value, headers: envelope.get("headers").cloned().unwrap_or(Value::Null) }
}

fn consumer(brokers: &str, topic: &str) -> Command {
    let mut command = Command::new("kcat");
    command.args(["-b", brokers, "-C", "-t", topic, "-o", "beginning", "-J", "-u", "-q"]);
    command.args(["-X", "isolation.level=read_committed"]).stdin(Stdio::null());
    command
}

/// Everything that is committed on a topic now.
///
/// # Panics
/// When kcat fails.
#[must_use]
pub fn consume(brokers: &str, topic: &str) -> Vec<Consumed> {
    let output = consumer(brokers, topic).arg("-e").output().expect("kcat is installed");
    assert!(output.status.success(), "kcat: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(consumed).collect()
}

/// Writes records with their keys, each one line.
///
/// # Panics
/// When kcat fails.
pub fn produce(brokers: &str, topic: &str, records: &[(String, String)]) {
    let mut child = Command::new("kcat")
        .args(["-b", brokers, "-P", "-t", topic, "-K", "\t", "-X", "topic.partitioner=murmur2_random"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("kcat is installed");
    let mut to = child.stdin.take().expect("piped");
    for (key, value) in records {
        writeln!(to, "{key}\t{value}").expect("kcat reads");
    }
    drop(to);
    assert!(child.wait().expect("it was started").success(), "kcat could not write");
}

/// A pager that follows a topic while things happen. Ends when dropped.
pub struct Follower {
    child: Child,
    seen: Arc<Mutex<Vec<Consumed>>>,
}

impl Follower {
    /// From the first record on.
    ///
    /// # Panics
    /// When kcat cannot be started.
    #[must_use]
    pub fn start(brokers: &str, topic: &str) -> Self {
        let mut child = consumer(brokers, topic).stdout(Stdio::piped()).spawn().expect("kcat is installed");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let taking = Arc::clone(&seen);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                taking.lock().expect("nobody panics with it").push(consumed(&line));
            }
        });
        Self { child, seen }
    }

    /// What it has been told so far.
    ///
    /// # Panics
    /// Never: nobody panics with it in hand.
    pub fn seen(&self) -> MutexGuard<'_, Vec<Consumed>> {
        self.seen.lock().expect("nobody panics with it")
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
