//! One table of outcomes for every receiver, so that retry logic exists once.

use wire::Timestamp;
use wire::link::PageLink;
use wire::outbox::Outcome;

use crate::client::{Answer, Failure};
use crate::endpoint::Endpoint;
use crate::secret::Secret;
use crate::text;

/// Longest wait that a receiver may ask for, in ms. A longer one is cut to it, so that a page is never put off for hours.
pub const RETRY_AFTER_MS_MAX: u64 = 15 * 60 * 1000;

/// What a status means. `retry_after` is the header as it came; `who` names the receiver in the reason.
///
/// | status | outcome |
/// |---|---|
/// | 2xx | delivered |
/// | 429, 5xx with a readable `Retry-After` | wait so long, at most 15 min |
/// | 408, 425, 429, 5xx | retry |
/// | 3xx (never followed), 401, 403, 404, 405, 407, 410, 421, 451 | the receiver is set up wrong |
/// | any other | this message will never pass |
#[must_use]
pub fn of_status(status: u16, retry_after: Option<&str>, who: &str, now: Timestamp) -> Outcome {
    let reason = format!("{who} answered {status}");
    match status {
        200..=299 => Outcome::Delivered { reference: None },
        429 | 500..=599 => match retry_after.and_then(|text| retry_after_ms(text, now)) {
            Some(ms) => Outcome::RetryAfter { ms, reason },
            None => Outcome::Retry { reason },
        },
        408 | 425 => Outcome::Retry { reason },
        300..=399 => Outcome::Config {
            reason: format!("{reason}: it points elsewhere, and redirects are never followed"),
        },
        401 | 403 | 407 => {
            Outcome::Config { reason: format!("{reason}: it does not accept our credentials") }
        }
        404 | 405 | 410 | 421 | 451 => {
            Outcome::Config { reason: format!("{reason}: nothing there takes pages") }
        }
        _ => Outcome::Reject { reason },
    }
}

/// Seconds or an HTTP date, as ms from `now`: at least 1 s, at most 15 min. `None` if it is neither.
fn retry_after_ms(text: &str, now: Timestamp) -> Option<u64> {
    let text = text.trim();
    let ms = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1000)
    } else {
        let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        u64::try_from(date.as_millisecond().saturating_sub(now.as_ms())).unwrap_or(0)
    };
    Some(ms.clamp(1000, RETRY_AFTER_MS_MAX))
}

/// Whether it was taken; else why not.
pub(crate) fn taken(outcome: Outcome) -> Result<(), String> {
    match outcome {
        Outcome::Delivered { .. } => Ok(()),
        Outcome::RetryAfter { reason, .. }
        | Outcome::Retry { reason }
        | Outcome::Unknown { reason }
        | Outcome::Config { reason }
        | Outcome::Reject { reason } => Err(reason),
    }
}

/// What came of one request.
///
/// Where the receiver says why it refuses, the reason carries the start of its words, without our secrets: a server
/// that echoes its input must not put them into the audit.
pub(crate) fn of(
    result: Result<Answer, Failure>,
    endpoint: &Endpoint,
    secrets: &[&Secret],
    now: Timestamp,
) -> Outcome {
    of_named(result, endpoint, secrets, &[], now)
}

/// The same, without the `names` of who is paged either.
pub(crate) fn of_named(
    result: Result<Answer, Failure>,
    endpoint: &Endpoint,
    secrets: &[&Secret],
    names: &[&str],
    now: Timestamp,
) -> Outcome {
    let who = endpoint.to_string();
    match result {
        Ok(answer) => {
            let outcome = of_status(answer.status, answer.retry_after.as_deref(), &who, now);
            if let Outcome::Reject { reason } = outcome {
                // An address may be a secret too, and a server that repeats it leaves out where it is.
                let path = Some(endpoint.path.as_str()).filter(|path| path.len() > 4);
                let hidden: Vec<&str> = secrets.iter().map(|s| s.reveal()).chain(path).collect();
                return Outcome::Reject { reason: with_words(reason, &answer.body, &hidden, names) };
            }
            outcome
        }
        Err(Failure::NotWritten(why)) => Outcome::Retry { reason: format!("{who}: {why}") },
        Err(Failure::NoAnswer(why)) => Outcome::Unknown { reason: format!("{who}: {why}") },
        Err(Failure::Refused(why)) => Outcome::Config { reason: format!("{who}: {why}") },
    }
}

/// The outcome without the page's link, wherever a receiver has repeated it: outcomes are kept, links are not.
pub(crate) fn without_link(outcome: Outcome, link: &PageLink) -> Outcome {
    let cut = |text: String| match link.cut_from(&text) {
        all if all.len() == text.len() => text,
        start => format!("{start}…"),
    };
    match outcome {
        Outcome::Delivered { reference } => Outcome::Delivered { reference: reference.map(cut) },
        Outcome::RetryAfter { ms, reason } => Outcome::RetryAfter { ms, reason: cut(reason) },
        Outcome::Retry { reason } => Outcome::Retry { reason: cut(reason) },
        Outcome::Unknown { reason } => Outcome::Unknown { reason: cut(reason) },
        Outcome::Config { reason } => Outcome::Config { reason: cut(reason) },
        Outcome::Reject { reason } => Outcome::Reject { reason: cut(reason) },
    }
}

const WORDS_BYTES_MAX: usize = 200;

/// `reason` with the start of what was said, without what must not be told: secrets and parts of them wherever they stand,
/// and who is paged where that is a word of its own.
pub(crate) fn with_words(reason: String, said: &[u8], secrets: &[&str], names: &[&str]) -> String {
    let mut words = String::from_utf8_lossy(said).into_owned();
    // What is far beyond what is told need not be looked at.
    words.truncate(words.floor_char_boundary(WORDS_BYTES_MAX * 20));
    for (hidden, alone) in secrets.iter().map(|s| (s, false)).chain(names.iter().map(|n| (n, true))) {
        if !hidden.is_empty() {
            words = without(&words, hidden, alone);
        }
    }
    let words = secrets.iter().fold(words, |words, secret| without_pieces(&words, secret));
    let words: String =
        words.split(char::is_whitespace).filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ");
    let words = text::printable(&words);
    if words.is_empty() { reason } else { format!("{reason}: {}", text::clip(&words, WORDS_BYTES_MAX)) }
}

/// Letters and digits in a row by which a piece of a secret is known; more where no digit is among them, since words are left:
/// they say what is wrong.
const PIECE: usize = 6;
const PIECE_OF_LETTERS: usize = 10;

/// Words of `said` become `…` that have a piece of the secret: a step of an address, what stands behind `token=`, the start
/// of a key. Cost: the length of the secret times that of the words.
fn without_pieces(said: &str, secret: &str) -> String {
    let secret = secret.to_ascii_lowercase();
    let is_inside = |b: u8| b.is_ascii_alphanumeric();
    let pieces: Vec<&[u8]> = [PIECE, PIECE_OF_LETTERS]
        .into_iter()
        .flat_map(|n| secret.as_bytes().windows(n).map(move |piece| (n, piece)))
        .filter(|(n, piece)| {
            let has_digit = piece.iter().any(u8::is_ascii_digit);
            piece.iter().all(|b| is_inside(*b)) && has_digit == (*n == PIECE)
        })
        .map(|(_, piece)| piece)
        .collect();
    let mut out = String::new();
    for word in said.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let end = word.len()
            - word.chars().next_back().filter(|c| !c.is_ascii_alphanumeric()).map_or(0, char::len_utf8);
        let lower = word[..end].to_ascii_lowercase();
        let gives_away =
            pieces.iter().any(|piece| lower.as_bytes().windows(piece.len()).any(|part| part == *piece));
        out.push_str(if gives_away { "…" } else { &word[..end] });
        out.push_str(&word[end..]);
    }
    out
}

/// Every `hidden` becomes `…`, in upper or lower case; if `alone`, only where no letter or digit is beside it.
fn without(words: &str, hidden: &str, alone: bool) -> String {
    let (lower, hidden) = (words.to_ascii_lowercase(), hidden.to_ascii_lowercase());
    let (mut out, mut from, mut at) = (String::new(), 0, 0);
    let is_inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    while let Some(found) = lower[at..].find(&hidden).map(|i| at + i) {
        let end = found + hidden.len();
        let is_alone =
            !is_inside(lower[..found].chars().next_back()) && !is_inside(lower[end..].chars().next());
        if is_alone || !alone {
            out.push_str(&words[from..found]);
            out.push('…');
            from = end;
            at = end;
        } else {
            at = found + lower[found..].chars().next().map_or(1, char::len_utf8);
        }
    }
    out.push_str(&words[from..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status() {
        for (statuses, after, want) in [
            (&[200, 201, 202, 204, 299][..], None, "delivered"),
            (&[200], Some("5"), "delivered"),
            (&[301, 302, 304, 307, 308], None, "config"),
            (&[401, 403, 404, 405, 407, 410, 421, 451], None, "config"),
            (&[400, 402, 406, 409, 411, 413, 414, 415, 422, 431], None, "reject"),
            (&[408, 425, 429, 500, 501, 502, 503, 504, 529, 599], None, "retry"),
            (&[429, 500, 502, 503, 504], Some("5"), "retry_after"),
            (&[429, 503], Some("soon"), "retry"),
            (&[408], Some("5"), "retry"),
            (&[100, 101, 600, 999, 0], None, "reject"),
        ] {
            for &status in statuses {
                let got = of_status(status, after, "x", Timestamp::EPOCH);
                assert_eq!(got.class(), want, "{status} with Retry-After {after:?}");
            }
        }
    }

    #[test]
    fn every_status_has_an_outcome_and_only_2xx_delivers() {
        for status in 0..=u16::MAX {
            let delivered = of_status(status, Some("1"), "x", Timestamp::EPOCH).class() == "delivered";
            assert_eq!(delivered, (200..300).contains(&status), "{status}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "1994-11-06T08:49:07Z".parse().unwrap();
        for (text, want) in [
            ("7", Some(7000)),
            (" 7 ", Some(7000)),
            ("0", Some(1000)),
            ("3600", Some(RETRY_AFTER_MS_MAX)),
            ("99999999999999999999999", Some(RETRY_AFTER_MS_MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30_000)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(1000)),
            ("Sat, 06 Nov 2094 08:49:37 GMT", Some(RETRY_AFTER_MS_MAX)),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("tomorrow", None),
        ] {
            assert_eq!(retry_after_ms(text, now), want, "{text:?}");
        }
    }

    #[test]
    fn words_of_a_refusal_hold_no_secret() {
        let got = with_words("x answered 400".into(), b"bad\n\x1b[31m key   hunter2!", &["hunter2"], &[]);
        assert_eq!(got, "x answered 400: bad \u{fffd}[31m key …!");
        let address = "/v1/alerts/T0c4fe11?token=abcdef123&to=everybody";
        let got = with_words("x".into(), b"no ABCDEF123 in T0c4fe11, alerts to everybody", &[address], &[]);
        assert_eq!(got, "x: no … in …, alerts to everybody");
        // The start of one, and one of letters.
        for (said, secret, want) in [
            ("invalid key \"kx93ab...\"", "Kx93abQ7pLm2", "invalid key \"…...\""),
            ("no xoxb-QwErTyUiOpAs here", "xoxb-QwErTyUiOpAs", "no … here"),
            ("got {\"k\":\"QwErTyUiOpA\"}", "QwErTyUiOpAsDf", "got {\"k\":\"…\"}"),
            ("Zq 12345 is not right", "a-12345678-b", "Zq 12345 is not right"),
        ] {
            assert_eq!(with_words("x".into(), said.as_bytes(), &[secret], &[]), format!("x: {want}"));
        }
        let long = with_words("x".into(), "ü".repeat(5000).as_bytes(), &[], &[]);
        assert!(long.len() <= WORDS_BYTES_MAX + 10, "{}", long.len());
        assert_eq!(with_words("x".into(), b"", &[], &[]), "x");
        let named = with_words("x".into(), b"Ann, annual, <ann>, s3cretann", &["S3CRET"], &["ann"]);
        assert_eq!(named, "x: …, annual, <…>, ……");
    }
}
