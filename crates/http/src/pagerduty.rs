//! Webhooks of PagerDuty: what people do with our alerts there is done here, in their name.
//!
//! PagerDuty wants an answer within five seconds, sends again for two days what is answered with a 5xx, and stops sending
//! once it was answered with a 4xx three times in a row. So what is no business of ours is answered 202 and says so.
//!
//! Source: developer.pagerduty.com, "Webhooks overview" and "Verifying signatures".

mod event;
mod signature;

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use tokio::time::timeout;
use wire::command::{Action, Principal, Role};

use crate::backend::{Backend, BackendError, CommandReceipt, NewCommand};
use crate::layer::{Lane, Shared};
use crate::limits::{read_body, too_many};
use crate::problem::Problem;
use event::{Asked, Wish};

/// An event has some 3 KB.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Less than PagerDuty's five seconds.
const ANSWER: Duration = Duration::from_secs(4);

/// What became of an event.
#[derive(Serialize)]
#[serde(untagged)]
enum Became {
    Done {
        done: &'static str,
        #[serde(flatten)]
        receipt: CommandReceipt,
    },
    Ignored {
        ignored: String,
    },
}

pub(crate) async fn webhook(State(shared): State<Shared>, request: Request) -> Result<Response, Problem> {
    let body = verified(&shared, request).await?;
    let asked = event::read(&body, shared.now())?;
    let room = shared.room(Lane::Call)?;
    let done = shared.call(room, move |backend| {
        let became = match asked {
            Ok(asked) => carry_out(backend, &asked)?,
            Err(ignored) => Became::Ignored { ignored },
        };
        let outcome = match &became {
            Became::Done { done, .. } => done,
            Became::Ignored { ignored } => {
                tracing::debug!(why = ignored, "an event of PagerDuty was ignored");
                "ignored"
            }
        };
        backend.inbound("pagerduty", outcome, 1);
        Ok(became)
    });
    // What takes longer goes on, and finds itself done when PagerDuty sends it again.
    let late =
        || Problem::new(503, "no-answer", "no answer in the time that PagerDuty waits; it may still be done");
    let became = timeout(ANSWER, done).await.map_err(|_| late().retry_after(5))??;
    Ok((StatusCode::ACCEPTED, Json(became)).into_response())
}

/// The body, if PagerDuty signed it.
async fn verified(shared: &Shared, request: Request) -> Result<Vec<u8>, Problem> {
    let (parts, body) = request.into_parts();
    let signatures = signature::shown(&parts.headers);
    let refused = || {
        match shared.guesses.take(1.0) {
        // Not in which way: that would help who makes them up.
        Ok(()) => Problem::new(401, "unsigned", "no webhook subscription that is known here signed this")
            .at("header X-PagerDuty-Signature")
            .fix("pagerduty_secret_env or pagerduty_secret_file under [http]: the secret that PagerDuty shows when the subscription is made"),
        Err(wait) => too_many("requests", wait),
    }
    };
    // Nothing is read for a stranger who does not even try.
    if signatures.is_empty() {
        return Err(refused());
    }
    let body = read_body(&parts.headers, body, BODY_BYTES_MAX, shared.config.body_timeout).await;
    let body = body.map_err(|problem| match problem.status {
        413 => problem.at("body").fix("one event of a webhook (v3), as PagerDuty sends it"),
        _ => problem,
    })?;
    if !signature::is_signed(&shared.trusted.pagerduty, &body, &signatures) {
        return Err(refused());
    }
    shared.requests.take(1.0).map_err(|wait| too_many("requests", wait))?;
    Ok(body.to_vec())
}

fn carry_out(backend: &dyn Backend, asked: &Asked) -> Result<Became, BackendError> {
    let ignored = |why: &str| Ok(Became::Ignored { ignored: why.to_owned() });
    let view = match backend.alerted(&asked.alert) {
        Ok(view) => view,
        Err(BackendError::NotFound { .. }) => return ignored("no incident here has this alert"),
        Err(error) => return Err(error),
    };
    let incident = match asked.of(&view) {
        Ok(incident) => incident,
        Err(why) => return ignored(&why),
    };
    let (done, action) = match asked.wish {
        Wish::Acknowledge => {
            ("acknowledged", Action::Acknowledge { for_s: None, note: Some(asked.said.clone()) })
        }
        Wish::Resolve => {
            ("resolved", Action::Resolve { reason: Some(asked.said.clone()), not_actionable: false })
        }
    };
    let receipt = backend.command(NewCommand {
        command_id: Some(asked.command_id.clone()),
        incident,
        principal: Principal { name: asked.by.clone(), role: Role::Responder },
        action,
    });
    match receipt {
        Ok(receipt) => Ok(Became::Done { done, receipt }),
        // It ended between the two questions.
        Err(BackendError::NotFound { .. }) => ignored("no incident here has this alert"),
        Err(error) => Err(error),
    }
}
