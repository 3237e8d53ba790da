//! `tocsin run` of the release build, on a real Kafka, as the benchmarks start it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

/// What `host:port` answers to a method and path, with a body of JSON. `None` where it does not.
#[must_use]
pub fn ask(address: &str, what: &str, body: &str) -> Option<String> {
    let mut answer = String::new();
    let mut stream = TcpStream::connect(address).ok()?;
    let (kind, length) = ("Content-Type: application/json", body.len());
    write!(
        stream,
        "{what} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{kind}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .ok()?;
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

const BINARY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/tocsin");

/// A running process; what it keeps on disk goes with it.
pub struct Running {
    process: Child,
    dir: PathBuf,
    address: String,
    said: JoinHandle<String>,
}

impl Running {
    /// Starts it on the Kafka at `brokers`, and waits until it says where it listens. `edit` makes of the config that
    /// `tocsin init` writes what it is to be beside that.
    ///
    /// # Panics
    /// Without the release build, or when it does not start.
    #[must_use]
    pub fn start(brokers: &str, namespace: &str, args: &[&str], edit: impl FnOnce(String) -> String) -> Self {
        let dir = std::env::temp_dir().join(namespace);
        std::fs::create_dir_all(&dir).expect("a folder");
        let template = Command::new(BINARY).args(["init", "-"]).output().expect("cargo build --release");
        let text = String::from_utf8(template.stdout).expect("text");
        let text = text
            .replace("namespace = \"default\"", &format!("namespace = \"{namespace}\""))
            .replace("path = \"tocsin.log\"", &format!("brokers = \"{brokers}\""))
            .replace("127.0.0.1:7311", "127.0.0.1:0");
        std::fs::write(dir.join("tocsin.toml"), edit(text)).expect("a config");
        let mut process = Command::new(BINARY)
            .args(["run", "--json", "--log-format", "json", "--config"])
            .arg(dir.join("tocsin.toml"))
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary");
        let mut stderr = process.stderr.take().expect("piped");
        let said = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).expect("text");
            text
        });
        let mut first = String::new();
        let mut stdout = BufReader::new(process.stdout.take().expect("piped"));
        stdout.read_line(&mut first).expect("a line");
        if first.is_empty() {
            panic!("it does not start: {}", said.join().expect("read"));
        }
        // What it tells from now on is not listened to, and must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        let announced: serde_json::Value = serde_json::from_str(&first).expect("it says where it listens");
        let address = announced["address"].as_str().and_then(|a| a.strip_prefix("http://"));
        Self { process, dir, address: address.expect("an address").to_owned(), said }
    }

    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn is_ready(&mut self) -> bool {
        assert!(self.process.try_wait().expect("ours").is_none(), "it ended");
        self.get("/readyz").is_some()
    }

    /// The body of what it answers with 200.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<String> {
        let answer = self.ask(&format!("GET {path}"), "")?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
    }

    /// Whether it takes this JSON, with 200 to 299.
    #[must_use]
    pub fn post(&self, path: &str, json: &str) -> bool {
        self.ask(&format!("POST {path}"), json).is_some_and(|answer| answer.starts_with("HTTP/1.1 2"))
    }

    fn ask(&self, what: &str, body: &str) -> Option<String> {
        ask(&self.address, what, body)
    }

    /// Memory that it holds, in bytes.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says");
        let kb: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kb * 1024
    }

    /// Kills it. What it said, one JSON object a line.
    ///
    /// # Panics
    /// Never: it is ours.
    pub fn kill(mut self) -> String {
        self.process.kill().expect("ours");
        self.process.wait().expect("ours");
        std::fs::remove_dir_all(&self.dir).expect("ours");
        self.said.join().expect("read")
    }
}
