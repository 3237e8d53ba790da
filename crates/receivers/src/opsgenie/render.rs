//! A page as an alert, and what is said of one later.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use wire::page::{Page, PageKind};
use wire::{Effect, Severity};

use super::responder::Responder;
use crate::text::{self, clip_utf16};

/// Opsgenie's limits, in characters. Here they are units of UTF-16, of which no text has fewer.
const MESSAGE_MAX: usize = 130;
const DESCRIPTION_MAX: usize = 15_000;
const ENTITY_MAX: usize = 512;
const SOURCE_MAX: usize = 100;
const USER_MAX: usize = 100;
const NOTE_MAX: usize = 25_000;
/// All details together may have 8000: a dozen, each with its name.
const DETAIL_MAX: usize = 500;
/// Of a title in a description: it leaves room for what, where, since and next.
const TITLE_MAX: usize = 5_000;
/// Contributors and deployments listed, and the longest of their lines: the first moved most.
const LISTED_MAX: usize = 20;
const LINE_MAX: usize = 200;

/// An alert that is to be created. One that was refused as it was has only what Opsgenie asks for, who is called and how bad
/// it is.
pub(super) fn alert(page: &Page, responder: Option<&Responder<'_>>) -> Value {
    let incident = &page.incident;
    let summary = text::summary(page);
    let message = clip_utf16(&summary, MESSAGE_MAX);
    let mut alert = json!({"message": message, "alias": page.alert_key, "priority": priority(page)});
    if let Some(responder) = responder {
        alert["responders"] = json!([responder]);
    }
    if page.minimal {
        alert["description"] = json!(text::in_one_line(page));
        return alert;
    }
    let short = |text: &str, max| clip_utf16(&text::printable(text), max).into_owned();
    let mut tags = vec!["tocsin", incident.severity.name(), incident.family.name()];
    if incident.drill {
        tags.push("drill");
    }
    let subject = incident.subject.to_string();
    alert["description"] = json!(words(page, &message, DESCRIPTION_MAX));
    alert["entity"] = json!(short(&subject, ENTITY_MAX));
    alert["source"] = json!(short(&format!("tocsin/{}/{subject}", incident.namespace), SOURCE_MAX));
    alert["tags"] = json!(tags);
    alert["details"] = json!(details(page));
    alert
}

/// What has happened to an alert: in one line where that is what is done to it, in full where it is news of it.
pub(super) fn action(page: &Page) -> Value {
    let summary = text::summary(page);
    let note = match page.kind {
        PageKind::Trigger | PageKind::Update if !page.minimal => {
            let room = NOTE_MAX - summary.len() - 2;
            format!("{summary}\n\n{}", words(page, &summary, room))
        }
        PageKind::Trigger | PageKind::Update => text::in_one_line(page),
        PageKind::Acknowledge | PageKind::Resolve => summary,
    };
    let mut action = json!({"source": "tocsin", "note": note});
    // As who did it, whom Opsgenie may know.
    if let Some(owner) = page.owner.as_deref().filter(|_| page.kind == PageKind::Acknowledge) {
        action["user"] = json!(clip_utf16(&text::printable(owner), USER_MAX));
    }
    action
}

const fn priority(page: &Page) -> &'static str {
    if page.incident.drill {
        return "P5";
    }
    match page.incident.severity {
        Severity::Sev1 => "P1",
        Severity::Sev2 => "P2",
        Severity::Sev3 => "P3",
        Severity::Sev4 => "P4",
    }
}

/// The title, if what is `shown` above had no room for it; what, where, since, next; what moved; where to answer.
fn words(page: &Page, shown: &str, max: usize) -> String {
    let incident = &page.incident;
    let title = page.text.as_ref().map_or(&incident.title, |text| &text.title);
    let title = text::printable(title);
    let mut out = String::new();
    if !shown.contains(&*title) {
        write!(out, "{}\n\n", clip_utf16(&title, TITLE_MAX)).expect("writing to a string");
    }
    out.push_str(&text::describe(page));
    // Words of a template say what they want of these.
    if page.text.is_none() {
        let contributors = &incident.evidence.contributors;
        let moved = contributors.iter().map(|c| format!("{}: {}", c.name, c.detail));
        list(&mut out, "What moved", moved);
        list(&mut out, "Deployed before", incident.context.deployments.iter().map(text::deployment));
    }
    // A part of a link is none.
    let answer = page.link().map_or(String::new(), |link| format!("\n\n{}:\n{link}", text::answer(page)));
    format!("{}{answer}", clip_utf16(&out, max.saturating_sub(answer.len())))
}

/// The first of them, under how many there are.
fn list(out: &mut String, name: &str, items: impl ExactSizeIterator<Item = String>) {
    let all = items.len();
    match all {
        0 => return,
        1..=LISTED_MAX => write!(out, "\n\n{name}:"),
        _ => write!(out, "\n\n{name} (the first {LISTED_MAX} of {all}):"),
    }
    .expect("writing to a string");
    for item in items.take(LISTED_MAX) {
        write!(out, "\n- {}", clip_utf16(&text::printable(&item), LINE_MAX)).expect("writing to a string");
    }
}

/// For rules and templates there: what the words say too, each by its name.
fn details(page: &Page) -> BTreeMap<&'static str, String> {
    let incident = &page.incident;
    let evidence = &incident.evidence;
    let Effect { estimate, lower, upper } = evidence.effect;
    let mut details = BTreeMap::from([
        ("incident", incident.incident_id.to_string()),
        ("namespace", incident.namespace.clone()),
        ("target", page.target.clone()),
        ("statistic", evidence.statistic.clone()),
        ("value", evidence.value.to_string()),
        ("reference", evidence.reference.to_string()),
        ("effect", format!("{estimate} ({lower} to {upper})")),
        ("samples", evidence.samples.to_string()),
    ]);
    let owner = page.owner.as_ref().map(|owner| ("acknowledged_by", owner));
    let team = incident.context.owner.as_ref().map(|team| ("owner", team));
    let unit = Some(("unit", &evidence.unit)).filter(|(_, unit)| !unit.is_empty());
    for (name, value) in owner.into_iter().chain(team).chain(unit) {
        details.insert(name, value.clone());
    }
    for value in details.values_mut() {
        *value = clip_utf16(&text::printable(value), DETAIL_MAX).into_owned();
    }
    details
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tests::{assert_shown, page};
    use proptest::prelude::*;
    use wire::context::Deployment;
    use wire::incident::Contributor;

    fn risk() -> Responder<'static> {
        Responder::of("team:risk").expect("a target").expect("a responder")
    }

    #[test]
    fn an_alert_says_what_where_since_next() {
        let page = Page { target: "team:risk".into(), ..page() };
        let want = json!({
            "message": "SEV2 fraud 2026-02-27.1: 31 % of requests over 250 ms (2 % in the reference)",
            "alias": page.alert_key,
            "description": format!("{}\n\nWhat moved:\n- p99: p99 400 ms -> 2100 ms", text::describe(&page)),
            "responders": [{"type": "team", "name": "risk"}],
            "tags": ["tocsin", "sev2", "latency"],
            "details": {
                "incident": page.incident.incident_id,
                "namespace": "default",
                "target": "team:risk",
                "owner": "risk",
                "statistic": "latency.share_over_objective",
                "value": "0.31",
                "reference": "0.02",
                "unit": "share",
                "effect": "0.29 (0.21 to 0.37)",
                "samples": "812",
            },
            "entity": "model:fraud@2026-02-27.1",
            "source": "tocsin/default/model:fraud@2026-02-27.1",
            "priority": "P2",
        });
        assert_eq!(alert(&page, Some(&risk())), want);
        assert_eq!(alert(&page, None).get("responders"), None, "the integration decides");
    }

    #[test]
    fn the_requests_in_the_docs_are_these() {
        let docs = include_str!("../../../../docs/receivers/opsgenie.md");
        let page = Page { target: "team:risk".into(), ..page() };
        assert_shown(docs, &alert(&page, Some(&risk())));
        let taken = Page { kind: PageKind::Acknowledge, owner: Some("ada".into()), ..page };
        assert_shown(docs, &action(&taken));
    }

    #[test]
    fn how_bad_it_is_is_a_priority() {
        for (severity, drill, want) in [
            (Severity::Sev1, false, "P1"),
            (Severity::Sev2, false, "P2"),
            (Severity::Sev3, false, "P3"),
            (Severity::Sev4, false, "P4"),
            (Severity::Sev1, true, "P5"),
        ] {
            let mut page = page();
            (page.incident.severity, page.incident.drill) = (severity, drill);
            let got = alert(&page, None);
            let is_tagged = got["tags"].as_array().expect("tags").contains(&json!("drill"));
            assert_eq!((&got["priority"], is_tagged), (&json!(want), drill), "{severity}");
        }
    }

    #[test]
    fn what_follows_is_a_note_and_who_did_it() {
        let page = Page { owner: Some("ada".into()), ..page() };
        let of = |kind| action(&Page { kind, ..page.clone() });
        let title = &page.incident.title;
        let note = format!("SEV2 acknowledged: {title}");
        let want = json!({"source": "tocsin", "user": "ada", "note": note});
        assert_eq!(of(PageKind::Acknowledge), want);
        let want = json!({"source": "tocsin", "note": format!("SEV2 resolved: {title}")});
        assert_eq!(of(PageKind::Resolve), want);
        for kind in [PageKind::Update, PageKind::Trigger] {
            let note = of(kind)["note"].as_str().expect("text").to_owned();
            assert!(note.starts_with(&format!("SEV2 {title}\n\nWhat: ")), "{note}");
            assert!(note.contains("What moved:") && note.contains("ada has it"), "{note}");
        }
    }

    #[test]
    fn the_smallest_form_has_what_is_asked_for() {
        let page = Page { minimal: true, ..page() };
        let line = text::in_one_line(&page);
        let want = json!({
            "message": text::summary(&page), "alias": page.alert_key, "priority": "P2", "description": line,
            "responders": [{"type": "team", "name": "risk"}],
        });
        assert_eq!(alert(&page, Some(&risk())), want);
        let note = action(&Page { kind: PageKind::Update, ..page });
        assert_eq!(note, json!({"source": "tocsin", "note": line}));
    }

    #[test]
    fn what_the_message_has_no_room_for_is_in_the_description() {
        let mut page = page();
        page.incident.title = format!("{} the end", "long ".repeat(60));
        let got = alert(&page, None);
        let text = |name: &str| got[name].as_str().expect("text").to_owned();
        assert!(text("message").ends_with('…'), "{got}");
        assert!(text("description").starts_with(&format!("{}\n\nWhat: ", page.incident.title)), "{got}");
        // A template's own title stands in its place.
        let words = wire::page::PageText { title: "Slow ".repeat(50), body: "What: a\nNext: b".into() };
        let got = alert(&Page { text: Some(words.clone()), ..page }, None);
        assert_eq!(got["description"], format!("{}\n\nWhat: a\nNext: b", words.title));
    }

    fn units(value: &Value) -> usize {
        value.as_str().expect("text").encode_utf16().count()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        /// At one below, at and one above each bound, in any script.
        #[test]
        fn texts_stay_within_their_bounds(
            unit in "\\PC",
            bound in prop::sample::select(vec![100_usize, 130, 200, 500, 512, 5_000, 15_000, 25_000]),
            beyond in 0usize..3,
            n in 0usize..40,
            minimal in any::<bool>(),
        ) {
            let mut text = unit.repeat(bound / unit.encode_utf16().count());
            text.push_str(&"x".repeat((bound + beyond).saturating_sub(1 + text.encode_utf16().count())));
            let mut page = Page { owner: Some(text.clone()), minimal, ..page() };
            page.incident.title.clone_from(&text);
            page.incident.namespace.clone_from(&text);
            page.incident.subject.name.clone_from(&text);
            page.incident.context.owner = Some(text.clone());
            page.incident.evidence.statistic.clone_from(&text);
            page.incident.evidence.unit.clone_from(&text);
            let one = Contributor {
                name: text.clone(), detail: text.clone(), value: 1.0, reference: 1.0, evidence: 1.0, segment: None,
            };
            page.incident.evidence.contributors = vec![one; n];
            let deployed = Deployment {
                model: text.clone(), version: "1".into(), event_time: page.decided_at, change: "deployed".into(),
                by: None, commit: None, image: None,
            };
            page.incident.context.deployments = vec![deployed; n];
            page.target = format!("team:{text}");
            let got = alert(&page, None);
            for (field, max) in [("message", 130), ("description", 15_000), ("entity", 512), ("source", 100)] {
                if let Some(value) = got.get(field) {
                    prop_assert!((1..=max).contains(&units(value)), "{}: {}", field, units(value));
                }
            }
            if !minimal {
                let details = got["details"].as_object().expect("details");
                let all: usize = details.iter().map(|(name, value)| name.len() + units(value)).sum();
                prop_assert!(all <= 8000, "{} in details", all);
                let description = got["description"].as_str().expect("text");
                for part in ["What: ", "\nWhere: ", "\nSince: ", "\nNext: "] {
                    prop_assert!(description.contains(part), "{} is lost", part);
                }
                let heading = format!("What moved (the first 20 of {n}):");
                prop_assert_eq!(description.contains(&heading), n > LISTED_MAX);
            }
            for kind in [PageKind::Trigger, PageKind::Acknowledge, PageKind::Update, PageKind::Resolve] {
                let got = action(&Page { kind, ..page.clone() });
                prop_assert!((1..=25_000).contains(&units(&got["note"])));
                prop_assert!(got.get("user").is_none_or(|user| (1..=100).contains(&units(user))));
            }
        }

        /// One below and at the bound it is whole, above it ends in `…`.
        #[test]
        fn a_message_is_whole_as_far_as_it_has_room(unit in "[a-zß-ÿ𝔞]", beyond in 0usize..3) {
            let want = MESSAGE_MAX + beyond - 1;
            let mut page = page();
            page.incident.title = String::new();
            let bare = text::summary(&page).len();
            page.incident.title = unit.repeat((want - bare) / unit.encode_utf16().count());
            while bare + page.incident.title.encode_utf16().count() < want {
                page.incident.title.push('x');
            }
            let message = alert(&page, None)["message"].as_str().expect("text").to_owned();
            prop_assert_eq!(message.ends_with('…'), beyond == 2);
            prop_assert!(message.encode_utf16().count() <= MESSAGE_MAX);
        }
    }
}
