//! Everything that can be wrong with schedules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::{Date, DateTime};
use wire::{Timestamp, Zone};

use super::{Check, hint, key};
use crate::config::{At, HoursConfig, LayerConfig, OverrideConfig, ScheduleConfig, SchedulesConfig};
use crate::policy::whom::Roster;
use crate::schedule::{
    Calendars, Hours, Layer, Override, Place, Rotation, Schedule, Span, Swap, Temporary, Turn,
};

/// Most schedules, parts of one, people who take turns, shifts, hours of a layer and days of a calendar.
const SCHEDULES_MAX: usize = 1000;
const LAYERS_MAX: usize = 50;
const CHANGES_MAX: usize = 500;
const TURNS_MAX: usize = 200;
const SHIFTS_MAX: usize = 500;
const ONLY_MAX: usize = 20;
const HOLIDAYS_MAX: usize = 1000;
/// Longest change of a schedule.
const CHANGE_DAYS_MAX: i64 = 400;

impl Check<'_> {
    /// Adds the schedules to whom there is.
    pub(super) fn schedules(&mut self, config: &SchedulesConfig, roster: &mut Roster) {
        roster.calendars = self.calendars(&config.holidays);
        self.within(
            &[key("schedules"), key("schedule")],
            "schedules",
            config.schedule.len(),
            &(0..=SCHEDULES_MAX),
        );
        for (name, config) in &config.schedule {
            let at = vec![key("schedules"), key("schedule"), key(name)];
            self.name(&at, name);
            let known = self.errors.len();
            let schedule = self.schedule(&at, config, roster);
            // What holds is only asked of what is right.
            if self.errors.len() == known
                && let Some(gap) = schedule.gap().filter(|_| !schedule.may_be_empty)
            {
                let when = gap.says(schedule.zone());
                let why = format!(
                    "nobody is on call {when}; add somebody, or say `may_be_empty = true` if that is meant so"
                );
                self.wrong(&at, why);
            }
            roster.schedules.insert(name.clone(), schedule);
        }
    }

    fn calendars(&mut self, config: &BTreeMap<String, Vec<String>>) -> Calendars {
        let mut calendars = Calendars::default();
        for (name, days) in config {
            let at = [key("schedules"), key("holidays"), key(name)];
            self.within(&at, "days", days.len(), &(0..=HOLIDAYS_MAX));
            let mut dates = BTreeSet::new();
            for (i, day) in days.iter().enumerate() {
                match day.parse::<Date>() {
                    Ok(date) => drop(dates.insert(date)),
                    Err(_) => self.wrong(
                        &[at.as_slice(), &[At::Index(i)]].concat(),
                        format!("{day:?} is not a day such as \"2026-12-25\""),
                    ),
                }
            }
            calendars.0.insert(name.clone(), Arc::new(dates));
        }
        calendars
    }

    fn schedule(&mut self, at: &[At], config: &ScheduleConfig, roster: &Roster) -> Schedule {
        let zone = self.zone(at, config.zone.as_deref(), &roster.anyone.zone);
        let under = |list: &str, i: usize| [at, &[key(list), At::Index(i)]].concat();
        for (list, n, least, most) in [
            ("layer", config.layer.len(), 1, LAYERS_MAX),
            ("temporary", config.temporary.len(), 0, CHANGES_MAX),
            ("swap", config.swap.len(), 0, CHANGES_MAX),
            ("override", config.overrides.len(), 0, CHANGES_MAX),
        ] {
            self.within(&[at, &[key(list)]].concat(), list, n, &(least..=most));
        }
        let mut names = BTreeSet::new();
        let mut layers = Vec::new();
        for (i, config) in config.layer.iter().enumerate() {
            let at = under("layer", i);
            let layer = self.layer(&at, i, config, &zone, roster);
            if !names.insert(layer.name.clone()) {
                let why = format!("{:?} is the name of another layer", layer.name);
                self.wrong(&[at.as_slice(), &[key("name")]].concat(), why);
            }
            layers.push(layer);
        }
        let mut temporary = Vec::new();
        for (i, config) in config.temporary.iter().enumerate() {
            let at = under("temporary", i);
            let span = self.change(&at, &config.from, &config.until, &zone);
            self.within(
                &[at.as_slice(), &[key("shift")]].concat(),
                "shift",
                config.shift.len(),
                &(0..=SHIFTS_MAX),
            );
            let shifts = config.shift.iter().enumerate().map(|(i, shift)| {
                let at = [at.as_slice(), &[key("shift"), At::Index(i)]].concat();
                let shift_span = self.change(&at, &shift.from, &shift.until, &zone);
                if shift_span.from < span.from || shift_span.until > span.until {
                    self.wrong(&at, "reaches beyond its temporary schedule".into());
                }
                self.all_known(&[at.as_slice(), &[key("people")]].concat(), &shift.people, roster);
                (shift_span, shift.people.clone())
            });
            let shifts = shifts.collect();
            temporary.push(Temporary { span, shifts });
        }
        let mut swaps = Vec::new();
        for (i, config) in config.swap.iter().enumerate() {
            let at = under("swap", i);
            let span = self.change(&at, &config.from, &config.until, &zone);
            self.all_known(&[at.as_slice(), &[key("between")]].concat(), &config.between, roster);
            swaps.push(Swap { span, between: config.between.clone() });
        }
        let overrides = config.overrides.iter().enumerate();
        let overrides =
            overrides.map(|(i, config)| self.one_override(&under("override", i), config, &zone, roster));
        let overrides = overrides.collect();
        let may_be_empty = config.may_be_empty;
        Schedule { zone, layers, temporary, swaps, overrides, may_be_empty }
    }

    fn layer(&mut self, at: &[At], i: usize, config: &LayerConfig, zone: &Zone, roster: &Roster) -> Layer {
        let path = |field: &str| [at, &[key(field)]].concat();
        self.within(&path("people"), "people", config.people.len(), &(1..=TURNS_MAX));
        for (i, turn) in config.people.iter().enumerate() {
            self.all_known(&[path("people"), vec![At::Index(i)]].concat(), turn.people(), roster);
        }
        let turn = Turn::parse(&config.turn).unwrap_or_else(|| {
            let why = format!(
                "{:?} is no turn such as \"12 hours\", \"1 day\", \"2 weeks\" or \"1 month\"",
                config.turn
            );
            self.wrong(&path("turn"), why);
            Turn::Days(1)
        });
        let handover = self.time(&path("handover"), &config.handover);
        let span = self.span(at, config.from.as_deref(), config.until.as_deref(), zone);
        self.within(&path("only"), "only", config.only.len(), &(0..=ONLY_MAX));
        let only = config.only.iter().enumerate();
        let only = only
            .map(|(i, hours)| self.hours(&[path("only"), vec![At::Index(i)]].concat(), hours, zone, roster));
        let only = only.collect();
        // No more people than turns are remembered: `people` may be empty when it is wrong.
        let people: Vec<Vec<String>> = config.people.iter().map(|turn| turn.people().to_vec()).collect();
        let people = if people.is_empty() { vec![vec![]] } else { people };
        let rotation = Rotation { zone: zone.clone(), handover, turn, people };
        let name = config.name.clone().unwrap_or_else(|| (i + 1).to_string());
        Layer { name, level: config.level, rotation, only, span }
    }

    /// From one time until before another, always where they are not given.
    pub(super) fn span(&mut self, at: &[At], from: Option<&str>, until: Option<&str>, zone: &Zone) -> Span {
        let mut end = |field: &str, text: Option<&str>, default: Timestamp| {
            text.map_or(default, |text| zone.first(self.time(&[at, &[key(field)]].concat(), text)))
        };
        let span =
            Span { from: end("from", from, Timestamp::MIN), until: end("until", until, Timestamp::MAX) };
        if span.from >= span.until {
            self.wrong(&[at, &[key("until")]].concat(), "is not after `from`".into());
        }
        span
    }

    pub(super) fn hours(&mut self, at: &[At], config: &HoursConfig, zone: &Zone, roster: &Roster) -> Hours {
        let calendar = roster.calendars.named(config.holidays.as_deref());
        let hours = calendar
            .and_then(|holidays| Hours::new(config.hours.as_deref(), &config.days, holidays, zone.clone()));
        hours.unwrap_or_else(|(field, why)| {
            self.wrong(&[at, &[key(field)]].concat(), why);
            Hours::all()
        })
    }

    fn one_override(&mut self, at: &[At], config: &OverrideConfig, zone: &Zone, roster: &Roster) -> Override {
        let path = |field: &str| [at, &[key(field)]].concat();
        let span = self.change(at, &config.from, &config.until, zone);
        self.all_known(&path("people"), &config.people, roster);
        let place = match (&config.instead_of, config.beside) {
            (None, false) => Place::OfAll,
            (None, true) => Place::Beside,
            (Some(person), beside) => {
                self.all_known(&path("instead_of"), std::slice::from_ref(person), roster);
                if beside {
                    self.wrong(
                        &path("beside"),
                        "is in nobody's place: leave `instead_of` out, or this".into(),
                    );
                }
                Place::Of(person.clone())
            }
        };
        Override { span, people: config.people.clone(), place }
    }

    /// The span of a change, which has an end.
    fn change(&mut self, at: &[At], from: &str, until: &str, zone: &Zone) -> Span {
        let path = |field: &str| [at, &[key(field)]].concat();
        let known = self.errors.len();
        let span = Span {
            from: zone.first(self.time(&path("from"), from)),
            until: zone.first(self.time(&path("until"), until)),
        };
        if self.errors.len() == known {
            if span.from >= span.until {
                self.wrong(&path("until"), format!("{until:?} is not after from = {from:?}"));
            } else if span.until.since_ms(span.from) > CHANGE_DAYS_MAX * 86_400_000 {
                let why = format!(
                    "is more than {CHANGE_DAYS_MAX} days after `from`: what lasts belongs in a layer"
                );
                self.wrong(&path("until"), why);
            }
        }
        span
    }

    fn time(&mut self, at: &[At], text: &str) -> DateTime {
        let zoned = text.contains(['Z', 'z', '+', '[']);
        let read = text.parse::<DateTime>().ok().filter(|t| !zoned && (1970..=9998).contains(&t.year()));
        read.unwrap_or_else(|| {
            let why = format!(
                "{text:?} is not a time such as \"2026-03-02 09:00\", on the clock of the schedule's zone"
            );
            self.wrong(at, why);
            DateTime::constant(1970, 1, 1, 0, 0, 0, 0)
        })
    }

    fn all_known(&mut self, at: &[At], people: &[String], roster: &Roster) {
        for (i, person) in people.iter().enumerate() {
            if !roster.people.contains_key(person) {
                let hint = hint(person, roster.people.keys().map(String::as_str), "[person.NAME]");
                let why = format!("there is no person {person:?}; {hint}");
                self.wrong(at, why);
            } else if people[..i].contains(person) {
                self.wrong(at, format!("{person:?} stands twice here; name them once"));
            }
        }
    }
}
