//! Keyed hashes: what stands outside the process for ids and values that must not.

use crate::decode::Canonical;

/// SipHash with one round a word and three at the end, as in the standard library's hash maps.
/// Source: Aumasson & Bernstein, "SipHash: a fast short-input PRF", 2012.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sip<const C: usize, const D: usize> {
    k0: u64,
    k1: u64,
}

impl<const C: usize, const D: usize> Sip<C, D> {
    fn hash(self, bytes: &[u8]) -> u64 {
        let mut v = [
            self.k0 ^ 0x736f_6d65_7073_6575,
            self.k1 ^ 0x646f_7261_6e64_6f6d,
            self.k0 ^ 0x6c79_6765_6e65_7261,
            self.k1 ^ 0x7465_6462_7974_6573,
        ];
        let words = bytes.chunks_exact(8);
        let rest = words.remainder();
        for word in words {
            absorb::<C>(&mut v, u64::from_le_bytes(word.try_into().expect("eight bytes")));
        }
        let length = bytes.len() as u64 & 0xff;
        let last = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        absorb::<C>(&mut v, length << 56 | last);
        v[2] ^= 0xff;
        for _ in 0..D {
            round(&mut v);
        }
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }
}

fn absorb<const C: usize>(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    for _ in 0..C {
        round(v);
    }
    v[0] ^= word;
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

/// The keys of one installation: one for ids, one for texts, one for numbers, all from one secret. Whoever has
/// not the secret cannot tell which value a hash belongs to by trying values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    ids: Sip<1, 3>,
    texts: Sip<1, 3>,
    numbers: Sip<1, 3>,
}

impl std::fmt::Debug for Keys {
    /// Keys are secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// The keys that follow from a secret of any length.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a hash has its length")]
    pub fn new(secret: &[u8]) -> Self {
        let key = |purpose: &str| {
            let hash = wire::id::sha256(&[secret, purpose.as_bytes()]);
            let word =
                |from: usize| u64::from_le_bytes(hash[from..from + 8].try_into().expect("eight bytes"));
            Sip { k0: word(0), k1: word(8) }
        };
        Self { ids: key("ids"), texts: key("texts"), numbers: key("numbers") }
    }

    /// Hash of an id, or of any other name that must be told apart.
    #[must_use]
    pub fn id(&self, id: &str) -> u64 {
        self.ids.hash(id.as_bytes())
    }

    /// Hash of a value: equal exactly for values that are the same.
    #[must_use]
    pub fn value(&self, value: Canonical<'_>) -> u64 {
        match value {
            // Negative zero is zero.
            Canonical::Number(x) => self.numbers.hash(&(x + 0.0).to_bits().to_le_bytes()),
            Canonical::Text(text) => self.texts.hash(text.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::hash::Hasher as _;

    #[test]
    fn siphash_2_4_of_its_paper() {
        let key = Sip::<2, 4> { k0: 0x0706_0504_0302_0100, k1: 0x0f0e_0d0c_0b0a_0908 };
        let bytes: Vec<u8> = (0..15).collect();
        assert_eq!(key.hash(&bytes), 0xa129_ca61_49be_45e5);
    }

    proptest! {
        #[test]
        fn siphash_1_3_of_the_standard_library(bytes in proptest::collection::vec(any::<u8>(), 0..70)) {
            let mut theirs = std::hash::DefaultHasher::new();
            theirs.write(&bytes);
            prop_assert_eq!(Sip::<1, 3> { k0: 0, k1: 0 }.hash(&bytes), theirs.finish());
        }
    }

    #[test]
    fn other_secrets_and_purposes_give_other_hashes() {
        let (a, b) = (Keys::new(b"a"), Keys::new(b"b"));
        assert_ne!(a.id("x"), b.id("x"));
        assert_ne!(a.id("x"), a.value(Canonical::Text("x")));
        assert_eq!(a.value(Canonical::Number(-0.0)), a.value(Canonical::Number(0.0)));
        assert!(!format!("{a:?}").contains(char::is_numeric));
    }
}
