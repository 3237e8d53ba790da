//! Ctrl-C and SIGTERM: the first asks to finish, the second ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::{Failure, Kind};

/// Becomes true at the first signal; the second one ends the process with status 130.
///
/// # Errors
/// When the system does not let signals be caught.
pub(crate) fn stop_on_ctrl_c() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Kind::CannotStart, format!("signals cannot be caught: {e}")))?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let Ok(mut term) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                else {
                    return;
                };
                loop {
                    tokio::select! {
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
    Ok(stop)
}
