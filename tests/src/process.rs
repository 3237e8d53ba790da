//! A running `tocsin run`.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::Pid;
use serde_json::Value;

use crate::home::Home;
use crate::{wait, web};

/// A process that was started by a test. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// `http://…` where it listens.
    pub address: String,
    said: Arc<Mutex<String>>,
}

impl Process {
    /// Starts `tocsin run` in `home` and waits until it is ready.
    ///
    /// # Panics
    /// When it ends first, or is not ready in time; shows what it said.
    #[must_use]
    pub fn start(home: &Home, args: &[&str]) -> Self {
        let process = Self::spawn(home, args);
        process.until_ready();
        process
    }

    /// Starts `tocsin run` and waits until it says where it listens.
    ///
    /// # Panics
    /// When it ends first; shows what it said.
    #[must_use]
    pub fn spawn(home: &Home, args: &[&str]) -> Self {
        let mut command = home.command(&["run", "--config", "tocsin.toml", "--json"]);
        command.args(args);
        Self::of(command).unwrap_or_else(|said| panic!("tocsin run did not start {said}"))
    }

    /// Starts this and waits until it says where it listens.
    ///
    /// # Errors
    /// When it ends first: how, and what it said.
    ///
    /// # Panics
    /// When there is no such program.
    pub fn of(mut command: Command) -> Result<Self, String> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program was built with this test");
        let said = Arc::new(Mutex::new(String::new()));
        collect(child.stderr.take().expect("piped"), Arc::clone(&said));
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        let mut first = String::new();
        lines.read_line(&mut first).expect("a line or the end");
        // Whatever it says later goes where the rest of it is.
        let mut process = Self { child, address: String::new(), said: Arc::clone(&said) };
        let announced: Value = serde_json::from_str(&first).unwrap_or(Value::Null);
        match announced.get("address").and_then(Value::as_str) {
            Some(address) => process.address = address.to_owned(),
            None => {
                let status = process.child.wait().expect("it was started");
                return Err(format!("({status}): {first}{}", process.said()));
            }
        }
        collect(lines, said);
        Ok(process)
    }

    /// # Panics
    /// Never: a child has a number.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for the end of one that was killed. What it said.
    ///
    /// # Panics
    /// Never: it was started.
    pub fn ended(mut self) -> String {
        self.child.wait().expect("it was started");
        self.said()
    }

    /// # Panics
    /// When it ends, or is not ready in time; shows what it said.
    pub fn until_ready(&self) {
        let ready = wait::within(wait::PATIENCE, || self.get("/readyz").ok().filter(|a| a.status == 200));
        assert!(ready.is_some(), "not ready: {:?}\n{}", self.get("/readyz"), self.said());
    }

    /// What it has written to standard error, and to standard output after its first line.
    ///
    /// # Panics
    /// Never: nobody panics with the text in hand.
    #[must_use]
    pub fn said(&self) -> String {
        self.said.lock().expect("nobody panics with it").clone()
    }

    /// # Errors
    /// When it does not answer.
    pub fn get(&self, path: &str) -> Result<web::Answer, String> {
        web::get(&format!("{}{path}", self.address))
    }

    /// The JSON at `path`.
    ///
    /// # Panics
    /// When it does not answer 2xx.
    #[must_use]
    pub fn json(&self, path: &str) -> Value {
        self.get(path).unwrap_or_else(|e| panic!("{path}: {e}\n{}", self.said())).ok()
    }

    /// Posts telemetry, one JSON object a line.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn telemetry(&self, lines: &[u8]) -> Result<web::Answer, String> {
        web::post(&format!("{}/v1/telemetry", self.address), "application/x-ndjson", lines)
    }

    #[must_use]
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// When it had ended by itself: then nothing was killed.
    pub fn kill(mut self) -> String {
        assert!(self.runs(), "it had ended before it was killed:\n{}", self.said());
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was started");
        self.said()
    }

    /// Sends it a signal by its name, as an operator would.
    ///
    /// # Panics
    /// When there is nobody to send it to.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().expect("there is a shell");
        assert!(sent.success(), "{kill}: {sent}\n{}", self.said());
    }

    /// Asks it to end as an operator would, waits, and returns how it ended and what it said.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn terminate(self) -> (ExitStatus, String) {
        self.signal("TERM");
        self.wait()
    }

    /// Waits until it ends, and returns how it ended and what it said.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let ended = wait::within(wait::PATIENCE, || self.child.try_wait().expect("it was started"));
        let Some(status) = ended else { panic!("it does not end:\n{}", self.said()) };
        (status, self.said())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails when it has ended, which is just as well.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            show(&self.said());
        }
    }
}

/// The end of what a process said, for whoever looks at a failed test.
#[expect(clippy::print_stderr, reason = "shown beside the failure of a test")]
fn show(said: &str) {
    let lines: Vec<&str> = said.lines().collect();
    let last = &lines[lines.len().saturating_sub(60)..];
    eprintln!("--- the process said:\n{}\n---", last.join("\n"));
}

/// Reads a stream to its end on a thread of its own, so that its writer never waits.
fn collect(mut from: impl Read + Send + 'static, to: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            to.lock().expect("nobody panics with it").push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    });
}
