//! Ctrl-C and SIGTERM: the first asks to finish, the second ends at once. SIGHUP asks to read the config again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Failure, Kind};

/// Becomes true at the first signal; the second one ends the process with status 130.
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
    let caught = {
        let _entered = runtime.enter();
        let failed = |e| Failure::new(Kind::CannotStart, format!("signals cannot be caught: {e}"));
        // At once: whoever sends one before the thread runs must not end the process.
        if reloads { Some(signal(SignalKind::hangup()).map_err(failed)?) } else { None }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let Ok(mut term) = signal(SignalKind::terminate()) else { return };
                let mut caught = caught;
                loop {
                    tokio::select! {
                        () = next(&mut caught) => {
                            hung_up.store(true, Ordering::Relaxed);
                            continue;
                        }
                        interrupted = tokio::signal::ctrl_c() => if interrupted.is_err() { return },
                        _ = term.recv() => (),
                    }
                    if asked.swap(true, Ordering::Relaxed) {
                        std::process::exit(130);
                    }
                }
            });
        })
        .map_err(|e| Failure::new(Kind::CannotStart, format!("no thread for signals: {e}")))?;
    Ok(Asked { stop, reload })
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
