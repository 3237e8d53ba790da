//! People by pseudonym. The audit chain cannot be changed later, so it never holds a name; the state does, and
//! removing a name there is how a person is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use wire::id;

/// Most names remembered. Beyond it pseudonyms are still made, but can no longer be turned back into names.
const PEOPLE_MAX: usize = 10_000;

/// Longest name of a person, in bytes.
const NAME_MAX: usize = wire::forget::NAME_BYTES_MAX;

/// The secret under which names become pseudonyms. Never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct PeopleKey(Vec<u8>);

impl PeopleKey {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(key.to_vec())
    }
}

impl fmt::Debug for PeopleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeopleKey(…)")
    }
}

/// Pseudonym to name, in order of the pseudonyms.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    names: BTreeMap<String, String>,
    /// Pseudonyms of people who were forgotten: no name is kept for them again.
    forgotten: BTreeSet<String>,
    /// Pseudonyms of people who are about to be: from now on nobody is shown their names.
    hidden: BTreeSet<String>,
    /// Pseudonyms whose names came or went since someone asked.
    changed: BTreeSet<String>,
}

impl Directory {
    /// The pseudonym of a person under `key`: 80 bits of an HMAC-SHA-256 in letters and digits, after `p-`.
    pub(crate) fn pseudonym(key: &PeopleKey, name: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).expect("HMAC takes a key of any length");
        mac.update(name.as_bytes());
        format!("p-{}", id::base32(&mac.finalize().into_bytes()[..10]))
    }

    /// Remembers who a pseudonym is. True when that is news and must be written down.
    pub(crate) fn learn(&mut self, pseudonym: &str, name: &str) -> bool {
        let known = self.names.contains_key(pseudonym) || self.forgotten.contains(pseudonym);
        if known || self.names.len() >= PEOPLE_MAX || name.len() > NAME_MAX {
            return false;
        }
        self.changed.insert(pseudonym.into());
        self.names.insert(pseudonym.into(), name.into());
        true
    }

    /// The name behind a pseudonym; the pseudonym itself when it is forgotten.
    pub(crate) fn name<'a>(&'a self, pseudonym: &'a str) -> &'a str {
        self.shown(pseudonym).map_or(pseudonym, String::as_str)
    }

    fn shown(&self, pseudonym: &str) -> Option<&String> {
        self.names.get(pseudonym).filter(|_| !self.hidden.contains(pseudonym))
    }

    /// Shows nobody the name behind a pseudonym, which is kept until it can be said that it is forgotten.
    pub(crate) fn hide(&mut self, pseudonym: &str) {
        self.hidden.insert(pseudonym.into());
    }

    pub(crate) fn forget(&mut self, pseudonym: &str) {
        self.changed.insert(pseudonym.into());
        self.names.remove(pseudonym);
    }

    /// Keeps no name for this pseudonym, now and later. True when that is news and must be written down.
    pub(crate) fn forget_for_good(&mut self, pseudonym: &str) -> bool {
        self.forget(pseudonym);
        self.forgotten.len() < PEOPLE_MAX && self.forgotten.insert(pseudonym.into())
    }

    /// Pseudonyms of whoever has a name of which this holds, under whichever key they were met.
    pub(crate) fn of_name(&self, is: &dyn Fn(&str) -> bool) -> BTreeSet<String> {
        self.names.iter().filter(|(_, name)| is(name)).map(|(pseudonym, _)| pseudonym.clone()).collect()
    }

    /// Pseudonyms whose names changed since the last call, with the name; `None` where there is none any more.
    pub(crate) fn take_changed(&mut self) -> Vec<(String, Option<String>)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|p| (p.clone(), self.shown(&p).cloned())).collect()
    }

    /// Forgets everyone of these names, under whichever key they were met. Returns their pseudonyms.
    pub(crate) fn forget_names(&mut self, names: &BTreeSet<String>) -> Vec<String> {
        let gone = self.names.extract_if(.., |_, name| names.contains(name));
        let gone: Vec<String> = gone.map(|(pseudonym, _)| pseudonym).collect();
        self.changed.extend(gone.iter().cloned());
        self.hidden.clear();
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_depends_on_key_and_name_alone() {
        let of = |key: &[u8], name| Directory::pseudonym(&PeopleKey::new(key), name);
        let ana = of(b"k", "ana");
        assert_eq!(ana, of(b"k", "ana"));
        assert_ne!(ana, of(b"l", "ana"));
        assert_ne!(ana, of(b"k", "bo"));
        assert!(ana.len() == 18 && !ana.contains("ana"));
    }

    #[test]
    fn a_pseudonym_is_an_hmac() {
        // RFC 4231, test case 2: the first 80 bits are 5b dc c1 46 bf 60 75 4e 6a 04.
        let jefe = Directory::pseudonym(&PeopleKey::new(b"Jefe"), "what do ya want for nothing?");
        let want = [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04];
        assert_eq!(jefe, format!("p-{}", id::base32(&want)));
    }

    #[test]
    fn the_key_is_never_shown() {
        assert!(!format!("{:?}", PeopleKey::new(b"ABC")).contains("ABC"));
        assert!(!format!("{:?}", PeopleKey::new(b"ABC")).contains("65"));
    }

    #[test]
    fn what_is_forgotten_stays_a_pseudonym() {
        let mut d = Directory::default();
        assert!(d.learn("p-1", "ana"));
        assert!(!d.learn("p-1", "ana"));
        assert_eq!(d.name("p-1"), "ana");
        d.hide("p-1");
        assert_eq!(d.name("p-1"), "p-1");
        assert_eq!(d.take_changed(), [("p-1".to_owned(), None)]);
        d.forget("p-1");
        assert_eq!(d.name("p-1"), "p-1");
        assert!(d.learn("p-1", "ana"), "until it is for good");
        assert!(d.forget_for_good("p-1") && !d.forget_for_good("p-1"));
        assert!(!d.learn("p-1", "ana"));
        assert_eq!(d.name("p-1"), "p-1");
        assert_eq!(d.take_changed(), [("p-1".to_owned(), None)]);
    }
}
