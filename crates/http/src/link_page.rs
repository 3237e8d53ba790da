//! The page behind a link in a message: it shows an incident and takes an answer, on a phone and without script.
//!
//! The token in the path is what lets people in, so nothing else is asked of them. `GET` and `HEAD` never change anything,
//! as scanners of mail fetch every link; only `POST` acts. Whatever is no link of ours is told the same.

mod html;
mod render;
mod shown;

use std::borrow::Cow;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER,
};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use form_urlencoded::parse;
use tokio::time::{Instant, sleep};
use wire::CommandId;
use wire::command::{Action, Principal, Role};
use wire::link::{Link, LinkAction, LinkError};

use crate::audited::Signed;
use crate::backend::{AnswerState, BackendError, CommandAnswer, NewCommand};
use crate::commands::{checked_text, command_id};
use crate::ingest::media_type;
use crate::layer::{Lane, Shared};
use crate::limits::{read_body, too_many};
use crate::problem::Problem;
use render::{Around, Notice, current, elsewhere, incident, plain};
use shown::{Other, Others, Shown};

const BODY_BYTES_MAX: usize = 16 * 1024;
const NONCE_CHARS_MAX: usize = 64;
/// Incidents of one message that its page lists at once, and the most there can be.
const OTHERS_SHOWN: usize = 200;
const OTHERS_MAX: usize = 100_000;
/// How long a command is waited for before its page is shown without an answer.
const ANSWER: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// As often as the page itself asks again.
const ELSEWHERE_AGAIN_S: u64 = 2;
const MAY_NOT: &str = "this link may not do that";

type Token = Result<Path<String>, PathRejection>;

/// Why nothing is shown or done.
enum Refusal {
    /// No link of ours, in whichever way.
    Unknown,
    Expired(Box<Link>),
    /// The link is ours, and its incident is not kept any more.
    Gone,
    /// Anything that the rest of the listener says as JSON.
    Problem(Problem),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

pub(crate) async fn show(State(shared): State<Shared>, token: Token, uri: Uri) -> Response {
    let link = match held(&shared, token) {
        Ok((_, link)) => link,
        Err(refusal) => return refuse(refusal),
    };
    let signed = signed(&link);
    signed.leave_in(shown(&shared, link, uri.query().unwrap_or_default()).await.unwrap_or_else(refuse))
}

pub(crate) async fn act(State(shared): State<Shared>, token: Token, request: Request) -> Response {
    let (token, link) = match held(&shared, token) {
        Ok(held) => held,
        Err(refusal) => return refuse(refusal),
    };
    let signed = signed(&link);
    signed.leave_in(acted(&shared, (token, link), request).await.unwrap_or_else(refuse))
}

fn signed(link: &Link) -> Signed {
    Signed { caller: link.person.clone(), incident: link.incident_id.to_string() }
}

async fn shown(shared: &Shared, link: Link, query: &str) -> Result<Response, Refusal> {
    let asked = Asked::read(query);
    let Some(shown) = look(shared, &link).await? else {
        let page = elsewhere(&link, asked.is_some(), &shared.next_id());
        let again = [(RETRY_AFTER, HeaderValue::from(ELSEWHERE_AGAIN_S))];
        return Ok((again, answer(StatusCode::SERVICE_UNAVAILABLE, page)).into_response());
    };
    let notice = match asked {
        Some(asked) => Some(asked.notice(&ask(shared, &asked.id).await?)),
        None => None,
    };
    let from = value_of(query, "others").and_then(|from| from.parse().ok()).unwrap_or(0);
    let others = others(shared, &shown, (&link, from)).await?;
    Ok(answer(StatusCode::OK, incident(&shown, &around(shared, (&link, &others), notice.as_ref(), ""))))
}

async fn acted(
    shared: &Shared,
    (token, link): (String, Link),
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let body = read_body(&parts.headers, body, BODY_BYTES_MAX, shared.config.body_timeout).await?;
    let form = Form::read(&parts.headers, &body)?;
    let Some(shown) = look(shared, &link).await? else {
        return handed_on(shared, (&token, &link), &form).await;
    };
    let others = others(shared, &shown, (&link, 0)).await?;
    let refused = |status: StatusCode, why: &str| {
        let notice = Notice::Refused(why.to_owned());
        Ok(answer(status, incident(&shown, &around(shared, (&link, &others), Some(&notice), &form.text))))
    };
    if !link.actions.may(form.action) {
        return refused(StatusCode::FORBIDDEN, MAY_NOT);
    }
    if !current(&shown, &link) {
        return refused(StatusCode::CONFLICT, "this link is of an earlier alert");
    }
    let action = match form.action() {
        Ok(action) => action,
        Err(why) => return refused(StatusCode::UNPROCESSABLE_ENTITY, &why),
    };
    let (id, command) = command((&token, &link), &form, action);
    match shared.call(shared.room(Lane::Call)?, |backend| backend.command(command)).await {
        Ok(_) => (),
        Err(problem) if problem.status == 404 => return Err(Refusal::Gone),
        Err(problem) => return Err(problem.into()),
    }
    wait(shared, &id).await;
    Ok(see(&form, &id))
}

/// What is said of an incident that another process has: durable here, answered there. What may not be done there is found
/// out here as far as it can be without the incident.
async fn handed_on(shared: &Shared, (token, link): (&str, &Link), form: &Form) -> Result<Response, Refusal> {
    if !link.actions.may(form.action) {
        return Err(Problem::new(403, "forbidden", MAY_NOT).into());
    }
    let action = form.action().map_err(|why| Problem::new(422, "invalid", why))?;
    let (id, command) = command((token, link), form, action);
    let generation = link.generation;
    shared.call(shared.room(Lane::Call)?, move |backend| backend.hand_on(command, generation)).await?;
    Ok(see(form, &id))
}

/// Its id is of all that was sent: the same form again is the same command, and one that was changed is another.
fn command((token, link): (&str, &Link), form: &Form, action: Action) -> (CommandId, NewCommand) {
    let said = serde_json::to_vec(&action).expect("an action is plain data");
    let id = CommandId::of(&[b"link", token.as_bytes(), form.nonce.as_bytes(), &said]);
    let command = NewCommand {
        command_id: Some(id.clone()),
        incident: link.incident_id.as_str().to_owned(),
        principal: Principal { name: link.person.clone(), role: Role::Responder },
        action,
    };
    (id, command)
}

/// To where we are, wherever a proxy has put it: the address is relative.
fn see(form: &Form, id: &CommandId) -> Response {
    let place = format!("?done={}&id={id}", form.action.name());
    let place = HeaderValue::from_str(&place).expect("words and letters of base32");
    (StatusCode::SEE_OTHER, [(LOCATION, place)]).into_response()
}

/// The token, and what it says. Guesses have a rate of their own, so that whoever makes them keeps nobody else out.
fn held(shared: &Shared, token: Token) -> Result<(String, Link), Refusal> {
    let verified = token.map_err(|_| LinkError::Invalid).and_then(|Path(token)| {
        let keys = shared.trusted.links.as_ref().ok_or(LinkError::Invalid)?;
        let link = keys.verify(&token, shared.now())?;
        Ok((token, link))
    });
    let limit = match verified {
        Ok(_) | Err(LinkError::Expired(_)) => &shared.requests,
        Err(LinkError::Invalid) => &shared.guesses,
    };
    limit.take(1.0).map_err(|wait| too_many("requests", wait))?;
    verified.map_err(|error| match error {
        LinkError::Invalid => Refusal::Unknown,
        LinkError::Expired(link) => Refusal::Expired(link),
    })
}

/// `None` where another process may have it.
async fn look(shared: &Shared, link: &Link) -> Result<Option<Shown>, Refusal> {
    let id = link.incident_id.as_str().to_owned();
    let found = shared.call(shared.room(Lane::Call)?, move |backend| backend.incident(&id)).await;
    let view = match found {
        Ok(view) => view,
        Err(problem) if problem.status == 404 => return Err(Refusal::Gone),
        Err(problem) if problem.is_elsewhere() => return Ok(None),
        Err(problem) => return Err(problem.into()),
    };
    let shown: Shown = serde_json::from_value(view).map_err(|e| {
        Problem::from(BackendError::Internal(format!("an incident's view cannot be shown: {e}")))
    })?;
    // An id is found by its first letters too: a token is for one incident and for no other.
    if shown.incident.incident_id == link.incident_id { Ok(Some(shown)) } else { Err(Refusal::Gone) }
}

/// What the message that led here told of beside this incident, from that place on, each with a link for the same reader.
async fn others(shared: &Shared, shown: &Shown, (link, from): (&Link, usize)) -> Result<Others, Problem> {
    let Some(fold) = shown.message_to(link).cloned() else { return Ok(Others::default()) };
    let from = from.min(OTHERS_MAX);
    let places = from..from + OTHERS_SHOWN;
    let page = shared.call(shared.room(Lane::Call)?, move |b| b.in_one_message(&fold, places)).await?;
    let keys = shared.trusted.links.as_ref();
    let other = |view: serde_json::Value| {
        let Shown { incident, stage, .. } = serde_json::from_value(view).ok()?;
        let (incident_id, generation) = (incident.incident_id.clone(), incident.generation);
        let token = keys.and_then(|keys| keys.sign(&Link { incident_id, generation, ..link.clone() }));
        let is_this = incident.incident_id == link.incident_id;
        (!is_this).then_some(Other { severity: incident.severity, title: incident.title, stage, token })
    };
    let next = from + OTHERS_SHOWN;
    let next = (page.total > next as u64).then_some(next);
    Ok(Others {
        of: page.incidents.into_iter().filter_map(other).collect(),
        total: page.total.saturating_sub(1),
        next,
    })
}

async fn ask(shared: &Shared, id: &CommandId) -> Result<CommandAnswer, Problem> {
    let id = id.clone();
    shared.call(shared.room(Lane::Call)?, move |backend| backend.answer(&id)).await
}

/// Until the command has its answer, most often a few milliseconds. Without one the page says that it is on its way.
async fn wait(shared: &Shared, id: &CommandId) {
    let until = Instant::now() + ANSWER;
    while Instant::now() < until {
        match ask(shared, id).await {
            Ok(answer) if answer.answer == AnswerState::Unknown => sleep(LOOK_EVERY).await,
            Ok(_) | Err(_) => return,
        }
    }
}

/// What a form said.
struct Form {
    action: LinkAction,
    text: String,
    not_actionable: bool,
    nonce: String,
}

impl Form {
    fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Problem> {
        if media_type(headers) != "application/x-www-form-urlencoded" {
            return Err(Problem::new(415, "content-type", "an answer comes from the form of this page")
                .at("header Content-Type")
                .fix("application/x-www-form-urlencoded"));
        }
        let (mut action, mut text, mut not_actionable, mut nonce) =
            (None, String::new(), false, String::new());
        for (name, value) in parse(body) {
            match name.as_ref() {
                "do" => action = LinkAction::of(&value),
                // Browsers send lines as mail does.
                "text" => text = value.replace("\r\n", "\n").trim().to_owned(),
                "not_actionable" => not_actionable = value == "1",
                "nonce" => nonce = value.chars().take(NONCE_CHARS_MAX).collect(),
                _ => (),
            }
        }
        let action = action.ok_or_else(|| {
            Problem::new(422, "invalid", "the form does not say what to do")
                .at("do")
                .fix("acknowledge, mitigate, resolve or note")
        })?;
        Ok(Self { action, text, not_actionable, nonce })
    }

    fn action(&self) -> Result<Action, String> {
        let text = match self.text.as_str() {
            "" => None,
            text => Some(checked_text("text", text.to_owned()).map_err(|problem| problem.detail.clone())?),
        };
        Ok(match self.action {
            LinkAction::Acknowledge => Action::Acknowledge { for_s: None, note: text },
            LinkAction::Mitigate => Action::Mitigate { for_s: None, note: text },
            LinkAction::Resolve => Action::Resolve { reason: text, not_actionable: self.not_actionable },
            LinkAction::Note => Action::Note { text: text.ok_or("write the note first")? },
        })
    }
}

/// What the address says of the command that led here.
struct Asked {
    action: LinkAction,
    id: CommandId,
}

/// What a query says of a name.
fn value_of<'a>(query: &'a str, wanted: &str) -> Option<Cow<'a, str>> {
    parse(query.as_bytes()).find(|(name, _)| name == wanted).map(|(_, value)| value)
}

impl Asked {
    fn read(query: &str) -> Option<Self> {
        let of = |wanted: &str| value_of(query, wanted);
        Some(Self { action: LinkAction::of(&of("done")?)?, id: command_id(&of("id")?)? })
    }

    fn notice(&self, answer: &CommandAnswer) -> Notice {
        match answer.answer {
            AnswerState::Accepted => Notice::Done(self.action),
            AnswerState::Unknown => Notice::Waiting,
            AnswerState::Noted => Notice::Noted(answer.why.clone().unwrap_or_default()),
            AnswerState::Refused => {
                Notice::Refused(answer.why.clone().unwrap_or_else(|| "it was refused".into()))
            }
        }
    }
}

fn around<'a>(
    shared: &Shared,
    (link, others): (&'a Link, &'a Others),
    notice: Option<&'a Notice>,
    draft: &'a str,
) -> Around<'a> {
    Around { link, others, notice, draft, nonce: shared.next_id(), now: shared.now() }
}

fn refuse(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Unknown => answer(
            StatusCode::NOT_FOUND,
            plain(
                "This is no link of ours",
                "Open the link in the message again, whole, or run `tocsin incidents`.",
            ),
        ),
        Refusal::Expired(link) => answer(
            StatusCode::GONE,
            plain(
                "This link has expired",
                &format!(
                    "It worked until {}. A later message about the incident has a link that works; `tocsin show {}` shows it too.",
                    shown::moment(link.expires_at),
                    link.incident_id
                ),
            ),
        ),
        Refusal::Gone => answer(
            StatusCode::GONE,
            plain(
                "This incident is over",
                "It ended a while ago, and is not shown any more. The audit has all of it.",
            ),
        ),
        Refusal::Problem(problem) => {
            let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = answer(status, plain("This cannot be done now", &problem.detail));
            if let Some(seconds) = problem.retry_after_s {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            response
        }
    }
}

fn answer(status: StatusCode, page: String) -> Response {
    let policy = HeaderValue::from_str(&render::POLICY).expect("words and a hash");
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, policy),
    ];
    (status, headers, page).into_response()
}
