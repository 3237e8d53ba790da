//! `POST /v1/context`: deployments and lineage. All of a body is taken or none of it.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use wire::context::ContextRecord;

use crate::ingest::{self, Shape, Split, split};
use crate::layer::{Lane, Shared};
use crate::limits::read_body;
use crate::problem::{Problem, Rejected};

const BODY_BYTES_MAX: usize = 1024 * 1024;
const RECORD_BYTES_MAX: usize = 64 * 1024;
const RECORDS_MAX: usize = 1000;
/// Longest name of a model, a version and so on, in bytes.
const NAME_BYTES_MAX: usize = 256;
const UPSTREAM_MAX: usize = 32;

pub(crate) async fn context(State(shared): State<Shared>, request: Request) -> Result<Response, Problem> {
    let media = ingest::media_type(request.headers());
    let shape = match media.as_str() {
        "application/json" => Shape::OneOrArray,
        lines if ingest::lines_type(lines) => Shape::Lines,
        _ => return Err(ingest::unsupported(&media).fix("application/json or application/x-ndjson")),
    };
    let room = shared.room(Lane::Call)?;
    let (parts, body) = request.into_parts();
    let bytes_max = BODY_BYTES_MAX.min(shared.config.body_bytes_max);
    let body = read_body(&parts.headers, body, bytes_max, shared.config.body_timeout).await?;
    let Split { records, mut rejected, .. } = split(&body, shape, RECORDS_MAX, RECORD_BYTES_MAX)?;
    if records.is_empty() {
        return Err(ingest::nothing_taken(&body, rejected));
    }
    let mut read = Vec::with_capacity(records.len());
    for (i, record) in records.iter().enumerate() {
        match parse(record) {
            Ok(record) => read.push(record),
            Err(why) => rejected.push(Rejected { line: u64::try_from(i + 1).unwrap_or(u64::MAX), why }),
        }
    }
    if !rejected.is_empty() {
        rejected.truncate(ingest::REJECTED_MAX);
        return Err(Problem::new(400, "malformed", "some records cannot be read, so none was taken")
            .rejected(rejected)
            .fix("{\"kind\":\"deployment\",\"model\":…,\"version\":…,\"event_time\":…} or {\"kind\":\"lineage\",\"subject\":{…},\"event_time\":…,\"upstream\":[…]}"));
    }
    let durable = shared.call(room, |backend| backend.context(read)).await?;
    Ok((StatusCode::ACCEPTED, Json(serde_json::json!({"accepted": durable.records}))).into_response())
}

fn parse(record: &[u8]) -> Result<ContextRecord, String> {
    let record: ContextRecord = serde_json::from_slice(record).map_err(|e| e.to_string())?;
    let name = |what: &str, text: &str| {
        if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(format!("{what} is not 1 to {NAME_BYTES_MAX} bytes of visible text"));
        }
        Ok(())
    };
    match &record {
        ContextRecord::Deployment(d) => {
            name("model", &d.model)?;
            name("version", &d.version)?;
            name("change", &d.change)?;
            for (what, text) in [("by", &d.by), ("commit", &d.commit), ("image", &d.image)] {
                text.as_deref().map_or(Ok(()), |text| name(what, text))?;
            }
        }
        ContextRecord::Lineage(l) => {
            if l.upstream.len() > UPSTREAM_MAX {
                return Err(format!("upstream has {} entries, the most is {UPSTREAM_MAX}", l.upstream.len()));
            }
            for subject in std::iter::once(&l.subject).chain(&l.upstream) {
                name("name", &subject.name)?;
                for (what, text) in [("version", &subject.version), ("segment", &subject.segment)] {
                    text.as_deref().map_or(Ok(()), |text| name(what, text))?;
                }
            }
        }
        ContextRecord::Profile(_) | ContextRecord::ProfilePart(_) => {
            return Err("a profile is learned or built (`tocsin reference build`), not posted".into());
        }
        ContextRecord::Feedback(_) => {
            return Err("feedback is given by resolving or closing an incident, not posted".into());
        }
    }
    Ok(record)
}
