//! A page as a message: text and HTML that say the same.

use std::fmt::Write as _;

use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::tz::TimeZone;
use wire::page::{Page, PageKind};
use wire::{Severity, Timestamp};

use super::encode::{header_text, html, quoted_printable};
use crate::text;

/// Contributors and deployments listed: the first ones moved most, and the console has the rest.
const LISTED_MAX: usize = 20;

pub(super) fn message_id(page: &Page, domain: &str) -> String {
    format!("<{}@{domain}>", page.notification_id)
}

/// The message as it leaves at `now`, with CRLF. All of it is ASCII in lines of at most 78 characters but for addresses.
/// The error says why this page can never be mailed.
pub(super) fn render(page: &Page, from: &str, domain: &str, now: Timestamp) -> Result<Vec<u8>, String> {
    let (id, key) = (page.notification_id.as_str(), page.alert_key.as_str());
    if !text::is_token(id) || !text::is_token(key) {
        return Err("its ids are not 1 to 128 letters, digits, _ and -, as a Message-ID must be".into());
    }
    let mut out = String::new();
    let mut header = |name: &str, value: &str| {
        write!(out, "{name}: {value}\r\n").expect("writing to a string");
    };
    header("Date", &date(now));
    header("From", &format!("tocsin <{from}>"));
    header("To", &format!("<{}>", page.target));
    header("Subject", &header_text(&text::summary(page), "Subject: ".len()));
    header("Message-ID", &message_id(page, domain));
    // There is no such message: it is the root under which all mail about the alert hangs.
    header("In-Reply-To", &format!("<{key}@{domain}>"));
    header("References", &format!("<{key}@{domain}>"));
    // RFC 3834, and what Exchange heeds instead: nobody's absence is to answer a page.
    header("Auto-Submitted", "auto-generated");
    header("X-Auto-Response-Suppress", "All");
    // For rules of mailboxes.
    header("Tocsin-Kind", page.kind.name());
    header("Tocsin-Severity", page.incident.severity.name());
    let incident = page.incident.incident_id.as_str();
    if text::is_token(incident) {
        header("Tocsin-Incident", incident);
    }
    if calls(page) {
        header("Importance", "high");
    }
    header("MIME-Version", "1.0");
    if page.minimal {
        header("Content-Type", "text/plain; charset=utf-8");
        header("Content-Transfer-Encoding", "quoted-printable");
        write!(out, "\r\n{}", quoted_printable(&text::in_one_line(page))).expect("writing to a string");
        return Ok(out.into_bytes());
    }
    let body = Body::of(page);
    // No quoted-printable text holds `=_`.
    let boundary = format!("=_tocsin_{id}");
    header("Content-Type", &format!("multipart/alternative;\r\n boundary=\"{boundary}\""));
    for (kind, content) in [("plain", body.text()), ("html", body.html())] {
        write!(
            out,
            "\r\n--{boundary}\r\nContent-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{}",
            quoted_printable(&content),
        )
        .expect("writing to a string");
    }
    write!(out, "\r\n--{boundary}--\r\n").expect("writing to a string");
    Ok(out.into_bytes())
}

/// It is there to wake somebody.
fn calls(page: &Page) -> bool {
    matches!(page.kind, PageKind::Trigger | PageKind::Update)
        && matches!(page.incident.severity, Severity::Sev1 | Severity::Sev2)
}

fn date(now: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(now.as_ms()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    // Years that have no such date are none that a clock shows.
    DateTimePrinter::new()
        .zoned_to_string(&at.to_zoned(TimeZone::UTC))
        .unwrap_or_else(|_| "Thu, 1 Jan 1970 00:00:00 +0000".into())
}

/// What is said, in the words of a template where there is one, before it is either text or HTML. Nothing in it is cut, but
/// for the lines that say that they are.
struct Body {
    title: String,
    /// What, where, since, next.
    says: String,
    lists: Vec<(&'static str, Vec<String>)>,
    /// Where its reader may answer, and what that is called.
    link: Option<(String, &'static str)>,
    foot: String,
}

impl Body {
    fn of(page: &Page) -> Self {
        let incident = &page.incident;
        let contributors = &incident.evidence.contributors;
        let deployments = &incident.context.deployments;
        let clean = |line: String| text::printable(&line).into_owned();
        let moved = contributors.iter().map(|c| clean(format!("{}: {}", c.name, c.detail)));
        let deployed = deployments.iter().map(|d| clean(text::deployment(d)));
        // Words of a template say what they want of these.
        let plain = page.text.is_none();
        let lists = [
            ("What moved", listed(moved, contributors.len())),
            ("Deployed before", listed(deployed, deployments.len())),
        ];
        Self {
            title: if plain { clean(incident.title.clone()) } else { text::summary(page) },
            says: text::describe(page),
            lists: lists.into_iter().filter(|(_, items)| plain && !items.is_empty()).collect(),
            link: page.link().map(|link| (link.to_owned(), text::answer(page))),
            foot: clean(format!(
                "tocsin, incident {} ({}), {} for {}",
                incident.incident_id,
                incident.family.name(),
                page.kind.name(),
                page.target
            )),
        }
    }

    fn text(&self) -> String {
        let mut out = format!("{}\n\n{}\n", self.title, self.says);
        if let Some((link, answer)) = &self.link {
            write!(out, "\n{answer}:\n{link}\n").expect("writing to a string");
        }
        for (name, items) in &self.lists {
            write!(out, "\n{name}:\n").expect("writing to a string");
            for item in items {
                writeln!(out, "- {item}").expect("writing to a string");
            }
        }
        write!(out, "\n-- \n{}\n", self.foot).expect("writing to a string");
        out
    }

    fn html(&self) -> String {
        let title = html(&self.title);
        let mut out = format!("<!doctype html>\n<html><body>\n<h3>{title}</h3>\n<table>\n");
        for line in self.says.lines() {
            let named = line.split_once(": ").filter(|(name, _)| !name.starts_with('-'));
            let Some((name, says)) = named else {
                writeln!(out, "<tr><td colspan=\"2\">{}</td></tr>", html(line)).expect("writing to a string");
                continue;
            };
            writeln!(
                out,
                "<tr><th align=\"left\" valign=\"top\">{}</th><td>{}</td></tr>",
                html(name),
                html(says)
            )
            .expect("writing to a string");
        }
        out.push_str("</table>\n");
        if let Some((link, answer)) = &self.link {
            let (link, answer) = (html(link), html(answer));
            writeln!(out, "<p><a href=\"{link}\">{answer}</a></p>").expect("writing to a string");
        }
        for (name, items) in &self.lists {
            writeln!(out, "<p>{name}:</p>\n<ul>").expect("writing to a string");
            for item in items {
                writeln!(out, "<li>{}</li>", html(item)).expect("writing to a string");
            }
            out.push_str("</ul>\n");
        }
        writeln!(out, "<p><small>{}</small></p>\n</body></html>", html(&self.foot))
            .expect("writing to a string");
        out
    }
}

/// The first of them, and how many there are beside.
fn listed(items: impl Iterator<Item = String>, all: usize) -> Vec<String> {
    let mut items: Vec<String> = items.take(LISTED_MAX).collect();
    if all > LISTED_MAX {
        items.push(format!("and {} more", all - LISTED_MAX));
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::encode::tests::{decode, decode_header};
    use crate::text::tests::page;
    use proptest::prelude::*;
    use wire::incident::Contributor;
    use wire::link::{LinkAction, LinkActions, LinkKeys, Links};
    use wire::{AlertKey, NotificationId};

    fn made(page: &Page) -> String {
        let now = "2026-03-02T10:01:02.900Z".parse().expect("a time");
        String::from_utf8(render(page, "tocsin@example.com", "example.com", now).expect("it can be mailed"))
            .expect("ASCII")
    }

    /// Headers in order, and the two bodies.
    fn read(message: &str) -> (Vec<(&str, &str)>, [String; 2]) {
        let (head, body) = message.split_once("\r\n\r\n").expect("headers end");
        let mut headers = Vec::new();
        let mut at = 0;
        while at < head.len() {
            let mut end = at;
            loop {
                end = head[end..].find("\r\n").map_or(head.len(), |i| end + i);
                if !head[end..].starts_with("\r\n ") {
                    break;
                }
                end += 2;
            }
            headers.push(head[at..end].split_once(": ").expect("a header"));
            at = (end + 2).min(head.len());
        }
        let boundary =
            message.split("boundary=\"").nth(1).and_then(|b| b.split('"').next()).expect("a boundary");
        let parts: Vec<&str> = body.split(&format!("--{boundary}")).collect();
        assert_eq!((parts.len(), parts[3]), (4, "--\r\n"), "two parts and an end");
        let content = |part: &str| decode(part.split_once("\r\n\r\n").expect("a head").1);
        let bodies = [content(parts[1]), content(parts[2])];
        (headers, bodies)
    }

    #[test]
    fn where_its_reader_may_answer_is_in_both_forms() {
        let links = Links {
            keys: LinkKeys::read("a_key_of_16_and_more").expect("a key"),
            public_url: "https://tocsin.example.com".parse().expect("an address"),
            valid_ms: 3_600_000,
            actions: LinkActions::of(&LinkAction::ALL),
        };
        let page = Page { link: links.of(&page()), ..page() };
        let link = page.link().expect("it has one");
        let message = made(&page);
        let (_, [text, html]) = read(&message);
        assert!(text.contains(&format!("resolve:\n{link}\n")), "{text}");
        assert!(html.contains(&format!("<a href=\"{link}\">")), "{html}");
        assert!(!made(&Page { link: None, ..page }).contains("tocsin.example.com/i/"));
    }

    #[test]
    fn says_what_where_since_next() {
        let page = Page { target: "ann@example.org".into(), ..page() };
        let message = made(&page);
        let (headers, [text, html]) = read(&message);
        let (id, key) = (&page.notification_id, &page.alert_key);
        let want = [
            ("Date", "Mon, 2 Mar 2026 10:01:02 +0000"),
            ("From", "tocsin <tocsin@example.com>"),
            ("To", "<ann@example.org>"),
            ("Subject", "SEV2 fraud 2026-02-27.1: 31 % of requests over 250 ms (2 % in the\r\n reference)"),
            ("Message-ID", &format!("<{id}@example.com>")),
            ("In-Reply-To", &format!("<{key}@example.com>")),
            ("References", &format!("<{key}@example.com>")),
            ("Auto-Submitted", "auto-generated"),
            ("X-Auto-Response-Suppress", "All"),
            ("Tocsin-Kind", "trigger"),
            ("Tocsin-Severity", "sev2"),
            ("Tocsin-Incident", page.incident.incident_id.as_str()),
            ("Importance", "high"),
            ("MIME-Version", "1.0"),
        ];
        assert_eq!(headers[..14], want);
        assert_eq!(decode_header(headers[3].1), text::summary(&page));
        let title = "fraud 2026-02-27.1: 31 % of requests over 250 ms (2 % in the reference)";
        assert_eq!(
            text.trim_end(),
            format!(
                "{title}\n\n{}\n\nWhat moved:\n- p99: p99 400 ms -> 2100 ms\n\n-- \ntocsin, incident {} (latency), trigger for ann@example.org",
                text::describe(&page),
                page.incident.incident_id
            )
        );
        assert!(html.contains("<li>p99: p99 400 ms -&gt; 2100 ms</li>"), "{html}");
        assert!(html.contains("<th align=\"left\" valign=\"top\">Where</th>"), "{html}");
    }

    #[test]
    fn the_message_in_the_docs_is_this_one() {
        let message = made(&Page { target: "ann@example.org".into(), ..page() }).replace("\r\n", "\n");
        let docs = include_str!("../../../../docs/receivers/smtp.md");
        assert!(
            docs.contains(message.trim_end()),
            "docs/receivers/smtp.md has another message than:\n{message}"
        );
    }

    #[test]
    fn the_smallest_form_is_one_line_of_text() {
        let message = made(&Page { minimal: true, ..page() });
        let (head, body) = message.split_once("\r\n\r\n").expect("headers end");
        assert!(head.ends_with(
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable"
        ));
        assert!(
            head.contains(&format!("Message-ID: {}", message_id(&page(), "example.com"))),
            "the same key"
        );
        assert_eq!(decode(body), format!("{}\n", text::in_one_line(&page())));
    }

    #[test]
    fn words_of_a_template_are_told_as_they_are() {
        let text = wire::page::PageText {
            title: "Größe".into(),
            body: "What: a < b\n\nWhat moved:\n- p99: later\n".into(),
        };
        let message = made(&Page { text: Some(text), ..page() });
        let (headers, [text, html]) = read(&message);
        assert_eq!(decode_header(headers[3].1), "Größe");
        assert!(text.starts_with("Größe\n\nWhat: a < b\n\nWhat moved:\n- p99: later\n\n-- \n"), "{text}");
        assert!(
            html.contains("<td>a &lt; b</td>")
                && html.contains("<tr><td colspan=\"2\">- p99: later</td></tr>"),
            "{html}"
        );
    }

    #[test]
    fn one_thread_for_an_alert_and_one_id_for_a_page() {
        let earlier = Page { kind: PageKind::Resolve, ..page() };
        let later = render(&page(), "a@b.c", "b.c", "2027-01-01T00:00:00Z".parse().expect("a time"));
        let strip =
            |text: &str| text.lines().filter(|l| !l.starts_with("Date:")).collect::<Vec<_>>().join("\n");
        let (now, later) = (made(&page()), String::from_utf8(later.expect("mail")).expect("ASCII"));
        assert_eq!(
            strip(&now.replace("tocsin@example.com", "a@b.c").replace("@example.com", "@b.c")),
            strip(&later),
            "an attempt differs by its date alone"
        );
        let of = |message: &str, name: &str| {
            read(message).0.iter().find(|(n, _)| *n == name).expect("there").1.to_owned()
        };
        assert_eq!(of(&now, "References"), of(&made(&earlier), "References"));
        for bad in ["", "a b", "a@b", "a\r\nBcc: x@y.z", &"x".repeat(129)] {
            let wrong = Page { notification_id: NotificationId::new(bad), ..page() };
            assert!(render(&wrong, "a@b.c", "b.c", Timestamp::EPOCH).is_err(), "{bad:?}");
            let wrong = Page { alert_key: AlertKey::new(bad), ..page() };
            assert!(render(&wrong, "a@b.c", "b.c", Timestamp::EPOCH).is_err(), "{bad:?}");
        }
    }

    proptest! {
        /// Any text of any length: no header is added, no line is long, nothing of it is lost.
        #[test]
        fn any_page_is_one_message(title in any::<String>(), unit in "\\PC", times in 0usize..3000, n in 0usize..60) {
            let mut page = page();
            page.incident.title = format!("{title}{}", unit.repeat(times));
            page.incident.context.owner = Some(format!("\r\nBcc: eve@example.com\r\n{title}"));
            page.incident.subject.name.clone_from(&title);
            let one = Contributor {
                name: format!("\r\n.\r\n{title}"), detail: "=_tocsin".into(), value: 1.0, reference: 1.0, evidence: 1.0, segment: None,
            };
            page.incident.evidence.contributors = vec![one; n];
            let message = made(&page);
            prop_assert!(message.is_ascii());
            for line in message.split("\r\n") {
                prop_assert!(line.len() <= 78 && !line.contains(['\r', '\n']) && line != ".", "{line:?}");
            }
            let (headers, [text, html]) = read(&message);
            prop_assert_eq!(headers.len(), 15);
            let whole = text::printable(&page.incident.title).into_owned();
            prop_assert!(text.starts_with(&whole), "the title is there in full");
            prop_assert!(html.contains(&super::html(&whole)));
            prop_assert_eq!(text.contains("more\n"), n > LISTED_MAX);
        }
    }
}
