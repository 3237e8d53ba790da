//! A page as an alert.

use std::collections::BTreeMap;

use serde::Serialize;
use wire::page::{Page, PageKind};
use wire::{Family, Timestamp};

use crate::text;

/// Longest value of a label and of an annotation, in bytes.
const LABEL_BYTES_MAX: usize = 1024;
const ANNOTATION_BYTES_MAX: usize = 4096;

/// Names of the labels that tocsin sets.
pub(super) const LABELS: &[&str] = &[
    "alertname",
    "drill",
    "family",
    "incident",
    "kind",
    "namespace",
    "segment",
    "severity",
    "source",
    "subject",
    "target",
    "tocsin_alert_key",
    "version",
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<String>,
}

/// The body of `POST /api/v2/alerts`: one alert that fires until `now + hold_ms`, or that ends now.
pub(super) fn alerts(page: &Page, extra: &BTreeMap<String, String>, now: Timestamp, hold_ms: i64) -> Vec<u8> {
    let ends_at = match page.kind {
        PageKind::Resolve => now,
        PageKind::Trigger | PageKind::Acknowledge | PageKind::Update => now.plus_ms(hold_ms),
    };
    let alert = Alert {
        labels: labels(page, extra),
        annotations: annotations(page),
        // Event time may run ahead of the clock (replay, demo); an alert that ends before it starts is refused.
        starts_at: page.incident.opened_at.min(now),
        ends_at,
        generator_url: page.link().map(str::to_owned),
    };
    serde_json::to_vec(&[alert]).expect("texts and times always become JSON")
}

/// The identity: nothing in it changes while an incident's generation is open, but for the severity.
fn labels(page: &Page, extra: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let incident = &page.incident;
    let mut labels = extra.clone();
    let mut set = |name: &'static str, value: &str| {
        debug_assert!(LABELS.contains(&name), "{name} is not in the list of our labels");
        // An empty label is no label to Alertmanager.
        if !value.is_empty() {
            labels.insert(name.into(), text::clip(&text::printable(value), LABEL_BYTES_MAX).into_owned());
        }
    };
    set("alertname", alert_name(incident.family));
    set("family", incident.family.name());
    set("incident", incident.incident_id.as_str());
    set("kind", incident.subject.kind.name());
    set("namespace", &incident.namespace);
    set("segment", incident.subject.segment.as_deref().unwrap_or_default());
    set("severity", text::severity_word(incident.severity));
    set("source", incident.source.name());
    set("subject", &incident.subject.name);
    set("target", &page.target);
    set("tocsin_alert_key", page.alert_key.as_str());
    set("version", incident.subject.version.as_deref().unwrap_or_default());
    if incident.drill {
        set("drill", "true");
    }
    labels
}

fn annotations(page: &Page) -> BTreeMap<&'static str, String> {
    if page.minimal {
        // The labels stay: they are which alert it is.
        return BTreeMap::from([("summary", text::in_one_line(page))]);
    }
    let incident = &page.incident;
    let mut annotations = BTreeMap::from([
        ("summary", text::summary(page)),
        ("description", text::describe(page)),
        ("tocsin_severity", incident.severity.name().to_owned()),
    ]);
    let owner = page.owner.as_deref().map(|owner| ("acknowledged_by", owner));
    let team = incident.context.owner.as_deref().map(|team| ("owner", team));
    for (name, value) in owner.into_iter().chain(team) {
        annotations.insert(name, text::printable(value).into_owned());
    }
    for value in annotations.values_mut() {
        *value = text::clip(value, ANNOTATION_BYTES_MAX).into_owned();
    }
    // For templates that do not show the generator's address. Whole or not at all.
    if let Some(link) = page.link() {
        annotations.insert("link", link.to_owned());
    }
    annotations
}

const fn alert_name(family: Family) -> &'static str {
    match family {
        Family::Latency => "TocsinLatency",
        Family::Availability => "TocsinAvailability",
        Family::Traffic => "TocsinTraffic",
        Family::DataQuality => "TocsinDataQuality",
        Family::Drift => "TocsinDrift",
        Family::Prediction => "TocsinPrediction",
        Family::Accuracy => "TocsinAccuracy",
        Family::Calibration => "TocsinCalibration",
        Family::Deployment => "TocsinDeployment",
        Family::Telemetry => "TocsinTelemetry",
        Family::Other => "TocsinOther",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tests::page;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use wire::{Change, Severity};

    fn render(page: &Page, now: Timestamp) -> Value {
        let extra = BTreeMap::from([("team".to_owned(), "ml".to_owned())]);
        let mut alerts: Vec<Value> = serde_json::from_slice(&alerts(page, &extra, now, 300_000)).unwrap();
        assert_eq!(alerts.len(), 1);
        alerts.remove(0)
    }

    #[test]
    fn a_page_is_an_alert() {
        let page = page();
        let now = page.decided_at;
        let got = render(&page, now);
        assert_eq!(
            got["labels"],
            json!({
                "alertname": "TocsinLatency", "family": "latency", "incident": page.incident.incident_id,
                "kind": "model", "namespace": "default", "severity": "error", "source": "detector",
                "subject": "fraud", "target": "oncall", "team": "ml", "tocsin_alert_key": page.alert_key,
                "version": "2026-02-27.1",
            })
        );
        assert_eq!(got["startsAt"], json!(page.incident.opened_at));
        assert_eq!(got["endsAt"], json!(now.plus_ms(300_000)));
        assert!(got["annotations"]["summary"].as_str().unwrap().starts_with("SEV2 fraud"));
        assert_eq!(got["annotations"]["owner"], "risk");
    }

    #[test]
    fn only_severity_and_drill_tell_alerts_of_one_key_apart() {
        let before = page();
        let now = before.decided_at;
        let mut after = page();
        after.kind = PageKind::Update;
        after.step = 4;
        after.owner = Some("ann".into());
        after.incident.change = Change::Updated;
        after.incident.sequence = 9;
        after.incident.changed_at = now;
        after.incident.title = "worse".into();
        after.incident.evidence.value = 0.9;
        after.incident.context.owner = Some("other".into());
        assert_eq!(render(&before, now)["labels"], render(&after, now.plus_ms(5))["labels"]);
        after.incident.severity = Severity::Sev1;
        assert_ne!(render(&before, now)["labels"], render(&after, now)["labels"]);
    }

    #[test]
    fn a_resolve_ends_now_and_never_before_it_started() {
        let page = Page { kind: PageKind::Resolve, ..page() };
        for now in [page.decided_at, page.incident.opened_at.plus_ms(-1_000_000)] {
            let got = render(&page, now);
            assert_eq!(got["endsAt"], json!(now));
            let time = |name: &str| got[name].as_str().unwrap().parse::<Timestamp>().unwrap();
            assert!(time("startsAt") <= time("endsAt"));
        }
    }

    proptest! {
        #[test]
        fn any_text_fits(name in any::<String>(), times in 1usize..2000) {
            let mut page = page();
            page.incident.title = name.repeat(times);
            page.incident.subject.name = name.repeat(times);
            page.target = name;
            let got = render(&page, page.decided_at);
            for (part, max) in [("labels", LABEL_BYTES_MAX), ("annotations", ANNOTATION_BYTES_MAX)] {
                for (key, value) in got[part].as_object().unwrap() {
                    let value = value.as_str().unwrap();
                    prop_assert!(!value.is_empty() && value.len() <= max, "{key}: {} bytes", value.len());
                    prop_assert!(key == "description" || !value.contains(char::is_control));
                }
            }
        }
    }
}
