//! What is larger than a record may be, in parts, and together again.
//!
//! A writer puts all parts of a whole into one transaction, in order; a reader meets the parts of several writers mixed.
//! A whole is used only when every part of it has come and its digest says that it is what was written.

use std::collections::BTreeMap;

use crate::Digest;

/// Most bytes of one part. A record of one, with its key and headers and its text escaped, stays below the megabyte that
/// a topic takes by default.
pub const PART_BYTES: usize = 256 << 10;

/// Most bytes of a whole: what a reader will put together.
pub const WHOLE_BYTES_MAX: usize = 64 << 20;

/// Bytes of wholes that are under way in one reader, over all writers; beyond, the one that began first goes.
const HELD_BYTES_MAX: usize = 2 * WHOLE_BYTES_MAX;

/// One part, as a reader finds it.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Whose parts come in order: at most one whole of a writer is under way.
    pub writer: &'a str,
    /// Of the whole.
    pub digest: &'a Digest,
    pub index: u32,
    /// How many there are.
    pub parts: u32,
    pub bytes: &'a [u8],
}

/// What a part brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Joined {
    /// Others are to come.
    More,
    /// The last one: the whole, and the offset of its first part.
    Whole { bytes: Vec<u8>, first: i64 },
    /// It does not go on with anything that is here, or what came together is not what was written.
    Broken,
}

/// Wholes under way, by writer.
///
/// Bound: 128 MiB over all writers.
#[derive(Debug, Default)]
pub struct Joiner {
    open: BTreeMap<String, Open>,
}

#[derive(Debug)]
struct Open {
    first: i64,
    digest: Digest,
    parts: u32,
    next: u32,
    bytes: Vec<u8>,
}

/// Digest of a whole, as its parts carry it.
#[must_use]
pub fn digest(whole: &[u8]) -> Digest {
    Digest::of(&[whole])
}

impl Joiner {
    /// Takes in the part at `offset`.
    pub fn take(&mut self, offset: i64, part: Part<'_>) -> Joined {
        let known = self.open.remove(part.writer);
        let mut open = match known {
            // A whole that begins ends what its writer had begun before.
            _ if part.index == 0 => Open {
                first: offset,
                digest: part.digest.clone(),
                parts: part.parts,
                next: 0,
                bytes: Vec::new(),
            },
            Some(open) if (open.next, open.parts, &open.digest) == (part.index, part.parts, part.digest) => {
                open
            }
            Some(_) | None => return Joined::Broken,
        };
        if open.bytes.len() + part.bytes.len() > WHOLE_BYTES_MAX {
            return Joined::Broken;
        }
        open.bytes.extend_from_slice(part.bytes);
        open.next += 1;
        if open.next < open.parts {
            self.open.insert(part.writer.to_owned(), open);
            self.shrink();
            return Joined::More;
        }
        if digest(&open.bytes) == open.digest {
            Joined::Whole { bytes: open.bytes, first: open.first }
        } else {
            Joined::Broken
        }
    }

    /// Offset of the first part of anything under way: from there on it must be read again.
    #[must_use]
    pub fn first(&self) -> Option<i64> {
        self.open.values().map(|open| open.first).min()
    }

    /// The one that began first can no longer be put together: its next part will be told to be broken.
    fn shrink(&mut self) {
        while self.open.values().map(|open| open.bytes.len()).sum::<usize>() > HELD_BYTES_MAX {
            let oldest =
                self.open.iter().min_by_key(|(_, open)| open.first).map(|(writer, _)| writer.clone());
            let Some(oldest) = oldest else { return };
            self.open.remove(&oldest);
        }
    }
}

/// Text in pieces of at most [`PART_BYTES`]; one empty piece of none.
#[must_use]
pub fn text(whole: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = whole;
    while rest.len() > PART_BYTES {
        let cut = (0..=PART_BYTES).rev().find(|at| rest.is_char_boundary(*at)).unwrap_or(PART_BYTES);
        let (piece, others) = rest.split_at(cut);
        pieces.push(piece);
        rest = others;
    }
    pieces.push(rest);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(whole: &[u8], size: usize) -> Vec<(Digest, u32, u32, Vec<u8>)> {
        let n = u32::try_from(whole.len().div_ceil(size)).expect("few");
        whole.chunks(size).zip(0..).map(|(bytes, i)| (digest(whole), i, n, bytes.to_vec())).collect()
    }

    fn take(joiner: &mut Joiner, at: i64, writer: &str, part: &(Digest, u32, u32, Vec<u8>)) -> Joined {
        let (digest, index, parts, bytes) = part;
        joiner.take(at, Part { writer, digest, index: *index, parts: *parts, bytes })
    }

    #[test]
    fn parts_of_several_writers_come_together() {
        let mut joiner = Joiner::default();
        let (a, b) = (parts(b"a long whole", 5), parts(b"another", 4));
        assert_eq!(take(&mut joiner, 3, "a", &a[0]), Joined::More);
        assert_eq!(take(&mut joiner, 4, "b", &b[0]), Joined::More);
        assert_eq!(take(&mut joiner, 5, "a", &a[1]), Joined::More);
        assert_eq!(joiner.first(), Some(3));
        let whole = Joined::Whole { bytes: b"a long whole".to_vec(), first: 3 };
        assert_eq!(take(&mut joiner, 6, "a", &a[2]), whole);
        assert_eq!(joiner.first(), Some(4));
        assert_eq!(take(&mut joiner, 9, "b", &b[1]), Joined::Whole { bytes: b"another".to_vec(), first: 4 });
        assert_eq!(joiner.first(), None);
    }

    #[test]
    fn what_is_not_whole_is_never_given() {
        let a = parts(b"a long whole", 5);
        let other = parts(b"a wrong whole", 5);
        for (order, what) in [
            (vec![&a[1], &a[2]], "the first is missing"),
            (vec![&a[0], &a[2]], "one is missing"),
            (vec![&a[0], &a[1], &other[2]], "of another"),
            (vec![&a[0], &a[0], &a[2]], "begun anew"),
        ] {
            let mut joiner = Joiner::default();
            let last = order.iter().zip(0..).map(|(part, at)| take(&mut joiner, at, "a", part)).last();
            assert_eq!(last, Some(Joined::Broken), "{what}");
            assert_eq!(joiner.first(), None, "{what}");
        }
        let mut changed = a.clone();
        changed[1].3[0] ^= 1;
        let mut joiner = Joiner::default();
        let last = changed.iter().zip(0..).map(|(part, at)| take(&mut joiner, at, "a", part)).last();
        assert_eq!(last, Some(Joined::Broken), "changed on its way");
    }

    #[test]
    fn what_is_under_way_is_bounded() {
        let mut joiner = Joiner::default();
        let digest = digest(b"never");
        let big = vec![0; WHOLE_BYTES_MAX];
        let part = |index, bytes| Part { writer: "", digest: &digest, index, parts: 9, bytes };
        for (writer, at) in [("a", 1), ("b", 2), ("c", 3)] {
            assert_eq!(joiner.take(at, Part { writer, ..part(0, &big) }), Joined::More);
        }
        assert_eq!(joiner.first(), Some(2), "the first has gone");
        assert_eq!(joiner.take(4, Part { writer: "b", ..part(1, b"x") }), Joined::Broken, "too much");
    }

    #[test]
    fn text_is_cut_between_characters() {
        let whole = format!("{}{}", "x".repeat(PART_BYTES - 1), "é".repeat(PART_BYTES));
        let pieces = text(&whole);
        assert_eq!(pieces.concat(), whole);
        assert_eq!(pieces[0].len(), PART_BYTES - 1);
        assert!(pieces.iter().all(|p| p.len() <= PART_BYTES) && pieces.len() == 3, "{}", pieces.len());
        assert_eq!(text(""), [""]);
    }
}
