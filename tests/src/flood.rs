//! Incidents by the thousand, written to the topic by somebody who is not tocsin.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use runtime::clock::Clock;
use runtime::log::{KafkaConfig, KafkaLog, Log as _, NewRecord};
use wire::topic::Topics;
use wire::{Change, Incident, IncidentId, Subject};

use crate::samples;

/// Owners of whom each has a target.
pub const OWNERS: u64 = 100;
/// One incident in so many clears, this much later.
pub const CLEARS: u64 = 10;
const CLEARS_AFTER: u64 = 200;
/// The model that others come from.
pub const UPSTREAM: &str = "upstream";
const EVERY: Duration = Duration::from_millis(20);

/// The flood. Ends when it is told to.
pub struct Flood {
    end: Arc<AtomicBool>,
    rate: Arc<AtomicU64>,
    written: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Flood {
    /// So many incidents a second to so many partitions.
    #[must_use]
    pub fn start(brokers: &str, namespace: &str, partitions: u32, rate: u64) -> Self {
        let log = KafkaLog::connect(KafkaConfig::new(brokers)).expect("it is there");
        let (end, rate) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(rate)));
        let written = Arc::new(AtomicU64::new(0));
        let (ended, wanted, told) = (Arc::clone(&end), Arc::clone(&rate), Arc::clone(&written));
        let namespace = namespace.to_owned();
        let thread = std::thread::spawn(move || {
            let (topic, clock) = (Topics::of(&namespace).incidents, Clock::start());
            let (mut n, mut owed, mut last) = (0, 0.0, now());
            while !ended.load(Ordering::Relaxed) {
                std::thread::sleep(EVERY);
                let passed = last.elapsed().as_secs_f64();
                last = now();
                owed += passed * f64::from(u32::try_from(wanted.load(Ordering::Relaxed)).expect("a rate"));
                let mut batch = vec![];
                while owed >= 1.0 {
                    let opened = incident(&namespace, n, clock.now().wall);
                    batch.push(record(&topic, partitions, &opened));
                    if n % CLEARS == 0 && n >= CLEARS_AFTER {
                        let before = incident(&namespace, n - CLEARS_AFTER, clock.now().wall);
                        let cleared = Incident { change: Change::Cleared, sequence: 2, ..before };
                        batch.push(record(&topic, partitions, &cleared));
                    }
                    n += 1;
                    owed -= 1.0;
                }
                if !batch.is_empty() {
                    log.append(&batch).expect("written");
                    told.store(n, Ordering::Relaxed);
                }
            }
        });
        Self { end, rate, written, thread }
    }

    pub fn set_rate(&self, rate: u64) {
        self.rate.store(rate, Ordering::Relaxed);
    }

    /// Incidents so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Ends it. How many incidents there are.
    pub fn end(self) -> u64 {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().expect("written to the end");
        self.written.load(Ordering::Relaxed)
    }
}

/// What is upstream of others.
#[must_use]
pub fn upstream(namespace: &str, change: Change) -> Incident {
    let mut incident = incident(namespace, 0, Clock::start().now().wall);
    incident.incident_id = IncidentId::new(UPSTREAM);
    incident.subject = Subject::model(UPSTREAM, "1");
    incident.context.owner = None;
    incident.sequence = if change == Change::Opened { 1 } else { 2 };
    Incident { change, ..incident }
}

/// An incident of an owner that is not of the flood.
#[must_use]
pub fn probe(namespace: &str, owner: u64, n: u64) -> Incident {
    let incident = incident(namespace, owner, Clock::start().now().wall);
    Incident { incident_id: IncidentId::new(format!("probe-{n}")), ..incident }
}

/// Writes one to its partition.
///
/// # Panics
/// When it cannot be written.
pub fn tell(log: &KafkaLog, namespace: &str, partitions: u32, incident: &Incident) {
    log.append(&[record(&Topics::of(namespace).incidents, partitions, incident)]).expect("written");
}

/// The incident of a number.
#[must_use]
pub fn id(n: u64) -> IncidentId {
    IncidentId::new(format!("flood-{n}"))
}

/// Its owner, of whom the routes know.
#[must_use]
pub fn owner(n: u64) -> String {
    format!("team-{}", n % OWNERS)
}

fn incident(namespace: &str, n: u64, at: wire::Timestamp) -> Incident {
    let mut incident = samples::incident();
    incident.incident_id = id(n);
    incident.namespace = namespace.to_owned();
    incident.subject = Subject::model(format!("model-{n}"), "1");
    (incident.opened_at, incident.changed_at) = (at, at);
    incident.context.owner = Some(owner(n));
    incident
}

fn record(topic: &str, partitions: u32, incident: &Incident) -> NewRecord {
    let value = serde_json::to_vec(incident).expect("plain data");
    NewRecord::new(topic, value)
        .key(incident.incident_id.as_str())
        .partition(wire::partition::of_incident(&incident.incident_id, partitions))
}

#[expect(clippy::disallowed_methods, reason = "a flood is paced by the clock")]
fn now() -> Instant {
    Instant::now()
}
