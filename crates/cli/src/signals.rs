//! Ctrl-C and SIGTERM: the first asks to finish and gives it [`FINISH`], the second ends at once. SIGHUP asks to read the
//! config again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Failure, Kind};

/// What a process that is asked to end may take for it. Kubernetes kills after 30 s, Compose is told to (`stop_grace_period`).
const FINISH: Duration = Duration::from_secs(25);

/// Becomes true at the first signal; a second one ends the process with status 130, and [`FINISH`] with that of
/// [`Kind::Unfinished`].
///
/// # Errors
/// When the system does not let signals be caught.
pub(crate) fn stop_on_ctrl_c() -> Result<Arc<AtomicBool>, Failure> {
    Ok(catch(false)?.stop)
}

/// What signals have asked for.
pub(crate) struct Asked {
    pub stop: Arc<AtomicBool>,
    pub reload: Arc<AtomicBool>,
}

/// As [`stop_on_ctrl_c`], and `reload` becomes true at SIGHUP, which otherwise ends a process.
///
/// # Errors
/// When the system does not let signals be caught.
pub(crate) fn stop_and_reload() -> Result<Asked, Failure> {
    catch(true)
}

fn catch(reloads: bool) -> Result<Asked, Failure> {
    let (stop, reload) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (asked, hung_up) = (Arc::clone(&stop), Arc::clone(&reload));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Kind::CannotStart, format!("signals cannot be caught: {e}")))?;
    // Here, not in the thread: whoever sends one before the thread runs must not end the process. And held for as long as it
    // listens: one that comes between two looks counts.
    let (mut interrupt, mut term, mut hangup) = {
        let _entered = runtime.enter();
        let caught = |kind| {
            signal(kind)
                .map_err(|e| Failure::new(Kind::CannotStart, format!("signals cannot be caught: {e}")))
        };
        let hangup = if reloads { Some(caught(SignalKind::hangup())?) } else { None };
        (caught(SignalKind::interrupt())?, caught(SignalKind::terminate())?, hangup)
    };
    let listens = async move {
        let mut finish = std::pin::pin!(tokio::time::sleep(Duration::MAX));
        loop {
            tokio::select! {
                () = &mut finish => {
                    let limit_s = FINISH.as_secs();
                    tracing::error!(limit_s, at_work = at_work(), "not finished in time: ends as if killed, and what is not committed is done again by whoever comes next");
                    std::process::exit(Kind::Unfinished as i32);
                }
                () = next(&mut hangup) => {
                    hung_up.store(true, Ordering::Relaxed);
                    continue;
                }
                _ = interrupt.recv() => (),
                _ = term.recv() => (),
            }
            if asked.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            finish.set(tokio::time::sleep(FINISH));
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(listens))
        .map_err(|e| Failure::new(Kind::CannotStart, format!("no thread for signals: {e}")))?;
    Ok(Asked { stop, reload })
}

/// Threads that have not ended, by name: where it hangs. Empty where the system does not say.
fn at_work() -> String {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    let names: std::collections::BTreeSet<String> = names.map(|name| name.trim().to_owned()).collect();
    names.into_iter().collect::<Vec<_>>().join(" ")
}

/// Until the next one; for ever where none is listened to.
async fn next(caught: &mut Option<Signal>) {
    let came = match caught {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if came.is_none() {
        std::future::pending().await
    }
}
