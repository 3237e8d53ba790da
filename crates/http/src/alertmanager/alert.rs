//! One alert, as the incident that it is here.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use wire::command::Principal;
use wire::text::{clip, printable};
use wire::{CommandId, Digest, Family, Severity, Source, Subject, SubjectKind, Timestamp};

use crate::backend::NewIncident;

/// Longest title, in bytes: more is not shown.
const TITLE_BYTES_MAX: usize = 300;
/// Longest name, in bytes: that of a subject is kept so far, and has room for the fingerprint.
const NAME_BYTES_MAX: usize = 200;
const ALERT_NAME_BYTES_MAX: usize = 128;
const FINGERPRINT_CHARS_MAX: usize = 64;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    status: String,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    starts_at: Option<String>,
    #[serde(default)]
    ends_at: Option<String>,
    #[serde(default)]
    fingerprint: Option<String>,
}

/// An alert, understood.
#[derive(Debug)]
pub(super) struct Read {
    /// The same for all that is said of one alert.
    pub(super) key: String,
    pub(super) new: NewIncident,
    /// It is over, and why.
    pub(super) over: Option<String>,
}

/// # Errors
/// Why it is no alert that fires or is resolved.
pub(super) fn read(alert: Value, principal: &Principal) -> Result<Read, String> {
    let alert: Alert = serde_json::from_value(alert).map_err(|e| format!("the alert cannot be read: {e}"))?;
    let firing = match alert.status.as_str() {
        "firing" => true,
        "resolved" => false,
        other => {
            let other = clip(other, 32);
            return Err(format!("status is {other:?}, neither \"firing\" nor \"resolved\""));
        }
    };
    if alert.labels.is_empty() {
        return Err("labels is empty: they say which alert it is".into());
    }
    let key = alert.fingerprint();
    let opened_at = alert.starts_at.as_deref().and_then(time);
    let command_id = opened_at.map(|at| {
        let what: &[u8] = if firing { b"firing" } else { b"resolved" };
        CommandId::of(&[b"alertmanager", what, key.as_bytes(), &at.as_ms().to_be_bytes()])
    });
    let over = (!firing).then(|| match alert.ends_at.as_deref().and_then(time) {
        Some(at) => format!("resolved in Alertmanager at {at}"),
        None => "resolved in Alertmanager".to_owned(),
    });
    let new = NewIncident {
        command_id,
        principal: principal.clone(),
        source: Source::Import,
        severity: alert.severity(),
        family: alert.label("family").and_then(|name| name.parse().ok()).unwrap_or(Family::Other),
        subject: alert.subject(&key),
        title: alert.title(&key),
        owner: alert.label("owner").or_else(|| alert.label("team")).map(|owner| short(owner, NAME_BYTES_MAX)),
        opened_at,
        drill: false,
    };
    Ok(Read { key, new, over })
}

/// `None` for what is no time, and for the year 1, by which Alertmanager means none.
fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok().filter(|at| *at > Timestamp::EPOCH)
}

fn short(text: &str, bytes_max: usize) -> String {
    clip(printable(text).trim(), bytes_max).into_owned()
}

impl Alert {
    /// `None` for an empty one, which is none to Alertmanager either.
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str).filter(|text| !text.trim().is_empty())
    }

    /// Its own; from what sends none, one of the labels, which is what Alertmanager makes it of.
    fn fingerprint(&self) -> String {
        let given = self.fingerprint.as_deref().unwrap_or_default();
        let fine = (1..=FINGERPRINT_CHARS_MAX).contains(&given.len());
        if fine && given.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return given.to_owned();
        }
        let parts: Vec<&[u8]> = self.labels.iter().flat_map(|(k, v)| [k.as_bytes(), v.as_bytes()]).collect();
        Digest::of(&parts).to_string()
    }

    /// By the words that people use. Any other is a page: what nobody has foreseen must not fall silent.
    fn severity(&self) -> Severity {
        match self.label("severity").unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "critical" | "emergency" | "fatal" | "p1" | "sev1" => Severity::Sev1,
            "warning" | "warn" | "medium" | "minor" | "ticket" | "p3" | "sev3" => Severity::Sev3,
            "info" | "low" | "notice" | "none" | "p4" | "sev4" => Severity::Sev4,
            // "error", "high", "page", "major", "p2", "sev2" among them.
            _ => Severity::Sev2,
        }
    }

    fn subject(&self, key: &str) -> Subject {
        let part = |name: &str| self.label(name).map(|text| short(text, NAME_BYTES_MAX));
        if let Some(name) = part("model") {
            return Subject {
                kind: SubjectKind::Model,
                name,
                version: part("version"),
                segment: part("segment"),
            };
        }
        let name = match self.label("alertname") {
            Some(name) => format!("{} {key}", short(name, ALERT_NAME_BYTES_MAX)),
            None => key.to_owned(),
        };
        Subject { kind: SubjectKind::Platform, name, version: None, segment: None }
    }

    fn title(&self, key: &str) -> String {
        let annotation = |name: &str| self.annotations.as_ref()?.get(name).map(String::as_str);
        let said = [annotation("summary"), annotation("description"), self.label("alertname")];
        let said = said.into_iter().flatten().find(|text| !text.trim().is_empty());
        match said {
            // The first line of a description is what it says in short.
            Some(text) => short(text.trim().lines().next().unwrap_or_default(), TITLE_BYTES_MAX),
            None => format!("alert {key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use wire::command::Role;

    fn read_with(change: impl FnOnce(&mut Value)) -> Result<Read, String> {
        let mut alert = json!({
            "status": "firing",
            "labels": {"alertname": "ProbeFailure", "severity": "critical", "team": "risk", "instance": "a:9090"},
            "annotations": {"summary": "the probe fails", "description": "it fails\nand fails"},
            "startsAt": "2026-03-02T11:02:26.739266876+01:00",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://p:9090/graph",
            "fingerprint": "1a30ba71cca2921f",
        });
        change(&mut alert);
        read(alert, &Principal { name: "alertmanager".into(), role: Role::Responder })
    }

    #[test]
    fn an_alert_is_an_incident() {
        let Read { key, new, over } = read_with(|_| ()).expect("an alert");
        assert_eq!((key.as_str(), over), ("1a30ba71cca2921f", None));
        assert_eq!((new.source, new.severity, new.family), (Source::Import, Severity::Sev1, Family::Other));
        assert_eq!(new.subject.to_string(), "platform:ProbeFailure 1a30ba71cca2921f");
        assert_eq!((new.title.as_str(), new.owner.as_deref()), ("the probe fails", Some("risk")));
        assert_eq!(new.opened_at.map(|at| at.to_string()).as_deref(), Some("2026-03-02T10:02:26.739Z"));
        let resolved = read_with(|a| {
            a["status"] = "resolved".into();
            a["endsAt"] = "2026-03-02T10:10:00Z".into();
        });
        let resolved = resolved.expect("an alert");
        assert_eq!(resolved.over.as_deref(), Some("resolved in Alertmanager at 2026-03-02T10:10:00.000Z"));
        assert_eq!(resolved.key, key);
        assert_ne!(resolved.new.command_id, new.command_id, "its end is another command");
        assert_eq!(read_with(|_| ()).expect("an alert").new.command_id, new.command_id);
    }

    #[test]
    fn severities_by_word() {
        for (word, want) in [
            ("critical", Severity::Sev1),
            ("CRITICAL", Severity::Sev1),
            ("error", Severity::Sev2),
            ("high", Severity::Sev2),
            ("page", Severity::Sev2),
            ("warning", Severity::Sev3),
            ("medium", Severity::Sev3),
            ("info", Severity::Sev4),
            ("low", Severity::Sev4),
            ("none", Severity::Sev4),
            ("", Severity::Sev2),
            ("catastrophic", Severity::Sev2),
        ] {
            let read = read_with(|a| a["labels"]["severity"] = word.into()).expect(word);
            assert_eq!(read.new.severity, want, "{word}");
        }
    }

    #[test]
    fn labels_say_what_it_is_about() {
        for (labels, subject, family, owner) in [
            (json!({"alertname": "A"}), "platform:A f1", Family::Other, None),
            (json!({"job": "x"}), "platform:f1", Family::Other, None),
            (json!({"alertname": "A", "model": "fraud"}), "model:fraud", Family::Other, None),
            (
                json!({"model": "fraud", "version": "7", "segment": "emea", "family": "latency", "owner": "risk", "team": "x"}),
                "model:fraud@7#emea",
                Family::Latency,
                Some("risk"),
            ),
            (
                json!({"alertname": "A", "model": "", "family": "weather"}),
                "platform:A f1",
                Family::Other,
                None,
            ),
        ] {
            let read = read_with(|a| {
                a["labels"] = labels.clone();
                a["fingerprint"] = "f1".into();
            });
            let new = read.expect("an alert").new;
            assert_eq!(
                (new.subject.to_string().as_str(), new.family, new.owner.as_deref()),
                (subject, family, owner),
                "{labels}"
            );
        }
    }

    #[test]
    fn something_is_always_its_title_and_its_fingerprint() {
        for (annotations, want) in [
            (json!({"summary": " ", "description": "it fails\nand fails"}), "it fails"),
            (json!({"summary": "a\u{202e}b"}), "a\u{fffd}b"),
            (json!({}), "ProbeFailure"),
            (Value::Null, "ProbeFailure"),
        ] {
            let read = read_with(|a| a["annotations"] = annotations.clone()).expect("an alert");
            assert_eq!(read.new.title, want, "{annotations}");
        }
        let bare = read_with(|a| {
            a["labels"] = json!({"job": "x"});
            a["annotations"] = json!({"summary": "x".repeat(5000)});
        });
        assert_eq!(bare.expect("an alert").new.title.len(), TITLE_BYTES_MAX);
        let without = |labels: Value| {
            let read = read_with(|a| {
                a["labels"] = labels;
                a["fingerprint"] = "".into();
            });
            read.expect("an alert").key
        };
        let (a, b) = (without(json!({"a": "1", "b": "2"})), without(json!({"b": "2", "a": "1"})));
        assert_eq!((a.as_str(), a.len()), (b.as_str(), 26));
        assert_ne!(a, without(json!({"a": "1"})));
    }

    #[test]
    fn what_is_no_alert_says_why() {
        for (path, value, part) in [
            ("status", json!("pending"), "status is \"pending\""),
            ("labels", json!({}), "labels is empty"),
            ("labels", json!({"a": 1}), "cannot be read"),
            ("labels", Value::Null, "cannot be read"),
        ] {
            let why = read_with(|a| a[path] = value.clone()).expect_err(part);
            assert!(why.contains(part), "{why}");
        }
        for time in [json!("soon"), json!("0001-01-01T00:00:00Z"), Value::Null] {
            let new = read_with(|a| a["startsAt"] = time.clone()).expect("an alert").new;
            assert_eq!((new.opened_at, new.command_id), (None, None), "{time}");
        }
    }
}
