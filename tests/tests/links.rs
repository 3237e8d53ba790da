//! Links in messages, as a person has them: out of a page's body, into a browser, and nowhere else.

use serde_json::Value;
use tocsin_tests::fed::{Feed, as_it_is, slower};
use tocsin_tests::home;
use tocsin_tests::home::Home;
use tocsin_tests::pager::{Answer, Pager};
use tocsin_tests::process::Process;
use tocsin_tests::{stored, wait, web};
use wire::link::LINK_PATH;

const MINUTE_MS: i64 = 60_000;
const PACE: u32 = 60;
const BASE: &str = "http://127.0.0.1:7311";
const FORM: &str = "application/x-www-form-urlencoded";

/// The token in the link of each page that the pager has.
fn tokens(pager: &Pager) -> Vec<String> {
    let token = |body: &[u8]| {
        let body: Value = serde_json::from_slice(body).expect("a page is JSON");
        let link = body["data"]["link"].as_str().expect("links are on").to_owned();
        link.strip_prefix(BASE)
            .and_then(|path| path.strip_prefix(LINK_PATH))
            .expect("below the public address")
            .to_owned()
    };
    pager.shown().iter().map(|shown| token(&shown.body)).collect()
}

/// What people have made of an incident.
fn state(home: &Home, id: &str) -> Value {
    let shown = home.json(&["show", id]).remove(0);
    ["stage", "owner", "timeline", "acknowledged_until"].into_iter().map(|name| shown[name].clone()).collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story from a page to its end")]
fn who_has_the_link_answers_and_nobody_else_has_it() {
    let pager = Pager::start();
    let home = home!("links");
    home.hook(&pager);
    home.pin_references_of(&["fraud"]);
    home.configure(&format!(
        "[http]\npublic_url = \"{BASE}\"\n
         [policy.default]\nsteps = [{{ targets = [\"hook/ada\"], delay_s = 3600 }}]"
    ));
    assert!(home.ok(&["check"]).contains("tocsin.link.key"));
    let process = Process::start(&home, &["--log", "debug"]);
    let mut feed = Feed::new(&["fraud"], 1.0);
    feed.play(&process, 2 * MINUTE_MS, PACE, as_it_is);
    // Taken without an answer at first, so that it is sent again: the pager sees to it that the bytes are the same.
    pager.answer(Answer::Hang);
    feed.play_until(&process, "a page is tried", (30 * MINUTE_MS, PACE), slower("fraud", 6.0), || {
        (pager.requests() > 0).then_some(())
    });
    pager.answer(Answer::Accept);
    wait::until("a page is taken again", || pager.shown().iter().any(|s| s.times > 1).then_some(()));
    let id = pager.triggers()[0].incident.incident_id.to_string();
    let token = tokens(&pager).remove(0);
    let at = |process: &Process| format!("{}{LINK_PATH}{token}", process.address);

    let before = state(&home, &id);
    for query in ["", "?done=acknowledge&id=abc", "?do=resolve"] {
        let page = web::get(&format!("{}{query}", at(&process))).expect("it answers");
        assert!(
            page.status == 200 && page.text.contains("Nobody has it yet"),
            "{}: {}",
            page.status,
            page.text
        );
        assert_eq!(web::head(&format!("{}{query}", at(&process))).expect("it answers").status, 200);
    }
    assert_eq!(state(&home, &id), before, "looking changes nothing");

    // What was made before is known after.
    process.kill();
    let process = Process::start(&home, &["--log", "debug"]);
    wait::until("the incident is known again", || home.json(&["show", &id]).into_iter().next());
    let form = b"do=acknowledge&text=on+it&nonce=1";
    for _ in 0..2 {
        let answer = web::post(&at(&process), FORM, form).expect("it answers");
        assert_eq!(answer.status, 303, "{}", answer.text);
        let place = answer.location.expect("it says where");
        let page = web::get(&format!("{}{place}", at(&process))).expect("it answers");
        assert!(
            page.text.contains("You acknowledged it.") && page.text.contains("<b>ada</b> has it"),
            "{}",
            page.text
        );
    }
    let taken = &home.json(&["show", &id])[0];
    assert_eq!((&taken["stage"], &taken["owner"]), (&"acknowledged".into(), &"ada".into()));
    let held = |e: &&Value| e["change"] == "acknowledged" && e["why"] == "on it";
    assert_eq!(
        taken["timeline"].as_array().expect("a list").iter().filter(held).count(),
        1,
        "pressed twice, done once"
    );
    let late = web::post(&at(&process), FORM, b"do=resolve&nonce=2").expect("it answers");
    assert_eq!(late.status, 303);
    let refused = web::post(&at(&process), FORM, b"do=acknowledge&nonce=3").expect("it answers");
    let page = web::get(&format!("{}{}", at(&process), refused.location.expect("it says where")))
        .expect("it answers");
    assert!(page.text.contains("Not done: it is resolved already."), "{}", page.text);
    wait::until("the receiver hears of all of it", || (pager.shown().len() >= 3).then_some(()));

    let secrets = secrets(&home, &pager);
    for path in [
        "/metrics",
        "/v1/status",
        "/v1/incidents?state=all",
        "/v1/inbox",
        "/v1/audit",
        &format!("/v1/incidents/{id}"),
    ] {
        let answer = process.get(path).expect("it answers");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        clean(&secrets, path, answer.text.as_bytes());
    }
    let (ended, said) = process.terminate();
    assert!(ended.success(), "{ended}");
    assert!(said.contains("/i/{token}"), "requests are logged by their route");
    clean(&secrets, "the log of the process", said.as_bytes());
    let log = stored::embedded(&home.path("tocsin.log"));
    let mut looked_at = 0;
    for topic in stored::own_topics("default") {
        for record in stored::all(&log, &topic) {
            let headers = record.headers.iter().flat_map(|(n, v)| [n.as_bytes(), v]);
            for part in headers.chain(record.key.as_deref()).chain(record.value.as_deref()) {
                clean(&secrets, &topic, part);
                looked_at += 1;
            }
        }
    }
    assert!(looked_at > 100, "next to nothing was looked at: {looked_at}");
}

/// The key, and of each token what makes it one: its end, which no one without the key can write.
fn secrets(home: &Home, pager: &Pager) -> Vec<String> {
    let key = std::fs::read_to_string(home.path("tocsin.link.key")).expect("it was made");
    let ends = tokens(pager).into_iter().map(|token| token[token.len() - 12..].to_owned());
    ends.chain([key]).collect()
}

fn clean(secrets: &[String], what: &str, bytes: &[u8]) {
    for secret in secrets {
        let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!found, "{what} holds a link or its key: {}", String::from_utf8_lossy(bytes));
    }
}
