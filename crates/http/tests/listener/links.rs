//! Links in messages: whoever has one sees the incident and may answer it, and nobody else learns anything.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tocsin_http::AnswerState;
use wire::command::{Action, Role};
use wire::link::{Link, LinkAction, LinkActions, LinkKeys};
use wire::{IncidentId, Timestamp};

use super::support::*;

const ID: &str = "uuktw2vtaxvbtylrwo63ea4fze";
const FORM: &str = "application/x-www-form-urlencoded";

fn view() -> Value {
    json!({
        "incident": {
            "incident_id": ID, "generation": 3, "sequence": 1, "change": "opened", "namespace": "default",
            "source": "detector", "severity": "sev1", "family": "latency", "subject": {"kind": "model", "name": "fraud"},
            "opened_at": "2026-03-02T10:00:00Z", "changed_at": "2026-03-02T10:00:00Z", "title": "too <slow>",
            "evidence": {
                "statistic": "p99", "value": 2.0, "reference": 1.0, "effect": {"estimate": 1.0, "lower": 0.5, "upper": 2.0},
                "evidence": 2.0, "samples": 9, "window": ["2026-03-02T09:59:00Z", "2026-03-02T10:00:00Z"],
            },
            "context": {}, "drill": false,
        },
        "signal": "open", "stage": "open", "next_step_at": "2026-03-02T10:05:00Z", "pages": [], "timeline": [],
    })
}

fn link() -> Link {
    Link {
        incident_id: IncidentId::new(ID),
        generation: 3,
        person: "ada".into(),
        actions: LinkActions::of(&LinkAction::ALL),
        expires_at: NOW.parse::<Timestamp>().unwrap().plus_ms(3_600_000),
    }
}

fn path(link: &Link) -> String {
    format!("/i/{}", LinkKeys::read(LINK_KEY).unwrap().sign(link).unwrap())
}

async fn running(config: &str) -> Running {
    let running = Running::start(config).await;
    running.memory.views.lock().unwrap().insert(ID.into(), view());
    *running.memory.verdict.lock().unwrap() = Some((AnswerState::Accepted, None));
    running
}

/// Links that work, have ended, were changed, are of something else, or are none.
fn every_path() -> Vec<(&'static str, String, u16)> {
    let expires_at: Timestamp = NOW.parse().unwrap();
    let gone = Link { incident_id: IncidentId::new("gone"), ..link() };
    // Its first letters find another incident.
    let part = Link { incident_id: IncidentId::new("uukt"), ..link() };
    let foreign = LinkKeys::read("another key of 16 and more".replace(' ', "_").as_str()).unwrap();
    let changed = path(&link()).replacen("/i/AQ", "/i/AR", 1);
    vec![
        ("works", path(&link()), 200),
        ("works, and asks after a command", format!("{}?done=acknowledge&id=abc", path(&link())), 200),
        ("an earlier alert", path(&Link { generation: 2, ..link() }), 200),
        ("may nothing", path(&Link { actions: LinkActions::of(&[]), ..link() }), 200),
        ("ended", path(&Link { expires_at, ..link() }), 410),
        ("its incident is not kept", path(&gone), 410),
        ("first letters of an incident", path(&part), 410),
        ("changed", changed, 404),
        ("another's key", format!("/i/{}", foreign.sign(&link()).unwrap()), 404),
        ("cut", path(&link())[..40].to_owned(), 404),
        ("nonsense", "/i/x".into(), 404),
        ("not UTF-8", "/i/%ff".into(), 404),
        ("long", format!("/i/{}", "A".repeat(5000)), 404),
    ]
}

#[tokio::test]
async fn the_access_log_names_who_came_by_a_link_and_to_which_incident() {
    let running = running("").await;
    for (_, path, _) in every_path() {
        drop(running.ask("GET", &path, &[], b"").await);
    }
    let accessed = running.memory.accessed.lock().unwrap().clone();
    assert_eq!(accessed.len(), every_path().len());
    for ((what, _, status), accessed) in every_path().into_iter().zip(accessed) {
        let caller = accessed.caller.map(|(caller, _)| caller);
        let verified = status == 200 || what.contains("incident");
        let want = if verified { "ada" } else { "a link" };
        assert_eq!((caller.as_deref(), accessed.status), (Some(want), status), "{what}");
        assert_eq!(accessed.incident.is_some(), verified, "{what}");
        assert!(status != 200 || accessed.incident.as_deref() == Some(ID), "{what}");
    }
}

#[tokio::test]
async fn looking_changes_nothing_and_strangers_are_all_told_the_same() {
    let running = running("").await;
    let mut told = BTreeSet::new();
    for (what, path, status) in every_path() {
        for method in ["GET", "HEAD"] {
            let mut got = running.ask(method, &path, &[], b"").await;
            assert_eq!(got.status, status, "{method} {what}: {got:?}");
            assert_eq!(got.body.is_empty(), method == "HEAD", "{what}");
            let policy = &got.headers["content-security-policy"];
            assert!(
                policy.starts_with("default-src 'none'; style-src 'sha256-")
                    && policy.contains("frame-ancestors 'none'")
            );
            for (name, value) in [
                ("cache-control", "no-store"),
                ("referrer-policy", "no-referrer"),
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("content-type", "text/html; charset=utf-8"),
            ] {
                assert_eq!(got.headers.get(name).map(String::as_str), Some(value), "{what}");
            }
            if status == 404 && method == "GET" {
                got.headers.retain(|name, _| name != "x-request-id" && name != "date");
                told.insert(format!("{got:?}"));
            }
        }
    }
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(running.memory.commands.lock().unwrap().is_empty());
    let page = String::from_utf8(running.get(&path(&link())).await.body).unwrap();
    assert!(page.contains("<h1>too &lt;slow&gt;</h1>") && page.contains("value=\"acknowledge\""), "{page}");
    let ended = Link { expires_at: NOW.parse().unwrap(), ..link() };
    let page = String::from_utf8(running.get(&path(&ended)).await.body).unwrap();
    assert!(page.contains("This link has expired") && page.contains("2026-03-02 10:02:00 UTC"), "{page}");
}

#[tokio::test]
async fn a_form_is_a_command_of_the_person_in_the_link() {
    let running = running("").await;
    let text = |text: &str| Some(text.to_owned());
    for (form, action, want) in [
        ("do=acknowledge&nonce=1", "acknowledge", Action::Acknowledge { for_s: None, note: None }),
        (
            "do=acknowledge&text=on+it&nonce=1",
            "acknowledge",
            Action::Acknowledge { for_s: None, note: text("on it") },
        ),
        ("do=mitigate&text=%20&nonce=1", "mitigate", Action::Mitigate { for_s: None, note: None }),
        (
            "do=resolve&text=a%0D%0Ab",
            "resolve",
            Action::Resolve { reason: text("a\nb"), not_actionable: false },
        ),
        ("do=resolve&not_actionable=1", "resolve", Action::Resolve { reason: None, not_actionable: true }),
        ("do=note&text=%C3%A4", "note", Action::Note { text: "ä".into() }),
    ] {
        let got = running.post(&path(&link()), FORM, form).await;
        assert_eq!(got.status, 303, "{form}: {got:?}");
        let command = running.memory.commands.lock().unwrap().pop().unwrap();
        assert_eq!((command.incident.as_str(), command.principal.name.as_str()), (ID, "ada"));
        assert_eq!((command.principal.role, &command.action), (Role::Responder, &want), "{form}");
        let id = command.command_id.unwrap();
        assert_eq!(got.headers["location"], format!("?done={action}&id={id}"));
        assert!(!path(&link()).contains(id.as_str()) && id.as_str().len() == 26);
        let after = running.get(&format!("{}{}", path(&link()), got.headers["location"])).await;
        assert!(String::from_utf8(after.body).unwrap().contains("class=\"notice good\""));
    }
}

#[tokio::test]
async fn the_same_form_again_is_the_same_command() {
    let running = running("").await;
    let mut ids = vec![];
    for form in [
        "do=note&text=a&nonce=1",
        "do=note&text=a&nonce=1",
        "do=note&text=b&nonce=1",
        "do=note&text=a&nonce=2",
        "do=acknowledge&text=a&nonce=1",
    ] {
        assert_eq!(running.post(&path(&link()), FORM, form).await.status, 303);
        ids.push(running.memory.commands.lock().unwrap().pop().unwrap().command_id.unwrap().to_string());
    }
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 4);
    let nonce = |page: Vec<u8>| {
        String::from_utf8(page)
            .unwrap()
            .split("name=\"nonce\" value=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .to_owned()
    };
    let [first, second] = [running.get(&path(&link())).await, running.get(&path(&link())).await];
    assert_ne!(nonce(first.body), nonce(second.body), "two forms are two");
}

#[tokio::test]
async fn what_cannot_be_done_is_told_and_not_done() {
    let running = running("").await;
    let form = [("content-type", FORM)];
    let works = path(&link());
    let only_note = path(&Link { actions: LinkActions::of(&[LinkAction::Note]), ..link() });
    let earlier = path(&Link { generation: 2, ..link() });
    let large = format!("do=note&text={}", "x".repeat(20_000));
    let long = format!("do=note&text={}", "x".repeat(5000));
    let json = [("content-type", "application/json")];
    for (path, headers, body, status, part) in [
        (&works, &form, "do=note&text=", 422, "write the note first"),
        (&works, &form, "do=close&text=x", 422, "does not say what to do"),
        (&works, &form, "", 422, "does not say what to do"),
        (&works, &form, long.as_str(), 422, "the most is 4096"),
        (&works, &form, large.as_str(), 413, "more than 16384 bytes"),
        (&works, &json, "{}", 415, "the form of this page"),
        (&only_note, &form, "do=resolve", 403, "this link may not do that"),
        (&earlier, &form, "do=acknowledge", 409, "an earlier alert"),
    ] {
        let got = running.ask("POST", path, headers, body.as_bytes()).await;
        let page = String::from_utf8(got.body).unwrap();
        assert!(got.status == status && page.contains(part), "{body:.40}: {} {page}", got.status);
    }
    for (what, path, status) in every_path().into_iter().filter(|(_, _, status)| *status != 200) {
        let got = running.post(&path, FORM, "do=acknowledge").await;
        assert_eq!(got.status, status, "{what}");
    }
    assert!(running.memory.commands.lock().unwrap().is_empty());

    // What was typed is not lost with the refusal.
    let got = running.post(&only_note, FORM, "do=resolve&text=a+%3Clong%3E+story").await;
    assert!(String::from_utf8(got.body).unwrap().contains(">a &lt;long&gt; story</textarea>"));
}

#[tokio::test]
async fn the_page_says_what_became_of_it() {
    let running = running("").await;
    for (verdict, part) in [
        ((AnswerState::Accepted, None), "You acknowledged it."),
        ((AnswerState::Refused, Some("it is <closed>")), "Not done: it is &lt;closed&gt;."),
        ((AnswerState::Unknown, None), "http-equiv=\"refresh\""),
    ] {
        *running.memory.verdict.lock().unwrap() = Some((verdict.0, verdict.1.map(str::to_owned)));
        let got = running.post(&path(&link()), FORM, "do=acknowledge&nonce=1").await;
        assert_eq!(got.status, 303);
        let page = running.get(&format!("{}{}", path(&link()), got.headers["location"])).await;
        let page = String::from_utf8(page.body).unwrap();
        assert!(page.contains(part), "{part}: {page}");
    }
}

/// A browser that is told to name no referrer calls its own page's form foreign (`Origin: null`), and a proxy has another name.
#[tokio::test]
async fn the_token_is_what_lets_people_in() {
    let (config, _) = tokens(&[("someone", Some(Role::Viewer), false)]);
    for config in ["", config.as_str()] {
        let running = running(config).await;
        for (origin, site) in
            [("null", "same-origin"), ("https://tocsin.example.com", "same-origin"), ("null", "cross-site")]
        {
            let headers = [
                ("content-type", FORM),
                ("host", "tocsin.example.com"),
                ("origin", origin),
                ("sec-fetch-site", site),
            ];
            let got = running.ask("POST", &path(&link()), &headers, b"do=acknowledge").await;
            assert_eq!(got.status, 303, "{origin} {site}");
            let others = running.ask("POST", &format!("/v1/incidents/{ID}/ack"), &headers, b"").await;
            assert!(matches!(others.status, 401 | 403), "anything else is refused as before");
        }
    }
}

#[tokio::test]
async fn guesses_use_up_their_own_rate_alone() {
    let running = running("").await;
    let (mut statuses, mut refused) = (BTreeSet::new(), None);
    for _ in 0..400 {
        let got = running.get("/i/guess").await;
        statuses.insert(got.status);
        if got.status == 429 {
            refused = Some(got);
            break;
        }
    }
    assert_eq!(statuses, BTreeSet::from([404, 429]));
    assert_eq!(refused.expect("one of them").headers["retry-after"], "1");
    assert_eq!(running.get(&path(&link())).await.status, 200, "a link works meanwhile");

    let running = self::running("requests_per_s = 1").await;
    assert_eq!(running.get(&path(&link())).await.status, 200);
    assert_eq!(running.get(&path(&link())).await.status, 429, "links have the rate of all requests");
}

#[tokio::test]
async fn without_keys_there_are_no_links() {
    let running = Running::untrusting().await;
    let got = running.get(&path(&link())).await;
    assert_eq!((got.status, got.body), (404, self::running("").await.get("/i/x").await.body));
}

#[tokio::test]
async fn what_cannot_be_shown_now_can_be_asked_for_again() {
    let running = running("").await;
    for (id, status, part) in [("later", 503, "catching up"), ("broken", 500, "a mistake")] {
        let got = running.get(&path(&Link { incident_id: IncidentId::new(id), ..link() })).await;
        let page = String::from_utf8(got.body).unwrap();
        assert!(
            got.status == status && page.contains(part) && !page.contains("inner secret"),
            "{id}: {page}"
        );
    }
}

#[tokio::test]
async fn an_incident_of_another_process_can_be_taken_here() {
    let running = running("").await;
    for id in ["elsewhere", "theirs"] {
        let link = Link { incident_id: IncidentId::new(id), ..link() };
        let got = running.get(&path(&link)).await;
        assert_eq!((got.status, got.headers["retry-after"].as_str()), (503, "2"), "{id}");
        let page = String::from_utf8(got.body).unwrap();
        assert!(
            page.contains("This process does not show the incident")
                && page.contains("http-equiv=\"refresh\"")
        );
        assert!(page.contains("value=\"acknowledge\"") && !page.contains("is over"), "{page}");

        let got = running.post(&path(&link), FORM, "do=acknowledge&nonce=1").await;
        assert_eq!(got.status, 303, "{got:?}");
        let (command, generation) = running.memory.handed_on.lock().unwrap().pop().expect("durable by now");
        assert_eq!((command.incident.as_str(), command.principal.name.as_str(), generation), (id, "ada", 3));
        assert_eq!(command.action, Action::Acknowledge { for_s: None, note: None });
        let there = format!("{}{}", path(&link), got.headers["location"]);
        let page = String::from_utf8(running.get(&there).await.body).unwrap();
        assert!(page.contains("Kept, and handed on") && !page.contains("<form"), "{page}");

        // As with an incident that is shown: a link does what it may, of the alert that it is of.
        let may_not = Link { actions: LinkActions::of(&[LinkAction::Note]), ..link.clone() };
        let earlier = Link { generation: 2, ..link.clone() };
        for (link, form, status, part) in [
            (&may_not, "do=acknowledge", 403, "may not do that"),
            (&earlier, "do=acknowledge", 409, "an earlier alert"),
            (&link, "do=note", 422, "note"),
        ] {
            let got = running.post(&path(link), FORM, form).await;
            let page = String::from_utf8(got.body).unwrap();
            assert!(got.status == status && page.contains(part), "{form}: {} {page}", got.status);
        }
        let page = String::from_utf8(running.get(&path(&may_not)).await.body).unwrap();
        assert!(!page.contains("<form"), "it offers what it may");
    }
    assert!(running.memory.commands.lock().unwrap().is_empty());
    assert!(running.memory.handed_on.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_the_same_message_told_of_is_a_link_away() {
    let running = running("").await;
    let page = |fold: &str, person: &str| {
        json!({
            "kind": "trigger", "receiver": "pager", "target": "x", "person": person, "fold": fold,
            "decided_at": NOW, "state": {"is": "folded"},
        })
    };
    let others = [("another", "f1"), ("a-third", "f2")];
    for (id, fold) in others {
        let mut other = view();
        other["incident"]["incident_id"] = id.into();
        other["incident"]["title"] = format!("{id} is slow").into();
        other["pages"] = json!([page(fold, "ada")]);
        running.memory.views.lock().unwrap().insert(id.into(), other);
    }
    let mut this = view();
    this["pages"] = json!([page("f1", "ada"), page("f2", "grace")]);
    running.memory.views.lock().unwrap().insert(ID.into(), this);

    let text = String::from_utf8(running.get(&path(&link())).await.body).unwrap();
    assert!(text.contains("In the same message") && text.contains("another is slow"), "{text}");
    assert!(!text.contains("a-third is slow"), "that message was to somebody else");
    let href = text.split("<a href=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a link");
    let there = String::from_utf8(running.get(&format!("/i/{href}")).await.body).unwrap();
    assert!(there.contains("<h1>another is slow"), "{there}");
    // It is for the same person, for as long.
    let keys = LinkKeys::read(LINK_KEY).unwrap();
    let of_it = keys.verify(href, NOW.parse().unwrap()).unwrap();
    assert_eq!(of_it, Link { incident_id: IncidentId::new("another"), ..link() });
}
