//! Silences: what one would mute, making it, ending it.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use wire::command::Principal;
use wire::control::{Listed, NewSilence, SILENCED_MAX, Silence, SilenceAsk};
use wire::{CommandId, IncidentId, Matches, Severity, SilenceId, Timestamp};

use crate::auth::Auth;
use crate::commands::{checked_id_of, checked_option, checked_text, read_command};
use crate::layer::{Lane, Shared};
use crate::problem::Problem;

/// Places in a silence where nobody said how many.
const INCIDENTS_DEFAULT: u32 = 10;

/// A silence that has not ended, with what it mutes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceItem {
    #[serde(flatten)]
    pub silence: Silence,
    /// When it ends as things stand: earlier than `until` where nothing matches it.
    pub ends_at: Timestamp,
    /// What has a place in it.
    pub muted: Vec<IncidentId>,
}

/// What a silence would mute now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilencePreview {
    /// The first thousand, in order of their ids.
    pub incidents: Vec<Previewed>,
    /// All.
    pub total: u64,
}

/// An open incident that matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previewed {
    #[serde(flatten)]
    pub listed: Listed,
    pub severity: Severity,
    pub subject: String,
    pub title: String,
    pub opened_at: Timestamp,
}

/// What somebody asks of silences, as the listener knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedSilence {
    /// The caller's `Idempotency-Key`.
    pub command_id: Option<CommandId>,
    pub principal: Principal,
    /// `None` is a new one.
    pub silence_id: Option<SilenceId>,
    pub ask: SilenceAsk,
}

/// A command on a silence that is durable. What became of it is asked as of any command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceReceipt {
    pub command_id: CommandId,
    pub silence_id: SilenceId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Previewing {
    of: Matches,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Making {
    of: Matches,
    for_s: u64,
    #[serde(default)]
    until_resolved: bool,
    #[serde(default)]
    unmatched_s: Option<u32>,
    #[serde(default)]
    incidents_max: Option<u32>,
    /// What the preview listed. Without it nobody has looked at what it would mute.
    listed: Vec<Listed>,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ending {
    #[serde(default)]
    reason: Option<String>,
}

pub(crate) async fn list(State(shared): State<Shared>) -> Result<Json<Vec<SilenceItem>>, Problem> {
    let room = shared.room(Lane::Call)?;
    Ok(Json(shared.call(room, |backend| backend.silences()).await?))
}

pub(crate) async fn preview(
    State(shared): State<Shared>,
    Extension(auth): Extension<Auth>,
    request: Request,
) -> Result<Json<SilencePreview>, Problem> {
    let (_, _, Previewing { of }, room) = read_command(&shared, auth, request).await?;
    checked(&of)?;
    Ok(Json(shared.call(room, move |backend| backend.silence_preview(&of)).await?))
}

pub(crate) async fn make(
    State(shared): State<Shared>,
    Extension(auth): Extension<Auth>,
    request: Request,
) -> Result<Response, Problem> {
    let (command_id, principal, making, room) = read_command::<Making>(&shared, auth, request).await?;
    let Making { of, for_s, until_resolved, unmatched_s, incidents_max, listed, reason } = making;
    checked(&of)?;
    let n = u32::try_from(listed.len()).unwrap_or(u32::MAX);
    let incidents_max = incidents_max.unwrap_or(n.max(INCIDENTS_DEFAULT));
    if n > incidents_max || incidents_max > SILENCED_MAX {
        let why = format!(
            "it lists {n} incidents and may mute {incidents_max}: list no more than it may mute, and at most {SILENCED_MAX}"
        );
        return Err(Problem::new(422, "invalid", why).at("incidents_max"));
    }
    if unmatched_s == Some(0) {
        let why = "unmatched_s = 0 would end it at once: leave it out, or give it a time";
        return Err(Problem::new(422, "invalid", why).at("unmatched_s"));
    }
    let reason = checked_text("reason", reason)?;
    let new = NewSilence { of, for_s, until_resolved, unmatched_s, incidents_max, listed, reason };
    let ask = SilenceAsk::Make(Box::new(new));
    let asked = AskedSilence { command_id, principal, silence_id: None, ask };
    let receipt = shared.call(room, |backend| backend.silence(asked)).await?;
    Ok((StatusCode::ACCEPTED, Json(receipt)).into_response())
}

pub(crate) async fn end(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Extension(auth): Extension<Auth>,
    request: Request,
) -> Result<Response, Problem> {
    let id = checked_id_of("silence", id)?;
    let (command_id, principal, Ending { reason }, room) = read_command(&shared, auth, request).await?;
    let ask = SilenceAsk::End { reason: checked_option("reason", reason)? };
    let asked = AskedSilence { command_id, principal, silence_id: Some(SilenceId::new(id)), ask };
    let receipt = shared.call(room, |backend| backend.silence(asked)).await?;
    Ok((StatusCode::ACCEPTED, Json(receipt)).into_response())
}

fn checked(of: &Matches) -> Result<(), Problem> {
    if of.is_everything() {
        return Err(Problem::new(422, "invalid", "without a condition it would mute everything")
            .at("of")
            .fix(r#"{"model": ["fraud"]}, or severity, family, subject, segment, owner, tier, source"#));
    }
    Ok(())
}
