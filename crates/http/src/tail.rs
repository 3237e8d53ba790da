//! `GET /v1/tail`: events as they happen, as lines of JSON or as server-sent events.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Frame;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::backend::TailEvent;
use crate::layer::{Lane, Shared};
use crate::problem::Problem;
use crate::views;

/// A sign of life, so that both sides notice when the other is gone.
const ALIVE: Duration = Duration::from_secs(10);
/// Events written ahead of what the reader has taken.
const AHEAD: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TailAsked {
    #[serde(default)]
    from: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Lines,
    ServerSent,
}

pub(crate) async fn tail(
    State(shared): State<Shared>,
    asked: Result<Query<TailAsked>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(asked) = asked.map_err(|e| Problem::new(400, "query", e.body_text()).at("query"))?;
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let from = views::cursor(asked.from.or_else(|| text("last-event-id")))?;
    let accepted = text(ACCEPT.as_str()).unwrap_or_default();
    let form = if accepted.contains("text/event-stream") { Form::ServerSent } else { Form::Lines };
    let seat = shared.room(Lane::Tail)?;
    let events = shared.call(shared.room(Lane::Call)?, move |backend| backend.tail(from.as_deref())).await?;
    let (out, body) = mpsc::channel(AHEAD);
    tokio::spawn(pump(events, out, form, shared.ending.clone(), seat));
    let media = match form {
        Form::Lines => "application/x-ndjson",
        Form::ServerSent => "text/event-stream",
    };
    Ok(([(CONTENT_TYPE, media)], Body::new(Pumped(body))).into_response())
}

/// Writes events until the backend, the reader or the listener ends.
async fn pump(
    mut events: mpsc::Receiver<TailEvent>,
    out: mpsc::Sender<Bytes>,
    form: Form,
    mut ending: watch::Receiver<bool>,
    seat: OwnedSemaphorePermit,
) {
    let mut alive = interval(ALIVE);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let bytes = tokio::select! {
            event = events.recv() => match event {
                Some(event) => rendered(&event, form),
                None => break,
            },
            _ = alive.tick() => match form {
                Form::Lines => Bytes::from_static(b"\n"),
                Form::ServerSent => Bytes::from_static(b": alive\n\n"),
            },
            () = out.closed() => break,
            _ = ending.wait_for(|ends| *ends) => break,
        };
        let sent = tokio::select! {
            sent = out.send(bytes) => sent.is_ok(),
            _ = ending.wait_for(|ends| *ends) => false,
        };
        if !sent {
            break;
        }
    }
    drop(seat);
}

fn rendered(event: &TailEvent, form: Form) -> Bytes {
    match form {
        Form::Lines => {
            let mut line = serde_json::to_vec(event).expect("an event is JSON already");
            line.push(b'\n');
            line.into()
        }
        Form::ServerSent => {
            // A line break in a field would begin another one.
            let line = |text: &str| text.replace(['\r', '\n', '\0'], " ");
            format!("id: {}\nevent: {}\ndata: {}\n\n", line(&event.id), line(&event.kind), event.data).into()
        }
    }
}

/// A body that is what a pump writes.
struct Pumped(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Pumped {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_cannot_forge_another() {
        let event = TailEvent {
            id: "7\nevent: forged".into(),
            kind: "page\r\ndata: forged".into(),
            data: serde_json::json!({"title": "a\n\ndata: forged"}),
        };
        let text = String::from_utf8(rendered(&event, Form::ServerSent).to_vec()).unwrap();
        assert_eq!(text.lines().count(), 4, "{text:?}");
        assert!(text.ends_with("\n\n") && text.matches("\n\n").count() == 1, "{text:?}");
        let line = rendered(&event, Form::Lines);
        assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
        assert_eq!(serde_json::from_slice::<TailEvent>(&line).unwrap(), event);
    }
}
