//! A body into the slices that are its records.

use axum::body::Bytes;
use serde::de::{DeserializeSeed, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{REJECTED_MAX, Shape};
use crate::problem::{Problem, Rejected};

/// The records of a body, as slices of it, and what was refused.
#[derive(Debug, Default)]
pub(crate) struct Split {
    pub(crate) records: Vec<Bytes>,
    /// The first hundred.
    pub(crate) rejected: Vec<Rejected>,
    pub(crate) rejected_total: u64,
}

impl Split {
    fn take(&mut self, body: &Bytes, number: usize, record: &[u8], bytes_max: usize) {
        match check(record, bytes_max) {
            Ok(()) => self.records.push(body.slice_ref(record)),
            Err(why) => {
                self.rejected_total += 1;
                if self.rejected.len() < REJECTED_MAX {
                    self.rejected.push(Rejected { line: u64::try_from(number).unwrap_or(u64::MAX), why });
                }
            }
        }
    }
}

/// Cuts a body into records. Cost: one pass over its bytes. An array that is not JSON as a whole is refused as a whole,
/// since there is no telling where its items begin.
pub(crate) fn split(
    body: &Bytes,
    shape: Shape,
    records_max: usize,
    record_bytes_max: usize,
) -> Result<Split, Problem> {
    let too_many = || {
        Problem::new(413, "too-many-records", format!("the body holds more than {records_max} records"))
            .fix("send it in smaller parts, or raise records_max under [http]")
    };
    let mut split = Split::default();
    let array = match shape {
        Shape::Array => true,
        Shape::Lines | Shape::One => false,
        Shape::OneOrArray => body.trim_ascii_start().first() == Some(&b'['),
    };
    if array {
        let items = items(body, records_max)?.ok_or_else(too_many)?;
        for (i, item) in items.into_iter().enumerate() {
            split.take(body, i + 1, item.get().as_bytes(), record_bytes_max);
        }
        return Ok(split);
    }
    if shape != Shape::Lines {
        let record = body.trim_ascii();
        if !record.is_empty() {
            split.take(body, 1, record, record_bytes_max);
        }
        return Ok(split);
    }
    for (i, line) in body.split(|b| *b == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if split.records.len() == records_max {
            return Err(too_many());
        }
        split.take(body, i + 1, line, record_bytes_max);
    }
    Ok(split)
}

/// Why `record` is not a JSON object, without any of it.
fn check(record: &[u8], bytes_max: usize) -> Result<(), String> {
    if record.len() > bytes_max {
        return Err(format!("it has {} bytes, the most is {bytes_max}", record.len()));
    }
    if record.first() != Some(&b'{') {
        return Err("it is not a JSON object".into());
    }
    let text = std::str::from_utf8(record)
        .map_err(|e| format!("it is not UTF-8 from byte {}", e.valid_up_to() + 1))?;
    serde_json::from_str::<IgnoredAny>(text).map(|_| ()).map_err(|e| where_broken(&e))
}

/// Place of an error in words that hold nothing of the text.
fn where_broken(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "it ends before its end".into();
    }
    format!("it is not JSON at line {}, column {}", error.line(), error.column())
}

/// The items of a JSON array; `None` if there are more than `max`.
fn items(body: &[u8], max: usize) -> Result<Option<Vec<&RawValue>>, Problem> {
    let malformed = |why: String| {
        Problem::new(400, "malformed", format!("the body is not a JSON array: {why}")).at("body")
    };
    if body.trim_ascii_start().first() != Some(&b'[') {
        return Err(malformed("it does not begin with [".into()));
    }
    let text = std::str::from_utf8(body)
        .map_err(|e| malformed(format!("not UTF-8 from byte {}", e.valid_up_to() + 1)))?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let items = Items { max }.deserialize(&mut reader).map_err(|e| malformed(where_broken(&e)))?;
    reader.end().map_err(|e| malformed(where_broken(&e)))?;
    Ok(items)
}

/// Reads an array and counts, but does not keep, what is over `max`.
struct Items {
    max: usize,
}

impl<'de> DeserializeSeed<'de> for Items {
    type Value = Option<Vec<&'de RawValue>>;
    fn deserialize<D: serde::Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items {
    type Value = Option<Vec<&'de RawValue>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < self.max {
            match seq.next_element::<&RawValue>()? {
                Some(item) => items.push(item),
                None => return Ok(Some(items)),
            }
        }
        let mut over = false;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            over = true;
        }
        Ok((!over).then_some(items))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(body: &[u8], shape: Shape) -> Result<(Vec<String>, Vec<u64>), u16> {
        let body = Bytes::copy_from_slice(body);
        let split = split(&body, shape, 5, 40).map_err(|p| p.status)?;
        let records = split.records.iter().map(|r| String::from_utf8(r.to_vec()).unwrap()).collect();
        assert_eq!(split.rejected_total, split.rejected.len() as u64);
        Ok((records, split.rejected.iter().map(|r| r.line).collect()))
    }

    #[test]
    fn known_bodies() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(40));
        for (name, shape, body, want) in [
            (
                "lines",
                Shape::Lines,
                "{\"a\":1}\n\n {\"b\":2} \r\n{}",
                Ok((vec!["{\"a\":1}", "{\"b\":2}", "{}"], vec![])),
            ),
            ("no last break", Shape::Lines, "{}", Ok((vec!["{}"], vec![]))),
            (
                "broken lines",
                Shape::Lines,
                "{\n{\"a\":}\n{\"c\":3}\n[1]\n\"x\"\n7",
                Ok((vec!["{\"c\":3}"], vec![1, 2, 4, 5, 6])),
            ),
            ("two on a line", Shape::Lines, "{} {}", Ok((vec![], vec![1]))),
            ("long line", Shape::Lines, &format!("{long}\n{{}}"), Ok((vec!["{}"], vec![1]))),
            ("as many as may be", Shape::Lines, "{}\n{}\n{}\n{}\n{}\n", Ok((vec!["{}"; 5], vec![]))),
            ("one more", Shape::Lines, "{}\n{}\n{}\n{}\n{}\n{}", Err(413)),
            ("nothing", Shape::Lines, "", Ok((vec![], vec![]))),
            ("one", Shape::One, " {\"a\":1}\n", Ok((vec!["{\"a\":1}"], vec![]))),
            ("one over lines", Shape::One, "{\n\"a\":1\n}", Ok((vec!["{\n\"a\":1\n}"], vec![]))),
            ("array where one is wanted", Shape::One, "[{}]", Ok((vec![], vec![1]))),
            ("lines where one is wanted", Shape::OneOrArray, "{}\n{}", Ok((vec![], vec![1]))),
            ("array", Shape::OneOrArray, " [ {\"a\":1} , {} ] ", Ok((vec!["{\"a\":1}", "{}"], vec![]))),
            (
                "array of all sorts",
                Shape::Array,
                "[{}, 1, null, [], {\"b\":[{}]}]",
                Ok((vec!["{}", "{\"b\":[{}]}"], vec![2, 3, 4])),
            ),
            ("empty array", Shape::Array, "[]", Ok((vec![], vec![]))),
            ("full array", Shape::Array, "[{},{},{},{},{}]", Ok((vec!["{}"; 5], vec![]))),
            ("one item more", Shape::Array, "[{},{},{},{},{},{}]", Err(413)),
            ("cut array", Shape::Array, "[{}, {", Err(400)),
            ("array and more", Shape::Array, "[{}] x", Err(400)),
            ("object where an array is wanted", Shape::Array, "{}", Err(400)),
        ] {
            let want = want.map(|(r, l)| (r.into_iter().map(String::from).collect::<Vec<_>>(), l));
            assert_eq!(cut(body.as_bytes(), shape), want, "{name}");
        }
    }

    #[test]
    fn what_is_not_utf8_is_refused_by_line() {
        assert_eq!(cut(b"{\"a\":\"\xff\"}\n{}", Shape::Lines), Ok((vec!["{}".into()], vec![1])));
        assert_eq!(cut(b"[\"\xff\"]", Shape::Array), Err(400));
    }

    #[test]
    fn refused_lines_are_named_up_to_a_bound_and_counted_beyond() {
        let body = Bytes::from("x\n".repeat(1000));
        let split = split(&body, Shape::Lines, 5, 40).unwrap();
        assert_eq!((split.rejected.len(), split.rejected_total), (REJECTED_MAX, 1000));
    }

    #[test]
    fn depth_is_bounded() {
        let deep = Bytes::from(format!("{{\"a\":{}", "[".repeat(500_000)));
        let split = split(&deep, Shape::Lines, 5, 1 << 20).unwrap();
        assert_eq!(split.rejected_total, 1);
    }

    proptest! {
        #[test]
        fn every_line_is_a_record_or_refused(lines in proptest::collection::vec("[^\n]{0,12}", 0..8), objects in 0usize..4) {
            let mut all = lines.clone();
            all.extend(std::iter::repeat_n("{\"k\": [1.5e3]}".to_owned(), objects));
            let body = Bytes::from(all.join("\n"));
            let split = split(&body, Shape::Lines, 1000, 1000).unwrap();
            let full = all.iter().filter(|l| !l.as_bytes().trim_ascii().is_empty()).count() as u64;
            prop_assert_eq!(split.records.len() as u64 + split.rejected_total, full);
            prop_assert!(split.records.len() >= objects);
            for record in &split.records {
                prop_assert!(serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(record).is_ok());
            }
        }

        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200), n in 0usize..4) {
            let shape = [Shape::Lines, Shape::One, Shape::Array, Shape::OneOrArray][n];
            _ = split(&Bytes::from(body), shape, 5, 50);
        }
    }
}
