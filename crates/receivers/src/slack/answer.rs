//! The button of a message, and the answer to who pressed it.

use serde_json::{Value, json};
use wire::page::{Page, PageKind};

use crate::endpoint::Endpoint;

/// By which a press of the button is recognised when it comes back. The listener knows it too.
const BUTTON: &str = "tocsin_acknowledge";

/// A button to acknowledge with, while there is something to acknowledge.
pub(super) fn button(page: &Page) -> Option<Value> {
    let open = match page.kind {
        PageKind::Trigger | PageKind::Update => page.owner.is_none() && page.told.is_none(),
        PageKind::Acknowledge | PageKind::Resolve => false,
    };
    let value = format!("{}:{}", page.incident.incident_id, page.incident.generation);
    open.then(|| {
        json!({
            "type": "actions",
            "elements": [{
                "type": "button",
                "style": "primary",
                "action_id": BUTTON,
                "value": value,
                "text": {"type": "plain_text", "text": "Acknowledge"},
            }],
        })
    })
}

/// What only the person who pressed sees.
pub(super) fn message(text: &str) -> Value {
    json!({"response_type": "ephemeral", "replace_original": false, "text": super::render::escape(text)})
}

/// Whether an answer may go there: to Slack, or to what stands in for it in the config.
pub(super) fn is_slacks(to: &Endpoint, own: &Endpoint) -> bool {
    let of = |name: &str| to.host == name || to.host.ends_with(&format!(".{name}"));
    let slacks = to.tls && to.port == 443 && (of("slack.com") || of("slack-gov.com"));
    slacks || (to.tls, &to.host, to.port) == (own.tls, &own.host, own.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tests::page;

    #[test]
    fn a_button_while_nobody_has_it() {
        let owned = Some("ada".to_owned());
        for (kind, owner, want) in [
            (PageKind::Trigger, None, true),
            (PageKind::Update, None, true),
            (PageKind::Update, owned.clone(), false),
            (PageKind::Acknowledge, owned, false),
            (PageKind::Resolve, None, false),
        ] {
            let got = button(&Page { kind, owner, ..page() });
            assert_eq!(got.is_some(), want, "{kind:?}");
            let value = format!("{}:1", page().incident.incident_id);
            assert!(got.is_none_or(|b| b["elements"][0]["value"] == value.as_str()));
        }
    }

    #[test]
    fn answers_go_to_slack_alone() {
        let read = |text: &str| text.parse::<Endpoint>().expect("an address");
        let slack = read("https://slack.com/api");
        for (to, own, want) in [
            ("https://hooks.slack.com/actions/T1/2/3", &slack, true),
            ("https://hooks.slack-gov.com/actions/T1/2/3", &slack, true),
            ("http://hooks.slack.com/actions/T1/2/3", &slack, false),
            ("https://hooks.slack.com:8443/actions", &slack, false),
            ("https://evilslack.com/actions", &slack, false),
            ("https://slack.com.evil.example/", &slack, false),
            ("https://169.254.169.254/", &slack, false),
            ("http://127.0.0.1:9000/reply", &slack, false),
            ("http://127.0.0.1:9000/reply", &read("http://127.0.0.1:9000/api"), true),
            ("http://127.0.0.1:9001/reply", &read("http://127.0.0.1:9000/api"), false),
        ] {
            assert_eq!(is_slacks(&read(to), own), want, "{to}");
        }
    }
}
