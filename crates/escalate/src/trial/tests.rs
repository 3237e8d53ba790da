use std::sync::Arc;

use super::*;
use crate::config::Bundle;

const BUNDLE: &str = r#"
    namespace = "default"
    [[route]]
    severity = ["sev3", "sev4"]
    policy = "tickets"
    [[route]]
    policy = "page"
    [policy.page]
    steps = [
      { targets = ["schedule:risk"], delay_s = 300 },
      { targets = ["pager/lead"], delay_s = 300 },
    ]
    repeat = 2
    fallback = "phone/desk"
    [policy.tickets]
    until_owned = false
    steps = [{ targets = ["board/ml"], delay_s = 86400 }]
    [people]
    zone = "Europe/Berlin"
    person.ada.contact.page = ["pager/ada", "phone/ada"]
    person.bo.contact.page = ["pager/bo"]
    [schedules.schedule.risk]
    layer = [{ people = ["ada", "bo"], turn = "1 week", handover = "2026-03-02 09:00" }]
"#;

fn policy() -> Arc<Policy> {
    let bundle: Bundle = toml::from_str(BUNDLE).expect("it is TOML");
    let receivers = ["pager", "phone", "board"].map(String::from).into();
    Arc::new(Policy::new(bundle, &receivers).expect("it is right"))
}

fn verdict(text: &str) -> Result<Verdict, BadTrial> {
    let file: TrialsConfig = toml::from_str(&format!("[[test]]\nname = \"t\"\n{text}")).expect("it is TOML");
    check(&file.test)?;
    run(&policy(), &file.test[0])
}

#[test]
fn what_is_expected_comes_and_nothing_else() {
    for text in [
        // Ada has two contacts; on the next Monday at nine it is Bo.
        r#"at = "2026-03-07 03:00"
           incident = { severity = "sev2" }
           expect = [{ after_s = 0, to = ["person:ada"] }, { after_s = 300, to = ["pager/lead"] }]"#,
        r#"at = "2026-03-09 08:57"
           incident = { severity = "sev1", owner = "risk" }
           expect = [
             { after_s = 0, to = ["pager/ada", "phone/ada"] },
             { after_s = 300, to = ["pager/lead"] },
             { after_s = 600, to = ["person:bo"] },
           ]"#,
        r#"at = "2026-03-09 08:00"
           zone = "UTC"
           incident = { severity = "sev2" }
           then = [{ after_s = 60, acknowledge = "bo" }]
           until_s = 3000
           expect = [{ after_s = 0, to = ["person:bo"] }]"#,
        // A ticket that becomes a page pages at once; what is cleared and resolved pages no more.
        r#"at = "2026-03-07 03:00"
           incident = { severity = "sev3" }
           then = [{ after_s = 100, severity = "sev1" }, { after_s = 200, cleared = true }, { after_s = 201, resolve = "ada" }]
           until_s = 3000
           expect = [{ after_s = 0, to = ["board/ml"] }, { after_s = 100, to = ["person:ada"] }]"#,
        r#"at = "2026-03-07 03:00"
           incident = { severity = "sev2" }
           then = [{ after_s = 10, assign = "person:bo" }, { after_s = 20, acknowledge = "bo" }, { after_s = 30, note = "bo" }]
           expect = [{ after_s = 0, to = ["person:ada"] }, { after_s = 10, to = ["pager/bo"] }]"#,
    ] {
        let verdict = verdict(text).expect("it is right");
        assert!(verdict.passed(), "{verdict:#?}");
    }
}

#[test]
fn what_differs_is_told() {
    let verdict = verdict(
        r#"at = "2026-03-07 03:00"
           incident = { severity = "sev2" }
           expect = [{ after_s = 0, to = ["person:bo"] }, { after_s = 299, to = ["pager/lead"] }]
           until_s = 300"#,
    )
    .expect("it is right");
    assert!(!verdict.passed());
    assert_eq!(verdict.missing, [(0, "person:bo".to_owned()), (299, "pager/lead".to_owned())]);
    let ada = |place: &str| (0, format!("person:ada ({place})"));
    assert_eq!(verdict.unexpected, [ada("pager/ada"), ada("phone/ada"), (300, "pager/lead".to_owned())]);
    assert_eq!(verdict.came, verdict.unexpected);
}

#[test]
fn a_broken_receiver_is_gone_around_and_told_of() {
    let verdict = verdict(
        r#"at = "2026-03-09 12:00"
           incident = { severity = "sev2" }
           then = [{ after_s = 0, breaks = "pager" }]
           expect = [{ after_s = 0, to = ["pager/bo"] }, { after_s = 300, to = ["pager/lead", "phone/desk"] }]"#,
    )
    .expect("it is right");
    assert_eq!(verdict.missing, []);
    assert!(
        verdict.unexpected.iter().all(|(at, who)| *at == 300 && who.contains("about tocsin: receiver pager")),
        "{verdict:#?}"
    );
}

#[test]
fn what_is_wrong_with_a_test_is_named() {
    let right = "at = \"2026-03-07 03:00\"\nincident = { severity = \"sev2\" }\n";
    for (text, want) in [
        (right.replace("03:00", "3am"), "at: \"2026-03-07 3am\" is not a time such as"),
        (format!("{right}zone = \"Berlin\""), "zone: there is no time zone \"Berlin\""),
        (format!("{right}then = [{{ after_s = 1 }}]"), "then: one thing each"),
        (
            format!("{right}then = [{{ after_s = 1, cleared = true, note = \"ada\" }}]"),
            "then: one thing each",
        ),
        (
            format!("{right}then = [{{ after_s = 1, acknowledge = \"eve\" }}]"),
            "then: there is no person \"eve\"",
        ),
        (
            format!("{right}expect = [{{ after_s = 0, to = [\"person:eve\"] }}]"),
            "expect: \"person:eve\" is neither",
        ),
        (format!("{right}expect = [{{ after_s = 0, to = [\"ada\"] }}]"), "expect: \"ada\" is neither"),
        (format!("{right}until_s = 9999999"), "until_s: 9999999 s, and the most is"),
    ] {
        assert!(verdict(&text).expect_err("refused").to_string().starts_with(want), "{want}");
    }
    let twice = toml::from_str::<TrialsConfig>(&format!(
        "[[test]]\nname = \"a\"\n{right}[[test]]\nname = \"a\"\n{right}"
    ));
    let why = check(&twice.expect("it is TOML").test).expect_err("refused").to_string();
    assert_eq!(why, "name: \"a\" is the name of another test");
}
