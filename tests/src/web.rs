//! A small HTTP client.

use std::time::Duration;

use serde_json::Value;

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub text: String,
    /// Where it points to; no redirect is followed.
    pub location: Option<String>,
}

impl Answer {
    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// The body as JSON, of an answer that must be 2xx.
    ///
    /// # Panics
    /// When it is another.
    #[must_use]
    pub fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "answered {}: {}", self.status, self.text);
        self.json()
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(60)))
        .max_redirects(0)
        .build()
        .into()
}

fn answer(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, String> {
    let mut response = result.map_err(|e| e.to_string())?;
    let status = response.status().as_u16();
    let location = response.headers().get("location").and_then(|v| v.to_str().ok()).map(str::to_owned);
    let read = response.body_mut().with_config().limit(64 << 20).read_to_vec().map_err(|e| e.to_string())?;
    Ok(Answer { status, text: String::from_utf8_lossy(&read).into_owned(), location })
}

/// # Errors
/// When nobody answers.
pub fn get(url: &str) -> Result<Answer, String> {
    answer(agent().get(url).call())
}

/// # Errors
/// When nobody answers.
pub fn head(url: &str) -> Result<Answer, String> {
    answer(agent().head(url).call())
}

/// # Errors
/// When nobody answers.
pub fn post(url: &str, content_type: &str, body: &[u8]) -> Result<Answer, String> {
    answer(agent().post(url).header("content-type", content_type).send(body))
}
