//! Signs of life to a checker outside: one every few seconds while all is well, none otherwise.

use std::sync::Arc;
use std::time::Duration;

use receivers::Receiver;

use crate::clock::Clock;
use crate::metrics::HEARTBEATS;
use crate::views::Views;

/// How long a start may take before what is missing is told of.
const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// How soon it is looked again where none could be sent.
const SOON: Duration = Duration::from_secs(5);

/// What the last one came to; told when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Last {
    Sent,
    Withheld(String),
    Failed(String),
}

impl Last {
    const fn name(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Withheld(_) => "withheld",
            Self::Failed(_) => "failed",
        }
    }

    /// Whether it is news after this. Times in a reason change with every look.
    fn is_news(&self, before: Option<&Self>) -> bool {
        before.map(Self::name) != Some(self.name())
    }

    fn tell(&self) {
        match self {
            Self::Sent => tracing::info!("signs of life reach the checker outside"),
            Self::Withheld(why) => {
                tracing::error!(why, "no sign of life is sent: the checker outside will call somebody");
            }
            Self::Failed(why) => tracing::error!(why, "a sign of life did not reach the checker outside"),
        }
    }
}

/// Sends them for as long as it is polled. `who` is this process to whoever reads the checker's log.
pub async fn beat(checker: Arc<Receiver>, every: Duration, who: String, views: Arc<Views>, clock: Clock) {
    let (began, mut last) = (clock.now().mono, None);
    while views.fault(clock.now().mono).is_some() && clock.now().mono - began < STARTS_WITHIN {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    loop {
        let now = clock.now();
        let came_to = match views.fault(now.mono) {
            Some(why) => Last::Withheld(why),
            None => match checker.beat(&who, now.wall).await {
                Ok(()) => Last::Sent,
                Err(why) => Last::Failed(why),
            },
        };
        metrics::counter!(HEARTBEATS, "outcome" => came_to.name()).increment(1);
        if came_to.is_news(last.as_ref()) {
            came_to.tell();
        }
        last = Some(came_to);
        // One that was withheld leaves soon after all is well again.
        let is_well = last == Some(Last::Sent);
        tokio::time::sleep(if is_well { every } else { every.min(SOON) }).await;
    }
}
