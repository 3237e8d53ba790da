//! What of the context and the config is in a panes partition already.

use std::collections::BTreeMap;

use wire::Digest;

use crate::log::NewRecord;
use crate::state::Parts;

/// State keys of the entries begin so: one record each, so that none grows with the number of them.
const PREFIX: &[u8] = b"\0runtime/passed-on/";
/// Where earlier versions kept all of them as one record.
const TOGETHER: &[u8] = b"\0runtime/passed-on";
/// Most entries of a partition: some 20 MB of memory.
pub(super) const ENTRIES_MAX: usize = 65_536;
/// A longer key stands under its digest.
const KEY_BYTES_MAX: usize = 600;

/// By key of the context record or reference: the digest of what was passed on last.
#[derive(Debug)]
pub(super) struct PassedOn {
    digests: BTreeMap<String, String>,
    max: usize,
    /// Keys whose digest is not written yet.
    unwritten: Vec<String>,
    /// The one record of earlier versions is there and must go.
    together: bool,
    /// Something was refused.
    was_full: bool,
}

/// Whether something must be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    Known,
    New,
    /// The table is full: what is not in it stays out. `first` is true the first time.
    Full {
        first: bool,
    },
}

impl Default for PassedOn {
    fn default() -> Self {
        Self::new(ENTRIES_MAX)
    }
}

impl PassedOn {
    pub(super) fn new(max: usize) -> Self {
        Self { digests: BTreeMap::new(), max, unwritten: Vec::new(), together: false, was_full: false }
    }

    pub(super) fn len(&self) -> usize {
        self.digests.len()
    }

    /// Takes back one state record. False if it is none of these.
    pub(super) fn restore(&mut self, key: &[u8], value: &[u8]) -> bool {
        if key == TOGETHER {
            let all: BTreeMap<String, String> = serde_json::from_slice(value).unwrap_or_default();
            self.unwritten.extend(all.keys().cloned());
            self.digests.extend(all);
            self.together = true;
            return true;
        }
        let Some(key) = key.strip_prefix(PREFIX) else { return false };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.digests.insert(text(key), text(value));
        true
    }

    /// Notes that this is passed on now, unless it was.
    pub(super) fn offer(&mut self, mut key: String, digest: String) -> Offer {
        if key.len() > KEY_BYTES_MAX {
            key = Digest::of(&[key.as_bytes()]).to_string();
        }
        match self.digests.get(&key) {
            Some(known) if *known == digest => return Offer::Known,
            None if self.digests.len() >= self.max => {
                let first = !std::mem::replace(&mut self.was_full, true);
                return Offer::Full { first };
            }
            Some(_) | None => (),
        }
        self.digests.insert(key.clone(), digest);
        self.unwritten.push(key);
        Offer::New
    }

    /// The records of what is new.
    pub(super) fn write(&mut self, at: (&str, u32), parts: &mut Parts, out: &mut Vec<NewRecord>) {
        if std::mem::take(&mut self.together) {
            parts.put(at, TOGETHER.to_vec(), None, out);
        }
        for key in std::mem::take(&mut self.unwritten) {
            let value = self.digests.get(&key).map(|digest| digest.clone().into_bytes());
            parts.put(at, [PREFIX, key.as_bytes()].concat(), value, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(passed_on: &mut PassedOn) -> Vec<NewRecord> {
        let mut out = Vec::new();
        passed_on.write(("t", 0), &mut Parts::default(), &mut out);
        out
    }

    fn restored(records: &[NewRecord]) -> PassedOn {
        let mut again = PassedOn::default();
        for record in records {
            let key = record.key.as_deref().expect("state has keys");
            assert!(record.value.as_deref().is_none_or(|value| again.restore(key, value)));
        }
        again
    }

    #[test]
    fn no_record_grows_with_the_number_of_entries_and_the_number_is_bounded() {
        let mut passed_on = PassedOn::default();
        for i in 0..ENTRIES_MAX {
            let key = format!("deployment/{}/{i}", "m".repeat(250));
            assert_eq!(passed_on.offer(key, "digest".into()), Offer::New);
        }
        assert_eq!(passed_on.offer("one more".into(), "d".into()), Offer::Full { first: true });
        assert_eq!(passed_on.offer("x".repeat(1_000_000), "d".into()), Offer::Full { first: false });
        assert_eq!(passed_on.len(), ENTRIES_MAX);
        let known = format!("deployment/{}/7", "m".repeat(250));
        assert_eq!(passed_on.offer(known.clone(), "digest".into()), Offer::Known);
        let records = written(&mut passed_on);
        assert_eq!(records.len(), ENTRIES_MAX);
        assert!(records.iter().all(|record| record.size() < 1024));
        let mut again = restored(&records);
        assert_eq!((again.len(), again.offer(known.clone(), "digest".into())), (ENTRIES_MAX, Offer::Known));
        assert_eq!(again.offer(known, "another".into()), Offer::New, "what is known may change");
        assert_eq!(written(&mut again).len(), 1);
    }

    #[test]
    fn a_long_key_stands_under_its_digest() {
        let mut passed_on = PassedOn::default();
        assert_eq!(passed_on.offer("x".repeat(1_000_000), "d".into()), Offer::New);
        assert_eq!(passed_on.offer("x".repeat(1_000_000), "d".into()), Offer::Known);
        assert!(written(&mut passed_on)[0].size() < 1024);
    }

    #[test]
    fn the_one_record_of_earlier_versions_is_taken_apart() {
        let mut passed_on = PassedOn::default();
        assert!(passed_on.restore(TOGETHER, br#"{"lineage/model/a":"1","lineage/model/b":"2"}"#));
        let records = written(&mut passed_on);
        assert_eq!(records[0], NewRecord::tombstone("t", TOGETHER).partition(0));
        let mut again = restored(&records);
        assert_eq!(again.offer("lineage/model/b".into(), "2".into()), Offer::Known);
        assert!(!again.restore(b"meta", b""));
    }
}
