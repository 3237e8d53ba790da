//! Checkpoints of the audit chain: signed by the machine, believed by whoever has the public key.
//!
//! The machine signs, not the edge: Ed25519 needs no randomness, so a replay signs the same bytes, and the signature is
//! in the chain in the transaction that holds what it vouches for. The key is handed over with the policy, as the
//! secret of the pseudonyms is, and is in no state, effect or log.

use std::collections::BTreeSet;
use std::fmt;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use wire::checkpoint::Checkpoint;
use wire::{Timestamp, id};

use crate::audit::Anchor;

/// The secret that signs checkpoints. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    seed: [u8; 32],
    public: String,
}

impl SigningKey {
    /// Of any 32 secret bytes.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        let public = id::hex(pair(&seed).public_key().as_ref());
        Self { seed, public }
    }

    /// Of 64 hexadecimal digits; `None` when it is something else.
    #[must_use]
    pub fn of_hex(text: &str) -> Option<Self> {
        bytes(text.trim()).map(Self::new)
    }

    /// The public key, in hexadecimal.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.public
    }

    /// A signed word on where the chain stands.
    pub(crate) fn sign(&self, head: &Anchor, namespace: &str, at: Timestamp) -> Checkpoint {
        let mut checkpoint = Checkpoint {
            namespace: namespace.into(),
            partition: head.partition,
            sequence: head.sequence,
            hash: head.hash.clone(),
            at,
            key: self.public.clone(),
            signature: String::new(),
        };
        checkpoint.signature = id::hex(pair(&self.seed).sign(&checkpoint.signed()).as_ref());
        checkpoint
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {})", self.public)
    }
}

fn pair(seed: &[u8; 32]) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are a seed")
}

/// How checkpoints are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    pub key: SigningKey,
    /// Shortest time between two.
    pub every_ms: i64,
}

/// The public keys whose checkpoints are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicKeys(BTreeSet<String>);

impl PublicKeys {
    /// # Errors
    /// The first text that is no public key.
    pub fn new<T: AsRef<str>>(keys: impl IntoIterator<Item = T>) -> Result<Self, String> {
        let one = |key: T| {
            let key = key.as_ref().trim().to_ascii_lowercase();
            match bytes::<32>(&key) {
                Some(_) => Ok(key),
                None => Err(format!("{key:?} is no public key: it has 64 hexadecimal digits")),
            }
        };
        keys.into_iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of these keys signed it.
    ///
    /// # Errors
    /// Why it is not to be believed.
    pub fn check(&self, checkpoint: &Checkpoint) -> Result<(), Disbelief> {
        if !self.0.contains(&checkpoint.key) {
            return Err(Disbelief::UnknownKey { key: bounded(&checkpoint.key) });
        }
        let (Some(key), Some(signature)) = (bytes::<32>(&checkpoint.key), bytes::<64>(&checkpoint.signature))
        else {
            return Err(Disbelief::BadSignature);
        };
        UnparsedPublicKey::new(&ED25519, key)
            .verify(&checkpoint.signed(), &signature)
            .map_err(|_| Disbelief::BadSignature)
    }
}

/// Why a checkpoint is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disbelief {
    #[error("it is signed with {key}, a key that nobody here knows")]
    UnknownKey { key: String },
    #[error("its signature does not fit what it says")]
    BadSignature,
    #[error("it is of the installation {found:?}")]
    OtherNamespace { found: String },
    /// In the chain a checkpoint is of the record before it.
    #[error("it does not say what the record before it is")]
    NotOfThis,
    #[error("it cannot be read")]
    Unreadable,
}

/// Of a text that anybody may have written, as much as a message has room for.
fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// The bytes that `text` says in hexadecimal, if it says so many.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut out = [0; N];
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.chunks(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        bytes(text).expect("so many digits")
    }

    #[test]
    fn a_key_is_an_ed25519_key() {
        // RFC 8032, section 7.1, test 1.
        let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(SigningKey::new(seed).public(), public);
    }

    #[test]
    fn only_what_was_signed_under_a_known_key_is_believed() {
        let key = SigningKey::new([7; 32]);
        let head = Anchor { partition: 1, sequence: 9, hash: "ab".repeat(32) };
        let good = key.sign(&head, "default", Timestamp::EPOCH);
        assert_eq!(good, key.sign(&head, "default", Timestamp::EPOCH), "the same bytes again");
        let known = PublicKeys::new([key.public()]).unwrap();
        assert_eq!(known.check(&good), Ok(()));
        let stranger = PublicKeys::new([SigningKey::new([8; 32]).public()]).unwrap();
        assert!(matches!(stranger.check(&good), Err(Disbelief::UnknownKey { .. })));
        type Change = fn(&mut Checkpoint);
        let changes: [(&str, Change); 7] = [
            ("namespace", |c| c.namespace = "other".into()),
            ("partition", |c| c.partition = 0),
            ("sequence", |c| c.sequence = 10),
            ("hash", |c| c.hash = "cd".repeat(32)),
            ("at", |c| c.at = c.at.plus_ms(1)),
            ("signature", |c| c.signature = "00".repeat(64)),
            ("length", |c| c.signature = "00".into()),
        ];
        for (what, change) in changes {
            let mut bad = good.clone();
            change(&mut bad);
            assert_eq!(known.check(&bad), Err(Disbelief::BadSignature), "{what}");
        }
    }

    #[test]
    fn public_keys_are_hexadecimal() {
        for (text, fine) in [
            ("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", true),
            (" D75A980182B10AB7D54BFED3C964073A0EE172F3DAA62325AF021A68F707511A\n", true),
            ("d75a", false),
            ("z75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", false),
            ("", false),
        ] {
            assert_eq!(PublicKeys::new([text]).is_ok(), fine, "{text:?}");
        }
    }

    #[test]
    fn the_secret_is_never_shown() {
        let shown = format!("{:?}", Checkpoints { key: SigningKey::new([0x41; 32]), every_ms: 1 });
        assert!(!shown.contains("65, 65") && !shown.contains("4141"), "{shown}");
    }
}
