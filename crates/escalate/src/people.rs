//! People by pseudonym. The audit chain cannot be changed later, so it never holds a name; the state does, and
//! removing a name there is how a person is forgotten.

use std::collections::BTreeMap;

use wire::id;

/// Most names remembered. Beyond it pseudonyms are still made, but can no longer be turned back into names.
const PEOPLE_MAX: usize = 10_000;

/// Longest name of a person, in bytes.
const NAME_MAX: usize = 200;

/// Pseudonym to name, in order of the pseudonyms.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    names: BTreeMap<String, String>,
}

impl Directory {
    /// The pseudonym of a person under `key`: 16 letters and digits of a hash, after `p-`.
    pub(crate) fn pseudonym(key: &[u8], name: &str) -> String {
        let hash = id::sha256(&[b"person", key, name.as_bytes()]);
        format!("p-{}", id::base32(&hash[..10]))
    }

    /// Remembers who a pseudonym is. True when that is news and must be written down.
    pub(crate) fn learn(&mut self, pseudonym: &str, name: &str) -> bool {
        if self.names.contains_key(pseudonym) || self.names.len() >= PEOPLE_MAX || name.len() > NAME_MAX {
            return false;
        }
        self.names.insert(pseudonym.into(), name.into());
        true
    }

    /// The name behind a pseudonym; the pseudonym itself when it is forgotten.
    pub(crate) fn name<'a>(&'a self, pseudonym: &'a str) -> &'a str {
        self.names.get(pseudonym).map_or(pseudonym, String::as_str)
    }

    pub(crate) fn forget(&mut self, pseudonym: &str) {
        self.names.remove(pseudonym);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_depends_on_key_and_name_alone() {
        let ana = Directory::pseudonym(b"k", "ana");
        assert_eq!(ana, Directory::pseudonym(b"k", "ana"));
        assert_ne!(ana, Directory::pseudonym(b"l", "ana"));
        assert_ne!(ana, Directory::pseudonym(b"k", "bo"));
        assert!(ana.len() == 18 && !ana.contains("ana"));
    }

    #[test]
    fn what_is_forgotten_stays_a_pseudonym() {
        let mut d = Directory::default();
        assert!(d.learn("p-1", "ana"));
        assert!(!d.learn("p-1", "ana"));
        assert_eq!(d.name("p-1"), "ana");
        d.forget("p-1");
        assert_eq!(d.name("p-1"), "p-1");
    }
}
