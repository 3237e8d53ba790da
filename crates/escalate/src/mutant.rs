//! Bugs that a simulation puts in, to see that its laws notice. Without the feature `mutants` there are none.

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// What an incident waits for is not taken up again from the state.
    TimerDroppedOnLoad,
    /// A new owner does not wait for what the last one may still be sending.
    LeaseNotWaitedOut,
    /// The chain of the audit goes on from where a lost transaction had brought it.
    ChainHeadNotRewound,
    /// Calls that were decided go on after somebody has answered.
    AcknowledgementOvertaken,
    /// An incident follows whatever bundle is in force.
    BundleNotPinned,
    /// A new owner pages before it knows what is silenced.
    SilencesReadLate,
    /// Whoever asks for a place in a silence takes one.
    PlaceNotAwaited,
    /// That an alert is over is said once, whatever may still be on its way.
    ResolveNotRepeated,
}

#[cfg(feature = "mutants")]
mod on {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Puts a bug into what this thread runs from now on.
    pub fn set(mutant: Option<Mutant>) {
        ON.set(mutant);
    }

    pub(crate) fn is(mutant: Mutant) -> bool {
        ON.get() == Some(mutant)
    }
}

#[cfg(feature = "mutants")]
pub(crate) use on::is;
#[cfg(feature = "mutants")]
pub use on::set;

#[cfg(not(feature = "mutants"))]
pub(crate) const fn is(_: Mutant) -> bool {
    false
}
