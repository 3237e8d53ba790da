//! The config file while a process runs: looked at every two seconds and at SIGHUP, loaded whole or not at all.

mod changes;
mod settle;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use detect::config::JudgeConfig;
use detect::record::{ConfigFile, PanesRecord};
use runtime::clock::{Clock, Now};
use runtime::live::Live;
use runtime::log::{Log, NewRecord};
use runtime::metrics::{BUDGET_PER_WEEK, CONFIG_RELOADS};
use runtime::settings::Settings;
use serde::Serialize;
use wire::{Digest, Timestamp};

use crate::config::{self, Checked, Fault};
use changes::{fixed, needs_restart};
use settle::Settle;

/// How often the file is looked at. Its content counts, not its time: a link that points elsewhere is a change too.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What the roles and the listener of this process go by.
#[derive(Clone)]
pub(crate) struct InForce {
    pub judge: Arc<Live<JudgeConfig>>,
    pub escalate: Arc<Live<escalate::Loaded>>,
    pub status: Arc<Live<Status>>,
}

/// The config file as it was last looked at.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Status {
    /// Of the config that was loaded last.
    pub digest: Digest,
    pub loaded_at: Timestamp,
    /// What made this process load it: `start`, `file`, `SIGHUP`.
    pub loaded_by: &'static str,
    /// Of the last look that found a change or was asked for: `loaded`, `unchanged`, `invalid`, `refused`.
    pub outcome: &'static str,
    pub at: Timestamp,
    /// File, line and key of what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Settings that have changed since the start and wait for the next one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs_restart: Vec<String>,
}

impl InForce {
    /// What a process starts with.
    pub(crate) fn new(checked: &Checked, policy: &escalate::Policy, now: Timestamp) -> Self {
        let digest = checked.judge.digest().clone();
        tell_budget(&checked.judge);
        let bundle = policy.bundle().clone();
        Self {
            judge: Live::new(Arc::clone(&checked.judge)),
            escalate: Live::new(escalate::Loaded { config: digest.clone(), by: "start".to_owned(), bundle }),
            status: Live::new(Status {
                digest,
                loaded_at: now,
                loaded_by: "start",
                outcome: "loaded",
                at: now,
                fault: None,
                needs_restart: vec![],
            }),
        }
    }
}

fn tell_budget(config: &JudgeConfig) {
    for (kind, n) in [("page", config.budget.pages_per_week), ("ticket", config.budget.tickets_per_week)] {
        metrics::gauge!(BUDGET_PER_WEEK, "kind" => kind).set(n);
    }
}

/// Looks after the file of one process.
pub(crate) struct Watch<L: Log> {
    file: PathBuf,
    /// The text that the process started with.
    started_with: String,
    checked: Checked,
    log: L,
    settings: Settings,
    clock: Clock,
    in_force: InForce,
    /// Set by SIGHUP.
    asked: Arc<AtomicBool>,
    settle: Settle,
    next: Duration,
    /// What the judge that has the incident has not been told yet.
    unsaid: Option<Option<String>>,
}

impl<L: Log> Watch<L> {
    /// `source` is the text that `checked` was made of.
    pub(crate) fn new(
        (file, source): (PathBuf, String),
        checked: Checked,
        (log, settings, clock): (L, Settings, Clock),
        in_force: InForce,
        asked: Arc<AtomicBool>,
    ) -> Self {
        let settle = Settle::new(digest(Some(&config::whole(&file, &source))));
        // Whatever was wrong with it before this process started no longer is.
        let unsaid = Some(None);
        let (started_with, next) = (source, Duration::ZERO);
        Self { file, started_with, checked, log, settings, clock, in_force, asked, settle, next, unsaid }
    }

    /// Looks, if it is time to or somebody asked.
    pub(crate) fn step(&mut self) {
        let now = self.clock.now();
        let asked = self.asked.swap(false, Ordering::Relaxed);
        if !asked && now.mono < self.next {
            return;
        }
        self.next = now.mono + LOOK_EVERY;
        self.look(asked, now);
        self.say(now);
    }

    fn look(&mut self, asked: bool, now: Now) {
        let read = std::fs::read_to_string(&self.file);
        let found = digest(read.as_deref().ok().map(|text| config::whole(&self.file, text)).as_deref());
        if !self.settle.look(&found, asked) {
            return;
        }
        let loaded = match &read {
            Ok(source) => config::parse(&self.file, source).and_then(|new| {
                let faults = fixed(&self.file, source, &self.checked, &new);
                if faults.is_empty() { Ok((source, new)) } else { Err(faults) }
            }),
            Err(e) => Err(vec![Fault::unreadable(&self.file, e)]),
        };
        match loaded {
            Ok((source, new)) if self.settle.may_load() => {
                let by = self.settle.done(found);
                let restart = needs_restart(&self.started_with, source);
                self.load(&new, restart, by, now);
            }
            Err(faults) if self.settle.may_refuse() => {
                self.settle.done(found);
                self.refuse(&faults, now);
            }
            // It may be half written: the next look decides.
            Ok(_) | Err(_) => (),
        }
    }

    fn load(&mut self, new: &Checked, needs_restart: Vec<String>, by: &'static str, now: Now) {
        let (before, after) = (self.in_force.status.get().digest.clone(), new.judge.digest().clone());
        let bundle = &self.in_force.escalate.get().bundle;
        // Pages go to the receivers that there are: with others, who is paged waits for them.
        let bundle = if changes::of_receivers(&needs_restart) { bundle } else { new.policy.bundle() }.clone();
        let unchanged = before == after && bundle == self.in_force.escalate.get().bundle;
        let outcome = if unchanged { "unchanged" } else { "loaded" };
        if !unchanged {
            self.in_force.judge.set(Arc::clone(&new.judge));
            let loaded = escalate::Loaded { config: after.clone(), by: by.to_owned(), bundle };
            self.in_force.escalate.set(loaded);
            tell_budget(&new.judge);
        }
        tracing::info!(file = %self.file.display(), by, outcome, %before, %after, "the config file was read");
        if !needs_restart.is_empty() {
            tracing::warn!("restart to change {}", needs_restart.join(", "));
        }
        metrics::counter!(CONFIG_RELOADS, "outcome" => outcome).increment(1);
        let known = self.in_force.status.get();
        let (loaded_at, loaded_by) =
            if unchanged { (known.loaded_at, known.loaded_by) } else { (now.wall, by) };
        self.in_force.status.set(Status {
            digest: after,
            loaded_at,
            loaded_by,
            outcome,
            at: now.wall,
            fault: None,
            needs_restart,
        });
        self.unsaid = Some(None);
    }

    /// Nothing of it is taken.
    fn refuse(&mut self, faults: &[Fault], now: Now) {
        let outcome = if faults.iter().any(|f| f.needs_restart) { "refused" } else { "invalid" };
        let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
        tracing::error!(outcome, "the config before stays in force:\n{}", text.join("\n\n"));
        metrics::counter!(CONFIG_RELOADS, "outcome" => outcome).increment(1);
        let fault = faults.first().map(|fault| fault.place(faults.len()));
        let known = Status::clone(&self.in_force.status.get());
        self.in_force.status.set(Status { outcome, at: now.wall, fault: fault.clone(), ..known });
        self.unsaid = Some(fault);
    }

    /// Tells the judge that has the incident of this file. Said twice, it changes nothing.
    fn say(&mut self, now: Now) {
        let Some(fault) = &self.unsaid else { return };
        let (instance, fault) = (self.settings.instance.clone(), fault.clone());
        let file = ConfigFile { instance, at: now.wall, fault };
        let partition = file.partition(self.settings.judge_partitions);
        let record = PanesRecord::ConfigFile(file).encode();
        let record = NewRecord::new(self.settings.topics.panes.as_str(), record).partition(partition);
        match self.log.append(&[record]) {
            Ok(_) => self.unsaid = None,
            Err(error) => {
                tracing::warn!(%error, "whether the config file is fine could not be told; it will be")
            }
        }
    }
}

/// Of what a file holds, or of its not being readable.
fn digest(text: Option<&str>) -> Digest {
    match text {
        Some(text) => Digest::of(&[b"text", text.as_bytes()]),
        None => Digest::of(&[b"none"]),
    }
}
