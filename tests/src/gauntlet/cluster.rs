//! A Kafka of its own, of whose brokers one at a time is killed or hangs.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kafka/kafka.sh");

/// Ends when dropped, with its data.
pub struct Cluster {
    pub brokers: String,
    count: u64,
    port: u16,
    folder: PathBuf,
    state: State,
    pub killed: u32,
}

enum State {
    Whole,
    /// One is gone, until then.
    Without(u64, Instant),
    Reviving(u64, Child),
}

impl Cluster {
    #[must_use]
    pub fn start(count: u64, port: u16) -> Self {
        let folder = std::env::temp_dir().join(format!("tocsin-kafka-{port}-{}", std::process::id()));
        let mut cluster =
            Self { brokers: String::new(), count, port, folder, state: State::Whole, killed: 0 };
        let output =
            cluster.script(&["start", "--brokers", &count.to_string()]).output().expect("there is a shell");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().clone_into(&mut cluster.brokers);
        cluster
    }

    fn script(&self, args: &[&str]) -> Command {
        let mut command = Command::new("bash");
        command.arg(SCRIPT).args(args).arg("--port").arg(self.port.to_string());
        command.arg("--dir").arg(&self.folder).stdin(Stdio::null());
        command
    }

    /// Whether all brokers serve.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.state, State::Whole)
    }

    /// Kills one, for so long.
    pub fn lose(&mut self, which: u64, now: Instant, gone: Duration) {
        assert!(self.is_whole(), "one at a time");
        let broker = which % self.count + 1;
        let done = self.script(&["kill", &broker.to_string()]).status().expect("there is a shell");
        assert!(done.success(), "broker {broker} cannot be killed: {done}");
        self.killed += 1;
        self.state = State::Without(broker, now + gone);
    }

    /// The first broker keeps its connections and answers nothing.
    ///
    /// # Panics
    /// When it does not run.
    pub fn hang(&self) {
        assert!(self.script(&["pause", "1"]).status().expect("there is a shell").success());
    }

    /// It answers again.
    ///
    /// # Panics
    /// When it does not run.
    pub fn wake(&self) {
        assert!(self.script(&["resume", "1"]).status().expect("there is a shell").success());
    }

    /// Brings back what is due.
    pub fn step(&mut self, now: Instant) {
        self.state = match std::mem::replace(&mut self.state, State::Whole) {
            State::Without(broker, until) if until <= now => {
                let revive = self.script(&["revive", &broker.to_string()]).spawn();
                State::Reviving(broker, revive.expect("there is a shell"))
            }
            State::Reviving(broker, mut child) => match child.try_wait().expect("it was started") {
                None => State::Reviving(broker, child),
                Some(ended) => {
                    assert!(ended.success(), "broker {broker} does not come back: {ended}");
                    State::Whole
                }
            },
            state @ (State::Whole | State::Without(..)) => state,
        };
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let State::Reviving(_, child) = &mut self.state {
            drop(child.wait());
        }
        drop(self.script(&["stop"]).status());
    }
}
