//! Who is told beside those who are called: by severity and audience, as late as their cell allows, and as one message.

use std::sync::Arc;

use escalate::Policy;
use wire::Change::{Cleared, Updated};
use wire::Severity::{Sev1, Sev2, Sev3};
use wire::page::Page;
use wire::page::PageKind::{Acknowledge, Resolve, Trigger};

use crate::harness::Script;
use crate::samples::{acknowledge, bundle, command, next, opened, receivers, reopened};

/// 10:00 in UTC on a Monday, when the scripts begin.
pub(crate) const SETTINGS: &str = r##"
    namespace = "default"
    [[route]]
    severity = ["sev3", "sev4"]
    policy = "ticket"
    [[route]]
    policy = "page"
    [policy.page]
    steps = [{ targets = ["person:ada"], delay_s = 86400 }]
    fallback = "board/desk"
    [policy.ticket]
    until_owned = false
    steps = [{ targets = ["board/tickets"], delay_s = 86400, digest = { hours = "12:00-13:00" } }]
    [people.person.ada]
    contact.page = ["pager/ada"]
    [people.person.boss]
    contact.mail = ["phone/boss"]
    [people.role.head]
    people = ["boss"]
    [stakeholders]
    audiences = ["engineer", "business"]
    [stakeholders.tell.sev1]
    engineer = { to = ["board/#ml"] }
    business = { to = ["role:head"], by = "mail" }
    [stakeholders.tell.sev2]
    engineer = { to = ["board/#ml"], digest = { within_s = 300 } }
    business = { to = ["role:head"], by = "mail", digest = { within_s = 3600, hours = "12:00-14:00" } }
    [stakeholders.tell.sev3]
    engineer = { to = ["board/#ml"], digest = { hours = "09:00-17:00", days = ["tue"] } }
    business = { nobody = "tickets are for engineers" }
    [stakeholders.tell.sev4]
    engineer = { nobody = "it is for the record" }
    business = { nobody = "it is for the record" }
"##;

const ADA: &str = "pager/ada";
const ML: &str = "board/#ml";
const BOSS: &str = "phone/boss";
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn to<'a>(script: &'a Script, to: &str) -> &'a Page {
    &script.sent.iter().rfind(|sent| sent.to() == to).expect("it was sent").page
}

#[test]
fn each_audience_is_told_in_its_words_and_is_asked_for_nothing() {
    let script = Script::new(SETTINGS)
        .push(0, &opened("fraud", Sev1))
        .wants(0..=0, Trigger, &[ADA, ML, BOSS])
        .run(10 * HOUR);
    assert_eq!((to(&script, ADA).told.as_deref(), to(&script, ADA).calls()), (None, true));
    let page = to(&script, BOSS);
    assert_eq!(
        (page.told.as_deref(), page.person.as_deref(), page.calls()),
        (Some("business"), Some("boss"), false)
    );
    assert_eq!(page.escalates_at, None);
    let text = page.text.as_ref().expect("in words");
    assert!(text.body.contains("those on call are called; you need do nothing"), "{}", text.body);
    assert!(!text.body.contains("Family:"), "it is in the words of business: {}", text.body);
    assert_eq!((script.audited("page.intended"), script.audited("tell.intended")), (1, 2));
    let why = script.machine().why(&page.incident.incident_id, None).expect("it is known").join("\n");
    assert!(
        why.contains("told beside them, as business: ") && why.contains("phone/boss: was taken"),
        "{why}"
    );
}

#[test]
fn what_may_wait_goes_as_one_message_by_its_greatest_delay_and_in_its_hours() {
    let mut script = Script::new(SETTINGS);
    for n in 0..5 {
        script = script.push(n * MINUTE, &opened(&format!("model-{n}"), Sev2));
    }
    let script = script
        .want(0..=0, Trigger, ADA)
        .want(MINUTE..=MINUTE, Trigger, ADA)
        .want(2 * MINUTE..=2 * MINUTE, Trigger, ADA)
        .want(3 * MINUTE..=3 * MINUTE, Trigger, ADA)
        .want(4 * MINUTE..=4 * MINUTE, Trigger, ADA)
        .want(5 * MINUTE..=5 * MINUTE, Trigger, ML)
        .want(2 * HOUR..=2 * HOUR, Trigger, BOSS)
        .run(10 * HOUR);
    for place in [ML, BOSS] {
        assert_eq!(to(&script, place).folded.as_ref().map(|f| f.others), Some(4), "{place}");
    }
}

#[test]
fn who_has_it_is_told_too_and_what_is_over_is_not() {
    let [fraud, rank] = ["fraud", "rank"].map(|model| opened(model, Sev2));
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .push(1_000, &rank)
        .want(0..=0, Trigger, ADA)
        .ask(10_000, command("c1", &fraud.incident_id, "ada", acknowledge(None)))
        .want(10_000..=10_000, Acknowledge, ADA)
        .push(20_000, &next(&rank, Cleared, Sev2))
        // Somebody has it, which its messages say as they leave.
        .want(5 * MINUTE..=5 * MINUTE, Trigger, ML)
        // Nobody is done by the time that the acknowledgement ends.
        .want(HOUR + 10_000..=HOUR + 10_000, Trigger, ADA)
        .want(2 * HOUR..=2 * HOUR, Trigger, BOSS)
        .run(3 * HOUR);
    for place in [ML, BOSS] {
        let page = to(&script, place);
        assert_eq!((&page.incident.incident_id, page.folded.as_ref()), (&fraud.incident_id, None));
    }
}

#[test]
fn what_becomes_worse_is_told_at_once_in_place_of_what_waits() {
    let fraud = opened("fraud", Sev2);
    let worse = next(&fraud, Updated, Sev1);
    Script::new(SETTINGS)
        .push(0, &fraud)
        .want(0..=0, Trigger, ADA)
        .push(MINUTE, &worse)
        .want(MINUTE..=MINUTE, wire::page::PageKind::Update, ADA)
        .wants(MINUTE..=MINUTE, Trigger, &[ML, BOSS])
        // Better is no news to them, and back again neither.
        .push(2 * MINUTE, &next(&next(&fraud, Updated, Sev1), Updated, Sev2))
        .want(2 * MINUTE..=2 * MINUTE, wire::page::PageKind::Update, ADA)
        .run(10 * HOUR);
}

#[test]
fn the_end_is_told_to_whom_it_was_told() {
    let fraud = opened("fraud", Sev1);
    let over = next(&fraud, Cleared, Sev1);
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &[ADA, ML, BOSS])
        .push(10_000, &over)
        .wants(10_000..=10_000, Resolve, &[ADA, ML, BOSS])
        .push(HOUR, &reopened(&over, Sev1))
        .wants(HOUR..=HOUR, Trigger, &[ADA, ML, BOSS])
        .run(2 * HOUR);
    // It is in the words of its audience, and asks for nothing either.
    let ends: Vec<_> = script
        .sent
        .iter()
        .filter(|sent| sent.page.kind == Resolve)
        .map(|sent| sent.page.told.clone())
        .collect();
    assert_eq!(ends.iter().flatten().collect::<Vec<_>>(), ["engineer", "business"]);
}

#[test]
fn a_ticket_waits_for_its_hours_and_calls_at_once_when_it_becomes_a_page() {
    let [fraud, rank] = ["fraud", "rank"].map(|model| opened(model, Sev3));
    let tuesday = 23 * HOUR;
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .push(HOUR, &rank)
        .push(90 * MINUTE, &next(&fraud, Updated, Sev1))
        .wants(90 * MINUTE..=90 * MINUTE, Trigger, &[ADA, ML, BOSS, "board/tickets"])
        .want(2 * HOUR..=2 * HOUR, Trigger, "board/tickets")
        .want(tuesday..=tuesday, Trigger, ML)
        .run(tuesday + HOUR);
    assert_eq!(to(&script, ML).incident.incident_id, rank.incident_id);
}

#[test]
fn an_exercise_is_told_to_nobody() {
    let mut drill = opened("fraud", Sev1);
    drill.drill = true;
    Script::new(SETTINGS).push(0, &drill).want(0..=0, Trigger, ADA).run(HOUR);
}

#[test]
fn who_is_called_is_not_told_too_and_a_call_is_not_held_up_by_what_is_told() {
    let settings = SETTINGS.replace(
        r#"business = { to = ["role:head"], by = "mail" }"#,
        r#"business = { to = ["person:ada"] }"#,
    );
    // Told for the first, and called for the second: both are the same place.
    let settings = settings.replace(
        "[policy.page]",
        "[policy.other]\nsteps = [{ targets = [\"board/x\"], delay_s = 86400 }]\n[policy.page]",
    );
    let settings =
        settings.replacen("[[route]]", "[[route]]\nmodel = [\"other\"]\npolicy = \"other\"\n[[route]]", 1);
    Script::new(&settings)
        .push(0, &opened("other", Sev1))
        .wants(0..=0, Trigger, &["board/x", ADA, ML])
        .push(1_000, &opened("fraud", Sev1))
        .wants(1_000..=1_000, Trigger, &[ADA])
        .want(1_000..=1_000, Trigger, ML)
        .run(HOUR);
}

#[test]
fn whoever_takes_over_tells_what_waits() {
    let script = Script::new(SETTINGS)
        .push(0, &opened("fraud", Sev2))
        .push(1_000, &opened("rank", Sev2))
        .want(0..=0, Trigger, ADA)
        .want(MINUTE..=MINUTE, Trigger, ADA)
        .crash(2 * MINUTE, 1_000)
        .want(5 * MINUTE..=5 * MINUTE, Trigger, ML)
        .want(2 * HOUR..=2 * HOUR, Trigger, BOSS)
        .run(3 * HOUR);
    assert_eq!(to(&script, ML).folded.as_ref().map(|f| f.others), Some(1));
}

#[test]
fn an_empty_cell_is_named() {
    let wrong = |from: &str, to: &str| {
        assert!(SETTINGS.contains(from), "{from}");
        Policy::new(bundle(&SETTINGS.replace(from, to)), &receivers())
            .map(Arc::new)
            .expect_err("it is refused")
            .to_string()
    };
    for (from, to, want) in [
        (
            "    business = { nobody = \"tickets are for engineers\" }\n",
            "",
            "stakeholders.tell.sev3: nothing says what business is told of a sev3: write `[tell.sev3]` with `business = { to = \
             [\"receiver/target\"] }`, or `{ nobody = \"why\" }`",
        ),
        (
            "nobody = \"tickets are for engineers\"",
            "nobody = \" \"",
            "stakeholders.tell.sev3.business.nobody: bytes = 0 is not between 1 and 500",
        ),
        (
            "nobody = \"tickets are for engineers\"",
            "by = \"mail\"",
            "stakeholders.tell.sev3.business.to: to = 0 is not between 1 and 20",
        ),
        (
            "nobody = \"tickets are for engineers\"",
            "nobody = \"x\", to = [\"board/x\"]",
            "stakeholders.tell.sev3.business: it is nobody (x), and somebody: leave one out",
        ),
        (
            "business = { to = [\"role:head\"], by = \"mail\" }",
            "business = { to = [\"role:head\"] }",
            "stakeholders.tell.sev1.business.to[0]: role:head has no contact of the class page, so nobody would be told",
        ),
        (
            "audiences = [\"engineer\", \"business\"]",
            "audiences = [\"engineer\", \"business\", \"engineer\"]",
            "stakeholders.audiences[2]: \"engineer\" stands twice here; name it once",
        ),
        (
            "engineer = { to = [\"board/#ml\"] }",
            "engineer = { to = [\"board/#ml\"] }\n    press = { to = [\"board/x\"] }",
            "stakeholders.tell.sev1.press: \"press\" is none of `audiences`",
        ),
        (
            "within_s = 3600",
            "within_s = 86401",
            "stakeholders.tell.sev2.business.digest.within_s: seconds = 86401 is not between 0 and 86400",
        ),
        (
            "    until_owned = false\n",
            "",
            "policy.ticket.steps[0].digest: its pages would wait while nobody owns the incident; a digest is for tickets, whose policy says `until_owned = false`",
        ),
    ] {
        let got = wrong(from, to);
        assert!(got.lines().any(|line| line == want), "{got}\n  instead of\n{want}");
    }
    let whole = wrong(
        "    [stakeholders.tell.sev4]\n    engineer = { nobody = \"it is for the record\" }\n    business = { nobody = \"it is for the record\" }\n",
        "",
    );
    assert_eq!(
        whole.lines().filter(|line| line.starts_with("stakeholders: nothing says what ")).count(),
        2,
        "{whole}"
    );
    let unknown = wrong("audiences = [\"engineer\", \"business\"]", "audiences = [\"press\"]");
    assert!(unknown.contains("is none of `audiences`"), "{unknown}");
}

#[test]
fn what_comes_back_is_told_again() {
    let fraud = opened("fraud", Sev1);
    let over = next(&fraud, Cleared, Sev1);
    Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &[ADA, ML, BOSS])
        .push(10_000, &over)
        .wants(10_000..=10_000, Resolve, &[ADA, ML, BOSS])
        .push(200_000, &next(&over, Updated, Sev1))
        .wants(200_000..=200_000, Trigger, &[ADA, ML, BOSS])
        .run(HOUR);
}

#[test]
fn what_waits_to_be_told_holds_nothing_up() {
    // Told at once of a sev2, and in an hour of a sev1: the acknowledgement comes between the two.
    let settings = SETTINGS.replace(
        r#"engineer = { to = ["board/#ml"] }"#,
        r#"engineer = { to = ["board/#ml"], digest = { within_s = 3600 } }"#,
    );
    let settings = settings.replace(
        r#"engineer = { to = ["board/#ml"], digest = { within_s = 300 } }"#,
        r#"engineer = { to = ["board/#ml"] }"#,
    );
    let fraud = opened("fraud", Sev2);
    let script = Script::new(&settings)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &[ADA, ML])
        .push(10_000, &next(&fraud, Updated, Sev1))
        .wants(10_000..=10_000, Trigger, &[BOSS])
        .want(10_000..=10_000, wire::page::PageKind::Update, ADA)
        .ask(20_000, command("c1", &fraud.incident_id, "ada", acknowledge(Some(7200))))
        .wants(20_000..=20_000, Acknowledge, &[ADA, ML, BOSS])
        .want(HOUR + 10_000..=HOUR + 10_000, Trigger, ML)
        .run(HOUR + 20_000);
    let text = to(&script, ML).text.clone().expect("in words");
    assert!(text.body.contains("has it; you need do nothing"), "{}", text.body);
}

#[test]
fn a_ticket_that_becomes_a_page_does_not_wait_for_its_hours_where_its_place_was_just_called() {
    let settings = SETTINGS.replace(
        r#"targets = ["board/tickets"], delay_s = 86400"#,
        r#"targets = ["person:ada"], delay_s = 86400"#,
    );
    let fraud = opened("fraud", Sev3);
    let script = Script::new(&settings)
        .push(0, &fraud)
        .push(MINUTE, &opened("rank", Sev1))
        .wants(MINUTE..=MINUTE, Trigger, &[ADA, ML, BOSS])
        .push(MINUTE + 20_000, &next(&fraud, Updated, Sev1))
        .wants(MINUTE + 20_000..=2 * MINUTE, Trigger, &[ML, BOSS])
        .want(2 * MINUTE..=2 * MINUTE, Trigger, ADA)
        .run(30 * MINUTE);
    assert_eq!(to(&script, ADA).incident.incident_id, fraud.incident_id);
}
