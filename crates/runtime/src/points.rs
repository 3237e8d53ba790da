//! Where a thread stands in what it asks of others: of Kafka, of a receiver. A test listens, to end or to stop the process
//! right there; nobody else does, and then it costs a load.

use std::sync::OnceLock;

/// What is asked again and again, and may be the last thing asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// A look for records; its end counts only where some came.
    Poll,
    /// The records of a transaction, until all of them are delivered.
    Produce,
    /// The offsets of a transaction.
    SendOffsets,
    Commit,
    /// A request to a receiver; its end is when its outcome is known and nobody has heard of it.
    Send,
}

/// Which end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    Before,
    After,
}

impl Call {
    pub const ALL: [Self; 5] = [Self::Poll, Self::Produce, Self::SendOffsets, Self::Commit, Self::Send];
}

impl Side {
    pub const ALL: [Self; 2] = [Self::Before, Self::After];
}

/// Called with a group, a transactional id or a role, on the thread that is about to call or has called.
pub type Listener = fn(&str, Call, Side);

static LISTENER: OnceLock<Listener> = OnceLock::new();

/// Listens from now on. Whether it is the first of this process: another is not heard.
pub fn listen(listener: Listener) -> bool {
    LISTENER.set(listener).is_ok()
}

pub(crate) fn at(who: &str, call: Call, side: Side) {
    if let Some(listener) = LISTENER.get() {
        listener(who, call, side);
    }
}
