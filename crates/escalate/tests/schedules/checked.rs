//! What is wrong with a schedule is said, and what would be right.

use crate::samples::policy;

const LAYER: &str =
    "[[schedule.s.layer]]\npeople = [\"ada\", \"bo\"]\nturn = \"1 week\"\nhandover = \"2026-03-02 09:00\"\n";

/// Schedules with one fault each, and what is said of it.
fn faults() -> Vec<(String, &'static str)> {
    let with = |what: &str| format!("[schedule.s]\n{LAYER}{what}");
    vec![
        (
            "[schedule.s]\nzone = \"Berlin\"\nlayer = []".to_owned(),
            "schedules.schedule.s.zone: there is no time zone \"Berlin\"",
        ),
        (
            "[schedule.s]\nlayer = []".to_owned(),
            "schedules.schedule.s.layer: layer = 0 is not between 1 and 50",
        ),
        (
            with("").replace("bo", "boo"),
            "schedules.schedule.s.layer[0].people[1]: there is no person \"boo\"; did you mean \"bo\"?",
        ),
        (
            with("").replace("1 week", "weekly"),
            "schedules.schedule.s.layer[0].turn: \"weekly\" is no turn such as",
        ),
        (
            with("").replace("09:00", "9am"),
            "schedules.schedule.s.layer[0].handover: \"2026-03-02 9am\" is not a time such as",
        ),
        (with("").replace("2026-03-02 09:00", "2026-03-02T09:00:00Z"), "on the clock of the schedule's zone"),
        (
            with("from = \"2026-04-01\"\nuntil = \"2026-03-01\""),
            "schedules.schedule.s.layer[0].until: is not after `from`",
        ),
        (
            with("only = [{ days = [\"holiday\"] }]"),
            "layer[0].only[0].days: \"holiday\" is a day of which calendar?",
        ),
        (
            with("only = [{ holidays = \"de\" }]"),
            "layer[0].only[0].holidays: there is no calendar \"de\"; none is defined",
        ),
        (with("only = [{ hours = \"9-5\" }]"), "layer[0].only[0].hours: \"9-5\" is not a span"),
        (
            with("only = [{ hours = \"09:00-17:00\" }]"),
            "schedules.schedule.s: nobody is on call on Monday at 00:00; add somebody, or say `may_be_empty = true`",
        ),
        (with("until = \"2030-01-01 00:00\""), "schedules.schedule.s: nobody is on call on Monday at 00:00"),
        (
            "[holidays]\nde = [\"25.12.2026\"]".to_owned(),
            "schedules.holidays.de[0]: \"25.12.2026\" is not a day such as",
        ),
    ]
}

/// The same of what changes a schedule.
fn faults_of_changes() -> Vec<(String, &'static str)> {
    let change = |list: &str, what: &str| {
        format!(
            "[schedule.s]\n{LAYER}[[schedule.s.{list}]]\nfrom = \"2026-03-02 09:00\"\nuntil = \"2026-03-03 09:00\"\n{what}"
        )
    };
    vec![
        (
            change("override", "people = []"),
            "schedules.schedule.s: nobody is on call from Mon 2026-03-02 09:00 CET until Tue 2026-03-03 09:00 CET",
        ),
        (
            change("override", "people = [\"cy\"]\ninstead_of = \"ada\"\nbeside = true"),
            "override[0].beside: is in nobody's place",
        ),
        (change("swap", "between = [\"ada\", \"ada\"]"), "swap[0].between: \"ada\" stands twice here"),
        (
            change("override", "people = [\"cy\"]").replace("2026-03-03 09:00", "2036-03-03 09:00"),
            "override[0].until: is more than 400 days after `from`",
        ),
        (
            change("override", "people = [\"cy\"]").replace("2026-03-03 09:00", "2026-03-01 09:00"),
            "override[0].until: \"2026-03-01 09:00\" is not after from",
        ),
        (
            change(
                "temporary",
                "shift = [{ from = \"2026-03-01 09:00\", until = \"2026-03-02 10:00\", people = [] }]",
            ),
            "temporary[0].shift[0]: reaches beyond its temporary schedule",
        ),
    ]
}

#[test]
fn each_fault_names_its_place_and_what_would_be_right() {
    for (text, want) in faults().into_iter().chain(faults_of_changes()) {
        let said = policy(&text, "person:ada").expect_err("refused").to_string();
        assert!(said.contains(want), "{want}\nin {said}\nof {text}");
    }
}

#[test]
fn who_is_paged_at_last_is_somebody_at_any_time() {
    let all_week = format!("[schedule.s]\n{LAYER}");
    // Day and night are the whole week between them.
    let tiled = format!(
        "[schedule.s]\n{LAYER}only = [{{ hours = \"08:00-20:00\" }}]\n{}only = [{{ hours = \"20:00-08:00\" }}]\n",
        LAYER.replace("people", "name = \"night\"\npeople")
    );
    let office =
        format!("[schedule.s]\nmay_be_empty = true\n{LAYER}only = [{{ hours = \"08:00-20:00\" }}]\n");
    for (text, is_right) in [(all_week, true), (tiled, true), (office, false)] {
        let checked = policy(&text, "schedule:s");
        assert_eq!(checked.is_ok(), is_right, "{checked:?}\n{text}");
    }
    let said = policy("", "schedule:s").expect_err("there is none").to_string();
    assert!(said.contains("there is no schedule:s; none is defined, add a [schedule.NAME]"), "{said}");
}
