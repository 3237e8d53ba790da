//! What can be read.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::Value;
use wire::Severity;
use wire::page::InboxEntry;

use crate::audited::AuditWitnesses;
use crate::backend::{
    AuditPage, AuditQuery, AuditReport, DeadLetterPage, DeadLetterQuery, IncidentPage, IncidentQuery,
    IncidentsState, Why,
};
use crate::commands::checked_id;
use crate::layer::{Lane, Shared};
use crate::problem::Problem;

const INCIDENTS_MAX: usize = 200;
const AUDIT_MAX: usize = 1000;
const DEAD_LETTERS_MAX: usize = 1000;
const CURSOR_BYTES_MAX: usize = 256;

type Asked<T> = Result<Query<T>, axum::extract::rejection::QueryRejection>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IncidentsAsked {
    #[serde(default)]
    state: IncidentsState,
    #[serde(default)]
    severity: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeadLettersAsked {
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditAsked {
    #[serde(default)]
    incident: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhyAsked {
    #[serde(default)]
    person: Option<String>,
}

pub(crate) async fn why(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    asked: Asked<WhyAsked>,
) -> Result<Json<Why>, Problem> {
    let (id, person) = (checked_id(id)?, query(asked)?.person);
    Ok(Json(shared.call(shared.room(Lane::Call)?, move |backend| backend.why(&id, person)).await?))
}

pub(crate) async fn status(State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    Ok(Json(shared.call(shared.room(Lane::Call)?, |backend| backend.status()).await?))
}

pub(crate) async fn incidents(
    State(shared): State<Shared>,
    asked: Asked<IncidentsAsked>,
) -> Result<Json<IncidentPage>, Problem> {
    let asked = query(asked)?;
    let severities = match asked.severity.as_deref() {
        None | Some("") => Vec::new(),
        Some(list) => list
            .split(',')
            .map(|name| name.trim().parse::<Severity>())
            .collect::<Result<_, _>>()
            .map_err(|why| Problem::new(400, "query", why).at("query severity"))?,
    };
    let query = IncidentQuery {
        state: asked.state,
        severities,
        limit: limit(asked.limit, 50, INCIDENTS_MAX)?,
        cursor: cursor(asked.cursor)?,
    };
    Ok(Json(shared.call(shared.room(Lane::Call)?, move |backend| backend.incidents(&query)).await?))
}

pub(crate) async fn incident(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let id = checked_id(id)?;
    Ok(Json(shared.call(shared.room(Lane::Call)?, move |backend| backend.incident(&id)).await?))
}

pub(crate) async fn inbox(State(shared): State<Shared>) -> Result<Json<Vec<InboxEntry>>, Problem> {
    Ok(Json(shared.call(shared.room(Lane::Call)?, |backend| backend.inbox()).await?))
}

pub(crate) async fn dead_letters(
    State(shared): State<Shared>,
    asked: Asked<DeadLettersAsked>,
) -> Result<Json<DeadLetterPage>, Problem> {
    let asked = query(asked)?;
    let query =
        DeadLetterQuery { limit: limit(asked.limit, 50, DEAD_LETTERS_MAX)?, cursor: cursor(asked.cursor)? };
    Ok(Json(shared.call(shared.room(Lane::Call)?, move |backend| backend.dead_letters(&query)).await?))
}

pub(crate) async fn audit(
    State(shared): State<Shared>,
    asked: Asked<AuditAsked>,
) -> Result<Json<AuditPage>, Problem> {
    let asked = query(asked)?;
    let query = AuditQuery {
        incident: asked.incident.map(checked_id).transpose()?,
        limit: limit(asked.limit, 100, AUDIT_MAX)?,
        cursor: cursor(asked.cursor)?,
    };
    Ok(Json(shared.call(shared.room(Lane::Call)?, move |backend| backend.audit(&query)).await?))
}

pub(crate) async fn audit_verify(State(shared): State<Shared>) -> Result<Json<AuditReport>, Problem> {
    Ok(Json(
        shared
            .call(shared.room(Lane::Verification)?, |backend| {
                backend.audit_verify(&AuditWitnesses::default())
            })
            .await?,
    ))
}

pub(crate) async fn metrics(State(shared): State<Shared>) -> Result<Response, Problem> {
    let text = shared.call(shared.room(Lane::Call)?, |backend| backend.metrics()).await?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

pub(crate) async fn health() -> Json<Value> {
    Json(serde_json::json!({"status": "ok"}))
}

pub(crate) async fn ready(State(shared): State<Shared>) -> Result<Response, Problem> {
    let readiness = shared.call(shared.room(Lane::Check)?, |backend| Ok(backend.ready())).await?;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(readiness)).into_response())
}

fn query<T>(asked: Asked<T>) -> Result<T, Problem> {
    match asked {
        Ok(Query(asked)) => Ok(asked),
        Err(error) => Err(Problem::new(400, "query", error.body_text()).at("query")),
    }
}

fn limit(asked: Option<usize>, usual: usize, most: usize) -> Result<usize, Problem> {
    match asked.unwrap_or(usual) {
        n if (1..=most).contains(&n) => Ok(n),
        n => {
            Err(Problem::new(400, "query", format!("limit = {n} is not between 1 and {most}"))
                .at("query limit"))
        }
    }
}

/// A place in a list or a stream, as an earlier answer gave it.
pub(crate) fn cursor(asked: Option<String>) -> Result<Option<String>, Problem> {
    let fine =
        |c: &String| !c.is_empty() && c.len() <= CURSOR_BYTES_MAX && c.bytes().all(|b| b.is_ascii_graphic());
    match asked {
        Some(text) if !fine(&text) => Err(Problem::new(400, "query", "this is no place that an answer gave")
            .at("query cursor or from")
            .fix("`next` of the page before, or `id` of the last event")),
        other => Ok(other),
    }
}
