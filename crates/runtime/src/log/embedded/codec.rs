//! Records of one partition as one value of the file.
//!
//! A batch is `version, count, newest timestamp`, then records: offset (from the batch's base), timestamp (from the
//! newest), key, value, headers. Lengths are LEB128; a length of 0 is "none", n + 1 is n bytes.

use crate::log::{Header, Headers, Offset, Record};

const VERSION: u8 = 1;
const HEAD: usize = 1 + 4 + 8;

/// Builds one batch.
pub(super) struct BatchBuilder {
    base: Offset,
    count: u32,
    newest_ms: i64,
    bytes: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch whose first record will be at `base`. `newest_ms` only has to be near: it makes bytes small.
    pub(super) fn new(base: Offset, near_ms: i64) -> Self {
        let mut bytes = Vec::with_capacity(1024);
        bytes.extend_from_slice(&[0; HEAD]);
        bytes.extend_from_slice(&near_ms.to_le_bytes());
        Self { base, count: 0, newest_ms: i64::MIN, bytes }
    }

    /// Adds a record at `offset`, which is above all before it.
    pub(super) fn push(
        &mut self,
        offset: Offset,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Headers<'_>,
    ) {
        let near = i64::from_le_bytes(self.bytes[HEAD..HEAD + 8].try_into().expect("eight bytes"));
        put_uint(&mut self.bytes, u64::try_from(offset - self.base).expect("offsets grow"));
        put_uint(&mut self.bytes, zigzag(timestamp_ms.wrapping_sub(near)));
        put_bytes(&mut self.bytes, key);
        put_bytes(&mut self.bytes, value);
        let mut block = vec![];
        for (name, value) in headers {
            put_bytes(&mut block, Some(name.as_bytes()));
            put_bytes(&mut block, Some(value));
        }
        put_bytes(&mut self.bytes, Some(&block));
        self.count += 1;
        self.newest_ms = self.newest_ms.max(timestamp_ms);
    }

    pub(super) fn base(&self) -> Offset {
        self.base
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes[0] = VERSION;
        self.bytes[1..5].copy_from_slice(&self.count.to_le_bytes());
        self.bytes[5..13].copy_from_slice(&self.newest_ms.to_le_bytes());
        self.bytes
    }
}

/// A batch as stored. Iterates over its records; stops early (`corrupt`) if the bytes make no sense.
pub(super) struct Batch<'a> {
    topic: &'a str,
    partition: u32,
    base: Offset,
    near_ms: i64,
    left: u32,
    newest_ms: i64,
    rest: &'a [u8],
    corrupt: bool,
}

impl<'a> Batch<'a> {
    /// `None` if this is no batch.
    pub(super) fn open(topic: &'a str, partition: u32, base: Offset, bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD + 8)?;
        if head[0] != VERSION {
            return None;
        }
        let left = u32::from_le_bytes(head[1..5].try_into().ok()?);
        let newest_ms = i64::from_le_bytes(head[5..13].try_into().ok()?);
        let near_ms = i64::from_le_bytes(head[13..21].try_into().ok()?);
        Some(Self { topic, partition, base, near_ms, left, newest_ms, rest, corrupt: false })
    }

    /// Timestamp of its newest record.
    pub(super) fn newest_ms(&self) -> i64 {
        self.newest_ms
    }

    /// Whether reading stopped at bytes that make no sense.
    pub(super) fn corrupt(&self) -> bool {
        self.corrupt
    }

    fn record(&mut self) -> Option<Record<'a>> {
        let offset = self.base.checked_add(i64::try_from(take_uint(&mut self.rest)?).ok()?)?;
        let timestamp_ms = self.near_ms.wrapping_add(unzigzag(take_uint(&mut self.rest)?));
        let key = take_bytes(&mut self.rest)?;
        let value = take_bytes(&mut self.rest)?;
        let headers = Headers::encoded(EncodedHeaders { rest: take_bytes(&mut self.rest)?? });
        let (topic, partition) = (self.topic, self.partition);
        Some(Record { topic, partition, offset, timestamp_ms, key, value, headers })
    }
}

impl<'a> Iterator for Batch<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        self.left = self.left.checked_sub(1)?;
        let record = self.record();
        if record.is_none() {
            self.corrupt = true;
            self.left = 0;
        }
        record
    }
}

/// Headers within a batch.
#[derive(Clone, Copy, Debug)]
pub struct EncodedHeaders<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for EncodedHeaders<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let name = std::str::from_utf8(take_bytes(&mut self.rest)??).ok()?;
        Some((name, take_bytes(&mut self.rest)??))
    }
}

/// Size in the file, near enough to cut batches by: an upper bound.
pub(super) fn size_bound(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header]) -> usize {
    let headers: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 20).sum();
    50 + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len) + headers
}

fn zigzag(n: i64) -> u64 {
    (n.wrapping_shl(1) ^ (n >> 63)).cast_unsigned()
}

fn unzigzag(n: u64) -> i64 {
    (n >> 1).cast_signed() ^ -((n & 1).cast_signed())
}

fn put_uint(to: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        to.push(u8::try_from(n & 0x7f).expect("seven bits") | 0x80);
        n >>= 7;
    }
    to.push(u8::try_from(n).expect("seven bits"));
}

fn take_uint(from: &mut &[u8]) -> Option<u64> {
    let mut n = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        n |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

fn put_bytes(to: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => to.push(0),
        Some(bytes) => {
            put_uint(to, u64::try_from(bytes.len()).expect("a length fits 64 bits") + 1);
            to.extend_from_slice(bytes);
        }
    }
}

/// `None`: the bytes make no sense; `Some(None)`: written as none.
fn take_bytes<'a>(from: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let Some(length) = take_uint(from)?.checked_sub(1) else { return Some(None) };
    let (bytes, rest) = from.split_at_checked(usize::try_from(length).ok()?)?;
    *from = rest;
    Some(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    type Flat = (Option<Vec<u8>>, Option<Vec<u8>>, i64, Vec<(String, Vec<u8>)>, i64);

    fn record() -> impl Strategy<Value = Flat> {
        let bytes = || proptest::option::of(vec(any::<u8>(), 0..40));
        (bytes(), bytes(), any::<i64>(), vec((".{0,8}", vec(any::<u8>(), 0..9)), 0..4), 1_i64..1000)
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(base in 0_i64..1 << 60, near in any::<i64>(), records in vec(record(), 1..20)) {
            let mut builder = BatchBuilder::new(base, near);
            let mut offset = base;
            let mut want = vec![];
            for (key, value, timestamp, headers, step) in &records {
                let headers: Vec<Header> = headers.iter().map(|(n, v)| (n.clone().into(), v.clone())).collect();
                builder.push(offset, *timestamp, key.as_deref(), value.as_deref(), Headers::of(&headers));
                want.push((offset, *timestamp, key.clone(), value.clone(), headers));
                offset += step;
            }
            let bytes = builder.finish();
            let mut batch = Batch::open("t", 3, base, &bytes).expect("just written");
            let newest = want.iter().map(|r| r.1).max().expect("one at least");
            prop_assert_eq!(batch.newest_ms(), newest);
            let got: Vec<_> = batch.by_ref().map(|r| {
                let headers: Vec<Header> = r.headers.iter().map(|(n, v)| (n.to_owned().into(), v.to_vec())).collect();
                (r.offset, r.timestamp_ms, r.key.map(<[u8]>::to_vec), r.value.map(<[u8]>::to_vec), headers)
            }).collect();
            prop_assert!(!batch.corrupt());
            prop_assert_eq!(got, want);
        }

        #[test]
        fn bytes_that_are_no_batch_never_panic(mut bytes in vec(any::<u8>(), 0..200), version in any::<bool>()) {
            if version && let Some(first) = bytes.first_mut() { *first = VERSION; }
            if let Some(batch) = Batch::open("t", 0, 5, &bytes) {
                for record in batch { record.headers.iter().for_each(drop); }
            }
        }
    }
}
