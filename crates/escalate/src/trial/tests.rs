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
    [[silences.maintenance]]
    name = "retraining"
    incidents = { owner = ["search"] }
    hours = "03:00-04:00"
    [[silences.inhibit]]
    name = "the feature store"
    upstream = { subject = ["dependency:feature-store"] }
    covers = { family = ["latency"] }
    lineage = true
    for_s = 7200
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

fn policy() -> Policy {
    policy_of(toml::from_str(BUNDLE).expect("it is TOML"))
}

fn policy_of(bundle: Bundle) -> Policy {
    let receivers = ["pager", "phone", "board"].map(String::from).into();
    Policy::new(bundle, &receivers).expect("it is right")
}

fn verdict_under(policy: Policy, text: &str) -> Result<Verdict, BadTrial> {
    let file: TrialsConfig = toml::from_str(&format!("[[test]]\nname = \"t\"\n{text}")).expect("it is TOML");
    check(&file.test)?;
    run(&Arc::new(policy), &file.test[0])
}

fn verdict(text: &str) -> Result<Verdict, BadTrial> {
    verdict_under(policy(), text)
}

/// Missing and unexpected, a line each, with their seconds.
fn differs(text: &str) -> Vec<String> {
    let Verdict { missing, unexpected, .. } = verdict(text).expect("it is right");
    let missing = missing.into_iter().map(|(at, who)| format!("missing {at}: {who}"));
    missing.chain(unexpected.into_iter().map(|(at, who)| format!("unexpected {at}: {who}"))).collect()
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
        // Of what is to come at one time any order is right, of targets as well as of lines.
        r#"at = "2026-03-07 03:00"
           incident = { severity = "sev2" }
           expect = [
             { after_s = 300, to = ["pager/lead"] },
             { after_s = 0, to = ["phone/ada"] },
             { after_s = 0, to = ["pager/ada"] },
           ]"#,
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
        (
            format!("{right}until_s = 5\nthen = [{{ after_s = 6, note = \"ada\" }}]"),
            "then: after_s = 6 is beyond until_s = 5",
        ),
    ] {
        assert!(verdict(&text).expect_err("refused").to_string().starts_with(want), "{want}");
    }
    let twice = toml::from_str::<TrialsConfig>(&format!(
        "[[test]]\nname = \"a\"\n{right}[[test]]\nname = \"a\"\n{right}"
    ));
    let why = check(&twice.expect("it is TOML").test).expect_err("refused").to_string();
    assert_eq!(why, "name: \"a\" is the name of another test");
}

/// Who is only told is looked at where a test names them, if it names nobody too.
#[test]
fn a_test_that_tells_nobody_says_so() {
    let bundle = BUNDLE.to_owned()
        + r#"
        [stakeholders]
        audiences = ["engineer"]
        tell.sev1.engineer = { to = ["board/all"] }
        tell.sev2.engineer = { to = ["board/all"] }
        tell.sev3.engineer = { nobody = "tickets" }
        tell.sev4.engineer = { nobody = "for the record" }
        "#;
    let policy = policy_of(toml::from_str(&bundle).expect("it is TOML"));
    let unexpected = |told: &str| {
        let text = format!(
            "at = \"2026-03-07 03:00\"\nincident = {{ severity = \"sev2\" }}\n\
             expect = [{{ after_s = 0, to = [\"person:ada\"]{told} }}]"
        );
        verdict_under(policy.clone(), &text).expect("it is right").unexpected
    };
    assert_eq!(unexpected(""), []);
    assert_eq!(unexpected(", told = [\"board/all\"]"), []);
    assert_eq!(unexpected(", told = []"), [(0, "board/all (told)".to_owned())]);
}

#[test]
fn each_page_is_one_that_was_expected() {
    let one = r#"at = "2026-03-07 03:00"
        incident = { severity = "sev3" }
        "#;
    let two = r#"at = "2026-03-07 03:00"
        incident = { severity = "sev3" }
        also = [{ severity = "sev3", model = "other" }]
        "#;
    for (text, want) in [
        (format!(r#"{two} expect = [{{ after_s = 0, to = ["board/ml", "board/ml"] }}]"#), vec![]),
        (
            format!(r#"{two} expect = [{{ after_s = 0, to = ["board/ml"] }}]"#),
            vec!["unexpected 0: board/ml, about model:other"],
        ),
        (format!(r#"{one} expect = [{{ after_s = 0, to = ["board/ml"] }}]"#), vec![]),
        (
            format!(r#"{one} expect = [{{ after_s = 0, to = ["board/ml", "board/ml"] }}]"#),
            vec!["missing 0: board/ml"],
        ),
        (
            format!(
                r#"{one} expect = [{{ after_s = 0, to = ["board/ml"] }}, {{ after_s = 0, to = ["board/ml"] }}]"#
            ),
            vec!["missing 0: board/ml"],
        ),
    ] {
        assert_eq!(differs(&text), want, "{text}");
    }
    let ada = r#"at = "2026-03-07 03:00"
        incident = { severity = "sev2" }
        "#;
    // The place takes one of her two pages, and who she is the other.
    for to in [r#"["person:ada", "phone/ada"]"#, r#"["phone/ada", "person:ada"]"#] {
        assert_eq!(differs(&format!("{ada} expect = [{{ after_s = 0, to = {to} }}]")), [""; 0], "{to}");
    }
    let twice = format!(r#"{ada} expect = [{{ after_s = 0, to = ["person:ada", "person:ada"] }}]"#);
    assert_eq!(differs(&twice), ["missing 0: person:ada"]);
}

/// A receiver that takes 19 at once, and the next one a quarter of a second later.
#[test]
fn what_comes_at_other_times_of_a_second_comes_in_order() {
    let mut bundle: Bundle = toml::from_str(BUNDLE).expect("it is TOML");
    let all: Vec<String> = (1..=20).map(|n| format!("board/{n:02}")).collect();
    let tickets = bundle.policy.get_mut("tickets").expect("a policy");
    tickets.steps[0].targets.clone_from(&all);
    let policy = policy_of(bundle).with_rates([("board".to_owned(), 228)].into());
    let verdict = |lines: [&[String]; 2]| {
        let lines = lines.map(|to| format!("{{ after_s = 0, to = {to:?} }}")).join(", ");
        let text =
            format!("at = \"2026-03-07 03:00\"\nincident = {{ severity = \"sev3\" }}\nexpect = [{lines}]");
        verdict_under(policy.clone(), &text).expect("it is right")
    };
    // In which order the places of one step are paged is not said.
    let came: Vec<String> = verdict([&all, &[]]).came.into_iter().map(|(_, whom)| whom).collect();
    let (early, last) = came.split_at(19);
    let right = verdict([early, last]);
    assert!(right.passed(), "{right:?}");
    let reversed = verdict([last, early]);
    assert_eq!(reversed.missing, [(0, last[0].clone())]);
    assert_eq!(reversed.unexpected, reversed.missing);
}

#[test]
fn a_test_looks_beyond_what_it_expects() {
    let within = |s: &str, then: &str| {
        differs(&format!(
            "at = \"2026-03-07 03:00\"\nincident = {{ severity = \"sev2\", owner = \"search\" }}\n{s}\n{then}"
        ))
    };
    // Its maintenance is over at four: somebody who expects that nobody is paged is told.
    let (ada, lead) = ("unexpected 3600: person:ada (pager/ada)", "unexpected 3900: pager/lead");
    let day = within("", "");
    assert_eq!([day[0].as_str(), day[2].as_str()], [ada, lead]);
    assert_eq!(within("until_s = 3599", ""), [""; 0]);
    let expect = r#"expect = [{ after_s = 3600, to = ["person:ada"] }]"#;
    assert_eq!(within(expect, ""), [""; 0]);
    assert_eq!(within(expect, r#"then = [{ after_s = 3839, note = "ada" }]"#), [""; 0]);
    assert_eq!(within(expect, r#"then = [{ after_s = 3840, note = "ada" }]"#), [lead]);
    // Nothing goes on for longer than a test may.
    let text = "incident = { severity = \"sev3\", owner = \"search\" }\nat = \"2026-03-07 03:00\"";
    let late = |s: u32| verdict(&format!("{text}\nthen = [{{ after_s = {s}, note = \"ada\" }}]"));
    assert!(late(UNTIL_S_MAX).is_ok());
    let why = late(UNTIL_S_MAX + 1).expect_err("refused").to_string();
    assert_eq!(why, "until_s: 2678401 s, and the most is 2678400");
}

/// What comes from an incident upstream pages nobody until that is over; what does not come from it pages.
#[test]
fn an_incident_upstream_keeps_from_paging_what_it_covers() {
    let text = r#"
        at = "2026-03-07 03:00"
        incident = { name = "store", severity = "sev2", kind = "dependency", subject = "feature-store" }
        also = [
          { name = "fraud", after_s = 100, severity = "sev2", family = "latency", model = "fraud", upstream = ["dependency:feature-store"] },
          { name = "ranker", after_s = 200, severity = "sev2", family = "latency", model = "ranker", upstream = ["dataset:clicks"] },
        ]
        then = [
          { after_s = 10, acknowledge = "ada" },
          { after_s = 11, note = "ada" },
          { after_s = 210, of = "ranker", acknowledge = "ada" },
          { after_s = 211, of = "ranker", note = "ada" },
          { after_s = 1000, cleared = true },
        ]
        expect = [
          { after_s = 0, to = ["person:ada"], of = "store" },
          { after_s = 200, to = ["person:ada"], of = "ranker" },
          { after_s = 1000, to = ["person:ada"], of = "fraud" },
        ]
        "#;
    assert_eq!(differs(text), [""; 0]);
    let uncovered = text.replace("dependency:feature-store\"]", "dependency:gateway\"]");
    let want = [
        "missing 1000: person:ada, about fraud",
        "unexpected 100: person:ada (pager/ada), about fraud",
        "unexpected 100: person:ada (phone/ada), about fraud",
        "unexpected 400: pager/lead, about fraud",
        "unexpected 700: person:ada (pager/ada), about fraud",
        "unexpected 700: person:ada (phone/ada), about fraud",
    ];
    assert_eq!(differs(&uncovered)[..want.len()], want);
}

#[test]
fn incidents_that_come_together_are_one_page_to_a_person() {
    let text = r#"
        at = "2026-03-07 03:00"
        incident = { name = "first", severity = "sev2", model = "a" }
        also = [
          { name = "second", after_s = 10, severity = "sev2", model = "b" },
          { name = "third", after_s = 20, severity = "sev2", model = "c" },
          { name = "worse", after_s = 30, severity = "sev1", model = "d" },
        ]
        until_s = 200
        expect = [
          { after_s = 0, to = ["person:ada"], of = "first", with = [] },
          { after_s = 30, to = ["person:ada"], of = "worse", with = [] },
          { after_s = 60, to = ["person:ada"], of = "second", with = ["third"] },
        ]
        "#;
    assert_eq!(differs(text), [""; 0]);
    let apart = text.replace("with = [\"third\"]", "with = [\"third\", \"worse\"]");
    assert_eq!(
        differs(&apart),
        [
            "missing 60: person:ada, about second, with third, worse",
            "unexpected 60: person:ada (pager/ada), about second, with third",
            "unexpected 60: person:ada (phone/ada), about second, with third",
        ]
    );
    // What says less leaves the page about the second one to whoever wants that.
    let any = text.replace("of = \"second\", with = [\"third\"]", "").replace(
        "{ after_s = 0, to = [\"person:ada\"], of = \"first\", with = [] }",
        "{ after_s = 0, to = [\"pager/ada\"] }, { after_s = 0, to = [\"phone/ada\"], of = \"first\" }",
    );
    assert_eq!(differs(&any), [""; 0]);
}

#[test]
fn what_is_wrong_with_the_incidents_of_a_test_is_named() {
    let right = "at = \"2026-03-07 03:00\"\nincident = { name = \"a\", severity = \"sev2\" }\n";
    for (text, want, nth) in [
        ("also = [{ severity = \"sev2\" }]", "also: it is another of the test once more", Some(0)),
        (
            "also = [{ severity = \"sev2\", model = \"b\" }, { name = \"a\", severity = \"sev2\", model = \"c\" }]",
            "also: \"a\" is the name of another incident",
            Some(1),
        ),
        (
            "also = [{ severity = \"sev2\", model = \"b\", upstream = [\"store\"] }]",
            "also: upstream: \"store\" is not a subject such as",
            Some(0),
        ),
        (
            "then = [{ after_s = 1, cleared = true }, { after_s = 1, of = \"b\", cleared = true }]",
            "then: there is no incident \"b\" in this test: a",
            Some(1),
        ),
        (
            "also = [{ name = \"b\", after_s = 2, severity = \"sev2\" }]\nthen = [{ after_s = 1, of = \"b\", cleared = true }]",
            "then: its incident opens later",
            Some(0),
        ),
        (
            "then = [{ after_s = 1, of = \"a\", breaks = \"pager\" }]",
            "then: a receiver breaks for all incidents",
            Some(0),
        ),
        ("expect = [{ after_s = 0, of = \"b\" }]", "expect: there is no incident \"b\"", Some(0)),
        ("expect = [{ after_s = 0, with = [\"b\"] }]", "expect: there is no incident \"b\"", Some(0)),
    ] {
        let bad = verdict(&format!("{right}{text}")).expect_err("refused");
        assert!(bad.to_string().starts_with(want) && bad.nth == nth, "{bad}");
    }
    let later = right.replace("severity", "after_s = 1, severity");
    let why = verdict(&later).expect_err("refused").to_string();
    assert_eq!(why, "incident: it opens at `at`: after_s is for those in `also`");
    let unknown = toml::from_str::<TrialsConfig>(&format!(
        "[[test]]\nname = \"t\"\n{right}[[test.also]]\nseverity = \"sev2\"\nafter = 1\n"
    ));
    let why = unknown.expect_err("refused");
    assert!(why.message().starts_with("unknown field `after`") && why.span().is_some(), "{why}");
}
