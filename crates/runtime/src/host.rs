//! The threads around the loops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::{Clock, Now};
use crate::collect::CollectLoop;
use crate::escalate::{EscalateLoop, Machine};
use crate::judge::JudgeLoop;
use crate::log::{Log, LogError};
use crate::sends::Sends;
use crate::settings::Stepped;
use crate::views::{Event, Views};

/// Longest rest of a loop with nothing to do: what arrives has no timer.
const REST: Duration = Duration::from_millis(10);
/// Shortest: a timer that is due and does nothing must not keep a core busy.
const REST_LEAST: Duration = Duration::from_millis(1);

/// A loop that a thread can drive.
pub trait Step: Send + Sized + 'static {
    const ROLE: &'static str;

    /// # Errors
    /// What cannot be mended by going on.
    fn step(&mut self, now: Now) -> Result<Stepped, LogError>;

    /// # Errors
    /// When the last commit fails.
    fn close(self, now: Now) -> Result<(), LogError>;
}

macro_rules! steps {
    ($role:literal, $loop:ty, $($bound:tt)*) => {
        impl<$($bound)*> Step for $loop {
            const ROLE: &'static str = $role;
            fn step(&mut self, now: Now) -> Result<Stepped, LogError> {
                self.step(now)
            }
            fn close(self, now: Now) -> Result<(), LogError> {
                self.close(now)
            }
        }
    };
}

steps!("collect", CollectLoop<L>, L: Log);
steps!("judge", JudgeLoop<L>, L: Log);
steps!("escalate", EscalateLoop<L, M, S>, L: Log, M: Machine + 'static, S: Sends + 'static);

/// Runs a loop on a thread of its own until `stop` is set or it fails; a failure sets `stop` for all.
///
/// # Panics
/// If the machine has no thread to give.
pub fn drive<T: Step>(
    mut work: T,
    clock: Clock,
    stop: Arc<AtomicBool>,
    views: Arc<Views>,
) -> JoinHandle<Result<(), LogError>> {
    let run = move || {
        let mut done = Ok(());
        let mut in_trouble = false;
        let beat = views.enroll(T::ROLE, clock.now().mono);
        while done.is_ok() && !stop.load(Ordering::Relaxed) {
            let now = clock.now();
            beat.at(now.mono);
            let stepped = work.step(now);
            if stepped.is_ok() && std::mem::take(&mut in_trouble) {
                views.set_trouble(T::ROLE, None);
            }
            match stepped {
                Ok(Stepped { worked: true, .. }) => (),
                Ok(Stepped { worked: false, next }) => std::thread::sleep(rest(next, clock.now().mono)),
                // All topics were there when the process began: a broker that has just started may not know them yet,
                // and one that somebody deleted may be made again.
                Err(e @ (LogError::Retriable { .. } | LogError::NotFound { .. })) => {
                    tracing::warn!(role = T::ROLE, error = %e, "the log is not answering");
                    in_trouble = true;
                    views.set_trouble(T::ROLE, Some(e.to_string()));
                    std::thread::sleep(REST * 50);
                }
                Err(e) => done = Err(e),
            }
        }
        let done = match done {
            Ok(()) => work.close(clock.now()),
            Err(e) => Err(e),
        };
        if let Err(e) = &done {
            tracing::error!(role = T::ROLE, error = %e, "a role has ended");
            views.set_ready(T::ROLE, Some(e.to_string()));
            views.tell(Event::RoleFailed { role: T::ROLE.to_owned(), why: e.to_string() });
            stop.store(true, Ordering::Relaxed);
        }
        done
    };
    std::thread::Builder::new().name(T::ROLE.into()).spawn(run).expect("a thread")
}

/// Until the next timer, within bounds.
fn rest(next: Option<Duration>, now: Duration) -> Duration {
    next.map_or(REST, |next| next.saturating_sub(now).clamp(REST_LEAST, REST))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails in turn with each of these, then works until it is stopped.
    struct Failing(Vec<LogError>, Arc<AtomicBool>);

    impl Step for Failing {
        const ROLE: &'static str = "failing";

        fn step(&mut self, _: Now) -> Result<Stepped, LogError> {
            if let Some(error) = self.0.pop() {
                return Err(error);
            }
            self.1.store(true, Ordering::Relaxed);
            Ok(Stepped::default())
        }

        fn close(self, _: Now) -> Result<(), LogError> {
            Ok(())
        }
    }

    #[test]
    fn what_may_mend_itself_does_not_end_a_role() {
        let missing = || LogError::not_found("topic t");
        for (errors, ends) in [
            (vec![LogError::retriable("away"), missing()], true),
            (vec![LogError::Fatal { what: "broken".into(), source: None }], false),
        ] {
            let stop = Arc::new(AtomicBool::new(false));
            let work = Failing(errors, Arc::clone(&stop));
            let thread = drive(work, Clock::start(), stop, Arc::new(Views::default()));
            assert_eq!(thread.join().expect("no panic").is_ok(), ends);
        }
    }

    #[test]
    fn a_loop_rests_until_its_next_timer_and_never_long() {
        let ms = Duration::from_millis;
        assert_eq!(rest(None, ms(500)), REST);
        assert_eq!(rest(Some(ms(504)), ms(500)), ms(4));
        assert_eq!(rest(Some(ms(9_000)), ms(500)), REST);
        assert_eq!(rest(Some(ms(500)), ms(500)), REST_LEAST);
        assert_eq!(rest(Some(ms(400)), ms(500)), REST_LEAST, "overdue");
    }
}
