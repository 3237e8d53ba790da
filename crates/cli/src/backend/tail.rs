//! The stream of events: from the loops' broadcast to one reader.

use runtime::views::Event;
use serde_json::json;
use tokio::sync::{broadcast, mpsc};

use http_api::TailEvent;

/// Events that a reader may be behind before it is cut off.
const BEHIND_MAX: usize = 1024;

/// Hands the broadcast out to readers.
#[derive(Debug)]
pub(crate) struct Tail {
    handle: tokio::runtime::Handle,
}

impl Tail {
    /// # Panics
    /// Outside of a tokio runtime.
    pub(crate) fn new() -> Self {
        Self { handle: tokio::runtime::Handle::current() }
    }

    /// Events from now on. An earlier place cannot be taken up again: the topics keep everything, this stream is live.
    pub(crate) fn follow(
        &self,
        mut events: broadcast::Receiver<Event>,
        from: Option<&str>,
    ) -> mpsc::Receiver<TailEvent> {
        let (sender, receiver) = mpsc::channel(BEHIND_MAX);
        let mut place: u64 = from.and_then(|f| f.parse().ok()).unwrap_or(0);
        self.handle.spawn(async move {
            loop {
                let (kind, data) = match events.recv().await {
                    Ok(event) => (kind(&event), serde_json::to_value(&event).unwrap_or_default()),
                    Err(broadcast::error::RecvError::Lagged(n)) => {
                        ("status", json!({"event": "lagged", "lost": n}))
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                };
                place += 1;
                let event = TailEvent { id: place.to_string(), kind: kind.to_owned(), data };
                if sender.try_send(event).is_err() {
                    return;
                }
            }
        });
        receiver
    }
}

const fn kind(event: &Event) -> &'static str {
    match event {
        Event::Incident { .. } => "incident",
        Event::Page { .. } => "page",
        Event::Response { .. } => "response",
        Event::DataGap { .. } | Event::RoleFailed { .. } => "status",
    }
}
