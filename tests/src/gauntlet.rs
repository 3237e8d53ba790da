//! Three processes on a Kafka of three brokers, and whatever can be done to them.
//!
//! A process under test is told by a file where to end: before or after a call of the Kafka client by one of its roles.
//! It ends itself, as by `kill -9`, so that the place is exact; or it stops itself, as by SIGSTOP.

mod arena;
mod cluster;
mod owners;
mod telemetry;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub use arena::{Arena, Deeds};
pub use cluster::Cluster;
pub use owners::{Gap, Owners, Work};
pub use runtime::points::{Call, Side};
use rustix::process::{Signal, getpid, kill_process};
pub use telemetry::{Telemetry, append, keyed};

/// Names the file of orders to a process under test.
pub const ORDERS: &str = "TOCSIN_TEST_ORDERS";
/// How long an order stands. Who has not come by its place until then was not there at all.
pub const STANDS: Duration = Duration::from_secs(4);
const ROLES: [&str; 3] = ["collect", "judge", "escalate"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Kill,
    Stop,
}

/// What a process does to itself, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub deed: Deed,
    pub role: &'static str,
    pub call: Call,
    pub side: Side,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} {:?} {:?}", self.deed, self.role, self.side, self.call)
    }
}

impl FromStr for Order {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        all().find(|order| order.to_string() == text.trim()).ok_or(())
    }
}

/// Every order there is: two deeds, three roles, their calls, before and after.
pub fn all() -> impl Iterator<Item = Order> {
    let sides = Call::ALL.into_iter().flat_map(|call| Side::ALL.map(|side| (call, side)));
    let roles = sides.flat_map(|(call, side)| ROLES.map(|role| (role, call, side)));
    // Only one role sends.
    let roles = roles.filter(|(role, call, _)| *call != Call::Send || *role == "escalate");
    roles.flat_map(|(role, call, side)| [Deed::Kill, Deed::Stop].map(|deed| Order { deed, role, call, side }))
}

static GIVEN: AtomicBool = AtomicBool::new(false);
static ORDER: Mutex<Option<Order>> = Mutex::new(None);

/// In the process under test: does what the file says, once, and takes the file away when it has read it.
pub fn obey(file: PathBuf) {
    assert!(runtime::points::listen(carry_out), "nobody else listens");
    std::thread::spawn(move || {
        loop {
            if let Some(order) = take(&file) {
                give(Some(order));
                std::thread::sleep(STANDS);
                give(None);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
}

fn give(order: Option<Order>) {
    GIVEN.store(order.is_some(), Ordering::Release);
    *ORDER.lock().unwrap_or_else(PoisonError::into_inner) = order;
}

fn take(file: &Path) -> Option<Order> {
    let order = std::fs::read_to_string(file).ok()?.parse().ok()?;
    std::fs::remove_file(file).ok()?;
    Some(order)
}

/// Groups and transactional ids name the role.
fn carry_out(who: &str, call: Call, side: Side) {
    if !GIVEN.load(Ordering::Acquire) {
        return;
    }
    let mut order = ORDER.lock().unwrap_or_else(PoisonError::into_inner);
    let its = |o: &mut Order| o.call == call && o.side == side && who.split('-').any(|part| part == o.role);
    let Some(order) = order.take_if(its) else { return };
    GIVEN.store(false, Ordering::Release);
    let signal = match order.deed {
        Deed::Kill => Signal::KILL,
        Deed::Stop => Signal::STOP,
    };
    kill_process(getpid(), signal).expect("a process may signal itself");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_read_back() {
        assert_eq!(all().count(), 52);
        assert!(all().all(|order| order.to_string().parse() == Ok(order)));
    }
}
