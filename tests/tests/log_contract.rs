//! Every law of a log: on the embedded log, on the simulated one, and, where one is named, on a real Kafka.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use runtime::clock::Clock;
use runtime::log::{EmbeddedConfig, EmbeddedLog, KafkaConfig, KafkaLog};
use tocsin_tests::for_each_law;
use tocsin_tests::log_contract::{Subject, groups, records, transactions};
use tocsin_tests::simulated::{Host, Point, SimLog, World};

/// An embedded log in a file of its own.
struct Embedded {
    folder: PathBuf,
    log: Mutex<Option<EmbeddedLog>>,
}

impl Embedded {
    fn config(&self) -> EmbeddedConfig {
        EmbeddedConfig { max_poll: self.max_poll(), ..EmbeddedConfig::file(self.folder.join("log.redb")) }
    }

    fn new(law: &str) -> Self {
        let name = format!("tocsin-contract-{}-{}", std::process::id(), law.replace("::", "-"));
        let folder = std::env::temp_dir().join(name);
        let subject = Self { folder, log: Mutex::new(None) };
        let log = EmbeddedLog::open(subject.config()).expect("a new file can be made");
        *subject.log.lock().expect("nobody panics with it") = Some(log);
        subject
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // What cannot be removed stays in the temporary folder: no reason to fail a law that held.
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

impl Subject for Embedded {
    type Log = EmbeddedLog;

    fn log(&self) -> EmbeddedLog {
        self.log.lock().expect("nobody panics with it").clone().expect("open")
    }

    fn again(&self, old: EmbeddedLog) -> EmbeddedLog {
        let held = self.log.lock().expect("nobody panics with it").take();
        drop((old, held));
        EmbeddedLog::open(self.config()).expect("the file opens again")
    }

    fn max_poll(&self) -> Duration {
        Duration::from_millis(500)
    }

    fn compact(&self, log: &EmbeddedLog) -> bool {
        log.clean().expect("compacts");
        true
    }
}

/// A real Kafka.
struct Kafka {
    brokers: String,
}

impl Kafka {
    fn config(&self) -> KafkaConfig {
        KafkaConfig { max_poll: self.max_poll(), ..KafkaConfig::new(self.brokers.clone()) }
    }
}

impl Subject for Kafka {
    type Log = KafkaLog;

    fn log(&self) -> KafkaLog {
        KafkaLog::connect(self.config()).expect("the Kafka named by TOCSIN_TEST_KAFKA answers")
    }

    fn again(&self, old: KafkaLog) -> KafkaLog {
        drop(old);
        self.log()
    }

    fn max_poll(&self) -> Duration {
        Duration::from_secs(6)
    }

    fn compact(&self, _log: &KafkaLog) -> bool {
        // The broker's cleaner looks every 15 s.
        std::thread::sleep(Duration::from_secs(1));
        true
    }
}

/// The log of simulations, in a world in which nothing goes wrong and time passes as it does.
struct Simulated {
    log: SimLog,
    world: Arc<Mutex<World>>,
}

struct Calm(Clock);

impl Host for Calm {
    fn now(&self) -> Duration {
        self.0.now().mono
    }

    fn at(&self, _: Point) {}

    fn process(&self) -> usize {
        0
    }

    fn is_dead(&self) -> bool {
        false
    }
}

impl Simulated {
    fn new() -> Self {
        let mut world = World::new(1, 1_780_000_000_000);
        world.max_poll = Duration::from_millis(500);
        let world = Arc::new(Mutex::new(world));
        Self { log: SimLog::new(Arc::clone(&world), Arc::new(Calm(Clock::start()))), world }
    }
}

impl Subject for Simulated {
    type Log = SimLog;

    fn log(&self) -> SimLog {
        self.log.clone()
    }

    fn again(&self, old: SimLog) -> SimLog {
        drop(old);
        self.log()
    }

    fn max_poll(&self) -> Duration {
        Duration::from_millis(500)
    }

    fn compact(&self, _: &SimLog) -> bool {
        self.world.lock().expect("nobody panics with it").compact();
        true
    }
}

/// The Kafka to test against, if any; says so once if there is none.
fn kafka() -> Option<Kafka> {
    static SAY: Once = Once::new();
    let brokers = tocsin_tests::env("TOCSIN_TEST_KAFKA");
    if brokers.is_none() {
        SAY.call_once(|| {
            tocsin_tests::not_tested(
                "the laws of a log on a real Kafka, because TOCSIN_TEST_KAFKA=host:port names none. \
                 (On the embedded log they are.)",
            );
        });
    }
    brokers.map(|brokers| Kafka { brokers })
}

macro_rules! tests {
    ($($module:ident::$law:ident,)*) => {
        mod embedded_log {
            use super::*;
            $(#[test] fn $law() { $module::$law(&Embedded::new(stringify!($law))); })*
        }
        mod simulated_log {
            use super::*;
            $(#[test] fn $law() { $module::$law(&Simulated::new()); })*
        }
        mod real_kafka {
            use super::*;
            $(#[test] fn $law() { if let Some(kafka) = kafka() { $module::$law(&kafka); } })*
        }
    };
}

for_each_law!(tests);
