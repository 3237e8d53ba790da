//! Who is on call as a calendar that other programs subscribe to: iCalendar, RFC 5545.

use wire::{Digest, Timestamp, Zone};

use super::Span;

/// Somebody on call for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    pub schedule: &'a str,
    /// Key of the person: with schedule and beginning it is what the event is known by.
    pub person: &'a str,
    /// As they are called.
    pub name: &'a str,
    pub span: Span,
}

/// Longest line, in bytes without its end (3.1).
const LINE: usize = 75;

/// From when stints are looked for, so that each begins in every export when it did in the one before: the first of
/// January in UTC of the year before `at`.
///
/// It moves once a year. Somebody who has been on call without a break since before it is another event from then on.
#[must_use]
pub fn looked_for_from(at: Timestamp) -> Timestamp {
    let year = Zone::UTC.civil_at(at).year();
    Zone::UTC.first(jiff::civil::date(year - 1, 1, 1).to_datetime(jiff::civil::Time::midnight()))
}

/// A calendar of these events, made at `now`. Times are in UTC, so it needs no tables of zones.
#[must_use]
pub fn calendar(title: &str, events: &[Event<'_>], now: Timestamp) -> String {
    let mut out = String::new();
    let mut line = |text: &str| fold(&mut out, text);
    line("BEGIN:VCALENDAR");
    line("VERSION:2.0");
    line("PRODID:-//tocsin//on call//EN");
    line(&format!("X-WR-CALNAME:{}", escaped(title)));
    // How often to look again: those that subscribe would take a day.
    line("REFRESH-INTERVAL;VALUE=DURATION:PT15M");
    line("X-PUBLISHED-TTL:PT15M");
    for Event { schedule, person, name, span } in events {
        let begins = span.from.to_string();
        let uid = Digest::of(&[b"on-call", schedule.as_bytes(), person.as_bytes(), begins.as_bytes()]);
        line("BEGIN:VEVENT");
        line(&format!("UID:{uid}@tocsin"));
        line(&format!("DTSTAMP:{}", utc(now)));
        line(&format!("DTSTART:{}", utc(span.from)));
        line(&format!("DTEND:{}", utc(span.until)));
        line(&format!("SUMMARY:{}", escaped(&format!("{name} on call: {schedule}"))));
        line("END:VEVENT");
    }
    line("END:VCALENDAR");
    out
}

/// `20260302T080000Z`.
fn utc(at: Timestamp) -> String {
    let text = at.to_string();
    let digits: String = text.chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{digits}Z")
}

/// Text as a value (3.3.11); what is no text is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ';' | ',' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => (),
            c => out.push(c),
        }
    }
    out
}

/// Writes a line, folded where it is too long, never within a character.
fn fold(out: &mut String, text: &str) {
    let mut room = LINE;
    for c in text.chars() {
        if c.len_utf8() > room {
            out.push_str("\r\n ");
            room = LINE - 1;
        }
        room -= c.len_utf8();
        out.push(c);
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_begin_where_they_did_for_a_year() {
        for (at, want) in [
            ("2026-01-01T00:00:00Z", "2025-01-01T00:00:00.000Z"),
            ("2026-12-31T23:59:59.999Z", "2025-01-01T00:00:00.000Z"),
            ("2027-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
            ("9999-12-31T23:59:59.999Z", "9998-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(looked_for_from(at.parse().unwrap()).to_string(), want, "{at}");
        }
    }

    #[test]
    fn a_calendar_is_what_the_standard_says() {
        let span = Span {
            from: "2026-03-02T08:00:00Z".parse().unwrap(),
            until: "2026-03-09T08:00:00Z".parse().unwrap(),
        };
        let name =
            "Ada; Countess, of Lovelace\\é\nwho wrote the first program that was ever written for a machine";
        let event = Event { schedule: "risk", person: "ada", name, span };
        let text = calendar("risk", &[event, event], "2026-03-01T00:00:00Z".parse().unwrap());
        assert!(
            text.ends_with("END:VCALENDAR\r\n") && text.starts_with("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n")
        );
        assert!(text.split("\r\n").all(|line| line.len() <= LINE && !line.contains('\n')), "{text}");
        let unfolded = text.replace("\r\n ", "");
        for want in [
            "DTSTAMP:20260301T000000Z",
            "DTSTART:20260302T080000Z",
            "DTEND:20260309T080000Z",
            "SUMMARY:Ada\\; Countess\\, of Lovelace\\\\é\\nwho wrote the first program that was ever written for a machine on call: risk",
        ] {
            assert!(unfolded.split("\r\n").any(|line| line == want), "{want} in {unfolded}");
        }
        let uids: Vec<_> = unfolded.lines().filter(|l| l.starts_with("UID:")).collect();
        assert_eq!(uids[0], uids[1], "the same event is known again");
    }
}
