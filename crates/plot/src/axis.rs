//! From event time and values to places on the picture.

use wire::Timestamp;

use crate::columns::float;
use crate::text;

/// Width of every picture, in its own units: narrow enough for a phone.
pub(crate) const WIDTH: f64 = 460.0;
pub(crate) const LEFT: f64 = 46.0;
pub(crate) const RIGHT: f64 = 452.0;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;
const STEPS_MS: [i64; 15] = [
    MINUTE_MS,
    5 * MINUTE_MS,
    15 * MINUTE_MS,
    30 * MINUTE_MS,
    60 * MINUTE_MS,
    180 * MINUTE_MS,
    360 * MINUTE_MS,
    720 * MINUTE_MS,
    DAY_MS,
    2 * DAY_MS,
    7 * DAY_MS,
    28 * DAY_MS,
    91 * DAY_MS,
    365 * DAY_MS,
    3650 * DAY_MS,
];

/// Whether a line goes on from one column to the next: what lies between is no longer than the next one is.
pub(crate) fn joined(before: Timestamp, [from, until]: [Timestamp; 2]) -> bool {
    from.since_ms(before) <= until.since_ms(from)
}

/// Event time along the picture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    from: Timestamp,
    span_ms: i64,
}

impl Time {
    pub(crate) fn new(from: Timestamp, until: Timestamp) -> Self {
        Self { from, span_ms: until.since_ms(from).max(1) }
    }

    /// Where a time stands, held within the picture.
    pub(crate) fn x(self, at: Timestamp) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of some years")]
        let share = at.since_ms(self.from) as f64 / self.span_ms as f64;
        LEFT + share.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    /// Ticks with their words, the zone at the left.
    pub(crate) fn draw(self, y: f64) -> String {
        let step = STEPS_MS.into_iter().find(|step| self.span_ms / step <= 5).unwrap_or(self.span_ms / 5);
        let mut out = format!("<g class=\"axis\"><path d=\"M{LEFT} {y:.1}H{RIGHT}\"/>");
        let mut at = self.from.plus_ms(step - 1).floor_to(step);
        while at.since_ms(self.from) <= self.span_ms {
            let x = self.x(at);
            let (day, clock) = day_and_clock(at);
            let words = if step >= DAY_MS || clock == "00:00" { day } else { clock };
            let anchor = if x > RIGHT - 16.0 { "end" } else { "middle" };
            put!(
                out,
                "<path d=\"M{x:.1} {y:.1}v3\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{words}</text>",
                y + 13.0
            );
            at = at.plus_ms(step);
        }
        put!(out, "<text x=\"2\" y=\"{:.1}\">UTC</text></g>", y + 13.0);
        out
    }
}

fn day_and_clock(at: Timestamp) -> (String, String) {
    let text = text::minute(at);
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or("").to_owned();
    (part(5..10), part(11..16))
}

/// Values from bottom to top.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values {
    low: f64,
    high: f64,
    top: f64,
    bottom: f64,
}

impl Values {
    /// A scale over `low..high`, which may not be empty, between two heights of the picture.
    pub(crate) fn new([low, high]: [f64; 2], top: f64, bottom: f64) -> Self {
        let (low, high) = if low < high && (high - low).is_finite() { (low, high) } else { (0.0, 1.0) };
        Self { low, high, top, bottom }
    }

    /// Where a value stands, held within the picture.
    pub(crate) fn y(self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        self.bottom - share * (self.bottom - self.top)
    }

    /// At most five round values within.
    pub(crate) fn ticks(self) -> Vec<f64> {
        let span = self.high - self.low;
        let mut step = 10.0_f64.powf(span.log10().floor() - 1.0);
        let factors = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];
        step *= factors.into_iter().find(|factor| span / (step * factor) <= 4.0).unwrap_or(100.0);
        let first = (self.low / step).ceil();
        (0..=5_u64).map(|i| (first + float(i)) * step).filter(|v| *v <= self.high + 1e-9 * span).collect()
    }

    /// At most six powers of ten, or 1, 2 and 5 times these: for values that are logarithms to base ten.
    pub(crate) fn log_ticks(self) -> Vec<f64> {
        let (first, last) = (self.low.floor().max(-300.0), self.high.ceil().min(300.0));
        let decades = || (0..=600_u64).map(|i| first + float(i)).take_while(|decade| *decade <= last);
        let within = |tick: &f64| self.low <= *tick && *tick <= self.high;
        let fine: Vec<f64> = decades()
            .flat_map(|d| [0.0, 2.0_f64.log10(), 5.0_f64.log10()].map(|f| d + f))
            .filter(within)
            .collect();
        if fine.len() <= 6 {
            return fine;
        }
        let whole: Vec<f64> = decades().filter(within).collect();
        let every = whole.len().div_ceil(6).max(1);
        whole.into_iter().step_by(every).collect()
    }

    /// Grid lines with words.
    pub(crate) fn draw(self, words: impl Fn(f64) -> String) -> String {
        self.draw_at(&self.ticks(), words)
    }

    /// The same at these values.
    pub(crate) fn draw_at(self, ticks: &[f64], words: impl Fn(f64) -> String) -> String {
        let mut out = String::from("<g class=\"axis\">");
        for &value in ticks {
            let y = self.y(value);
            put!(
                out,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 4.0,
                y + 3.5,
                words(value)
            );
        }
        out.push_str("</g>");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_few_and_within() {
        for range in [[0.0, 1.0], [-0.013, 0.27], [-1e-6, 1e-6], [0.0, 12_345.0], [3.0, 3.0], [0.0, f64::NAN]]
        {
            let values = Values::new(range, 0.0, 100.0);
            let ticks = values.ticks();
            assert!((1..=6).contains(&ticks.len()), "{range:?}: {ticks:?}");
            assert!(values.log_ticks().len() <= 6, "{range:?}: {:?}", values.log_ticks());
            assert!(
                ticks.iter().all(|t| (values.low..=values.high * 1.000_001).contains(t)),
                "{range:?}: {ticks:?}"
            );
        }
        let milliseconds: Vec<f64> =
            Values::new([1.1, 2.4], 0.0, 1.0).log_ticks().iter().map(|t| 10.0_f64.powf(*t).round()).collect();
        assert!(
            milliseconds.iter().zip([20.0, 50.0, 100.0, 200.0]).all(|(a, b)| (a - b).abs() < 1e-9)
                && milliseconds.len() == 4
        );
        assert!((Values::new([0.0, 1.0], 0.0, 100.0).y(0.25) - 75.0).abs() < 1e-9);
        assert!(Values::new([0.0, 1.0], 0.0, 100.0).y(f64::NAN) <= 100.0);
    }

    #[test]
    fn time_has_few_ticks_whatever_its_length() {
        for minutes in [0, 3, 47, 600, 9_000, 300_000, 40_000_000] {
            let time = Time::new(Timestamp::EPOCH, Timestamp::EPOCH.plus_ms(minutes * MINUTE_MS));
            let drawn = time.draw(10.0).matches("text-anchor").count();
            assert!((1..=6).contains(&drawn), "{minutes}: {drawn}");
        }
    }
}
