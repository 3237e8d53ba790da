//! Who is on call when: rotations in layers, and what people change about them.
//!
//! A schedule is a function of time, [`Schedule::at`], and of nothing else. Times of day are those of its zone: where
//! the clock skips one, it is the first instant after the gap; where it shows one twice, the first of the two.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use wire::{Timestamp, Zone};

mod hours;
pub mod ical;
mod rotation;

pub(crate) use hours::Calendars;
pub use hours::Hours;
pub use rotation::{Rotation, Turn};

/// Who is on call when, in one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub(crate) zone: Zone,
    pub(crate) layers: Vec<Layer>,
    /// In place of the layers, for a while.
    pub(crate) temporary: Vec<Temporary>,
    pub(crate) swaps: Vec<Swap>,
    pub(crate) overrides: Vec<Override>,
    /// That nobody is on call at some times is meant so.
    pub(crate) may_be_empty: bool,
}

/// A rotation, as far as it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    pub(crate) name: String,
    /// Of the layers that have somebody on call, those of the highest level count, all together.
    pub(crate) level: u8,
    pub(crate) rotation: Rotation,
    /// Within any of these; always, without any.
    pub(crate) only: Vec<Hours>,
    pub(crate) span: Span,
}

/// From an instant until before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// For a span these shifts are the schedule: who is in none of them then is not on call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Temporary {
    pub(crate) span: Span,
    pub(crate) shifts: Vec<(Span, Vec<String>)>,
}

/// Two who have each other's turns for a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    pub(crate) span: Span,
    pub(crate) between: [String; 2],
}

/// Other people on call for a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    pub(crate) span: Span,
    pub(crate) people: Vec<String>,
    pub(crate) place: Place,
}

/// In whose place they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    OfAll,
    Of(String),
    Beside,
}

/// Who is on call at some time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnCall<'a> {
    /// Each once, in the order in which the schedule names them.
    pub people: Vec<&'a str>,
    /// What makes it so, first what is planned.
    pub by: Vec<By<'a>>,
}

/// A part of a schedule that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By<'a> {
    Layer(&'a str),
    /// The places in their lists, from 0.
    Temporary(usize),
    Swap(usize),
    Override(usize),
}

/// A time in which the same people are on call for the same reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shift<'a> {
    pub span: Span,
    pub on_call: OnCall<'a>,
}

impl Span {
    pub const ALL: Self = Self { from: Timestamp::MIN, until: Timestamp::MAX };

    #[must_use]
    pub fn holds(&self, at: Timestamp) -> bool {
        self.from <= at && (at < self.until || self.until == Timestamp::MAX)
    }
}

impl OnCall<'_> {
    fn once(&mut self) {
        let mut seen = BTreeSet::new();
        self.people.retain(|person| seen.insert(*person));
    }
}

impl Layer {
    fn at(&self, at: Timestamp) -> &[String] {
        let holds = self.span.holds(at) && (self.only.is_empty() || self.only.iter().any(|h| h.holds(at)));
        if holds { self.rotation.people(self.rotation.turn(at)) } else { &[] }
    }
}

impl Schedule {
    #[must_use]
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Who is on call at an instant. Cost: some microseconds for each layer.
    #[must_use]
    pub fn at(&self, at: Timestamp) -> OnCall<'_> {
        let mut on = self.planned(at);
        for (i, swap) in self.swaps.iter().enumerate().filter(|(_, swap)| swap.span.holds(at)) {
            let [a, b] = &swap.between;
            let mut swapped = false;
            for person in &mut on.people {
                let other = if person == a { b } else { a };
                if person == a || person == b {
                    (*person, swapped) = (other, true);
                }
            }
            on.by.extend(swapped.then_some(By::Swap(i)));
        }
        for (i, over) in self.overrides.iter().enumerate().filter(|(_, over)| over.span.holds(at)) {
            let people = over.people.iter().map(String::as_str);
            match &over.place {
                Place::OfAll => on.people = people.collect(),
                Place::Beside => on.people.extend(people),
                Place::Of(person) => {
                    let Some(i) = on.people.iter().position(|p| p == person) else { continue };
                    on.people.splice(i..=i, people);
                }
            }
            on.by.push(By::Override(i));
            on.once();
        }
        on
    }

    /// Before anybody changed it: a temporary schedule, the latest in the file, or the layers.
    fn planned(&self, at: Timestamp) -> OnCall<'_> {
        let temporary = self.temporary.iter().enumerate().rev().find(|(_, t)| t.span.holds(at));
        if let Some((i, temporary)) = temporary {
            let shifts = temporary.shifts.iter().filter(|(span, _)| span.holds(at));
            let people = shifts.flat_map(|(_, people)| people).map(String::as_str).collect();
            let mut planned = OnCall { people, by: vec![By::Temporary(i)] };
            planned.once();
            return planned;
        }
        let on: Vec<_> = self.layers.iter().map(|l| (l, l.at(at))).filter(|(_, p)| !p.is_empty()).collect();
        let level = on.iter().map(|(layer, _)| layer.level).max();
        let on = on.into_iter().filter(|(layer, _)| Some(layer.level) == level);
        let mut planned = OnCall::default();
        for (layer, people) in on {
            planned.people.extend(people.iter().map(String::as_str));
            planned.by.push(By::Layer(&layer.name));
        }
        planned.once();
        planned
    }

    /// Who is on call from `span.from` until `span.until`, without a gap: where nobody is, that is a shift of nobody.
    #[must_use]
    pub fn shifts(&self, span: Span) -> Vec<Shift<'_>> {
        let mut shifts: Vec<Shift<'_>> = Vec::new();
        let mut starts = self.boundaries(span);
        starts.push(span.from);
        starts.sort_unstable();
        starts.dedup();
        for (i, from) in starts.iter().enumerate() {
            let (from, until) = (*from, starts.get(i + 1).copied().unwrap_or(span.until));
            let on_call = self.at(from);
            match shifts.last_mut().filter(|last| last.on_call == on_call) {
                Some(last) => last.span.until = until,
                None => shifts.push(Shift { span: Span { from, until }, on_call }),
            }
        }
        shifts
    }

    /// When each person is on call within the span, in one piece where nothing lies between. In order of time.
    #[must_use]
    pub fn stints(&self, span: Span) -> Vec<(&str, Span)> {
        let mut open: BTreeMap<&str, Span> = BTreeMap::new();
        let mut stints = Vec::new();
        for shift in self.shifts(span) {
            let over = open.extract_if(.., |person, _| !shift.on_call.people.contains(person));
            stints.extend(over);
            for person in shift.on_call.people {
                open.entry(person).or_insert(shift.span).until = shift.span.until;
            }
        }
        stints.extend(open);
        stints.sort_by_key(|(person, span)| (span.from, *person));
        stints
    }

    /// Until when whoever is on call at `at` still is, if anything changes within `within_ms`.
    #[must_use]
    pub fn until(&self, at: Timestamp, within_ms: i64) -> Option<Timestamp> {
        let people = self.at(at).people;
        let mut then = self.boundaries(Span { from: at, until: at.plus_ms(within_ms) });
        then.sort_unstable();
        then.into_iter().find(|then| self.at(*then).people != people)
    }

    /// Every instant within the span, its ends excluded, at which anything may change.
    fn boundaries(&self, span: Span) -> Vec<Timestamp> {
        let Span { from, until } = span;
        let mut at = Vec::new();
        for layer in &self.layers {
            at.extend(layer.rotation.handovers(from, until));
            at.extend(layer.only.iter().flat_map(|hours| hours.ends(from, until)));
        }
        let shifts = self.temporary.iter().flat_map(|t| &t.shifts).map(|(span, _)| span);
        let spans = (self.layers.iter().map(|l| &l.span))
            .chain(self.temporary.iter().map(|t| &t.span))
            .chain(shifts)
            .chain(self.swaps.iter().map(|s| &s.span))
            .chain(self.overrides.iter().map(|o| &o.span));
        at.extend(spans.flat_map(|s| [s.from, s.until]));
        at.retain(|at| from < *at && *at < until);
        at
    }

    /// Everybody who may ever be on call.
    pub(crate) fn everybody(&self) -> BTreeSet<&str> {
        let turns = self.layers.iter().flat_map(|layer| &layer.rotation.people).flatten();
        let shifts = self.temporary.iter().flat_map(|t| &t.shifts).flat_map(|(_, people)| people);
        let swaps = self.swaps.iter().flat_map(|swap| &swap.between);
        let others = self.overrides.iter().flat_map(|over| &over.people);
        turns.chain(shifts).chain(swaps).chain(others).map(String::as_str).collect()
    }

    /// When nobody is on call, of all time: empty only where somebody always is. What a calendar repeats is looked at
    /// once, as its weeks are alike, and so is every day that is not like others.
    #[must_use]
    pub fn gap(&self) -> Option<Gap> {
        /// Minutes of a week.
        const WEEK: usize = 7 * 1440;
        let mut week = vec![false; WEEK];
        let lasting = |layer: &&Layer| layer.span == Span::ALL && layer.rotation.is_full();
        for layer in self.layers.iter().filter(lasting) {
            if layer.only.is_empty() {
                week.fill(true);
            }
            layer.only.iter().for_each(|hours| hours.mark(&mut week));
        }
        if let Some(minute) = week.iter().position(|on| !on) {
            return Some(Gap::EveryWeek { minute });
        }
        let days = (self.layers.iter().flat_map(|l| &l.only)).flat_map(|hours| hours.holidays());
        let days = days.map(|date| {
            let day = date.to_datetime(jiff::civil::Time::midnight());
            let from = self.zone.first(day);
            Span { from: from.plus_ms(-86_400_000), until: from.plus_ms(3 * 86_400_000) }
        });
        let spans = (self.temporary.iter().map(|t| t.span))
            .chain(self.swaps.iter().map(|s| s.span))
            .chain(self.overrides.iter().map(|o| o.span));
        days.chain(spans).find_map(|span| self.gap_within(span)).map(Gap::Once)
    }

    /// The first time within a span in which nobody is on call.
    #[must_use]
    pub fn gap_within(&self, span: Span) -> Option<Span> {
        self.shifts(span).into_iter().find(|shift| shift.on_call.people.is_empty()).map(|shift| shift.span)
    }
}

/// A time in which nobody is on call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// From Monday's midnight, in minutes of the schedule's clock.
    EveryWeek {
        minute: usize,
    },
    Once(Span),
}

impl Gap {
    /// In words, on the schedule's clock.
    #[must_use]
    pub fn says(&self, zone: &Zone) -> String {
        const DAYS: [&str; 7] =
            ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
        match self {
            Self::EveryWeek { minute } => {
                let (day, minute) = (DAYS[minute / 1440 % 7], minute % 1440);
                format!("on {day} at {:02}:{:02}", minute / 60, minute % 60)
            }
            Self::Once(span) => format!("from {} until {}", zone.shows(span.from), zone.shows(span.until)),
        }
    }
}

impl fmt::Display for By<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layer(name) => write!(f, "layer {name}"),
            Self::Temporary(i) => write!(f, "temporary schedule {}", i + 1),
            Self::Swap(i) => write!(f, "swap {}", i + 1),
            Self::Override(i) => write!(f, "override {}", i + 1),
        }
    }
}
