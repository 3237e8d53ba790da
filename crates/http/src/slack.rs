//! Buttons in Slack: a request that Slack signed is a command of who pressed.
//!
//! Slack wants an answer within three seconds. What was pressed is durable by then, or goes on; what became of it follows as
//! a message that only that person sees.

mod signature;

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use form_urlencoded::parse;
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use wire::CommandId;
use wire::command::{Action, Principal, Role};

use crate::audited::Signed;
use crate::backend::{AnswerState, NewCommand};
use crate::commands::checked_id;
use crate::layer::{Lane, Shared};
use crate::limits::{read_body, too_many};
use crate::problem::Problem;

/// A message with all of its blocks comes back with a button.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Less than Slack's three seconds.
const ACKNOWLEDGED: Duration = Duration::from_millis(2500);
/// How long a command's answer is waited for before the person is told that it is on its way.
const ANSWER: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// `action_id` of the button, as the receiver writes it.
const BUTTON: &str = "tocsin_acknowledge";

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "type")]
    kind: String,
    user: User,
    #[serde(default)]
    actions: Vec<Pressed>,
    #[serde(default)]
    response_url: Option<String>,
}

#[derive(Deserialize)]
struct User {
    id: String,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Clone, Deserialize)]
struct Pressed {
    action_id: String,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    action_ts: String,
}

impl User {
    /// How commands name them: Slack's id, which stays, and the name, which people know.
    fn person(&self) -> Option<String> {
        let fine = (1..=32).contains(&self.id.len()) && self.id.bytes().all(|b| b.is_ascii_alphanumeric());
        let name = self.username.as_deref().or(self.name.as_deref()).unwrap_or_default();
        let name: String =
            name.chars().filter(|c| c.is_alphanumeric() || "._-".contains(*c)).take(64).collect();
        fine.then(|| {
            if name.is_empty() { format!("slack:{}", self.id) } else { format!("slack:{}/{name}", self.id) }
        })
    }
}

/// One press of the button, understood.
struct Press {
    receiver: String,
    person: String,
    incident: String,
    generation: u32,
    command_id: CommandId,
    reply_to: Option<String>,
}

pub(crate) async fn interact(State(shared): State<Shared>, request: Request) -> Result<Response, Problem> {
    let (receiver, body) = verified(&shared, request).await?;
    let payload = parse(&body).find(|(name, _)| name == "payload").map(|(_, value)| value);
    // Slack asks now and then whether the address answers, with no payload.
    let Some(payload) = payload else { return Ok(StatusCode::OK.into_response()) };
    let payload: Payload = serde_json::from_str(&payload).map_err(|e| {
        Problem::new(400, "malformed", format!("the payload cannot be read: {e}")).at("payload")
    })?;
    let Some(press) = press(&payload, receiver)? else { return Ok(StatusCode::OK.into_response()) };
    let signed = Signed { caller: press.person.clone(), incident: press.incident.clone() };
    let (kept, is_kept) = oneshot::channel();
    tokio::spawn(async move { carry_out(&shared, press, kept).await });
    // Too late is no failure: it goes on, and the person is told.
    _ = timeout(ACKNOWLEDGED, is_kept).await;
    Ok(signed.leave_in(StatusCode::OK.into_response()))
}

/// The body, and the receiver whose app signed it.
async fn verified(shared: &Shared, request: Request) -> Result<(String, Vec<u8>), Problem> {
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (timestamp, signature) = (header("x-slack-request-timestamp"), header("x-slack-signature"));
    let refused = || match shared.guesses.take(1.0) {
        // Not in which way: that would help who makes them up.
        Ok(()) => {
            Problem::new(401, "unsigned", "this was not signed just now by a Slack app that is known here")
                .at("headers X-Slack-Signature and X-Slack-Request-Timestamp")
                .fix("signing_secret_env or signing_secret_file of the receiver, and a clock that is right")
        }
        Err(wait) => too_many("requests", wait),
    };
    // Nothing is read for a stranger who does not even try.
    if !signature::fresh(timestamp, shared.now().as_ms().div_euclid(1000)) || signature.is_empty() {
        return Err(refused());
    }
    let body = read_body(&parts.headers, body, BODY_BYTES_MAX, shared.config.body_timeout).await?;
    let mut signer = None;
    for app in &shared.trusted.slack {
        if signature::is_signed(app.secret(), timestamp, &body, signature) {
            signer = Some(app.receiver().to_owned());
        }
    }
    let signer = signer.ok_or_else(refused)?;
    shared.requests.take(1.0).map_err(|wait| too_many("requests", wait))?;
    Ok((signer, body.to_vec()))
}

/// `None` for what is not our button.
fn press(payload: &Payload, receiver: String) -> Result<Option<Press>, Problem> {
    let ours = payload.actions.iter().find(|pressed| pressed.action_id == BUTTON);
    let Some(pressed) = ours.filter(|_| payload.kind == "block_actions") else { return Ok(None) };
    let malformed =
        || Problem::new(400, "malformed", "the button does not say which incident it is for").at("actions");
    let value = pressed.value.as_deref().unwrap_or_default();
    let (incident, generation) = value.split_once(':').ok_or_else(malformed)?;
    let generation = generation.parse().map_err(|_| malformed())?;
    let incident = checked_id(incident.to_owned()).map_err(|_| malformed())?;
    let person = payload
        .user
        .person()
        .ok_or_else(|| Problem::new(400, "malformed", "the payload does not say who pressed").at("user"))?;
    // Slack's own mark of this press: the same request again is the same command.
    let parts = ["slack", &receiver, &person, value, &pressed.action_ts];
    let command_id = CommandId::of(&parts.map(str::as_bytes));
    Ok(Some(Press {
        receiver,
        person,
        incident,
        generation,
        command_id,
        reply_to: payload.response_url.clone(),
    }))
}

async fn carry_out(shared: &Shared, press: Press, kept: oneshot::Sender<()>) {
    let text = match command(shared, &press).await {
        Ok(title) => {
            // Nobody waits any more when it took too long.
            _ = kept.send(());
            match title {
                Some(title) => answered(shared, &press.command_id, &title).await,
                None => format!(
                    "Kept, and handed on to the process that has the incident. `tocsin show {}` says what became of it.",
                    press.incident
                ),
            }
        }
        Err(why) => format!("Not done: {why}. `tocsin ack {}` does the same.", press.incident),
    };
    let Some(to) = press.reply_to else { return };
    let Ok(room) = shared.room(Lane::Call) else { return };
    let receiver = press.receiver;
    if let Err(problem) = shared.call(room, move |backend| backend.slack_reply(&receiver, &to, &text)).await {
        tracing::warn!(why = problem.detail, "a person in Slack was not told what became of their answer");
    }
}

/// Keeps the command; the title of its incident, `None` where another process has it, or why not.
async fn command(shared: &Shared, press: &Press) -> Result<Option<String>, String> {
    let told = |problem: Problem| problem.detail.clone();
    let id = press.incident.clone();
    let command = NewCommand {
        command_id: Some(press.command_id.clone()),
        incident: press.incident.clone(),
        principal: Principal { name: press.person.clone(), role: Role::Responder },
        action: Action::Acknowledge { for_s: None, note: None },
    };
    let view = match shared.call(shared.room(Lane::Call).map_err(told)?, move |b| b.incident(&id)).await {
        Ok(view) => view,
        Err(problem) if problem.is_elsewhere() => {
            let (room, generation) = (shared.room(Lane::Call).map_err(told)?, press.generation);
            shared.call(room, move |b| b.hand_on(command, generation)).await.map_err(told)?;
            return Ok(None);
        }
        Err(problem) => return Err(told(problem)),
    };
    let generation = view.pointer("/incident/generation").and_then(serde_json::Value::as_u64);
    if generation != Some(u64::from(press.generation)) {
        return Err("this message is of an earlier alert: the incident came back since".into());
    }
    shared.call(shared.room(Lane::Call).map_err(told)?, move |b| b.command(command)).await.map_err(told)?;
    let title = view.pointer("/incident/title").and_then(serde_json::Value::as_str);
    Ok(Some(title.unwrap_or_default().to_owned()))
}

/// What became of it, in words.
async fn answered(shared: &Shared, id: &CommandId, title: &str) -> String {
    let until = Instant::now() + ANSWER;
    while Instant::now() < until {
        let Ok(room) = shared.room(Lane::Call) else { break };
        let asked = id.clone();
        match shared.call(room, move |backend| backend.answer(&asked)).await {
            Ok(answer) => match answer.answer {
                AnswerState::Noted => return answer.why.unwrap_or_else(|| "It is written down.".into()),
                AnswerState::Accepted => return format!("Acknowledged: {title}"),
                AnswerState::Refused => {
                    return format!("Not done: {}.", answer.why.unwrap_or_else(|| "it was refused".into()));
                }
                AnswerState::Unknown => sleep(LOOK_EVERY).await,
            },
            Err(_) => break,
        }
    }
    format!("Kept, and takes effect in a moment: {title}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_named_as_slack_names_them() {
        let user = |id: &str, username: Option<&str>| User {
            id: id.into(),
            username: username.map(Into::into),
            name: None,
        };
        for (id, username, want) in [
            ("U123", Some("ada"), Some("slack:U123/ada")),
            ("U123", None, Some("slack:U123")),
            ("U123", Some("<@U1> \u{202e}"), Some("slack:U123/U1")),
            ("", Some("ada"), None),
            ("U1/../x", Some("ada"), None),
        ] {
            assert_eq!(user(id, username).person().as_deref(), want, "{id} {username:?}");
        }
    }
}
