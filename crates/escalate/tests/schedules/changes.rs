//! The algebra of changes, against whoever walks through it minute by minute: layers first, a temporary schedule in their
//! place, then swaps, then overrides; the later in the file is the last word.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use proptest::prelude::*;

use crate::samples::{at, schedule};

const PEOPLE: [&str; 4] = ["ada", "bo", "cy", "dee"];
/// The layer has Ada, Bo and Cy in turn, a day each, from this midnight on.
const START: &str = "2026-03-02";
const MINUTES: usize = 6 * DAY;
const DAY: usize = 24 * 60;

type People = BTreeSet<&'static str>;

#[derive(Clone, Debug)]
enum Kind {
    Temporary(People),
    Swap([&'static str; 2]),
    Everybody(People),
    Beside(People),
    InsteadOf(&'static str, People),
}

#[derive(Clone, Debug)]
struct Change {
    kind: Kind,
    from: usize,
    until: usize,
}

fn person() -> impl Strategy<Value = &'static str> {
    prop::sample::select(PEOPLE.to_vec())
}

fn change() -> impl Strategy<Value = Change> {
    let people = || prop::collection::btree_set(person(), 0..3);
    let kind = prop_oneof![
        people().prop_map(Kind::Temporary),
        (person(), person()).prop_filter_map("two people", |(a, b)| (a != b).then_some(Kind::Swap([a, b]))),
        people().prop_map(Kind::Everybody),
        prop::collection::btree_set(person(), 1..3).prop_map(Kind::Beside),
        (person(), people()).prop_map(|(of, mut people)| {
            people.remove(of);
            Kind::InsteadOf(of, people)
        }),
    ];
    (kind, 0..MINUTES - 1, 1..2 * DAY).prop_map(|(kind, from, length)| Change {
        kind,
        from,
        until: from + length,
    })
}

/// A minute as the file has it.
fn civil(minute: usize) -> String {
    format!("2026-03-{:02} {:02}:{:02}", 2 + minute / DAY, minute % DAY / 60, minute % 60)
}

fn text(changes: &[Change]) -> String {
    let mut text = format!(
        "[schedule.s]\nzone = \"UTC\"\nmay_be_empty = true\n[[schedule.s.layer]]\npeople = [\"ada\", \"bo\", \"cy\"]\n\
         turn = \"1 day\"\nhandover = \"{START} 00:00\"\n"
    );
    for Change { kind, from, until } in changes {
        let span = format!("from = \"{}\"\nuntil = \"{}\"\n", civil(*from), civil(*until));
        let (table, rest) = match kind {
            Kind::Temporary(people) => {
                let people: Vec<_> = people.iter().collect();
                ("temporary", format!("[[schedule.s.temporary.shift]]\n{span}people = {people:?}\n"))
            }
            Kind::Swap(between) => ("swap", format!("between = {between:?}\n")),
            Kind::Everybody(people) => {
                ("override", format!("people = {:?}\n", people.iter().collect::<Vec<_>>()))
            }
            Kind::Beside(people) => {
                ("override", format!("people = {:?}\nbeside = true\n", people.iter().collect::<Vec<_>>()))
            }
            Kind::InsteadOf(of, people) => (
                "override",
                format!("people = {:?}\ninstead_of = {of:?}\n", people.iter().collect::<Vec<_>>()),
            ),
        };
        write!(text, "[[schedule.s.{table}]]\n{span}{rest}").expect("a string");
    }
    text
}

/// Who is on call in a minute, by the words above and nothing of the code.
fn walked(changes: &[Change], minute: usize) -> People {
    let now = || changes.iter().filter(|change| (change.from..change.until).contains(&minute));
    let mut people = People::from([PEOPLE[minute / DAY % 3]]);
    for change in now() {
        if let Kind::Temporary(instead) = &change.kind {
            people.clone_from(instead);
        }
    }
    for change in now() {
        if let Kind::Swap([a, b]) = change.kind {
            let other = |person| {
                if person == a {
                    b
                } else if person == b {
                    a
                } else {
                    person
                }
            };
            people = people.into_iter().map(other).collect();
        }
    }
    for change in now() {
        match &change.kind {
            Kind::Everybody(instead) => people.clone_from(instead),
            Kind::Beside(others) => people.extend(others),
            Kind::InsteadOf(of, instead) => {
                if people.remove(of) {
                    people.extend(instead);
                }
            }
            Kind::Temporary(_) | Kind::Swap(_) => (),
        }
    }
    people
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_minute_is_whose_a_walk_through_them_says(changes in prop::collection::vec(change(), 0..6)) {
        let (schedule, start) = (schedule(&text(&changes)), at(&format!("{START}T00:00:00Z")));
        for minute in 0..MINUTES {
            let now = start.plus_ms(i64::try_from(minute).expect("a minute") * 60_000);
            let on_call = schedule.at(now).people;
            let people: BTreeSet<&str> = on_call.iter().copied().collect();
            prop_assert_eq!(people.len(), on_call.len(), "nobody stands there twice");
            prop_assert_eq!(&people, &walked(&changes, minute), "{} of {:#?}", civil(minute), &changes);
        }
    }
}
