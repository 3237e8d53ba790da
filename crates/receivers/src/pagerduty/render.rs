//! A page as an event.

use serde::Serialize;
use serde_json::{Value, json};
use wire::context::Deployment;
use wire::page::{Page, PageKind};
use wire::{Effect, Timestamp};

use crate::text;

/// Most bytes of an event.
pub const PAGERDUTY_BYTES_MAX: usize = 512_000;
/// Longest text of a field beside the summary, in bytes. PagerDuty states no limit; what it shows is one line.
const FIELD_BYTES_MAX: usize = 1024;
/// Contributors in the details: the first moved most, and nobody reads forty.
const CONTRIBUTORS_MAX: usize = 20;

#[derive(Serialize)]
struct Event<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    routing_key: &'a str,
    event_action: &'static str,
    dedup_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Form<'a>>,
    client: &'static str,
    /// Where to answer, from the alert in PagerDuty.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<[Link<'a>; 1]>,
}

#[derive(Serialize)]
struct Link<'a> {
    href: &'a str,
    text: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Form<'a> {
    Whole(Box<Payload<'a>>),
    /// What PagerDuty asks for, and nothing else.
    Smallest {
        summary: String,
        source: &'static str,
        severity: &'static str,
    },
}

#[derive(Serialize)]
struct Payload<'a> {
    summary: String,
    source: String,
    severity: &'static str,
    timestamp: Timestamp,
    component: String,
    group: String,
    class: &'static str,
    custom_details: Details<'a>,
}

/// Beside the summary, what a responder needs before opening anything.
#[derive(Serialize)]
struct Details<'a> {
    incident: &'a str,
    title: String,
    description: String,
    drill: bool,
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    statistic: &'a str,
    value: Value,
    reference: Value,
    effect: Value,
    samples: u64,
    contributors: Vec<String>,
    contributors_in_all: usize,
    deployments: Vec<String>,
}

/// An event in at most [`PAGERDUTY_BYTES_MAX`] bytes: every text has its bound, and there is a fixed number of them.
pub(super) fn event(page: &Page, routing_key: &str) -> Vec<u8> {
    let event_action = match page.kind {
        // A trigger under the key of an alert that is open is taken as news of it.
        PageKind::Trigger | PageKind::Update => "trigger",
        PageKind::Acknowledge => "acknowledge",
        PageKind::Resolve => "resolve",
    };
    let payload = (event_action == "trigger").then(|| {
        if page.minimal {
            let severity = text::severity_word(page.incident.severity);
            return Form::Smallest { summary: text::in_one_line(page), source: "tocsin", severity };
        }
        Form::Whole(Box::new(payload(page)))
    });
    let dedup_key = page.alert_key.as_str();
    // PagerDuty reads them of triggers alone.
    let client_url = page.link().filter(|_| payload.is_some());
    let links = client_url.map(|href| [Link { href, text: text::answer(page) }]);
    let event = Event { routing_key, event_action, dedup_key, payload, client: "tocsin", client_url, links };
    serde_json::to_vec(&event).expect("texts, times and finite numbers always become JSON")
}

/// A deployment as a change event, which pages nobody.
pub(super) fn change(page: &Page, deployment: &Deployment, routing_key: &str) -> Vec<u8> {
    let short = |text: &str| text::clip(&text::printable(text), FIELD_BYTES_MAX).into_owned();
    let Deployment { model, version, event_time, change, by, commit, image } = deployment;
    let event = json!({
        "routing_key": routing_key,
        "payload": {
            "summary": short(&text::deployment(deployment)),
            "source": short(&format!("tocsin/{}/model:{model}", page.incident.namespace)),
            "timestamp": event_time,
            "custom_details": {
                "model": short(model),
                "version": short(version),
                "change": short(change),
                "by": by.as_deref().map(short),
                "commit": commit.as_deref().map(short),
                "image": image.as_deref().map(short),
                "incident": page.incident.incident_id,
            },
        },
    });
    event.to_string().into_bytes()
}

fn payload(page: &Page) -> Payload<'_> {
    let incident = &page.incident;
    let short = |text: &str| text::clip(&text::printable(text), FIELD_BYTES_MAX).into_owned();
    let evidence = &incident.evidence;
    let contributors = &evidence.contributors;
    let Effect { estimate, lower, upper } = evidence.effect;
    Payload {
        // 300 bytes, of 1024 characters that it may have.
        summary: text::summary(page),
        source: short(&format!("tocsin/{}/{}", incident.namespace, incident.subject)),
        severity: text::severity_word(incident.severity),
        timestamp: incident.opened_at,
        component: short(&incident.subject.name),
        group: short(incident.context.owner.as_deref().unwrap_or(&incident.namespace)),
        class: incident.family.name(),
        custom_details: Details {
            incident: incident.incident_id.as_str(),
            title: short(&incident.title),
            description: text::describe(page),
            drill: incident.drill,
            target: short(&page.target),
            owner: page.owner.as_deref().map(short),
            statistic: &evidence.statistic,
            value: json!(evidence.value),
            reference: json!(evidence.reference),
            effect: json!({"estimate": estimate, "lower": lower, "upper": upper}),
            samples: evidence.samples,
            contributors: contributors
                .iter()
                .take(CONTRIBUTORS_MAX)
                .map(|c| short(&format!("{}: {}", c.name, c.detail)))
                .collect(),
            contributors_in_all: contributors.len(),
            deployments: incident.context.deployments.iter().map(|d| short(&text::deployment(d))).collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tests::page;
    use proptest::prelude::*;
    use wire::incident::Contributor;

    fn read(bytes: &[u8]) -> Value {
        assert!(bytes.len() <= PAGERDUTY_BYTES_MAX, "{} bytes", bytes.len());
        serde_json::from_slice(bytes).expect("JSON")
    }

    #[test]
    fn a_trigger_says_what_where_since_next() {
        let got = read(&event(&page(), "R0123"));
        let want = json!({
            "routing_key": "R0123",
            "event_action": "trigger",
            "dedup_key": page().alert_key,
            "client": "tocsin",
            "payload": {
                "summary": "SEV2 fraud 2026-02-27.1: 31 % of requests over 250 ms (2 % in the reference)",
                "source": "tocsin/default/model:fraud@2026-02-27.1",
                "severity": "error",
                "timestamp": "2026-03-02T10:00:00.000Z",
                "component": "fraud",
                "group": "risk",
                "class": "latency",
                "custom_details": {
                    "incident": page().incident.incident_id,
                    "title": page().incident.title,
                    "description": text::describe(&page()),
                    "drill": false,
                    "target": "oncall",
                    "statistic": "latency.share_over_objective",
                    "value": 0.31,
                    "reference": 0.02,
                    "effect": {"estimate": 0.29, "lower": 0.21, "upper": 0.37},
                    "samples": 812,
                    "contributors": ["p99: p99 400 ms -> 2100 ms"],
                    "contributors_in_all": 1,
                    "deployments": [],
                },
            },
        });
        assert_eq!(got, want);
    }

    #[test]
    fn what_follows_has_the_same_key_and_no_payload() {
        for (kind, action) in [(PageKind::Acknowledge, "acknowledge"), (PageKind::Resolve, "resolve")] {
            let got = read(&event(&Page { kind, ..page() }, "R"));
            let want = json!({"routing_key": "R", "event_action": action, "dedup_key": page().alert_key, "client": "tocsin"});
            assert_eq!(got, want);
        }
        let update = read(&event(&Page { kind: PageKind::Update, ..page() }, "R"));
        assert_eq!(
            (&update["event_action"], &update["payload"]["severity"]),
            (&json!("trigger"), &json!("error"))
        );
    }

    #[test]
    fn the_smallest_form_has_what_is_asked_for() {
        let got = read(&event(&Page { minimal: true, ..page() }, "R"));
        let summary = format!(
            "SEV2 fraud 2026-02-27.1: 31 % of requests over 250 ms (2 % in the reference) (incident {})",
            page().incident.incident_id
        );
        let payload = json!({"summary": summary, "source": "tocsin", "severity": "error"});
        assert_eq!((&got["payload"], &got["dedup_key"]), (&payload, &json!(page().alert_key)));
    }

    proptest! {
        /// At one below, at and one above each bound, in any script.
        #[test]
        fn texts_stay_within_their_bounds(unit in "\\PC", beyond in 0usize..3, n in 0usize..60) {
            let at_bound = |max: usize| {
                let mut text = unit.repeat(max / unit.len());
                text.push_str(&"x".repeat((max + beyond).saturating_sub(1 + text.len())));
                text
            };
            let mut page = page();
            page.incident.title = at_bound(1024);
            page.incident.subject.name = at_bound(FIELD_BYTES_MAX);
            page.incident.context.owner = Some(at_bound(FIELD_BYTES_MAX));
            page.owner = Some(at_bound(FIELD_BYTES_MAX));
            let one = Contributor {
                name: at_bound(FIELD_BYTES_MAX), detail: at_bound(30), value: 1.0, reference: 1.0, evidence: 1.0, segment: None,
            };
            page.incident.evidence.contributors = vec![one; n];
            let got = read(&event(&page, "R"));
            let payload = &got["payload"];
            let chars = |v: &Value| v.as_str().expect("text").chars().count();
            prop_assert!((1..=1024).contains(&chars(&payload["summary"])));
            for field in ["source", "component", "group"] {
                prop_assert!(payload[field].as_str().expect("text").len() <= FIELD_BYTES_MAX, "{field}");
            }
            let details = &payload["custom_details"];
            prop_assert_eq!(details["contributors"].as_array().expect("a list").len(), n.min(CONTRIBUTORS_MAX));
            prop_assert_eq!(&details["contributors_in_all"], &json!(n));
        }
    }
}
