//! Webhooks of Alertmanager, version 4: what fires is raised, what is resolved is over.
//!
//! Alertmanager sends again what is answered with a 5xx and gives up on a 4xx, so one alert that cannot be taken is named
//! in the answer and the others are taken. Sent again, nothing is done twice.

mod alert;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wire::command::Principal;
use wire::text::clip;

use crate::auth::Auth;
use crate::backend::{Backend, BackendError};
use crate::ingest::media_type;
use crate::layer::{Lane, Shared};
use crate::limits::read_body;
use crate::problem::{Problem, Rejected};
use alert::Read;

/// Room for some thousand alerts with long annotations.
const BODY_BYTES_MAX: usize = 4 << 20;
/// Refusals that are named in an answer.
const REFUSED_MAX: usize = 100;
const VERSION: &str = "4";

/// As much of the body as is used.
#[derive(Deserialize)]
struct Sent {
    #[serde(default)]
    version: Value,
    /// Read one by one, so that a bad one does not hold up the others.
    alerts: Vec<Value>,
    /// Alerts of the group that `max_alerts` of Alertmanager's config left out.
    #[serde(default, rename = "truncatedAlerts")]
    truncated: Option<u64>,
}

/// What became of the alerts of a body.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Taken {
    raised: u64,
    /// Those of which the same was said before.
    repeated: u64,
    cleared: u64,
    /// How many could not be taken; `why` names the first hundred.
    refused: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    why: Vec<Rejected>,
    /// How many Alertmanager left out: nobody is paged about them.
    truncated: u64,
}

pub(crate) async fn webhook(
    State(shared): State<Shared>,
    Extension(auth): Extension<Auth>,
    request: Request,
) -> Result<Json<Taken>, Problem> {
    let Auth::Known(caller) = auth else { return Err(Problem::new(401, "no-token", "nobody is asking")) };
    let principal = caller
        .principal()
        .ok_or_else(|| Problem::new(403, "forbidden", "only people with a role command"))?;
    let (parts, body) = request.into_parts();
    let room = shared.room(Lane::Call)?;
    let bytes_max = BODY_BYTES_MAX.min(shared.config.body_bytes_max);
    let body = read_body(&parts.headers, body, bytes_max, shared.config.body_timeout).await;
    let body = body.map_err(|problem| match problem.status {
        413 => problem.at("body").fix("max_alerts in webhook_configs, or smaller groups by group_by"),
        _ => problem,
    })?;
    let sent = read(&parts.headers, &body)?;
    let taken = shared.call(room, move |backend| take(backend, &principal, sent)).await?;
    Ok(Json(taken))
}

fn read(headers: &HeaderMap, body: &Bytes) -> Result<Sent, Problem> {
    const FIX: &str = "webhook_configs of an Alertmanager, as it sends it";
    if media_type(headers) != "application/json" {
        let problem = Problem::new(415, "content-type", "a webhook of Alertmanager is a JSON object");
        return Err(problem.at("header Content-Type").fix("application/json"));
    }
    let malformed = |why: String| Problem::new(400, "malformed", why).at("body").fix(FIX);
    // serde would take an array for a struct, field by field.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(malformed("a webhook of Alertmanager is a JSON object".into()));
    }
    let sent: Sent =
        serde_json::from_slice(body).map_err(|e| malformed(format!("the webhook cannot be read: {e}")))?;
    if sent.version != VERSION {
        let shown = sent.version.to_string();
        let detail = if sent.version.is_null() {
            "version is missing".to_owned()
        } else {
            format!("version is {}, this reads \"{VERSION}\"", clip(&shown, 32))
        };
        return Err(Problem::new(422, "wrong-version", detail).at("version").fix(FIX));
    }
    Ok(sent)
}

/// Takes one after the other. What may work later ends it: Alertmanager sends all of them again.
fn take(backend: &dyn Backend, principal: &Principal, sent: Sent) -> Result<Taken, BackendError> {
    let mut taken = Taken { truncated: sent.truncated.unwrap_or(0), ..Taken::default() };
    if taken.truncated > 0 {
        tracing::warn!(
            truncated = taken.truncated,
            "Alertmanager left alerts out of a webhook, and nobody is paged about them: raise or remove max_alerts in its webhook_configs"
        );
    }
    for (line, alert) in (1..).zip(sent.alerts) {
        let done = match alert::read(alert, principal) {
            Ok(Read { key, new, over: None }) => backend.import(&key, new).map(|r| (r, &mut taken.raised)),
            Ok(Read { key, new, over: Some(reason) }) => {
                backend.over(&key, new, reason).map(|r| (r, &mut taken.cleared))
            }
            Err(why) => Err(BackendError::Invalid(why)),
        };
        match done {
            Ok((receipt, _)) if receipt.repeated => taken.repeated += 1,
            Ok((_, count)) => *count += 1,
            Err(error @ (BackendError::Invalid(_) | BackendError::NotFound { .. })) => {
                taken.refuse(line, error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    taken.count(backend);
    Ok(taken)
}

impl Taken {
    fn refuse(&mut self, line: u64, why: String) {
        tracing::warn!(
            alert = line,
            why,
            "an alert of Alertmanager was refused, and nobody is paged about it"
        );
        self.refused += 1;
        if self.why.len() < REFUSED_MAX {
            self.why.push(Rejected { line, why });
        }
    }

    fn count(&self, backend: &dyn Backend) {
        let Self { raised, repeated, cleared, refused, why: _, truncated } = *self;
        for (outcome, count) in [
            ("raised", raised),
            ("repeated", repeated),
            ("cleared", cleared),
            ("refused", refused),
            ("truncated", truncated),
        ] {
            if count > 0 {
                backend.inbound("alertmanager", outcome, count);
            }
        }
    }
}
