//! What Slack's methods that read are asked, and what all answer.

use std::fmt;

use form_urlencoded::Serializer;
use serde_json::Value;
use wire::outbox::Outcome;

/// A message: what a reply or a change of it needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) channel: String,
    pub(super) ts: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.channel, self.ts)
    }
}

impl Place {
    /// As it is displayed.
    pub(super) fn of(text: &str) -> Option<Self> {
        let (channel, ts) = text.split_once(':')?;
        Some(Self { channel: channel.to_owned(), ts: ts.to_owned() })
    }
}

/// The body of a form with these fields.
pub(super) fn form(fields: &[(&str, &str)]) -> Vec<u8> {
    Serializer::new(String::new()).extend_pairs(fields).finish().into_bytes()
}

/// Slack answers 200 and says in the body whether it was done.
///
/// # Errors
/// Its word for why not; empty where it is no answer of Slack's.
pub(super) fn read(body: &[u8]) -> Result<Value, String> {
    let answer: Value = serde_json::from_slice(body).map_err(|_| String::new())?;
    if answer["ok"] == true {
        return Ok(answer);
    }
    Err(answer["error"].as_str().unwrap_or_default().to_owned())
}

/// What such a word means. One that is not known here is taken as a refusal of this message alone.
pub(super) fn call_failed(error: &str, who: &str) -> Outcome {
    // Whatever else came may be anything: our token, or part of it.
    let is_word = error.len() <= 64 && error.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let word = if is_word { error } else { "" };
    let reason = format!("{who} answered {word}");
    match word {
        "" if !error.is_empty() => Outcome::Reject { reason: format!("{who} answered no word of Slack's") },
        "" => Outcome::Unknown { reason: format!("{who} answered something that is not Slack's") },
        "ratelimited" | "rate_limited" | "message_limit_exceeded" => {
            Outcome::RetryAfter { ms: 30_000, reason }
        }
        "internal_error"
        | "fatal_error"
        | "service_unavailable"
        | "request_timeout"
        | "team_added_to_org" => Outcome::Retry { reason },
        "account_inactive"
        | "access_denied"
        | "cannot_reply_to_message"
        | "channel_not_found"
        | "ekm_access_denied"
        | "enterprise_is_restricted"
        | "invalid_auth"
        | "is_archived"
        | "missing_scope"
        | "no_permission"
        | "not_allowed_token_type"
        | "not_authed"
        | "not_in_channel"
        | "org_login_required"
        | "restricted_action"
        | "restricted_action_read_only_channel"
        | "team_access_not_granted"
        | "token_expired"
        | "token_revoked"
        | "two_factor_setup_required" => Outcome::Config { reason },
        _ => Outcome::Reject { reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_its_outcome() {
        for (word, want) in [
            ("ratelimited", "retry_after"),
            ("internal_error", "retry"),
            ("channel_not_found", "config"),
            ("invalid_auth", "config"),
            ("msg_too_long", "reject"),
            ("invalid_blocks", "reject"),
            ("a_word_of_next_year", "reject"),
            ("", "unknown"),
        ] {
            assert_eq!(call_failed(word, "Slack").class(), want, "{word}");
        }
        for other in ["<script>", "xoxb-1", "Xoxb", "a\nb", &"a".repeat(65)] {
            let Outcome::Reject { reason } = call_failed(other, "Slack") else { panic!("{other}") };
            assert_eq!(reason, "Slack answered no word of Slack's");
        }
    }

    #[test]
    fn done_is_what_says_ok() {
        assert!(read(br#"{"ok":true,"ts":"1.2"}"#).is_ok());
        assert_eq!(read(br#"{"ok":false,"error":"is_archived"}"#), Err("is_archived".to_owned()));
        for text in ["", "ok", "{}", r#"{"ok":"true"}"#, "[1]"] {
            assert_eq!(read(text.as_bytes()), Err(String::new()), "{text}");
        }
    }

    #[test]
    fn a_place_reads_as_it_is_written() {
        let place = Place { channel: "C024BE91L".into(), ts: "1503435956.000247".into() };
        assert_eq!(Place::of(&place.to_string()), Some(place));
        assert_eq!(Place::of("no colon"), None);
    }
}
