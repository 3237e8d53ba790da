//! A page as a message of blocks.

use serde_json::{Value, json};
use wire::page::Page;

use super::answer;
use crate::text;

/// Slack's limits, in characters of the text as it is sent.
const HEADER_CHARS_MAX: usize = 150;
const SECTION_CHARS_MAX: usize = 3000;
const BLOCKS_MAX: usize = 50;

/// Text and blocks; the text is what notifications and old clients show.
pub(super) fn message(page: &Page, buttons: bool) -> Value {
    if page.minimal {
        let line = escape(&text::in_one_line(page));
        return json!({"text": line, "unfurl_links": false, "unfurl_media": false});
    }
    let mut blocks = vec![json!({"type": "header", "text": {"type": "plain_text", "text": header(page)}})];
    let title = text::printable(&page.incident.title);
    // What the header had no room for.
    let says = text::describe(page);
    // Words of a template may have more lines than there are sections: they share one as far as it goes.
    let says = if page.text.is_some() { vec![says.as_str()] } else { says.lines().collect() };
    let texts: Vec<String> = std::iter::once(&*title)
        .chain(says)
        .flat_map(|text| parts(&escape(text), SECTION_CHARS_MAX))
        .collect();
    blocks.extend(
        texts
            .into_iter()
            .filter(|text| !text.is_empty())
            .take(BLOCKS_MAX - 4)
            .map(|text| json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})),
    );
    blocks.extend(answer::button(page).filter(|_| buttons));
    if let Some(link) = page.link() {
        // Of letters, digits and signs that Slack leaves as they are.
        let text = format!("<{link}|{}>", text::answer(page));
        blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": text}}));
    }
    let foot = format!("tocsin · incident {} · {}", page.incident.incident_id, escape(&foot(page)));
    blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": foot}]}));
    json!({"text": line(page), "blocks": blocks, "unfurl_links": false, "unfurl_media": false})
}

/// One line, for notifications and replies.
pub(super) fn line(page: &Page) -> String {
    let line = escape(&text::summary(page));
    match &page.owner {
        Some(owner) => format!("{line} ({} has it)", escape(&text::clip(&text::printable(owner), 200))),
        None => line,
    }
}

/// By which a message is recognised: nobody sees it.
pub(super) fn metadata(page: &Page) -> Value {
    json!({
        "event_type": "tocsin_page",
        "event_payload": {"notification_id": page.notification_id, "alert_key": page.alert_key},
    })
}

fn header(page: &Page) -> String {
    let line = text::summary(page);
    if line.chars().count() <= HEADER_CHARS_MAX {
        return line;
    }
    let short: String = line.chars().take(HEADER_CHARS_MAX - 1).collect();
    format!("{short}…")
}

fn foot(page: &Page) -> String {
    let target = text::printable(&page.target);
    format!("{} for {}", page.incident.family.name(), text::clip(&target, 200))
}

/// So that a name from telemetry is neither a link nor a mention of everyone.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `text` in parts of at most `max` characters, none of which ends within an entity.
fn parts(text: &str, max: usize) -> Vec<String> {
    let (mut parts, mut part, mut chars) = (vec![], String::new(), 0);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let entity = ["&amp;", "&lt;", "&gt;"].into_iter().find(|entity| rest.starts_with(entity));
        let bytes = entity.map_or(first.len_utf8(), str::len);
        let n = entity.map_or(1, str::len);
        if chars + n > max {
            parts.push(std::mem::take(&mut part));
            chars = 0;
        }
        part.push_str(&rest[..bytes]);
        chars += n;
        rest = &rest[bytes..];
    }
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tests::page;
    use proptest::prelude::*;
    use wire::page::PageKind;

    #[test]
    fn says_what_where_since_next() {
        let got = message(&page(), false);
        let section = |text: &str| json!({"type": "section", "text": {"type": "mrkdwn", "text": text}});
        let foot = format!("tocsin · incident {} · latency for oncall", page().incident.incident_id);
        let summary = "SEV2 fraud 2026-02-27.1: 31 % of requests over 250 ms (2 % in the reference)";
        let want = json!({
            "text": summary,
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": summary}},
                section("fraud 2026-02-27.1: 31 % of requests over 250 ms (2 % in the reference)"),
                section("What: latency.share_over_objective is 0.3100 share against 0.0200 share, off by at least 0.2100 (812 records)."),
                section("Where: model:fraud@2026-02-27.1, owned by risk."),
                section("Since: 2026-03-02T10:00:00.000Z."),
                section("Next: the next step is paged at 2026-03-02T10:06:01.000Z unless someone acknowledges."),
                {"type": "context", "elements": [{"type": "mrkdwn", "text": foot}]},
            ],
            "unfurl_links": false,
            "unfurl_media": false,
        });
        assert_eq!(got, want);
        let page = Page { kind: PageKind::Acknowledge, owner: Some("<@U1> & co".into()), ..page() };
        assert!(line(&page).ends_with("(&lt;@U1&gt; &amp; co has it)"), "{}", line(&page));
    }

    #[test]
    fn the_smallest_form_is_one_line() {
        let mut page = Page { minimal: true, ..page() };
        page.incident.title = "<!channel> is down".into();
        let text = format!("SEV2 &lt;!channel&gt; is down (incident {})", page.incident.incident_id);
        assert_eq!(
            message(&page, false),
            json!({"text": text, "unfurl_links": false, "unfurl_media": false})
        );
    }

    #[test]
    fn many_lines_of_a_template_are_all_there() {
        let body: String = (0..900).map(|n| format!("{n}: <a>\n")).collect();
        let text = wire::page::PageText { title: "Slow".into(), body: body.clone() };
        let got = message(&Page { text: Some(text), ..page() }, false);
        let blocks = got["blocks"].as_array().expect("a list");
        let sections = blocks.iter().filter(|b| b["type"] == "section").skip(1);
        let all: String = sections.map(|b| b["text"]["text"].as_str().expect("text")).collect();
        assert_eq!((all, &got["text"]), (escape(body.trim_end()), &json!("Slow")));
    }

    #[test]
    fn nobody_is_mentioned_by_a_name_from_telemetry() {
        let mut page = page();
        page.incident.title = "<!channel> <https://evil.example|fraud> &".into();
        page.target = "<!here>".into();
        let got = message(&page, false).to_string();
        // The header is plain text, in which nothing is a mention.
        let marked = got.replace(&serde_json::to_string(&header(&page)).expect("text"), "");
        assert!(!marked.contains('<') && marked.contains("&lt;!channel&gt;"), "{marked}");
    }

    proptest! {
        /// At one below, at and one above each bound, in any script, and nothing is lost.
        #[test]
        fn texts_stay_within_their_bounds(unit in "\\PC", bound in prop_oneof![Just(150_usize), Just(1000), Just(3000)], beyond in 0usize..3) {
            let text: String = unit.chars().cycle().take((bound + beyond).saturating_sub(1)).collect();
            let mut page = page();
            page.incident.title.clone_from(&text);
            page.incident.context.owner = Some(text.clone());
            page.target = text.clone();
            let got = message(&page, false);
            let blocks = got["blocks"].as_array().expect("a list");
            prop_assert!(blocks.len() <= BLOCKS_MAX);
            let chars = |v: &Value| v.as_str().expect("text").chars().count();
            prop_assert!((1..=HEADER_CHARS_MAX).contains(&chars(&blocks[0]["text"]["text"])));
            let sections = || blocks.iter().filter(|b| b["type"] == "section");
            for block in sections() {
                prop_assert!((1..=SECTION_CHARS_MAX).contains(&chars(&block["text"]["text"])));
            }
            let all: String = sections().map(|b| b["text"]["text"].as_str().expect("text")).collect();
            let title = text::printable(&text);
            let whole: String = title.lines().map(escape).collect();
            prop_assert!(all.starts_with(&whole), "the title is there in full");
        }

        #[test]
        fn parts_are_the_text(text in "[a&<>é]{0,40}", max in 5usize..12) {
            let escaped = escape(&text);
            let parts = parts(&escaped, max);
            prop_assert_eq!(parts.concat(), escaped);
            for part in parts {
                prop_assert!(part.chars().count() <= max);
                let plain = part.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
                prop_assert!(!plain.contains('&') && !plain.contains(';'), "{}", part);
            }
        }
    }
}
