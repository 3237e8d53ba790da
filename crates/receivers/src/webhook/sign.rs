//! Signatures of Standard Webhooks.
//!
//! Source: standard-webhooks, `spec/standard-webhooks.md`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::secret::Secret;

/// Most secrets that sign at a time.
const KEYS_MAX: usize = 4;

/// The secrets of one webhook. Each signs, so that a receiver may change from one to the next when it likes.
#[derive(Clone)]
pub struct SigningKeys {
    keys: Vec<(Secret, Vec<u8>)>,
}

impl SigningKeys {
    /// From `whsec_…` secrets separated by white space, newest first. The error holds nothing of them.
    pub fn read(text: &Secret) -> Result<Self, String> {
        let form = "`whsec_` and the base64 of 24 to 64 random bytes";
        let mut keys = Vec::new();
        for (i, word) in text.reveal().split_whitespace().enumerate() {
            let nth = i + 1;
            let encoded = word
                .strip_prefix("whsec_")
                .ok_or_else(|| format!("secret {nth} does not start with whsec_"))?;
            let key = STANDARD.decode(encoded).map_err(|_| format!("secret {nth} is not {form}"))?;
            if !(24..=64).contains(&key.len()) {
                return Err(format!("secret {nth} has {} bytes: it must be {form}", key.len()));
            }
            keys.push((Secret::new(word), key));
        }
        match keys.len() {
            0 => Err(format!("it is empty: write {form}")),
            1..=KEYS_MAX => Ok(Self { keys }),
            n => Err(format!("it holds {n} secrets, the most is {KEYS_MAX}")),
        }
    }

    /// `webhook-signature`: one `v1,<base64 of HMAC-SHA256>` a secret over `id.seconds.body`, separated by spaces.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "HMAC takes a key of any length")]
    pub fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let each = self.keys.iter().map(|(_, key)| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
            mac.update(format!("{id}.{seconds}.").as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        });
        each.collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn secrets(&self) -> Vec<&Secret> {
        self.keys.iter().map(|(secret, _)| secret).collect()
    }
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKeys({})", self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn keys(text: &str) -> Result<SigningKeys, String> {
        SigningKeys::read(&Secret::new(text))
    }

    /// The vector that the reference libraries test themselves with.
    #[test]
    fn known_signature() {
        let keys = keys(KEY).unwrap();
        let got = keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(got, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn every_secret_signs() {
        let other = format!("whsec_{}", STANDARD.encode([7; 32]));
        let both = keys(&format!("{other}\n {KEY}\n")).unwrap().sign("a", 1, b"x");
        let each = [keys(&other).unwrap().sign("a", 1, b"x"), keys(KEY).unwrap().sign("a", 1, b"x")];
        assert_eq!(both, each.join(" "));
    }

    #[test]
    fn refuses_without_repeating() {
        let short = format!("whsec_{}", STANDARD.encode([7; 23]));
        let long = format!("whsec_{}", STANDARD.encode([7; 65]));
        for (text, part) in [
            ("", "empty"),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_"),
            ("whsec_!!!", "base64"),
            (&short, "23 bytes"),
            (&long, "65 bytes"),
            (&[KEY; 5].join(" "), "5 secrets"),
        ] {
            let error = keys(text).expect_err(text);
            assert!(error.contains(part), "{error}");
            let tail = text.trim_start_matches("whsec_");
            assert!(tail.is_empty() || !error.contains(tail), "{error}");
        }
        assert!(!format!("{:?}", keys(KEY)).contains("MfKQ"));
    }
}
