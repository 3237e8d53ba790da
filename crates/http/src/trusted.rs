//! Whose signatures let a request in, beside tokens.

use std::fmt;

use wire::link::LinkKeys;

/// Keys of what is signed. Without one, nothing that shows a signature of its kind is let in.
#[derive(Clone, Debug, Default)]
pub struct Trusted {
    /// Of links in messages.
    pub links: Option<LinkKeys>,
    /// Of buttons in Slack.
    pub slack: Vec<SlackApp>,
}

/// A Slack app whose requests are believed.
#[derive(Clone)]
pub struct SlackApp {
    receiver: String,
    secret: Vec<u8>,
}

impl SlackApp {
    /// By the receiver that it belongs to, and its signing secret.
    #[must_use]
    pub fn new(receiver: &str, signing_secret: &str) -> Self {
        Self { receiver: receiver.to_owned(), secret: signing_secret.as_bytes().to_vec() }
    }

    pub(crate) fn receiver(&self) -> &str {
        &self.receiver
    }

    pub(crate) fn secret(&self) -> &[u8] {
        &self.secret
    }
}

impl fmt::Debug for SlackApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlackApp({})", self.receiver)
    }
}
