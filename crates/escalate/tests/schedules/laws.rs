//! What holds of every schedule: its shifts are time itself, in pieces.

use escalate::schedule::{By, Schedule, Span};
use proptest::prelude::*;
use wire::Timestamp;

use crate::samples::{at, schedule, span};

const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Africa/Casablanca",
];
const PEOPLE: [&str; 4] = ["ada", "bo", "cy", "dee"];

fn person() -> impl Strategy<Value = &'static str> {
    prop::sample::select(PEOPLE.to_vec())
}

fn time() -> impl Strategy<Value = String> {
    (2010u16..2013, 1u8..=12, 1u8..=28, 0u8..24, prop::sample::select(vec![0u8, 15, 30, 59]))
        .prop_map(|(y, m, d, h, min)| format!("{y}-{m:02}-{d:02} {h:02}:{min:02}"))
}

fn layer() -> impl Strategy<Value = String> {
    let turn = prop::sample::select(vec!["5 hours", "1 day", "3 days", "1 week", "1 month"]);
    let only = prop_oneof![
        2 => Just(""),
        1 => Just("only = [{ hours = \"09:00-17:30\" }]"),
        1 => Just("only = [{ hours = \"22:00-02:30\", days = [\"fri\", \"sun\"] }, { days = [\"holiday\"], holidays = \"h\" }]"),
        1 => Just("only = [{ days = [\"mon\", \"sat\"], holidays = \"h\" }]"),
    ];
    let ends = prop_oneof![3 => Just(String::new()), 1 => time().prop_map(|t| format!("from = {t:?}")),
        1 => time().prop_map(|t| format!("until = {t:?}"))];
    let people = prop::collection::vec(prop::collection::btree_set(person(), 0..3), 1..4);
    (turn, time(), only, ends, people, 0u8..3).prop_map(|(turn, handover, only, ends, people, level)| {
        let people: Vec<Vec<_>> = people.into_iter().map(|turn| turn.into_iter().collect()).collect();
        format!(
            "[[schedule.s.layer]]\nturn = {turn:?}\nhandover = {handover:?}\nlevel = {level}\npeople = {people:?}\n{only}\n{ends}\n"
        )
    })
}

/// A change of up to some days.
fn change() -> impl Strategy<Value = String> {
    let span = (time(), 1u8..=20).prop_map(|(from, days)| {
        let until =
            from.parse::<jiff::civil::DateTime>().expect("a time") + jiff::ToSpan::days(i64::from(days));
        format!("from = {from:?}\nuntil = \"{}\"\n", until.strftime("%Y-%m-%d %H:%M"))
    });
    (span, 0u8..5, person(), person()).prop_map(|(span, kind, one, other)| match kind {
        0 if one != other => format!("[[schedule.s.swap]]\n{span}between = [{one:?}, {other:?}]\n"),
        1 => format!("[[schedule.s.override]]\n{span}people = [{one:?}]\ninstead_of = {other:?}\n"),
        2 => format!("[[schedule.s.override]]\n{span}people = [{one:?}]\nbeside = true\n"),
        3 => format!("[[schedule.s.temporary]]\n{span}shift = []\n"),
        _ => format!("[[schedule.s.override]]\n{span}people = []\n"),
    })
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    let layers = prop::collection::vec(layer(), 1..4);
    let changes = prop::collection::vec(change(), 0..4);
    (prop::sample::select(ZONES.to_vec()), layers, changes).prop_map(|(zone, layers, changes)| {
        schedule(&format!(
            "[holidays]\nh = [\"2011-12-30\", \"2012-05-01\"]\n[schedule.s]\nzone = {zone:?}\nmay_be_empty = true\n{}{}",
            layers.concat(),
            changes.concat()
        ))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn shifts_are_a_partition_of_time_and_say_who_is_on_call(
        schedule in any_schedule(),
        from in 0i64..3 * 365 * 86_400,
        days in 1i64..60,
        within in prop::collection::vec(0.0f64..1.0, 20),
    ) {
        let from = at("2010-01-01T00:00:00Z").plus_ms(from * 1000);
        let span = Span { from, until: from.plus_ms(days * 86_400_000) };
        let shifts = schedule.shifts(span);
        prop_assert_eq!(shifts[0].span.from, span.from);
        prop_assert_eq!(shifts[shifts.len() - 1].span.until, span.until);
        for pair in shifts.windows(2) {
            prop_assert_eq!(pair[0].span.until, pair[1].span.from);
            prop_assert_ne!(&pair[0].on_call, &pair[1].on_call);
        }
        for share in within {
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "some instant")]
            let at = span.from.plus_ms((share * (days * 86_400_000) as f64) as i64);
            let shift = shifts.iter().find(|shift| shift.span.holds(at)).expect("a partition");
            prop_assert_eq!(&schedule.at(at), &shift.on_call, "{}", at);
        }
        // What each person has, in pieces, is what the shifts say.
        for (person, stint) in schedule.stints(span) {
            prop_assert!(schedule.at(stint.from).people.contains(&person));
            prop_assert!(schedule.at(stint.until.plus_ms(-1)).people.contains(&person));
            if stint.until < span.until {
                prop_assert!(!schedule.at(stint.until).people.contains(&person));
            }
        }
        let until = schedule.until(span.from, days * 86_400_000);
        let people = &shifts[0].on_call.people;
        let want = shifts.iter().find(|shift| shift.on_call.people != *people).map(|shift| shift.span.from);
        prop_assert_eq!(until, want);
    }

    /// Whoever is told that somebody always is on call finds nobody missing at any time.
    #[test]
    fn where_no_gap_is_found_there_is_none(schedule in any_schedule(), from in 0i64..3 * 365) {
        let from = at("2010-01-01T00:00:00Z").plus_ms(from * 86_400_000);
        let found = schedule.gap_within(Span { from, until: from.plus_ms(90 * 86_400_000) });
        if schedule.gap().is_none() {
            prop_assert_eq!(found, None);
        }
    }
}

fn people(schedule: &Schedule, times: &[&str]) -> Vec<String> {
    times.iter().map(|t| schedule.at(at(t)).people.join("+")).collect()
}

#[test]
fn changes_lie_one_over_the_other() {
    // Ada and Bo by weeks from Monday the 2nd of March, nine in Berlin.
    let with = |changes: &str| {
        schedule(&format!(
            "[schedule.s]\nmay_be_empty = true\n[[schedule.s.layer]]\npeople = [\"ada\", \"bo\"]\nturn = \"1 week\"\n\
             handover = \"2026-03-02 09:00\"\n{changes}"
        ))
    };
    let times = ["2026-03-04T12:00:00Z", "2026-03-06T12:00:00Z", "2026-03-11T12:00:00Z"];
    assert_eq!(people(&with(""), &times), ["ada", "ada", "bo"]);
    let weeks = "from = \"2026-03-05 00:00\"\nuntil = \"2026-03-13 00:00\"\n";
    let swap = format!("[[schedule.s.swap]]\n{weeks}between = [\"ada\", \"bo\"]\n");
    assert_eq!(people(&with(&swap), &times), ["ada", "bo", "ada"]);
    let over = |people: &str| format!("[[schedule.s.override]]\n{weeks}{people}\n");
    assert_eq!(people(&with(&over("people = [\"cy\"]")), &times), ["ada", "cy", "cy"]);
    let (of_bo, beside) =
        (over("people = [\"cy\", \"dee\"]\ninstead_of = \"bo\""), over("people = [\"cy\"]\nbeside = true"));
    assert_eq!(people(&with(&of_bo), &times), ["ada", "ada", "cy+dee"]);
    assert_eq!(people(&with(&beside), &times), ["ada", "ada+cy", "bo+cy"]);
    // A swap is of what is planned, an override of what came of that; nobody stands there twice.
    assert_eq!(people(&with(&format!("{swap}{of_bo}")), &times), ["ada", "cy+dee", "ada"]);
    assert_eq!(
        people(&with(&format!("{of_bo}{}", over("people = [\"dee\"]\ninstead_of = \"cy\""))), &times)[2],
        "dee"
    );
    let removed = over("people = []\ninstead_of = \"ada\"");
    assert_eq!(people(&with(&removed), &times), ["ada", "", "bo"]);
    let temporary = format!(
        "[[schedule.s.temporary]]\n{weeks}[[schedule.s.temporary.shift]]\nfrom = \"2026-03-06 00:00\"\n\
         until = \"2026-03-07 00:00\"\npeople = [\"dee\"]\n"
    );
    let temporary = with(&format!("{temporary}{of_bo}"));
    assert_eq!(people(&temporary, &times), ["ada", "dee", ""]);
    let gap = temporary.gap_within(span("2026-03-04T00:00:00Z", "2026-04-01T00:00:00Z")).expect("a gap");
    assert_eq!(gap, span("2026-03-04T23:00:00Z", "2026-03-05T23:00:00Z"));
    assert_eq!(temporary.at(gap.from).by, [By::Temporary(0)]);
}

#[test]
fn the_highest_level_that_has_somebody_counts() {
    let schedule = schedule(
        "[holidays]\nde = [\"2026-12-25\"]\n[schedule.s]\n\
         [[schedule.s.layer]]\nname = \"base\"\npeople = [\"ada\"]\nturn = \"1 week\"\nhandover = \"2026-03-02 09:00\"\n\
         [[schedule.s.layer]]\nname = \"day\"\nlevel = 1\npeople = [\"bo\"]\nturn = \"1 week\"\nhandover = \"2026-03-02 09:00\"\n\
         only = [{ hours = \"09:00-17:00\", days = [\"thu\", \"fri\"], holidays = \"de\" }]\n\
         [[schedule.s.layer]]\nname = \"second\"\nlevel = 1\npeople = [\"cy\", []]\nturn = \"1 day\"\nhandover = \"2026-12-24 00:00\"\n",
    );
    // Thursday the 24th, where second has the day too; Friday is Christmas; Saturday is second's again.
    let times =
        ["2026-12-24T10:00:00Z", "2026-12-24T17:00:00Z", "2026-12-25T10:00:00Z", "2026-12-26T10:00:00Z"];
    assert_eq!(people(&schedule, &times), ["bo+cy", "cy", "ada", "cy"]);
    assert_eq!(schedule.at(at(times[0])).by, [By::Layer("day"), By::Layer("second")]);
    assert_eq!(schedule.at(Timestamp::MAX).people.len(), 1);
}
