//! Commands on an incident. Answered 202 once they are durable; what became of them can be asked a moment later.

use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use wire::CommandId;
use wire::command::{Action, Principal, TEXT_BYTES_MAX};
use wire::{Family, Severity, Source, Subject, SubjectKind, Timestamp};

use crate::auth::Auth;
use crate::backend::{CommandAnswer, NewCommand, NewIncident};
use crate::ingest::media_type;
use crate::layer::{Lane, Shared};
use crate::limits::read_body;
use crate::problem::Problem;

const BODY_BYTES_MAX: usize = 64 * 1024;
/// Longest acknowledgement that can be asked for: 30 days. A policy may allow less.
const FOR_S_MAX: u64 = 30 * 86_400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Held {
    #[serde(default)]
    for_s: Option<u64>,
    #[serde(default)]
    note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolved {
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    not_actionable: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Closed {
    reason: String,
    #[serde(default)]
    not_actionable: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Noted {
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Snoozed {
    for_s: u64,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Assigned {
    to: String,
    #[serde(default)]
    note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Merged {
    into: String,
    #[serde(default)]
    reason: Option<String>,
}

/// What needs no more than why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reasoned {
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raised {
    title: String,
    severity: Severity,
    #[serde(default = "human")]
    source: Source,
    #[serde(default = "other")]
    family: Family,
    /// The installation itself, if it is not given.
    #[serde(default)]
    subject: Option<Subject>,
    #[serde(default)]
    owner: Option<String>,
    #[serde(default)]
    opened_at: Option<Timestamp>,
    #[serde(default)]
    drill: bool,
}

const fn human() -> Source {
    Source::Human
}
const fn other() -> Family {
    Family::Other
}

type Id = Path<String>;

pub(crate) async fn acknowledge(
    State(shared): State<Shared>,
    Path(id): Id,
    Extension(auth): Extension<Auth>,
    request: Request,
) -> Result<Response, Problem> {
    write(&shared, id, auth, request, |Held { for_s, note }| {
        Ok(Action::Acknowledge { for_s: checked_span(for_s)?, note: checked_option("note", note)? })
    })
    .await
}

pub(crate) async fn mitigate(
    State(shared): State<Shared>,
    Path(id): Id,
    Extension(auth): Extension<Auth>,
    request: Request,
) -> Result<Response, Problem> {
    write(&shared, id, auth, request, |Held { for_s, note }| {
        Ok(Action::Mitigate { for_s: checked_span(for_s)?, note: checked_option("note", note)? })
    })
    .await
}

pub(crate) async fn resolve(
    State(shared): State<Shared>,
    Path(id): Id,
    Extension(auth): Extension<Auth>,
    request: Request,
) -> Result<Response, Problem> {
    write(&shared, id, auth, request, |Resolved { reason, not_actionable }| {
        Ok(Action::Resolve { reason: checked_option("reason", reason)?, not_actionable })
    })
    .await
}

pub(crate) async fn close(
    State(shared): State<Shared>,
    Path(id): Id,
    Extension(auth): Extension<Auth>,
    request: Request,
) -> Result<Response, Problem> {
    write(&shared, id, auth, request, |Closed { reason, not_actionable }| {
        Ok(Action::Close { reason: checked_text("reason", reason)?, not_actionable })
    })
    .await
}

pub(crate) async fn note(
    State(shared): State<Shared>,
    Path(id): Id,
    Extension(auth): Extension<Auth>,
    request: Request,
) -> Result<Response, Problem> {
    write(&shared, id, auth, request, |Noted { text }| Ok(Action::Note { text: checked_text("text", text)? }))
        .await
}

pub(crate) async fn clear(
    State(shared): State<Shared>,
    Path(id): Id,
    Extension(auth): Extension<Auth>,
    request: Request,
) -> Result<Response, Problem> {
    write(&shared, id, auth, request, |Reasoned { reason }| {
        Ok(Action::Clear { reason: checked_option("reason", reason)? })
    })
    .await
}

pub(crate) async fn raise(
    State(shared): State<Shared>,
    Extension(auth): Extension<Auth>,
    request: Request,
) -> Result<Response, Problem> {
    let (command_id, principal, raised, room) = read_command::<Raised>(&shared, auth, request).await?;
    let Raised { title, severity, source, family, subject, owner, opened_at, drill } = raised;
    if matches!(source, Source::Detector | Source::Own) {
        let why = format!("an incident cannot be raised in the name of {source}");
        return Err(Problem::new(422, "invalid", why).at("source").fix("human, import, dependency or drill"));
    }
    let title = checked_text("title", title)?;
    let anything =
        || Subject { kind: SubjectKind::Platform, name: title.clone(), version: None, segment: None };
    let subject = subject.unwrap_or_else(anything);
    checked_text("subject.name", subject.name.clone())?;
    let owner = checked_option("owner", owner)?;
    let new = NewIncident {
        command_id,
        principal,
        source,
        severity,
        family,
        subject,
        title,
        owner,
        opened_at,
        drill,
    };
    let receipt = shared.call(room, |backend| backend.raise(new)).await?;
    Ok((StatusCode::ACCEPTED, Json(receipt)).into_response())
}

pub(crate) async fn snooze(
    State(shared): State<Shared>,
    Path(id): Id,
    Extension(auth): Extension<Auth>,
    request: Request,
) -> Result<Response, Problem> {
    write(&shared, id, auth, request, |Snoozed { for_s, reason }| {
        let for_s = checked_span(Some(for_s))?.unwrap_or(for_s);
        Ok(Action::Snooze { for_s, reason: checked_option("reason", reason)? })
    })
    .await
}

pub(crate) async fn assign(
    State(shared): State<Shared>,
    Path(id): Id,
    Extension(auth): Extension<Auth>,
    request: Request,
) -> Result<Response, Problem> {
    write(&shared, id, auth, request, |Assigned { to, note }| {
        Ok(Action::Assign { to: checked_text("to", to)?, note: checked_option("note", note)? })
    })
    .await
}

pub(crate) async fn merge(
    State(shared): State<Shared>,
    Path(id): Id,
    Extension(auth): Extension<Auth>,
    request: Request,
) -> Result<Response, Problem> {
    write(&shared, id, auth, request, |Merged { into, reason }| {
        let into = wire::IncidentId::new(checked_id(into)?);
        Ok(Action::Merge { into, reason: checked_option("reason", reason)? })
    })
    .await
}

pub(crate) async fn repin(
    State(shared): State<Shared>,
    Path(id): Id,
    Extension(auth): Extension<Auth>,
    request: Request,
) -> Result<Response, Problem> {
    write(&shared, id, auth, request, |Reasoned { reason }| {
        Ok(Action::Repin { reason: checked_option("reason", reason)? })
    })
    .await
}

pub(crate) async fn answer(
    State(shared): State<Shared>,
    Path(id): Id,
) -> Result<Json<CommandAnswer>, Problem> {
    let Some(id) = command_id(&id) else {
        return Err(Problem::new(404, "not-found", "no command has such an id").fix(COMMAND_ID));
    };
    Ok(Json(shared.call(shared.room(Lane::Call)?, move |backend| backend.answer(&id)).await?))
}

async fn write<T: DeserializeOwned>(
    shared: &Shared,
    incident: String,
    auth: Auth,
    request: Request,
    action: impl FnOnce(T) -> Result<Action, Problem>,
) -> Result<Response, Problem> {
    let incident = checked_id(incident)?;
    let (command_id, principal, read, room) = read_command(shared, auth, request).await?;
    let command = NewCommand { command_id, incident, principal, action: action(read)? };
    let receipt = shared.call(room, |backend| backend.command(command)).await?;
    Ok((StatusCode::ACCEPTED, Json(receipt)).into_response())
}

/// Who asks for what, under which key.
pub(crate) async fn read_command<T: DeserializeOwned>(
    shared: &Shared,
    auth: Auth,
    request: Request,
) -> Result<(Option<CommandId>, Principal, T, OwnedSemaphorePermit), Problem> {
    let Auth::Known(caller) = auth else { return Err(Problem::new(401, "no-token", "nobody is asking")) };
    let principal = caller
        .principal()
        .ok_or_else(|| Problem::new(403, "forbidden", "only people with a role command"))?;
    let (parts, body) = request.into_parts();
    let command_id = idempotency_key(&parts.headers)?;
    let room = shared.room(Lane::Call)?;
    let bytes_max = BODY_BYTES_MAX.min(shared.config.body_bytes_max);
    let body = read_body(&parts.headers, body, bytes_max, shared.config.body_timeout).await?;
    Ok((command_id, principal, parse(&parts.headers, &body)?, room))
}

/// An empty body is an empty object.
pub(crate) fn parse<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, Problem> {
    if body.is_empty() {
        return read(b"{}");
    }
    let media = media_type(headers);
    if media != "application/json" {
        return Err(Problem::new(415, "content-type", "a command is a JSON object")
            .at("header Content-Type")
            .fix("application/json"));
    }
    read(body)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // serde would take an array for a struct, field by field.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::new(400, "malformed", "a command is a JSON object").at("body"));
    }
    serde_json::from_slice(body).map_err(|error| {
        Problem::new(400, "malformed", format!("the command cannot be read: {error}")).at("body")
    })
}

/// Id of an incident, or the first letters of one.
pub(crate) fn checked_id(id: String) -> Result<String, Problem> {
    checked_id_of("incident", id)
}

/// The same of something else.
pub(crate) fn checked_id_of(what: &str, id: String) -> Result<String, Problem> {
    if id.is_empty() || id.len() > 64 || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(
            Problem::new(404, "not-found", format!("no {what} has such an id")).fix("letters and digits")
        );
    }
    Ok(id)
}

pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<CommandId>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str().ok().and_then(command_id) {
        Some(id) => Ok(Some(id)),
        None => Err(Problem::new(400, "idempotency-key", "the key cannot be used")
            .at("header Idempotency-Key")
            .fix(COMMAND_ID)),
    }
}

const COMMAND_ID: &str = "1 to 128 letters, digits and - _ . :";

pub(crate) fn command_id(text: &str) -> Option<CommandId> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    ((1..=128).contains(&text.len()) && text.bytes().all(fine)).then(|| CommandId::new(text))
}

fn checked_span(for_s: Option<u64>) -> Result<Option<u64>, Problem> {
    match for_s {
        Some(s) if !(1..=FOR_S_MAX).contains(&s) => {
            Err(Problem::new(422, "invalid", format!("for_s = {s} is not between 1 and {FOR_S_MAX}"))
                .at("for_s"))
        }
        other => Ok(other),
    }
}

pub(crate) fn checked_option(field: &'static str, text: Option<String>) -> Result<Option<String>, Problem> {
    text.map(|text| checked_text(field, text)).transpose()
}

pub(crate) fn checked_text(field: &'static str, text: String) -> Result<String, Problem> {
    let wrong = |detail: String| Err(Problem::new(422, "invalid", detail).at(field));
    if text.trim().is_empty() {
        return wrong(format!("{field} is empty"));
    }
    if text.len() > TEXT_BYTES_MAX {
        return wrong(format!("{field} has {} bytes, the most is {TEXT_BYTES_MAX}", text.len()));
    }
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return wrong(format!("{field} holds control characters"));
    }
    Ok(text)
}
