//! The body: small enough for every receiver, and never broken JSON.

use serde::Serialize;
use serde_json::Value;
use wire::Timestamp;
use wire::page::Page;

use crate::text;

/// Most bytes of a body, as Standard Webhooks advise.
pub const WEBHOOK_BYTES_MAX: usize = 20_000;

#[derive(Serialize)]
struct Body<'a, P> {
    /// `tocsin.page.` and the kind of the page.
    #[serde(rename = "type")]
    kind: &'a str,
    /// When the page was decided: the same on every attempt, so the body is too.
    timestamp: Timestamp,
    data: P,
    /// What was cut to fit, if anything was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trimmed: Vec<&'static str>,
}

/// A page with the link that its own form never has.
#[derive(Serialize)]
struct Data<'a, P> {
    #[serde(flatten)]
    page: P,
    /// Where the target may answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<&'a str>,
}

/// The page as JSON in at most [`WEBHOOK_BYTES_MAX`] bytes. What does not fit is left out, least needed first, and named
/// in `trimmed`: contributors from the last, lineage, deployments, freshness of the context, then the ends of long texts.
/// One that was refused as it was has none of them.
pub(super) fn render(page: &Page) -> Vec<u8> {
    let kind = format!("tocsin.page.{}", page.kind.name());
    if page.minimal {
        return with_short_texts(
            &text::smallest(page),
            &kind,
            &["contributors", "context", "texts"],
            &[256, 64],
        );
    }
    let encode = |page: &Page, trimmed: &[&'static str]| {
        let data = Data { page, link: page.link() };
        let body = Body { kind: &kind, timestamp: page.decided_at, data, trimmed: trimmed.to_vec() };
        serde_json::to_vec(&body).expect("a page is plain data")
    };
    let whole = encode(page, &[]);
    if whole.len() <= WEBHOOK_BYTES_MAX {
        return whole;
    }
    let (mut page, mut trimmed) = (page.clone(), vec!["contributors"]);
    let contributors = std::mem::take(&mut page.incident.evidence.contributors);
    // The first ones moved most: the longest list of first ones that fits, by bisection.
    let with_first = |n: usize| {
        let mut page = page.clone();
        page.incident.evidence.contributors = contributors[..n].to_vec();
        encode(&page, &["contributors"])
    };
    if encode(&page, &trimmed).len() <= WEBHOOK_BYTES_MAX {
        let (mut fits, mut over) = (0, contributors.len());
        while over - fits > 1 {
            let middle = fits.midpoint(over);
            if with_first(middle).len() <= WEBHOOK_BYTES_MAX { fits = middle } else { over = middle }
        }
        return with_first(fits);
    }
    type Cut = (&'static str, fn(&mut Page));
    let cuts: [Cut; 3] = [
        ("lineage", |page| page.incident.context.lineage = None),
        ("deployments", |page| page.incident.context.deployments.clear()),
        ("as_of", |page| page.incident.context.as_of.clear()),
    ];
    for (name, cut) in cuts {
        cut(&mut page);
        trimmed.push(name);
        let bytes = encode(&page, &trimmed);
        if bytes.len() <= WEBHOOK_BYTES_MAX {
            return bytes;
        }
    }
    trimmed.push("texts");
    with_short_texts(&page, &kind, &trimmed, &[4096, 2048, 1024, 512, 256, 64])
}

/// Shortens every text until the body fits. What is left after the cuts above is a fixed set of some thirty fields, of
/// which each character takes at most six bytes, so the last length always fits.
fn with_short_texts(page: &Page, kind: &str, trimmed: &[&'static str], lengths: &[usize]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for &length in lengths {
        let mut data = serde_json::to_value(page).expect("a page is plain data");
        shorten(&mut data, length);
        // A part of a link is none.
        let data = Data { page: data, link: page.link() };
        let body = Body { kind, timestamp: page.decided_at, data, trimmed: trimmed.to_vec() };
        bytes = serde_json::to_vec(&body).expect("a page is plain data");
        if bytes.len() <= WEBHOOK_BYTES_MAX {
            break;
        }
    }
    bytes
}

fn shorten(value: &mut Value, length: usize) {
    match value {
        Value::String(string) => {
            if string.len() > length {
                *string = text::clip(string, length).into_owned();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| shorten(item, length)),
        Value::Object(fields) => fields.values_mut().for_each(|field| shorten(field, length)),
        Value::Null | Value::Bool(_) | Value::Number(_) => (),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tests::page;
    use proptest::prelude::*;
    use wire::incident::Contributor;

    #[derive(serde::Deserialize)]
    struct Read {
        r#type: String,
        timestamp: Timestamp,
        data: Page,
        #[serde(default)]
        trimmed: Vec<String>,
    }

    fn read(bytes: &[u8]) -> Read {
        assert!(bytes.len() <= WEBHOOK_BYTES_MAX, "{} bytes", bytes.len());
        serde_json::from_slice(bytes).expect("a page, whatever was cut")
    }

    #[test]
    fn a_page_that_fits_is_whole() {
        let got = read(&render(&page()));
        assert_eq!((got.r#type.as_str(), got.timestamp), ("tocsin.page.trigger", page().decided_at));
        assert_eq!(got.data, page());
        assert!(got.trimmed.is_empty());
    }

    fn contributors(n: usize, name: &str) -> Vec<Contributor> {
        let one = |i| Contributor {
            name: format!("{i}{name}"),
            detail: name.into(),
            value: 1.0,
            reference: 0.5,
            evidence: 2.0,
            segment: None,
        };
        (0..n).map(one).collect()
    }

    #[test]
    fn the_smallest_form_is_a_page_too() {
        let mut page = Page { minimal: true, ..page() };
        page.incident.title = "x".repeat(5000);
        let bytes = render(&page);
        let got = read(&bytes);
        assert!(bytes.len() < 2500, "{} bytes", bytes.len());
        assert_eq!(got.trimmed, ["contributors", "context", "texts"]);
        assert_eq!((got.data.alert_key, got.data.minimal), (page.alert_key, true));
        assert!(got.data.incident.title.ends_with("x…") && got.data.incident.context == Default::default());
    }

    #[test]
    fn the_first_contributors_stay() {
        let mut page = page();
        page.incident.evidence.contributors = contributors(1000, "feature");
        let bytes = render(&page);
        let got = read(&bytes);
        let kept = got.data.incident.evidence.contributors;
        assert_eq!(got.trimmed, ["contributors"]);
        assert!(kept.len() > 100, "{} kept", kept.len());
        assert_eq!(kept, page.incident.evidence.contributors[..kept.len()]);
        assert!(bytes.len() + 200 > WEBHOOK_BYTES_MAX, "one more would not fit: {} bytes", bytes.len());
    }

    /// Bodies of exactly the limit and of one byte to either side.
    #[test]
    fn the_limit_is_exact() {
        let bare = render(&page()).len() - page().incident.title.len();
        for (length, whole) in
            [(WEBHOOK_BYTES_MAX - 1, true), (WEBHOOK_BYTES_MAX, true), (WEBHOOK_BYTES_MAX + 1, false)]
        {
            let mut page = page();
            page.incident.title = "x".repeat(length - bare);
            let got = read(&render(&page));
            assert_eq!(got.trimmed.is_empty(), whole, "{length} bytes");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn never_too_long_never_broken(
            title in any::<String>(),
            unit in "\\PC{1,3}",
            times in 1usize..30_000,
            n in 0usize..400,
            upstream in 0usize..64,
        ) {
            let mut page = page();
            page.incident.title = format!("{title}{}", unit.repeat(times));
            page.incident.subject.name = title.repeat(times.min(50));
            page.incident.namespace = "\u{0}".repeat(times);
            page.owner = Some("\u{1}".repeat(times));
            page.target = "\"".repeat(times);
            page.incident.evidence.contributors = contributors(n, &title);
            page.incident.context.lineage = Some(wire::context::Lineage {
                subject: page.incident.subject.clone(),
                event_time: page.decided_at,
                upstream: vec![page.incident.subject.clone(); upstream],
            });
            page.incident.context.as_of = (0..n).map(|i| (format!("{i}{title}"), page.decided_at)).collect();
            let got = read(&render(&page));
            prop_assert_eq!(got.data.notification_id, page.notification_id);
            prop_assert_eq!(got.data.incident.incident_id, page.incident.incident_id);
            prop_assert_eq!(got.data.incident.severity, page.incident.severity);
        }
    }
}
