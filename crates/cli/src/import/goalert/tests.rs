//! What people are told by and how late, what services take, and an answer that says less.

use super::*;

const ANSWER: &str = include_str!("../fixtures/goalert/answer.json");

fn left_of(answer: &Value) -> Vec<String> {
    let export = Export { name: "x.json".into(), text: answer.to_string() };
    let moved = read(&[export], "2026-03-01T00:00:00Z".parse().expect("an instant")).expect("an import");
    moved.left.into_iter().map(|left| format!("{} {}", left.what, left.why)).collect()
}

#[test]
fn an_answer_to_an_older_query_is_read_and_says_what_it_lacks() {
    let mut older: Value = serde_json::from_str(ANSWER).expect("JSON");
    let now = left_of(&older);
    for (list, fields) in [
        ("users", ["notificationRules"].as_slice()),
        ("services", ["integrationKeys", "heartbeatMonitors"].as_slice()),
    ] {
        let nodes = older.pointer_mut(&format!("/data/{list}/nodes")).and_then(Value::as_array_mut);
        for node in nodes.expect("a list") {
            let node = node.as_object_mut().expect("an object");
            fields.iter().for_each(|field| drop(node.remove(*field).expect("it is asked for")));
        }
    }
    let then = left_of(&older);
    let of_both = |all: &[String]| {
        let said =
            ["in an order there", "no rule there", "integration keys", "heartbeat", "notification rules"];
        all.iter().filter(|left| said.iter().any(|words| left.contains(words))).cloned().collect::<Vec<_>>()
    };
    let rest = |all: Vec<String>| {
        let said = of_both(&all);
        all.into_iter().filter(|left| !said.contains(left)).collect::<Vec<_>>()
    };
    assert_eq!(
        of_both(&then),
        [
            "users came without their notification rules, which say how late each is told by what",
            "services came without their integration keys or heartbeat monitors, by which alerts come to them",
        ]
    );
    assert_eq!(rest(now), rest(then), "all else is as it was");
}

fn user(methods: &str, rules: &str) -> Vec<String> {
    let text = format!(
        r#"{{"users": {{"nodes": [{{"id": "u", "name": "Ada", "email": "ada@example.org",
            "contactMethods": [{methods}], "notificationRules": [{rules}]}}]}}}}"#
    );
    left_of(&serde_json::from_str(&text).expect("JSON"))
}

#[test]
fn delays_of_rules_are_said() {
    const MAIL: &str = r#"{"id": "m", "type": "EMAIL", "value": "a@example.org"}"#;
    const SLACK: &str = r#"{"id": "s", "type": "SLACK_DM", "value": "U0ADA"}"#;
    const OFF: &str = r#"{"id": "o", "type": "EMAIL", "value": "o@example.org", "disabled": true}"#;
    let rule = |id: &str, minutes: u32| {
        format!(r#"{{"delayMinutes": {minutes}, "contactMethod": {{"id": "{id}"}}}}"#)
    };
    let both = format!("{MAIL}, {SLACK}");
    assert_eq!(user(&both, &[rule("m", 0), rule("s", 0)].join(",")), [""; 0]);
    assert_eq!(
        user(&both, &[rule("m", 10), rule("s", 0), rule("s", 5)].join(",")),
        ["person ada is told in an order there: slack at once, slack after 300 s, email after 600 s; \
             here by all of contact.page at once"]
    );
    assert_eq!(
        user(&both, &rule("s", 0)),
        ["person ada has no rule there that tells them by email; here it is in contact.page"]
    );
    assert_eq!(user(&format!("{SLACK}, {OFF}"), &[rule("s", 0), rule("o", 5)].join(",")), [""; 0]);
    assert_eq!(user("", r#"{"delayMinutes": 5, "contactMethod": null}"#), [""; 0]);
}
