//! One event of PagerDuty, and what it asks of an incident here.

use serde_json::Value;
use wire::text::{clip, printable};
use wire::{AlertKey, CommandId, Timestamp};

use crate::problem::Problem;

/// An acknowledgement holds for a time, an hour unless the policy says otherwise: an older one, which could not be
/// delivered until now, says nothing of now, and must not stop the pages that followed it.
const ACKNOWLEDGED_AGO_MAX_MS: i64 = 3_600_000;
/// Letters of an alert key, as the receiver sends it for `dedup_key`.
const KEY_CHARS: usize = 26;
const NAME_CHARS_MAX: usize = 64;
const URL_BYTES_MAX: usize = 200;

/// What is to be done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Acknowledge,
    Resolve,
}

/// Something that a person did with an alert of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) wish: Wish,
    pub(super) alert: AlertKey,
    /// Who, as commands name them.
    pub(super) by: String,
    /// Where, for the timeline.
    pub(super) said: String,
    /// Of PagerDuty's own id of the event: the same event again is the same command.
    pub(super) command_id: CommandId,
}

/// What a body asks for; else why it is ignored.
///
/// # Errors
/// When it is no event.
pub(super) fn read(body: &[u8], now: Timestamp) -> Result<Result<Asked, String>, Problem> {
    let malformed =
        |why: String| Problem::new(400, "malformed", why).fix("a webhook of PagerDuty, version 3");
    let body: Value = serde_json::from_slice(body)
        .map_err(|e| malformed(format!("the event cannot be read: {e}")).at("body"))?;
    let text = |path: &str| body.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
    let missing = |field: &str| malformed(format!("{field} is missing")).at(field.to_owned());
    let id = text("/event/id").ok_or_else(|| missing("event.id"))?;
    let kind = text("/event/event_type").ok_or_else(|| missing("event.event_type"))?;
    let wish = match kind {
        "incident.acknowledged" => Wish::Acknowledge,
        "incident.resolved" => Wish::Resolve,
        other => return Ok(Err(format!("{} changes nothing here", clip(&printable(other), NAME_CHARS_MAX)))),
    };
    let key = text("/event/data/incident_key").unwrap_or_default();
    if key.len() != KEY_CHARS || !key.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7')) {
        return Ok(Err("its incident_key is none of tocsin's".into()));
    }
    let Some(by) = person(body.pointer("/event/agent").unwrap_or(&Value::Null)) else {
        // What we told PagerDuty comes back so, and so does what ends there by itself: then nobody has it.
        return Ok(Err("no person did it".into()));
    };
    let at: Option<Timestamp> = text("/event/occurred_at").and_then(|at| at.parse().ok());
    if wish == Wish::Acknowledge && at.is_some_and(|at| now.since_ms(at) > ACKNOWLEDGED_AGO_MAX_MS) {
        return Ok(Err("it was acknowledged more than an hour ago".into()));
    }
    let url = text("/event/data/html_url").filter(|url| {
        url.len() <= URL_BYTES_MAX && url.starts_with("https://") && url.bytes().all(|b| b.is_ascii_graphic())
    });
    let said = url.map_or_else(|| "in PagerDuty".to_owned(), |url| format!("in PagerDuty: {url}"));
    let command_id = CommandId::of(&[b"pagerduty", id.as_bytes()]);
    Ok(Ok(Asked { wish, alert: AlertKey::new(key), by, said, command_id }))
}

/// How commands name a user of PagerDuty: by the address, else the name. `None` for whoever is no user.
fn person(agent: &Value) -> Option<String> {
    let text = |field: &str| agent.get(field).and_then(Value::as_str).unwrap_or_default();
    if !matches!(text("type"), "user_reference" | "user") {
        return None;
    }
    // A slash would end the account: see `accounts` of people.
    let fine = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '.' | '_' | '-' | '+' | '@' | '\'');
    let named = |field: &str| {
        let name: String = text(field).chars().filter(fine).take(NAME_CHARS_MAX).collect();
        Some(name.trim().to_owned()).filter(|name| !name.is_empty())
    };
    let name = ["email", "summary", "name", "id"].into_iter().find_map(named)?;
    Some(format!("pagerduty:{name}"))
}

impl Asked {
    /// The id of the incident that it is for; else why it is ignored.
    pub(super) fn of(&self, view: &Value) -> Result<String, String> {
        let text = |path: &str| view.pointer(path).and_then(Value::as_str);
        let id = text("/incident/incident_id").ok_or("no incident here has this alert")?;
        let mut pages = view.get("pages").and_then(Value::as_array).into_iter().flatten();
        let page =
            pages.find(|page| page.get("alert_key").and_then(Value::as_str) == Some(self.alert.as_str()));
        let generation = page.and_then(|page| page.get("generation"));
        if generation.is_none() || generation != view.pointer("/incident/generation") {
            return Err("it is of an earlier alert: the incident came back since".into());
        }
        match (text("/stage").unwrap_or_default(), self.wish) {
            // What we told PagerDuty comes back, and a repeat of what was done.
            (stage @ ("resolved" | "closed"), _)
            | (stage @ ("acknowledged" | "mitigated"), Wish::Acknowledge) => {
                Err(format!("it is {stage} already"))
            }
            _ => Ok(id.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn people_are_named_by_address_or_name() {
        for (agent, want) in [
            (json!({"type": "user_reference", "summary": "Ada L", "id": "P1"}), Some("pagerduty:Ada L")),
            (
                json!({"type": "user_reference", "summary": "Ada L", "email": "ada+pd@example.com"}),
                Some("pagerduty:ada+pd@example.com"),
            ),
            (json!({"type": "user_reference", "summary": "", "id": "P1"}), Some("pagerduty:P1")),
            (json!({"type": "user_reference", "summary": "<@U1>/ \u{202e}ada\n"}), Some("pagerduty:@U1 ada")),
            (json!({"type": "user_reference", "summary": "  \u{202e}"}), None),
            (json!({"type": "service_reference", "summary": "checkout"}), None),
            (json!({"type": "events_api_v2_inbound_integration_reference", "id": "P1"}), None),
            (json!({"summary": "Ada L"}), None),
            (Value::Null, None),
            (json!("ada"), None),
        ] {
            assert_eq!(person(&agent).as_deref(), want, "{agent}");
        }
    }

    #[test]
    fn only_what_a_person_did_just_now_with_an_alert_of_ours() {
        let now: Timestamp = "2026-03-02T10:02:00Z".parse().expect("a time");
        let event = |path: &str, value: Value| {
            let mut body = json!({"event": {
                "id": "01D", "event_type": "incident.acknowledged", "occurred_at": "2026-03-02T09:02:00Z",
                "agent": {"type": "user_reference", "summary": "Ada"},
                "data": {"incident_key": "bjn7ajzicsjbfs5szzvvjupmhe", "html_url": "https://a.pagerduty.com/incidents/Q1"},
            }});
            if !path.is_empty() {
                *body.pointer_mut(path).expect("it is there") = value;
            }
            read(body.to_string().as_bytes(), now)
        };
        let asked = event("", Value::Null).expect("an event").expect("asked");
        assert_eq!((asked.wish, asked.by.as_str()), (Wish::Acknowledge, "pagerduty:Ada"));
        assert_eq!(asked.said, "in PagerDuty: https://a.pagerduty.com/incidents/Q1");
        for (path, value, why) in [
            ("/event/event_type", "incident.reassigned", "incident.reassigned changes nothing"),
            ("/event/event_type", "pagey.ping", "pagey.ping changes nothing"),
            ("/event/data/incident_key", "baf7cf21b1da41b4b0221008339ff357", "none of tocsin's"),
            ("/event/data/incident_key", "", "none of tocsin's"),
            ("/event/agent/type", "service_reference", "no person"),
            ("/event/occurred_at", "2026-03-02T09:01:59Z", "more than an hour ago"),
        ] {
            let ignored = event(path, value.into()).expect("an event").expect_err(path);
            assert!(ignored.contains(why), "{path}: {ignored}");
        }
        for (path, value) in [
            ("/event/occurred_at", "soon"),
            ("/event/occurred_at", "2026-03-02T11:02:00Z"),
            ("/event/data/html_url", "javascript:alert(1)"),
        ] {
            let asked = event(path, value.into()).expect("an event").expect(path);
            assert!(!asked.said.contains("javascript"), "{asked:?}");
        }
        for (path, value, at) in [
            ("/event/id", json!(""), "event.id"),
            ("/event/event_type", json!(7), "event.event_type"),
            ("/event", json!([]), "event.id"),
        ] {
            assert_eq!(event(path, value).expect_err(path).at.as_deref(), Some(at));
        }
    }
}
