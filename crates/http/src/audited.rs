//! The audit against what was kept elsewhere, forgetting a person, and the log of who looked.

use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use wire::CommandId;
use wire::Timestamp;
use wire::checkpoint::Checkpoint;
use wire::command::{Principal, Role};
use wire::forget::NAME_BYTES_MAX;

use crate::auth::Auth;
use crate::backend::AuditReport;
use crate::commands::{idempotency_key, parse};
use crate::layer::{Lane, Shared};
use crate::limits::read_body;
use crate::problem::Problem;
use crate::routes::{Access, Endpoint, Route};

/// Room for some thousand checkpoints.
const ANCHORS_BYTES_MAX: usize = 1 << 20;
const FORGET_BYTES_MAX: usize = 4096;

/// What the audit chain is checked against, beside itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditWitnesses {
    /// Checkpoints that were kept elsewhere.
    pub anchors: Vec<Checkpoint>,
    /// Whose checkpoints are believed: public keys in hexadecimal. None: those that this process knows.
    pub public_keys: Vec<String>,
}

/// A signed checkpoint that knows a record of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditVoucher {
    pub sequence: u64,
    /// Where it was kept: `anchor`, given with the question; `chain`, in the chain itself; `state`, which is not signed.
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Public key that it is signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A person to be forgotten, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewForget {
    /// The caller's `Idempotency-Key`.
    pub command_id: Option<CommandId>,
    pub principal: Principal,
    pub name: String,
}

/// It is durable, and will be done within a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetReceipt {
    /// As which the person stays in the audit.
    pub pseudonym: String,
    /// One for each partition; what became of each can be asked.
    pub commands: Vec<CommandId>,
}

/// One look at, or act on, an incident, the audit or a person: what the access log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accessed {
    /// Method and path of the route.
    pub method: &'static str,
    pub route: &'static str,
    /// Who asked, and their role; `None` for who is not known.
    pub caller: Option<(String, Option<Role>)>,
    /// The incident as it was asked for: an id or the first letters of one.
    pub incident: Option<String>,
    pub status: u16,
}

impl Accessed {
    /// As it was answered.
    pub(crate) fn answered(self, response: &Response) -> Self {
        let status = response.status().as_u16();
        match response.extensions().get::<Signed>().cloned() {
            Some(Signed { caller, incident }) => {
                Self { caller: Some((caller, None)), incident: Some(incident), status, ..self }
            }
            None => Self { status, ..self },
        }
    }

    /// `None` for what shows nothing of one incident, the audit or a person.
    pub(crate) fn of(route: &Route, auth: &Auth, uri: &Uri) -> Option<Self> {
        let logged = match route.endpoint {
            Endpoint::Incident
            | Endpoint::Acknowledge
            | Endpoint::Mitigate
            | Endpoint::Resolve
            | Endpoint::Close
            | Endpoint::Note
            | Endpoint::Clear
            | Endpoint::Snooze
            | Endpoint::Assign
            | Endpoint::Merge
            | Endpoint::Repin
            | Endpoint::Why
            | Endpoint::SilencePreview
            | Endpoint::SilenceMake
            | Endpoint::SilenceEnd
            | Endpoint::LinkPage
            | Endpoint::LinkAction
            | Endpoint::Slack
            | Endpoint::PagerDuty
            | Endpoint::Alertmanager
            | Endpoint::Audit
            | Endpoint::AuditVerify
            | Endpoint::AuditAnchors
            | Endpoint::Forget => true,
            Endpoint::Telemetry
            | Endpoint::Context
            | Endpoint::Status
            | Endpoint::Incidents
            | Endpoint::Raise
            | Endpoint::Silences
            | Endpoint::CommandAnswer
            | Endpoint::Tail
            | Endpoint::Inbox
            | Endpoint::DeadLetters
            | Endpoint::Metrics
            | Endpoint::Health
            | Endpoint::Ready => false,
        };
        let caller = match auth {
            // Not who the listener takes them for: the audit says in whose name it was.
            _ if route.endpoint == Endpoint::PagerDuty => Some(("a webhook of PagerDuty".to_owned(), None)),
            _ if route.access == Access::Signed => Some(("a link".to_owned(), None)),
            Auth::Known(caller) => Some((caller.name.clone(), caller.role)),
            Auth::Nobody | Auth::Unknown => None,
        };
        let incident = incident(route.path, uri);
        logged.then_some(Self { method: route.method, route: route.path, caller, incident, status: 0 })
    }
}

/// Who came by something signed, and about which incident: left in a response by whoever has verified it.
#[derive(Clone)]
pub(crate) struct Signed {
    pub(crate) caller: String,
    pub(crate) incident: String,
}

impl Signed {
    pub(crate) fn leave_in(self, mut response: Response) -> Response {
        response.extensions_mut().insert(self);
        response
    }
}

/// The incident that is asked for, in the path or the query. What is no id is anything that somebody typed: it is not
/// kept.
fn incident(path: &str, uri: &Uri) -> Option<String> {
    let of_path = || uri.path().strip_prefix("/v1/incidents/")?.split('/').next();
    let of_query = || uri.query()?.split('&').find_map(|part| part.strip_prefix("incident="));
    let asked = if path.contains("{id}") { of_path() } else { of_query() };
    let is_id = |id: &&str| !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric());
    asked.filter(is_id).map(str::to_owned)
}

pub(crate) async fn anchors(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Json<AuditReport>, Problem> {
    let (parts, body) = request.into_parts();
    let room = shared.room(Lane::Verification)?;
    let bytes_max = ANCHORS_BYTES_MAX.min(shared.config.body_bytes_max);
    let body = read_body(&parts.headers, body, bytes_max, shared.config.body_timeout).await?;
    let witnesses: AuditWitnesses = parse(&parts.headers, &body)?;
    Ok(Json(shared.call(room, move |backend| backend.audit_verify(&witnesses)).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    name: String,
}

pub(crate) async fn forget(
    State(shared): State<Shared>,
    Extension(auth): Extension<Auth>,
    request: Request,
) -> Result<Response, Problem> {
    let Auth::Known(caller) = auth else { return Err(Problem::new(401, "no-token", "nobody is asking")) };
    let principal = caller
        .principal()
        .ok_or_else(|| Problem::new(403, "forbidden", "only people with a role command"))?;
    let (parts, body) = request.into_parts();
    let command_id = idempotency_key(&parts.headers)?;
    let room = shared.room(Lane::Call)?;
    let body = read_body(&parts.headers, body, FORGET_BYTES_MAX, shared.config.body_timeout).await?;
    let Person { name } = parse(&parts.headers, &body)?;
    if name.trim().is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let detail = format!("a name has 1 to {NAME_BYTES_MAX} bytes and no control characters");
        return Err(Problem::new(422, "invalid", detail)
            .at("name")
            .fix("the name as the person's token has it"));
    }
    let forget = NewForget { command_id, principal, name };
    let receipt = shared.call(room, move |backend| backend.forget(forget)).await?;
    Ok((StatusCode::ACCEPTED, Json(receipt)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::ROUTES;

    #[test]
    fn the_access_log_names_the_incident_and_nothing_that_somebody_typed() {
        for (endpoint, uri, want) in [
            (Endpoint::Incident, "/v1/incidents/abc1", Some(Some("abc1"))),
            (Endpoint::Acknowledge, "/v1/incidents/abc1/ack", Some(Some("abc1"))),
            (Endpoint::Incident, "/v1/incidents/a%0Ab", Some(None)),
            (Endpoint::Audit, "/v1/audit?limit=5&incident=abc1", Some(Some("abc1"))),
            (Endpoint::Audit, "/v1/audit?incident=a%20b", Some(None)),
            (Endpoint::Audit, "/v1/audit", Some(None)),
            (Endpoint::Forget, "/v1/people/forget", Some(None)),
            (Endpoint::PagerDuty, "/v1/inbound/pagerduty", Some(None)),
            (Endpoint::Alertmanager, "/v1/inbound/alertmanager", Some(None)),
            (Endpoint::Status, "/v1/status", None),
            (Endpoint::Metrics, "/metrics", None),
        ] {
            let route = ROUTES.iter().find(|r| r.endpoint == endpoint).expect("in the table");
            let accessed = Accessed::of(route, &Auth::Nobody, &uri.parse().expect("a path"));
            let want = want.map(|id| id.map(str::to_owned));
            assert_eq!(accessed.map(|a| a.incident), want, "{uri}");
        }
    }
}
