//! A silence mutes what its preview listed, or is not made and says what else it would mute. What opens later has the places
//! that are left; the next one pages, and says that the silence is full.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tocsin_tests::home;
use tocsin_tests::home::Home;
use tocsin_tests::pager::Pager;
use tocsin_tests::process::Process;
use tocsin_tests::web::Answer;
use tocsin_tests::{scrape, wait, web};
use wire::page::Page;

/// Whoever nobody answers is called again after so many seconds.
const AGAIN_S: u64 = 1;
/// Places in the silence: one more than what its preview lists.
const MOST: usize = 3;

fn post(process: &Process, path: &str, body: &Value) -> Answer {
    let url = format!("{}{path}", process.address);
    web::post(&url, "application/json", body.to_string().as_bytes()).unwrap()
}

/// Raises an incident of a model and waits until an incident of it is known.
fn raise(home: &Home, process: &Process, model: &str) -> String {
    let subject = json!({"kind": "model", "name": model});
    let raised = json!({"title": format!("{model} is slow"), "severity": "sev2", "subject": subject});
    let id = post(process, "/v1/incidents", &raised).ok()["incident_id"].as_str().unwrap().to_owned();
    wait::until("it is known", || home.run(&["show", &id]).status.success().then_some(()));
    id
}

fn of() -> Value {
    json!({"model": ["fraud-*"]})
}

/// What a silence would have to list now.
fn listed(process: &Process) -> Vec<Value> {
    let seen = post(process, "/v1/silences/preview", &json!({"of": of()})).ok();
    assert_eq!(seen["total"].as_u64().unwrap(), seen["incidents"].as_array().unwrap().len() as u64);
    let one = |i: &Value| json!({"incident_id": i["incident_id"], "generation": i["generation"]});
    seen["incidents"].as_array().unwrap().iter().map(one).collect()
}

fn make(process: &Process, listed: &[Value]) -> Answer {
    let asked = json!({
        "of": of(), "for_s": 3600, "listed": listed, "incidents_max": MOST, "reason": "rolling out",
    });
    post(process, "/v1/silences", &asked)
}

fn ids(listed: &[Value]) -> BTreeSet<&str> {
    listed.iter().map(|one| one["incident_id"].as_str().unwrap()).collect()
}

/// Pages that called somebody about an incident, in order.
fn calls(pager: &Pager, id: &str) -> Vec<Page> {
    pager.triggers().into_iter().filter(|page| page.incident.incident_id.as_str() == id).collect()
}

/// Waits until somebody was called about each of these once more than before.
fn all_page(pager: &Pager, those: &[&String]) {
    let before: BTreeMap<_, _> = those.iter().map(|id| (id, calls(pager, id).len())).collect();
    wait::until("all of these page", || {
        before.iter().all(|(id, n)| calls(pager, id).len() > *n).then_some(())
    });
}

/// What mutes the open incidents that anything mutes.
fn muted(home: &Home) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let all = home.json(&["incidents"]).into_iter();
    all.filter_map(|i| Some((text(&i["incident"]["incident_id"])?, text(&i["muted_by"])?))).collect()
}

#[test]
fn a_silence_mutes_what_its_preview_listed_or_is_refused_with_what_is_new() {
    let (home, pager) = (home!("preview"), Pager::start());
    home.hook(&pager);
    home.configure(&format!(
        "[escalate]\nfold_s = 0\n[policy.default]\nsteps = [{{ targets = [\"hook/on-call\"], delay_s = {AGAIN_S} }}]"
    ));
    let process = Process::start(&home, &[]);
    let (first, other) = (raise(&home, &process, "fraud-1"), raise(&home, &process, "churn"));
    let old = listed(&process);
    assert_eq!(ids(&old), BTreeSet::from([first.as_str()]));

    // Something else matches by the time that somebody agrees.
    let second = raise(&home, &process, "fraud-2");
    let refused = make(&process, &old);
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert_eq!(refused.json()["type"], "urn:tocsin:not-as-listed");
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    let says = format!("it would mute 2 incidents now: [{second}] were not listed, [] were and are over");
    assert!(detail.starts_with(&says), "{detail}");
    assert!(muted(&home).is_empty() && process.json("/v1/silences") == json!([]));
    scrape::until(&process, "tocsin_silences", &[], 0.0);
    all_page(&pager, &[&first, &second, &other]);

    // What was listed and is over is no less a change.
    let both = listed(&process);
    assert_eq!(ids(&both), BTreeSet::from([first.as_str(), second.as_str()]));
    let gone = raise(&home, &process, "fraud-gone");
    let three = listed(&process);
    assert_eq!(ids(&three).len(), 3);
    home.ok(&["resolve", &gone]);
    wait::until("it is over", || (listed(&process).len() == 2).then_some(()));
    let refused = make(&process, &three);
    let says = format!("it would mute 2 incidents now: [] were not listed, [{gone}] were and are over");
    assert!(refused.status == 409 && refused.text.contains(&says), "{}", refused.text);
    assert!(muted(&home).is_empty() && process.json("/v1/silences") == json!([]));

    let made = make(&process, &both);
    assert_eq!(made.status, 202, "{}", made.text);
    let silence = made.json()["silence_id"].as_str().unwrap().to_owned();
    let by = |those: &[&String]| -> BTreeMap<String, String> {
        those.iter().map(|id| ((*id).clone(), format!("silence {silence}"))).collect()
    };
    let exactly = |those: &[&String]| {
        wait::until("the silence mutes these", || (muted(&home) == by(those)).then_some(()));
        let told = process.json("/v1/silences");
        let has: BTreeSet<&str> =
            told[0]["muted"].as_array().unwrap().iter().flat_map(Value::as_str).collect();
        assert_eq!(has, those.iter().map(|id| id.as_str()).collect(), "{told:#}");
        scrape::until(&process, "tocsin_silences", &[], 1.0);
        scrape::until(&process, "tocsin_incidents_muted", &[], u32::try_from(those.len()).unwrap().into());
    };
    exactly(&[&first, &second]);
    let silent = |those: &[&String]| those.iter().map(|id| calls(&pager, id).len()).collect::<Vec<_>>();
    // What was on its way as it was made has come once the other has paged again.
    all_page(&pager, &[&other]);
    let before = silent(&[&first, &second]);
    let third = raise(&home, &process, "fraud-3");
    exactly(&[&first, &second, &third]);

    // It is full: the next one pages, and says so.
    let fourth = raise(&home, &process, "fraud-4");
    let called = wait::until("the next one pages", || calls(&pager, &fourth).into_iter().next());
    let notice = format!("silence {silence} matches it, and has its {MOST} incidents");
    assert_eq!(called.notice.as_deref(), Some(notice.as_str()));
    all_page(&pager, &[&fourth, &other]);
    exactly(&[&first, &second, &third]);
    wait::stays("nobody is paged about these", Duration::from_secs(3 * AGAIN_S), || {
        silent(&[&first, &second]) == before && calls(&pager, &third).is_empty()
    });
    pager.assert_none_doubled();
    let (ended, said) = process.terminate();
    assert!(ended.success(), "{ended}: {said}");
}
