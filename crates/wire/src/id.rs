//! Identities. Every id is a hash of meaning, never random, so that a replay produces the same ids.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// An id that was made elsewhere (read from a record, typed by a person).
            #[must_use]
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The id of what `parts` mean: 26 letters and digits of the SHA-256 over them.
            #[must_use]
            pub fn of(parts: &[&[u8]]) -> Self {
                Self(base32(&sha256(parts)[..16]))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// One incident: hash of its identity and the start of the pane in which it first opened.
    IncidentId
);
text_id!(
    /// One page to one target: every retry reuses it. `webhook-id`, `Message-ID` and key of the outbox.
    NotificationId
);
text_id!(
    /// One alert at a receiver: the same for trigger, acknowledge, update and resolve.
    AlertKey
);
text_id!(
    /// One command: a repeat with the same id changes nothing.
    CommandId
);
text_id!(
    /// One silence: hash of the command that asked for it.
    SilenceId
);
text_id!(
    /// SHA-256 of content (a profile, a config, a bundle), as the first 26 characters of its base32.
    Digest
);

impl NotificationId {
    /// base32(sha256(incident, generation, loop, step, target, channel, kind)).
    #[must_use]
    pub fn for_page(
        incident: &IncidentId,
        generation: u32,
        round: u32,
        step: u32,
        target: &str,
        channel: &str,
        kind: &str,
    ) -> Self {
        Self::of(&[
            incident.as_str().as_bytes(),
            &generation.to_be_bytes(),
            &round.to_be_bytes(),
            &step.to_be_bytes(),
            target.as_bytes(),
            channel.as_bytes(),
            kind.as_bytes(),
        ])
    }
}

impl AlertKey {
    /// base32(sha256(incident, generation, receiver, target)).
    #[must_use]
    pub fn for_alert(incident: &IncidentId, generation: u32, receiver: &str, target: &str) -> Self {
        Self::of(&[
            incident.as_str().as_bytes(),
            &generation.to_be_bytes(),
            receiver.as_bytes(),
            target.as_bytes(),
        ])
    }
}

/// SHA-256 over parts, each preceded by its length, so that ("ab", "c") and ("a", "bc") differ.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// RFC 4648 base32 in lower case without padding.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "five bits fit")]
pub fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut out = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for five in bytes.chunks(5) {
        let word = five.iter().fold(0u64, |w, b| w << 8 | u64::from(*b)) << (8 * (5 - five.len()));
        for i in 0..(five.len() * 8).div_ceil(5) {
            out.push(char::from(LETTERS[usize::try_from(word >> (35 - 5 * i) & 31).expect("five bits")]));
        }
    }
    out
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        write!(out, "{b:02x}").expect("writing to a string");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_of_rfc_4648() {
        for (bytes, want) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("foobar", "mzxw6ytboi"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), want);
        }
    }

    /// Receivers know alerts and pages by these: they are of one release what they were of the one before. Reckoned by another
    /// program.
    #[test]
    fn keys_are_what_they_were() {
        let incident = IncidentId::new("incident");
        let page = NotificationId::for_page(&incident, 2, 1, 0, "ada", "hook", "trigger");
        assert_eq!(page.as_str(), "3k3dc6hqgdywlwtutpvsus7giy");
        assert_eq!(AlertKey::for_alert(&incident, 2, "hook", "ada").as_str(), "kkxl77fwmhqmgs65rdc4yjgl5q");
    }

    #[test]
    fn two_incidents_share_no_key() {
        let (one, two) = (IncidentId::new("one"), IncidentId::new("two"));
        let keys = [(&one, 1), (&one, 2), (&two, 1), (&two, 2)]
            .map(|(incident, generation)| AlertKey::for_alert(incident, generation, "hook", "ada"));
        let different: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(IncidentId::of(&[b"ab", b"c"]), IncidentId::of(&[b"a", b"bc"]));
        assert_eq!(IncidentId::of(&[b"x"]).as_str().len(), 26);
    }
}
