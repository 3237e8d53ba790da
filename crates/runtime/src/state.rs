//! State values of any length: one key, as many records as the log's limit on a record takes.
//!
//! A value beyond [`PART_BYTES`] is cut. Its first part stands under its own key and says in a header how many there
//! are and what the whole of them hashes to; the others stand under keys of their own. All of them are written in one
//! transaction, and what is read back is the whole or an error, never some of it.

use std::collections::BTreeMap;

use wire::Digest;

use crate::log::{Headers, NewRecord};

/// Most bytes of a value in one record: a fourth of what a log takes unless told otherwise.
pub const PART_BYTES: usize = 256 * 1024;

/// Header of a first part: how many parts, and the digest of the whole.
const WHOLE: &str = "tocsin-parts";
/// Header of every further part.
const FURTHER: &str = "tocsin-part";

/// Which keys of a state partition have how many parts: those that a shorter value leaves behind are removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts(BTreeMap<Vec<u8>, u32>);

impl Parts {
    /// The records that give `key` this value; `None` removes it.
    pub(crate) fn put(
        &mut self,
        (topic, partition): (&str, u32),
        key: Vec<u8>,
        value: Option<Vec<u8>>,
        out: &mut Vec<NewRecord>,
    ) {
        let had = self.0.remove(&key).unwrap_or(1);
        let Some(mut value) = value else {
            out.push(NewRecord::tombstone(topic, key.as_slice()).partition(partition));
            out.extend((1..had).map(|i| NewRecord::tombstone(topic, further(&key, i)).partition(partition)));
            return;
        };
        let count = u32::try_from(value.len().div_ceil(PART_BYTES).max(1)).expect("fits memory");
        let whole = (count > 1).then(|| format!("{count} {}", Digest::of(&[&value])));
        let rest = if count > 1 { value.split_off(PART_BYTES) } else { Vec::new() };
        let mut first = NewRecord::new(topic, value).partition(partition);
        if let Some(whole) = whole {
            first = first.header(WHOLE, whole);
            self.0.insert(key.clone(), count);
        }
        out.push(first.key(key.as_slice()));
        for (i, part) in (1..count).zip(rest.chunks(PART_BYTES)) {
            let record = NewRecord::new(topic, part).key(further(&key, i)).partition(partition);
            out.push(record.header(FURTHER, i.to_string()));
        }
        let left = (count..had).map(|i| NewRecord::tombstone(topic, further(&key, i)).partition(partition));
        out.extend(left);
    }
}

/// Key of a further part.
fn further(key: &[u8], i: u32) -> Vec<u8> {
    [key, b"\0part", &i.to_be_bytes()].concat()
}

/// A value, or the first part of one, with the number of parts and the digest of the whole.
#[derive(Debug)]
struct First {
    value: Vec<u8>,
    shape: Option<(u32, Digest)>,
}

/// The last word on each key, parts still apart.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    whole: BTreeMap<Vec<u8>, First>,
    further: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Gathered {
    pub(crate) fn take(&mut self, key: &[u8], value: Option<&[u8]>, headers: Headers<'_>) {
        match value {
            None => {
                self.whole.remove(key);
                self.further.remove(key);
            }
            Some(value) if headers.get(FURTHER).is_some() => {
                self.further.insert(key.to_vec(), value.to_vec());
            }
            Some(value) => {
                let shape = headers.get(WHOLE).and_then(shape);
                self.whole.insert(key.to_vec(), First { value: value.to_vec(), shape });
            }
        }
    }

    /// Keys, and bytes of keys and values.
    pub(crate) fn live(&self) -> (usize, u64) {
        let whole = self.whole.iter().map(|(key, first)| key.len() + first.value.len());
        let further = self.further.iter().map(|(key, value)| key.len() + value.len());
        (self.whole.len(), whole.chain(further).map(|bytes| bytes as u64).sum())
    }

    /// Every value whole, in order of the keys, to `each`. The error is the key of which a part is missing.
    pub(crate) fn give(self, mut each: impl FnMut(&[u8], &[u8])) -> Result<Parts, String> {
        let mut parts = Parts::default();
        for (key, First { mut value, shape }) in self.whole {
            if let Some((count, digest)) = shape {
                for i in 1..count {
                    value.extend(self.further.get(&further(&key, i)).map_or(&[][..], Vec::as_slice));
                }
                if Digest::of(&[&value]) != digest {
                    return Err(String::from_utf8_lossy(&key).into_owned());
                }
                parts.0.insert(key.clone(), count);
            }
            each(&key, &value);
        }
        Ok(parts)
    }
}

fn shape(header: &[u8]) -> Option<(u32, Digest)> {
    let (count, digest) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    Some((count.parse().ok()?, Digest::new(digest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a compacted topic holds after these records.
    #[derive(Default)]
    struct Topic(BTreeMap<Vec<u8>, NewRecord>);

    type Values = BTreeMap<Vec<u8>, Vec<u8>>;

    impl Topic {
        fn write(&mut self, records: Vec<NewRecord>) {
            for record in records {
                assert!(record.size() <= PART_BYTES + 1024, "{} bytes", record.size());
                let key = record.key.clone().expect("state has keys");
                if record.value.is_some() {
                    self.0.insert(key, record);
                } else {
                    self.0.remove(&key);
                }
            }
        }

        fn read(&self) -> Result<(Values, Parts), String> {
            let mut gathered = Gathered::default();
            for (key, record) in &self.0 {
                gathered.take(key, record.value.as_deref(), Headers::of(&record.headers));
            }
            let mut found = Values::new();
            let parts = gathered.give(|key, value| drop(found.insert(key.to_vec(), value.to_vec())))?;
            Ok((found, parts))
        }
    }

    fn value(bytes: usize, seed: u8) -> Vec<u8> {
        (0..bytes).map(|i| u8::try_from(i % 251).expect("below 251") ^ seed).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_value_of_any_length_comes_back_and_leaves_nothing(
            steps in prop::collection::vec((0..3_u8, prop::option::of(0..900_000_usize), any::<u8>()), 1..6)
        ) {
            let (mut topic, mut parts, mut want) = (Topic::default(), Parts::default(), BTreeMap::new());
            for (key, bytes, seed) in steps {
                let value = bytes.map(|bytes| value(bytes, seed));
                match &value {
                    Some(value) => drop(want.insert(vec![key], value.clone())),
                    None => drop(want.remove(&vec![key])),
                }
                let mut out = Vec::new();
                parts.put(("t", 0), vec![key], value, &mut out);
                topic.write(out);
                let (found, restored) = topic.read().map_err(TestCaseError::fail)?;
                prop_assert!(found == want);
                prop_assert_eq!(&restored, &parts);
                let records: usize = want.values().map(|v: &Vec<u8>| v.len().div_ceil(PART_BYTES).max(1)).sum();
                prop_assert_eq!(topic.0.len(), records);
            }
        }
    }

    #[test]
    fn a_part_that_is_missing_is_an_error() {
        let (mut topic, mut out) = (Topic::default(), Vec::new());
        Parts::default().put(("t", 0), b"k".to_vec(), Some(value(600_000, 1)), &mut out);
        topic.write(out);
        topic.0.remove(&further(b"k", 1));
        assert_eq!(topic.read(), Err("k".to_owned()));
    }
}
