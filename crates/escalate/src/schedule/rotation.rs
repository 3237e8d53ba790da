//! People who take turns.

use jiff::civil::DateTime;
use wire::{Timestamp, Zone};

/// How long a turn is. Hours are counted; days and months are the calendar's, so a hand-over keeps its time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Hours(u16),
    Days(u16),
    Months(u16),
}

/// Who follows whom, without beginning or end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    pub(crate) zone: Zone,
    /// Turn 0 begins then, on the zone's calendar and clock.
    pub(crate) handover: DateTime,
    pub(crate) turn: Turn,
    /// At least one; nobody has a turn that is empty.
    pub(crate) people: Vec<Vec<String>>,
}

impl Turn {
    /// Reads `12 hours`, `1 day`, `2 weeks` or `1 month`; `None` if it is none of them, or longer than ten years.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (count, unit) = text.trim().split_once(' ')?;
        let count: u16 = count.parse().ok().filter(|n| *n > 0)?;
        match unit.trim() {
            "hour" | "hours" if count <= 10 * 366 => Some(Self::Hours(count)),
            "day" | "days" if count <= 10 * 366 => Some(Self::Days(count)),
            "week" | "weeks" if count <= 10 * 52 => Some(Self::Days(count * 7)),
            "month" | "months" if count <= 10 * 12 => Some(Self::Months(count)),
            _ => None,
        }
    }
}

impl Rotation {
    /// When a turn begins. Never earlier than the one before it; a turn whose whole time the clock skips is empty.
    pub(crate) fn start(&self, turn: i64) -> Timestamp {
        let civil = match self.turn {
            Turn::Hours(n) => {
                let ms = turn.saturating_mul(i64::from(n) * 3_600_000);
                return self.zone.first(self.handover).plus_ms(ms);
            }
            Turn::Days(n) => {
                let days = turn.saturating_mul(i64::from(n));
                jiff::Span::new().try_days(days).and_then(|span| self.handover.checked_add(span))
            }
            // From the hand-over, not from the turn before: the 31st is clamped, and does not stay so.
            Turn::Months(n) => {
                let months = turn.saturating_mul(i64::from(n));
                jiff::Span::new().try_months(months).and_then(|span| self.handover.checked_add(span))
            }
        };
        civil.map_or(if turn < 0 { Timestamp::MIN } else { Timestamp::MAX }, |civil| self.zone.first(civil))
    }

    /// Number of the turn that holds `at`: the last one that has begun by then.
    pub(crate) fn turn(&self, at: Timestamp) -> i64 {
        let about = match self.turn {
            Turn::Hours(n) => {
                return at.since_ms(self.start(0)).div_euclid(i64::from(n) * 3_600_000);
            }
            Turn::Days(n) => {
                let days = self.zone.civil_at(at).date().since(self.handover.date());
                i64::from(days.map_or(0, |span| span.get_days())).div_euclid(i64::from(n))
            }
            Turn::Months(n) => {
                let month = |d: DateTime| i64::from(d.year()) * 12 + i64::from(d.month());
                (month(self.zone.civil_at(at)) - month(self.handover)).div_euclid(i64::from(n))
            }
        };
        // A calendar that skips or repeats a day is off by one, the time of day by another.
        let near = (about - 2)..=(about + 2);
        near.rev().find(|turn| self.start(*turn) <= at).unwrap_or(about - 2)
    }

    /// Who has a turn.
    pub(crate) fn people(&self, turn: i64) -> &[String] {
        let n = i64::try_from(self.people.len()).unwrap_or(i64::MAX);
        &self.people[usize::try_from(turn.rem_euclid(n)).unwrap_or(0)]
    }

    /// When turns begin after `from` and before `to`.
    pub(crate) fn handovers(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = Timestamp> {
        (self.turn(from) + 1..).map(|turn| self.start(turn)).take_while(move |at| *at < to)
    }

    /// Whether somebody has every turn.
    pub(crate) fn is_full(&self) -> bool {
        self.people.iter().all(|people| !people.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotation(zone: &str, handover: &str, turn: &str) -> Rotation {
        Rotation {
            zone: Zone::named(zone).expect("a zone"),
            handover: handover.parse().expect("a time"),
            turn: Turn::parse(turn).expect("a turn"),
            people: vec![vec!["ada".into()], vec!["bo".into()], vec!["cy".into()]],
        }
    }

    #[test]
    fn turns_begin_when_the_calendar_says() {
        for (zone, handover, turn, n, want) in [
            // Over the end of summer time the hand-over stays at nine; hours are counted.
            ("Europe/Berlin", "2026-10-23 09:00", "1 day", 2, "2026-10-25T08:00:00Z"),
            ("Europe/Berlin", "2026-10-24 09:00", "24 hours", 1, "2026-10-25T07:00:00Z"),
            ("Europe/Berlin", "2026-10-19 09:00", "1 week", 1, "2026-10-26T08:00:00Z"),
            ("Europe/Berlin", "2026-10-19 09:00", "2 weeks", -1, "2026-10-05T07:00:00Z"),
            // In the gap at its end, in the fold at the first.
            ("Europe/Berlin", "2026-03-28 02:30", "1 day", 1, "2026-03-29T01:00:00Z"),
            ("Europe/Berlin", "2026-10-24 02:30", "1 day", 1, "2026-10-25T00:30:00Z"),
            // The 31st is clamped without drift.
            ("UTC", "2026-01-31 00:00", "1 month", 1, "2026-02-28T00:00:00Z"),
            ("UTC", "2026-01-31 00:00", "1 month", 2, "2026-03-31T00:00:00Z"),
            ("UTC", "2026-01-31 00:00", "1 month", 25, "2028-02-29T00:00:00Z"),
            ("UTC", "2024-02-29 12:00", "12 months", 1, "2025-02-28T12:00:00Z"),
            ("UTC", "2024-02-29 12:00", "12 months", 4, "2028-02-29T12:00:00Z"),
        ] {
            let rotation = rotation(zone, handover, turn);
            let want: Timestamp = want.parse().expect("an instant");
            assert_eq!(rotation.start(n), want, "turn {n} of {turn} from {handover} {zone}");
            assert_eq!(rotation.turn(want), n);
            assert_eq!(rotation.turn(want.plus_ms(-1)), n - 1);
        }
    }

    #[test]
    fn a_day_that_the_calendar_skips_is_nobodys() {
        let daily = rotation("Pacific/Apia", "2011-12-29 00:00", "1 day");
        // The 30th was not: turn 1 begins and ends with the gap, and the 31st is turn 2.
        assert_eq!(daily.start(1), daily.start(2));
        assert_eq!(daily.turn(daily.start(1)), 2);
        assert_eq!(daily.people(2), ["cy"]);
    }

    #[test]
    fn the_ends_of_time_have_a_turn() {
        for turn in ["1 hour", "1 day", "1 month"] {
            let rotation = rotation("America/St_Johns", "2026-01-31 02:30", turn);
            for at in [Timestamp::MIN, Timestamp::EPOCH, Timestamp::MAX] {
                let n = rotation.turn(at);
                assert!(rotation.start(n) <= at, "{turn} {at}");
                assert!(!rotation.people(n).is_empty());
            }
        }
    }

    #[test]
    fn what_is_no_turn_is_refused() {
        for text in ["", "1", "week", "0 days", "-1 day", "1 fortnight", "70000 hours", "1 year", "1.5 days"]
        {
            assert_eq!(Turn::parse(text), None, "{text:?}");
        }
        assert_eq!(Turn::parse("2 weeks"), Some(Turn::Days(14)));
    }
}
