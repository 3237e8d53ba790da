//! Errors as `application/problem+json`: what is wrong, where, what would be right.

use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{StatusCode, response};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::backend::BackendError;

/// An error answer (RFC 9457). Nothing of a token is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Problem(Box<ProblemDetails>);

impl std::ops::Deref for Problem {
    type Target = ProblemDetails;
    fn deref(&self) -> &ProblemDetails {
        &self.0
    }
}

/// What an error answer says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemDetails {
    /// `urn:tocsin:` and a word that stays the same: what scripts look at.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// What is wrong.
    pub detail: String,
    /// Where: a field, a header, a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What would be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The role or right that is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// Lines that were refused, of a body of many: the first hundred.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
}

/// One line or item of a body that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// From 1: the line, or the item of an array.
    pub line: u64,
    pub why: String,
}

impl Problem {
    /// `word` stays the same for ever; `detail` is for people.
    #[must_use]
    pub fn new(status: u16, word: &'static str, detail: impl Into<String>) -> Self {
        let title = StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Error");
        Self(Box::new(ProblemDetails {
            kind: format!("urn:tocsin:{word}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            at: None,
            fix: None,
            needs: None,
            retry_after_s: None,
            rejected: Vec::new(),
        }))
    }

    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.0.at = Some(place.into());
        self
    }

    #[must_use]
    pub fn fix(mut self, right: impl Into<String>) -> Self {
        self.0.fix = Some(right.into());
        self
    }

    #[must_use]
    pub fn needs(mut self, right: impl Into<String>) -> Self {
        self.0.needs = Some(right.into());
        self
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// Whether another process can do what this one cannot.
    pub(crate) fn is_elsewhere(&self) -> bool {
        matches!(self.kind.as_str(), "urn:tocsin:elsewhere" | "urn:tocsin:role-not-here")
    }

    #[must_use]
    pub(crate) fn rejected(mut self, rejected: Vec<Rejected>) -> Self {
        self.0.rejected = rejected;
        self
    }
}

impl From<BackendError> for Problem {
    fn from(error: BackendError) -> Self {
        let text = error.to_string();
        match error {
            BackendError::NotFound { .. } => Self::new(404, "not-found", text),
            BackendError::Ambiguous(_) => Self::new(409, "ambiguous-id", text),
            BackendError::NotAsListed { .. } => Self::new(409, "not-as-listed", text)
                .at("listed")
                .fix("POST /v1/silences/preview says what to list"),
            BackendError::Invalid(_) => Self::new(422, "invalid", text),
            BackendError::Unavailable { retry_after_s, .. } => {
                Self::new(503, "unavailable", text).retry_after(retry_after_s.max(1))
            }
            BackendError::NotHere { role } => Self::new(503, "role-not-here", text)
                .fix(format!("ask a process that runs with the role {role}")),
            BackendError::Elsewhere { .. } => {
                Self::new(503, "elsewhere", text).retry_after(2).fix("ask again, or ask the other processes")
            }
            BackendError::EarlierAlert => {
                Self::new(409, "earlier-alert", text).fix("answer the later message")
            }
            BackendError::Internal(_) => {
                tracing::error!(error = text, "a request failed");
                Self::new(500, "internal", "tocsin made a mistake; its log says more under this request's id")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).expect("texts and numbers always become JSON");
        let (mut parts, ()) = response::Response::new(()).into_parts();
        parts.status = status;
        parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            parts.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            parts.headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tocsin\""));
        }
        Response::from_parts(parts, body.into())
    }
}
