//! Words for people, shared by all kinds of receiver.

use std::borrow::Cow;
use std::fmt::Write as _;

use wire::Severity;
use wire::context::Deployment;
use wire::incident::Context;
use wire::page::{Page, PageKind};
pub(crate) use wire::text::{clip, printable};

/// What a link to the page of an incident is called. `page.link()` is its address, where pages have one.
pub(crate) const fn answer(page: &Page) -> &'static str {
    // Whoever is told need do nothing, and may write a note.
    if page.told.is_some() {
        "Look at it, or write a note"
    } else {
        "Answer: acknowledge, note, mitigate, resolve"
    }
}

/// Whether an id may stand in a header or a command as it is: 1 to 128 letters, digits, `_` and `-`.
pub(crate) fn is_token(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// `text` in at most `units` units of UTF-16, at least one; what was cut ends in `…`. For limits in characters that do not say
/// of which kind: of code points there are never more.
pub(crate) fn clip_utf16(text: &str, units: usize) -> Cow<'_, str> {
    if text.encode_utf16().count() <= units {
        return Cow::Borrowed(text);
    }
    let mut used = '…'.len_utf16();
    let mut fits = |c: char| {
        used += c.len_utf16();
        used <= units
    };
    let end = text.char_indices().find(|(_, c)| !fits(*c)).map_or(text.len(), |(at, _)| at);
    Cow::Owned(format!("{}…", &text[..end]))
}

/// One line: the title in its reader's words; without any, severity, what happens, and whether it is a drill. At most 300
/// bytes.
#[must_use]
pub fn summary(page: &Page) -> String {
    if let Some(text) = &page.text {
        return clip(&printable(&text.title), 300).into_owned();
    }
    let incident = &page.incident;
    let drill = if incident.drill { "DRILL " } else { "" };
    let over = match page.kind {
        PageKind::Trigger | PageKind::Update => "",
        PageKind::Acknowledge => "acknowledged: ",
        PageKind::Resolve => "resolved: ",
    };
    let line = format!("{drill}{} {over}{}", incident.severity.name().to_uppercase(), incident.title);
    clip(&printable(&line), 300).into_owned()
}

/// The words that most receivers know for how bad it is, and that their users route on.
pub(crate) const fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Sev1 => "critical",
        Severity::Sev2 => "error",
        Severity::Sev3 => "warning",
        Severity::Sev4 => "info",
    }
}

/// The same, and which incident it is: all that must be said. At most 500 bytes.
pub(crate) fn in_one_line(page: &Page) -> String {
    let incident = printable(page.incident.incident_id.as_str());
    let others = page.folded.as_ref().map_or(String::new(), |folded| format!(", and {} more", folded.others));
    format!("{} (incident {}{others})", summary(page), clip(&incident, 128))
}

/// The page with only what must be said, for those who get it as data: what is left can be read as a page.
pub(crate) fn smallest(page: &Page) -> Page {
    let mut page = Page { text: None, ..page.clone() };
    let incident = &mut page.incident;
    incident.title = clip(&printable(&incident.title), 256).into_owned();
    incident.context = Context::default();
    incident.evidence.contributors.clear();
    incident.evidence.profile = None;
    page
}

/// The page in its reader's words; without any, what, where, since when, what next in four lines, in which times are event
/// time in UTC but for the last line, which is the clock's.
#[must_use]
pub fn describe(page: &Page) -> String {
    if let Some(text) = &page.text {
        return text.body.lines().map(|line| printable(line).into_owned()).collect::<Vec<_>>().join("\n");
    }
    let incident = &page.incident;
    let evidence = &incident.evidence;
    let mut out = String::new();
    let unit = if evidence.unit.is_empty() { String::new() } else { format!(" {}", evidence.unit) };
    write!(
        out,
        "What: {} is {:.4}{unit} against {:.4}{unit}, off by at least {:.4} ({} records).\nWhere: {}",
        evidence.statistic,
        evidence.value,
        evidence.reference,
        nearest_zero(evidence.effect.lower, evidence.effect.upper),
        evidence.samples,
        incident.subject,
    )
    .expect("writing to a string");
    if let Some(owner) = &incident.context.owner {
        write!(out, ", owned by {owner}").expect("writing to a string");
    }
    write!(out, ".\nSince: {}.\nNext: ", incident.opened_at).expect("writing to a string");
    match (page.kind, &page.owner, page.escalates_at) {
        (PageKind::Resolve, _, _) => out.push_str("nothing, it is resolved."),
        (_, Some(owner), Some(at)) => {
            write!(out, "{owner} has it; it escalates again at {at}.").expect("writing to a string");
        }
        (_, Some(owner), None) => write!(out, "{owner} has it.").expect("writing to a string"),
        (_, None, Some(at)) => {
            write!(out, "the next step is paged at {at} unless someone acknowledges.")
                .expect("writing to a string");
        }
        (_, None, None) => out.push_str("nobody has it yet."),
    }
    out.lines().map(|line| clip(&printable(line), 1000).into_owned()).collect::<Vec<_>>().join("\n")
}

/// One line: what was changed, when, by whom.
pub(crate) fn deployment(d: &Deployment) -> String {
    let by = d.by.as_deref().map_or(String::new(), |by| format!(" by {by}"));
    format!("{} {} {} at {}{by}", d.model, d.version, d.change, d.event_time)
}

/// The smallest size that an effect within these limits can have.
fn nearest_zero(lower: f64, upper: f64) -> f64 {
    if lower <= 0.0 && upper >= 0.0 { 0.0 } else { lower.abs().min(upper.abs()) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use wire::incident::Contributor;
    use wire::page::PageText;
    use wire::{
        AlertKey, Change, Effect, Evidence, Family, Incident, NotificationId, Source, Subject, Timestamp,
    };

    pub(crate) fn page() -> Page {
        let at: Timestamp = "2026-03-02T10:00:00Z".parse().expect("a time");
        let subject = Subject::model("fraud", "2026-02-27.1");
        let incident_id = Incident::id_of("default", Source::Detector, &subject, Family::Latency, at);
        let evidence = Evidence {
            statistic: "latency.share_over_objective".into(),
            value: 0.31,
            reference: 0.02,
            unit: "share".into(),
            effect: Effect { estimate: 0.29, lower: 0.21, upper: 0.37 },
            evidence: 12.5,
            samples: 812,
            window: [at, at.plus_ms(60_000)],
            contributors: vec![Contributor {
                name: "p99".into(),
                detail: "p99 400 ms -> 2100 ms".into(),
                value: 2100.0,
                reference: 400.0,
                evidence: 3.0,
                segment: None,
            }],
            profile: None,
        };
        Page {
            notification_id: NotificationId::for_page(&incident_id, 1, 0, 0, "oncall", "hook", "trigger"),
            alert_key: AlertKey::for_alert(&incident_id, 1, "hook", "oncall"),
            kind: PageKind::Trigger,
            receiver: "hook".into(),
            target: "oncall".into(),
            round: 0,
            step: 0,
            incident: Incident {
                incident_id,
                generation: 1,
                sequence: 1,
                change: Change::Opened,
                namespace: "default".into(),
                source: Source::Detector,
                severity: Severity::Sev2,
                family: Family::Latency,
                subject,
                opened_at: at,
                changed_at: at,
                title: "fraud 2026-02-27.1: 31 % of requests over 250 ms (2 % in the reference)".into(),
                evidence,
                context: Context { owner: Some("risk".into()), ..Context::default() },
                drill: false,
            },
            decided_at: at.plus_ms(61_000),
            escalates_at: Some(at.plus_ms(361_000)),
            owner: None,
            person: None,
            told: None,
            notice: None,
            folded: None,
            text: None,
            thread: None,
            minimal: false,
            link: None,
        }
    }

    /// That a page of the docs shows exactly this, in a block of JSON.
    pub(crate) fn assert_shown(docs: &str, want: &serde_json::Value) {
        let blocks = docs.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
        let mut read = blocks.filter_map(|block| serde_json::from_str::<serde_json::Value>(block).ok());
        assert!(read.any(|shown| shown == *want), "the docs show another one than\n{want:#}");
    }

    #[test]
    fn says_what_where_since_next() {
        assert_eq!(
            summary(&page()),
            "SEV2 fraud 2026-02-27.1: 31 % of requests over 250 ms (2 % in the reference)"
        );
        assert_eq!(
            describe(&page()),
            "What: latency.share_over_objective is 0.3100 share against 0.0200 share, off by at least 0.2100 (812 records).\n\
             Where: model:fraud@2026-02-27.1, owned by risk.\n\
             Since: 2026-03-02T10:00:00.000Z.\n\
             Next: the next step is paged at 2026-03-02T10:06:01.000Z unless someone acknowledges."
        );
        for (kind, owner, escalates_at, want) in [
            (PageKind::Resolve, Some("ann"), None, "nothing, it is resolved."),
            (PageKind::Acknowledge, Some("ann"), None, "ann has it."),
            (PageKind::Trigger, None, None, "nobody has it yet."),
        ] {
            let page = Page { kind, owner: owner.map(Into::into), escalates_at, ..page() };
            assert!(describe(&page).ends_with(want), "{}", describe(&page));
        }
    }

    #[test]
    fn its_readers_words_go_first() {
        let text =
            PageText { title: "Checkout\u{202e} is slow".into(), body: "What: a\u{7}\n\nNext: b\n".into() };
        let page = Page { text: Some(text), ..page() };
        assert_eq!(summary(&page), "Checkout\u{fffd} is slow");
        assert_eq!(describe(&page), "What: a\u{fffd}\n\nNext: b");
        assert!(smallest(&page).text.is_none());
    }

    #[test]
    fn least_effect() {
        for (lower, upper, want) in [(0.2, 0.4, 0.2), (-0.4, -0.2, 0.2), (-0.1, 0.3, 0.0)] {
            assert!((nearest_zero(lower, upper) - want).abs() < 1e-12);
        }
    }

    proptest! {
        #[test]
        fn clips_within_its_limit(text in "\\PC{0,40}", bytes in 3usize..60) {
            let got = clip(&text, bytes);
            prop_assert!(got.len() <= bytes);
            prop_assert!(got == text || got.ends_with('…'));
        }

        #[test]
        fn clips_within_its_limit_of_units(text in "[a-zé警𝔞]{0,40}", units in 1usize..60) {
            let (got, all) = (clip_utf16(&text, units), text.encode_utf16().count());
            let used = got.encode_utf16().count();
            prop_assert!(used <= units);
            prop_assert_eq!(got == text, all <= units);
            // A pair that has room for its half alone is left out.
            prop_assert!(got == text || (got.ends_with('…') && used + 1 >= units));
        }

        #[test]
        fn nothing_hidden_is_left(text in any::<String>()) {
            let mut page = page();
            page.incident.title = text.clone();
            page.incident.context.owner = Some(text);
            let line = summary(&page);
            prop_assert!(line.len() <= 300);
            prop_assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
            prop_assert!(!describe(&page).replace('\n', "").contains(char::is_control));
        }
    }
}
