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
    /// Of webhooks from PagerDuty.
    pub pagerduty: PagerDutySecrets,
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

/// Most secrets at a time: a subscription each, and the next one of each while it is changed.
const SECRETS_MAX: usize = 8;
/// Whoever reaches the listener may try secrets as fast as it answers.
const SECRET_CHARS_MIN: usize = 16;

/// Secrets of webhook subscriptions in PagerDuty: what any of them signed is believed.
#[derive(Clone, Default)]
pub struct PagerDutySecrets(Vec<Vec<u8>>);

impl PagerDutySecrets {
    /// From their text, separated by white space.
    ///
    /// # Errors
    /// When there is none, when there are too many, or when one is too short. Repeats nothing of them.
    pub fn read(text: &str) -> Result<Self, String> {
        let secrets: Vec<_> = text.split_whitespace().collect();
        if let Some(i) = secrets.iter().position(|secret| secret.chars().count() < SECRET_CHARS_MIN) {
            let nth = i + 1;
            return Err(format!(
                "secret {nth} has fewer than {SECRET_CHARS_MIN} characters: copy the whole of what PagerDuty shows when the subscription is made"
            ));
        }
        match secrets.len() {
            0 => {
                Err("it is empty: write the secret that PagerDuty shows when the subscription is made".into())
            }
            1..=SECRETS_MAX => {
                Ok(Self(secrets.into_iter().map(|secret| secret.as_bytes().to_vec()).collect()))
            }
            n => Err(format!("it holds {n} secrets, the most is {SECRETS_MAX}")),
        }
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }
}

impl fmt::Debug for PagerDutySecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PagerDutySecrets({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_pagerduty_are_some_and_long() {
        let long = "0123456789abcdef";
        for (text, want) in [
            (format!("  {long}\n"), Ok("PagerDutySecrets(1)")),
            ([long; 8].join("\n"), Ok("PagerDutySecrets(8)")),
            ([long; 9].join(" "), Err("9 secrets")),
            (" \n".into(), Err("it is empty")),
            (format!("{long} sesame"), Err("secret 2 has fewer than 16")),
        ] {
            match (PagerDutySecrets::read(&text), want) {
                (Ok(read), Ok(shown)) => assert_eq!(format!("{read:?}"), shown),
                (Err(why), Err(part)) => assert!(why.contains(part) && !why.contains("sesame"), "{why}"),
                (got, want) => panic!("{text}: got {got:?}, want {want:?}"),
            }
        }
    }
}
