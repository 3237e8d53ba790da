//! `POST /v1/telemetry`: bodies into records.
//!
//! Each record is checked for one thing: that it is a JSON object. What it means is judged by who reads the topic, with a
//! dead letter for what cannot be read. A broken line is refused by number and the others are taken, so that nothing is
//! lost unsaid: 202 when all were taken, 207 when some were, 400 when none was.

mod split;

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use wire::cloudevent::Headers;

use crate::backend::IngestRecord;
use crate::layer::{Lane, Shared};
use crate::limits::{read_body, too_many};
use crate::problem::{Problem, Rejected};
pub(crate) use split::{Split, split};

/// Most refused lines that an answer names.
pub(crate) const REJECTED_MAX: usize = 100;
/// Most attributes of a binary CloudEvent.
const ATTRIBUTES_MAX: usize = 64;

/// What became of a body.
#[derive(Debug, Serialize, Deserialize)]
struct Taken {
    /// Records that are durable.
    accepted: u64,
    /// Lines that were refused, the first hundred of them.
    rejected: Vec<Rejected>,
    /// How many were refused in all.
    rejected_total: u64,
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One JSON object a line.
    Lines,
    /// One JSON object.
    One,
    /// A JSON array of objects.
    Array,
    /// One object or an array, by its first character.
    OneOrArray,
}

/// What the headers say of a body.
#[derive(Debug, PartialEq, Eq)]
struct Kind {
    shape: Shape,
    headers: Headers,
}

pub(crate) async fn telemetry(State(shared): State<Shared>, request: Request) -> Result<Response, Problem> {
    let kind = kind_of(request.headers())?;
    // Before the body is read: who is over the rate costs nothing, and as many bodies are held as there is room.
    shared.records.take(0.0).map_err(|wait| too_many("records", wait))?;
    let room = shared.room(Lane::Ingest)?;
    let (parts, body) = request.into_parts();
    let config = &shared.config;
    let body = read_body(&parts.headers, body, config.body_bytes_max, config.body_timeout).await?;
    let Split { records, rejected, rejected_total } =
        split(&body, kind.shape, config.records_max, config.record_bytes_max)?;
    if records.is_empty() {
        return Err(nothing_taken(&body, rejected));
    }
    let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
    shared.records.take(f64::from(count)).map_err(|wait| too_many("records", wait))?;
    let headers = Arc::new(kind.headers);
    let records =
        records.into_iter().map(|body| IngestRecord { body, headers: Arc::clone(&headers) }).collect();
    let durable = shared.call(room, |backend| backend.ingest(records)).await?;
    let status = if rejected_total == 0 { StatusCode::ACCEPTED } else { StatusCode::MULTI_STATUS };
    Ok((status, Json(Taken { accepted: durable.records, rejected, rejected_total })).into_response())
}

pub(crate) fn nothing_taken(body: &Bytes, rejected: Vec<Rejected>) -> Problem {
    if rejected.is_empty() {
        let detail = if body.is_empty() { "the body is empty" } else { "the body holds no record" };
        return Problem::new(400, "no-records", detail).fix("one JSON object a line");
    }
    Problem::new(400, "malformed", "no record of the body can be read").rejected(rejected)
}

/// The media type, in lower case and without parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let text = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

pub(crate) fn lines_type(media: &str) -> bool {
    matches!(
        media,
        "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/jsonlines"
            | "application/x-jsonlines"
    )
}

pub(crate) fn unsupported(media: &str) -> Problem {
    let shown: String = media.chars().take(64).collect();
    let detail = if shown.is_empty() {
        "the body has no content type".to_owned()
    } else {
        format!("the content type {shown:?} is not read")
    };
    Problem::new(415, "content-type", detail).at("header Content-Type").fix(
        "application/x-ndjson (one object a line), application/json (an object or an array), application/cloudevents+json, application/cloudevents-batch+json",
    )
}

fn kind_of(headers: &HeaderMap) -> Result<Kind, Problem> {
    let media = media_type(headers);
    let typed = |text: &'static str| (Cow::Borrowed("content-type"), text.as_bytes().to_vec());
    let plain = |shape, text| Ok(Kind { shape, headers: vec![typed(text)] });
    match media.as_str() {
        "application/cloudevents+json" => plain(Shape::One, "application/cloudevents+json"),
        "application/cloudevents-batch+json" => plain(Shape::Array, "application/cloudevents+json"),
        "application/json" if headers.contains_key("ce-specversion") => {
            let mut all = attributes(headers)?;
            all.push(typed("application/json"));
            Ok(Kind { shape: Shape::One, headers: all })
        }
        "application/json" => plain(Shape::OneOrArray, "application/json"),
        lines if lines_type(lines) => plain(Shape::Lines, "application/json"),
        _ => Err(unsupported(&media)),
    }
}

/// Attributes of a binary CloudEvent: `ce-x` of HTTP becomes `ce_x` of Kafka.
/// Source: CloudEvents 1.0, HTTP protocol binding, section 3.1.
fn attributes(headers: &HeaderMap) -> Result<Headers, Problem> {
    let wrong = |detail: String, at: &str| Problem::new(400, "cloudevent", detail).at(format!("header {at}"));
    let mut found = Headers::new();
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else { continue };
        if attribute.is_empty() || !attribute.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            return Err(wrong("a CloudEvents attribute has letters and digits only".into(), name.as_str()));
        }
        if found.len() == ATTRIBUTES_MAX {
            return Err(wrong(
                format!("an event has at most {ATTRIBUTES_MAX} attributes here"),
                name.as_str(),
            ));
        }
        let value = decoded(value.as_bytes())
            .ok_or_else(|| wrong("its value is not UTF-8 with %-escapes".into(), name.as_str()))?;
        found.push((format!("ce_{attribute}").into(), value));
    }
    for needed in ["ce_id", "ce_source", "ce_specversion", "ce_type"] {
        let value = found.iter().find(|(name, _)| name == needed).map(|(_, value)| value.as_slice());
        let header = needed.replace('_', "-");
        match value {
            None | Some(b"") => return Err(wrong(format!("a CloudEvent needs {header}"), &header)),
            Some(version) if needed == "ce_specversion" && version != b"1.0" => {
                return Err(wrong("this version of CloudEvents is not read".into(), &header).fix("1.0"));
            }
            Some(_) => (),
        }
    }
    Ok(found)
}

/// `%41` becomes `A`. `None` for a broken escape or what is not UTF-8.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let digit = |i: usize| tail.get(i).and_then(|b| char::from(*b).to_digit(16));
            out.push(u8::try_from(digit(0)? * 16 + digit(1)?).ok()?);
            rest = &tail[2..];
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    std::str::from_utf8(&out).is_ok().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn content_types() {
        for (content_type, want) in [
            ("application/x-ndjson", Some((Shape::Lines, "application/json"))),
            ("Application/X-NDJSON; charset=utf-8", Some((Shape::Lines, "application/json"))),
            ("application/json", Some((Shape::OneOrArray, "application/json"))),
            ("application/cloudevents+json", Some((Shape::One, "application/cloudevents+json"))),
            ("application/cloudevents-batch+json", Some((Shape::Array, "application/cloudevents+json"))),
            ("text/plain", None),
            ("application/x-www-form-urlencoded", None),
            ("", None),
        ] {
            let got = kind_of(&headers(&[("content-type", content_type)]));
            match want {
                None => assert_eq!(got.expect_err(content_type).status, 415),
                Some((shape, logged)) => {
                    let want = vec![("content-type".into(), logged.as_bytes().to_vec())];
                    assert_eq!(got.unwrap(), Kind { shape, headers: want }, "{content_type}");
                }
            }
        }
    }

    #[test]
    fn binary_cloudevents() {
        let base = [
            ("content-type", "application/json"),
            ("ce-specversion", "1.0"),
            ("ce-id", "7"),
            ("ce-source", "/m%C3%BCnchen"),
            ("ce-type", "x"),
        ];
        let kind = kind_of(&headers(&base)).unwrap();
        assert_eq!(kind.shape, Shape::One);
        let value =
            |name: &str| kind.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap();
        assert_eq!(value("ce_source"), "/münchen".as_bytes());
        assert_eq!(value("content-type"), b"application/json");
        for (name, bad) in [
            ("ce-specversion", "0.3"),
            ("ce-id", ""),
            ("ce-type", "%zz"),
            ("ce-type", "%4"),
            ("ce-type", "%ff"),
            ("ce-a-b", "x"),
        ] {
            let mut map = headers(&base);
            map.insert(name, HeaderValue::from_static(bad));
            let problem = kind_of(&map).expect_err(name);
            assert_eq!((problem.status, problem.at.clone()), (400, Some(format!("header {name}"))), "{bad}");
        }
        for missing in ["ce-id", "ce-source", "ce-type"] {
            let mut map = headers(&base);
            map.remove(missing);
            assert_eq!(kind_of(&map).expect_err(missing).status, 400);
        }
    }
}
