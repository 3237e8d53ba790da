//! A page as a message with one card.
//!
//! All text is in runs of rich text blocks, which are shown as they are. In text blocks Markdown is read, and not every client
//! of Teams knows how to escape it: a name from telemetry could be a link there.

use std::borrow::Cow;

use serde_json::{Value, json};
use wire::page::Page;

use crate::text;

/// Most bytes of a message. Teams states about 28 KB and has been seen to refuse 21.
pub const TEAMS_BYTES_MAX: usize = 20_000;
/// Longest line of what is said, in bytes.
const LINE_BYTES_MAX: usize = 4_000;
/// Room for the line that says how many more there are.
const MORE_BYTES: usize = 120;

/// A message in at most [`TEAMS_BYTES_MAX`] bytes: what, where, since and what next come first, then as much of the title as
/// has room.
pub(super) fn message(page: &Page) -> Value {
    if page.minimal {
        return card(&[line(&text::in_one_line(page))], None);
    }
    let header = text::summary(page);
    let foot = block(&json!({"type": "TextRun", "text": foot(page), "size": "small", "isSubtle": true}));
    let mut body =
        vec![block(&json!({"type": "TextRun", "text": header, "size": "large", "weight": "bolder"}))];
    let link = page.link().map(|link| (link, text::answer(page)));
    let fixed = size(&card(&[body[0].clone(), foot.clone()], link));
    let mut room = TEAMS_BYTES_MAX.saturating_sub(fixed);

    let says = text::describe(page);
    let says = says.lines().filter(|line| !line.is_empty()).map(|line| text::clip(line, LINE_BYTES_MAX));
    let says = fill(says.map(|text| line(&text)).collect(), &mut room);
    let title = text::printable(&page.incident.title);
    // What the header had no room for. Words of a template have a title of their own.
    if page.text.is_none() && !header.contains(&*title) {
        body.push(line(&fitting(&title, room.saturating_sub(size(&line("")) + 1))));
    }
    body.extend(says);
    body.push(foot);
    card(&body, link)
}

fn card(body: &[Value], link: Option<(&str, &str)>) -> Value {
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        // The first with rich text.
        "version": "1.2",
        "body": body,
        "msteams": {"width": "full"},
    });
    if let Some((url, title)) = link {
        card["actions"] = json!([{"type": "Action.OpenUrl", "title": title, "url": url}]);
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": card,
        }],
    })
}

fn block(run: &Value) -> Value {
    json!({"type": "RichTextBlock", "inlines": [run]})
}

fn line(text: &str) -> Value {
    block(&json!({"type": "TextRun", "text": text}))
}

fn foot(page: &Page) -> String {
    let incident = text::printable(page.incident.incident_id.as_str());
    let target = text::printable(&page.target);
    let family = page.incident.family.name();
    format!("tocsin · incident {} · {family} for {}", text::clip(&incident, 128), text::clip(&target, 200))
}

/// As many of these as there is room for, and how many more there are.
fn fill(mut lines: Vec<Value>, room: &mut usize) -> Vec<Value> {
    let (all, mut used, mut fit) = (lines.len(), 0, 0);
    for line in &lines {
        // With the comma before it.
        let bytes = size(line) + 1;
        let kept = if fit + 1 == all { 0 } else { MORE_BYTES };
        if used + bytes + kept > *room {
            break;
        }
        used += bytes;
        fit += 1;
    }
    if fit < all {
        lines.truncate(fit);
        lines.push(line(&format!("… and {} more", all - fit)));
        used += MORE_BYTES;
    }
    *room = room.saturating_sub(used);
    lines
}

/// As much of this text as fits into so many bytes of JSON, which makes two at most of one that is printable.
fn fitting(text: &str, room: usize) -> Cow<'_, str> {
    let whole = text::clip(text, room);
    if size(&json!(whole)) - 2 <= room { whole } else { text::clip(text, room / 2) }
}

/// Bytes as JSON.
fn size(value: &Value) -> usize {
    value.to_string().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tests::{assert_shown, page};
    use proptest::prelude::*;
    use wire::page::{PageKind, PageText};

    /// The lines of a card.
    fn shown(message: &Value) -> Vec<&str> {
        assert!(size(message) <= TEAMS_BYTES_MAX, "{} bytes", size(message));
        let body = message["attachments"][0]["content"]["body"].as_array().expect("a list");
        assert!(
            body.iter().all(|block| block["type"] == "RichTextBlock"),
            "in others Markdown is read: {body:?}"
        );
        body.iter().map(|block| block["inlines"][0]["text"].as_str().expect("text")).collect()
    }

    #[test]
    fn says_what_where_since_next() {
        let run =
            |text: &str| json!({"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text}]});
        let foot = format!("tocsin · incident {} · latency for oncall", page().incident.incident_id);
        let want = json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": null,
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.2",
                    "body": [
                        {"type": "RichTextBlock", "inlines": [{
                            "type": "TextRun", "size": "large", "weight": "bolder",
                            "text": "SEV2 fraud 2026-02-27.1: 31 % of requests over 250 ms (2 % in the reference)",
                        }]},
                        run("What: latency.share_over_objective is 0.3100 share against 0.0200 share, off by at least 0.2100 (812 records)."),
                        run("Where: model:fraud@2026-02-27.1, owned by risk."),
                        run("Since: 2026-03-02T10:00:00.000Z."),
                        run("Next: the next step is paged at 2026-03-02T10:06:01.000Z unless someone acknowledges."),
                        {"type": "RichTextBlock", "inlines": [
                            {"type": "TextRun", "size": "small", "isSubtle": true, "text": foot},
                        ]},
                    ],
                    "msteams": {"width": "full"},
                },
            }],
        });
        assert_eq!(message(&page()), want);
    }

    #[test]
    fn the_message_in_the_docs_is_this_one() {
        let docs = include_str!("../../../../docs/receivers/teams.md");
        assert_shown(docs, &message(&Page { target: "risk".into(), ..page() }));
    }

    #[test]
    fn what_follows_says_so_itself() {
        let page = Page { owner: Some("ada".into()), escalates_at: None, ..page() };
        for (kind, first, next) in [
            (PageKind::Acknowledge, "SEV2 acknowledged: fraud", "Next: ada has it."),
            (PageKind::Update, "SEV2 fraud", "Next: ada has it."),
            (PageKind::Resolve, "SEV2 resolved: fraud", "Next: nothing, it is resolved."),
        ] {
            let got = message(&Page { kind, ..page.clone() });
            let lines = shown(&got);
            assert!(lines[0].starts_with(first) && lines[lines.len() - 2] == next, "{lines:?}");
        }
    }

    #[test]
    fn the_smallest_form_is_one_line() {
        let page = Page { minimal: true, ..page() };
        assert_eq!(shown(&message(&page)), [text::in_one_line(&page)]);
    }

    #[test]
    fn nothing_from_telemetry_is_read_as_markdown() {
        let mut page = page();
        page.incident.title = "[fraud](https://evil.example) **down** <at>all</at>".into();
        page.target = "[x](https://evil.example)".into();
        let got = message(&page);
        assert!(shown(&got)[0].contains(&page.incident.title), "as it is");
    }

    #[test]
    fn many_lines_of_a_template_are_there_or_counted() {
        for n in [5, 100, 900] {
            let body: String = (0..n).map(|n| format!("line {n}\n")).collect();
            let text = PageText { title: "Slow".into(), body };
            let got = message(&Page { text: Some(text), ..page() });
            let lines = shown(&got);
            let said = lines.iter().filter(|line| line.starts_with("line ")).count();
            let more = lines.iter().find_map(|line| line.strip_prefix("… and ")?.strip_suffix(" more"));
            let more: usize = more.map_or(0, |n| n.parse().expect("a number"));
            assert_eq!(said + more, n, "{lines:?}");
            assert_eq!(more > 0, n == 900);
        }
    }

    /// Messages of exactly the limit and of one byte to either side.
    #[test]
    fn the_limit_is_exact() {
        let with = |title: usize| {
            let mut page = page();
            page.incident.title = "x".repeat(title);
            message(&page)
        };
        let bare = size(&with(1000)) - 1000;
        for (bytes, whole) in
            [(TEAMS_BYTES_MAX - 1, true), (TEAMS_BYTES_MAX, true), (TEAMS_BYTES_MAX + 1, false)]
        {
            let got = with(bytes - bare);
            assert_eq!(!shown(&got)[1].ends_with('…'), whole, "{bytes} bytes");
        }
    }

    proptest! {
        /// At one below, at and one above each bound, in any script, and what must be said is there.
        #[test]
        fn texts_stay_within_their_bounds(
            unit in "\\PC",
            bound in prop::sample::select(vec![200_usize, 300, 1000, LINE_BYTES_MAX, 9_000, TEAMS_BYTES_MAX]),
            beyond in 0usize..3,
            templated in any::<bool>(),
        ) {
            let mut text = unit.repeat(bound / unit.len());
            text.push_str(&"x".repeat((bound + beyond).saturating_sub(1 + text.len())));
            let mut page = page();
            page.incident.title.clone_from(&text);
            page.incident.subject.name.clone_from(&text);
            page.incident.context.owner = Some(text.clone());
            page.incident.evidence.statistic.clone_from(&text);
            page.owner = Some(text.clone());
            page.target.clone_from(&text);
            if templated {
                let body = format!("What: {text}\nWhere: {text}\nSince: {text}\nNext: {text}\n{text}");
                page.text = Some(PageText { title: text.clone(), body });
            }
            let got = message(&page);
            let lines = shown(&got);
            prop_assert!(lines.iter().all(|line| !line.is_empty()));
            prop_assert!(lines.iter().any(|line| line.starts_with("What: ")), "{:?}", lines);
            if !templated {
                let named = ["Where: ", "Since: ", "Next: "];
                prop_assert!(named.iter().all(|n| lines.iter().any(|line| line.starts_with(n))), "{:?}", lines);
                let title = text::printable(&text);
                let cut = lines.iter().any(|line| line.ends_with('…') && title.starts_with(line.trim_end_matches('…')));
                prop_assert!(lines.concat().contains(&*title) || cut, "the title is there, or said to be cut");
            }
        }
    }
}
