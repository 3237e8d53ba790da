//! JSON written by hand into a reused buffer: fixed layout, numbers as decimals of few digits.

/// Most decimals that [`fixed`] and [`number`] take.
const DECIMALS_MAX: u8 = 6;
const POWERS: [i64; 7] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000];

/// `x` in units of 10^-decimals, halves away from zero; what does not fit is held at the ends, NaN is 0.
///
/// # Panics
/// If there are more than 6 decimals.
pub(crate) fn fixed(x: f64, decimals: u8) -> i64 {
    assert!(decimals <= DECIMALS_MAX, "at most six decimals");
    let scaled = x * POWERS[usize::from(decimals)] as f64;
    let half = if scaled < 0.0 { -0.5 } else { 0.5 };
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and NaN becomes 0: both are documented")]
    let whole = (scaled + half) as i64;
    whole
}

/// Writes `units` · 10^-decimals, without trailing zeros.
pub(crate) fn number(out: &mut Vec<u8>, mut units: i64, mut decimals: u8) {
    while decimals > 0 && units % 10 == 0 {
        units /= 10;
        decimals -= 1;
    }
    if units < 0 {
        out.push(b'-');
    }
    let power = POWERS[usize::from(decimals)].unsigned_abs();
    let units = units.unsigned_abs();
    integer(out, units / power);
    if decimals > 0 {
        out.push(b'.');
        digits(out, units % power, decimals);
    }
}

/// Writes a whole number.
pub(crate) fn integer(out: &mut Vec<u8>, mut n: u64) {
    let mut text = [0u8; 20];
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = digit(n % 10);
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
}

/// Writes `n` with leading zeros to `width` digits.
fn digits(out: &mut Vec<u8>, mut n: u64, width: u8) {
    let start = out.len();
    let end = start + usize::from(width);
    out.resize(end, b'0');
    for place in out[start..end].iter_mut().rev() {
        *place = digit(n % 10);
        n /= 10;
    }
}

fn digit(n: u64) -> u8 {
    b"0123456789"[usize::try_from(n % 10).expect("below ten")]
}

/// Writes instants as RFC 3339 in UTC with milliseconds, remembering the date last written.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    day: i64,
    date: Vec<u8>,
}

const DAY_MS: i64 = 86_400_000;

impl Clock {
    pub(crate) fn new() -> Self {
        Self { day: i64::MIN, date: Vec::new() }
    }

    /// Writes without quotes. Range: that of [`wire::Timestamp`], which `ms` is held to.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, ms: i64) {
        let ms = wire::Timestamp::EPOCH.plus_ms(ms).as_ms();
        let day = ms.div_euclid(DAY_MS);
        if day != self.day {
            let text = wire::Timestamp::EPOCH.plus_ms(ms).to_string();
            self.date = text.as_bytes()[..11].to_vec();
            self.day = day;
        }
        out.extend_from_slice(&self.date);
        let ms = ms.rem_euclid(DAY_MS).unsigned_abs();
        digits(out, ms / 3_600_000, 2);
        out.push(b':');
        digits(out, ms / 60_000 % 60, 2);
        out.push(b':');
        digits(out, ms / 1000 % 60, 2);
        out.push(b'.');
        digits(out, ms % 1000, 3);
        out.push(b'Z');
    }
}

/// A JSON string with its quotes, escaped.
pub(crate) fn quoted(text: &str) -> Vec<u8> {
    serde_json::to_vec(text).expect("a text is always JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_short_decimals() {
        for (x, decimals, want) in [
            (120.5, 2, "120.5"),
            (-0.05, 2, "-0.05"),
            (-0.004, 2, "0"),
            (0.0005, 3, "0.001"),
            (1e300, 0, "9223372036854775807"),
            (f64::NAN, 2, "0"),
            (41.70, 1, "41.7"),
            (1000.0, 3, "1000"),
        ] {
            let mut out = vec![];
            number(&mut out, fixed(x, decimals), decimals);
            assert_eq!(String::from_utf8(out).unwrap(), want, "{x}");
        }
    }

    proptest! {
        #[test]
        fn a_written_number_reads_back(units in any::<i64>(), decimals in 0u8..=6) {
            let mut out = vec![];
            number(&mut out, units, decimals);
            let read: f64 = std::str::from_utf8(&out).unwrap().parse().unwrap();
            let want = units as f64 / POWERS[usize::from(decimals)] as f64;
            prop_assert!((read - want).abs() <= want.abs() * 1e-15, "{read} {want}");
            prop_assert!(serde_json::from_slice::<f64>(&out).is_ok());
        }

        #[test]
        fn instants_are_written_as_the_wire_does(ms in prop::collection::vec(-70_000_000_000_000i64..300_000_000_000_000, 1..4)) {
            let mut clock = Clock::new();
            for ms in ms {
                let mut out = vec![];
                clock.write(&mut out, ms);
                prop_assert_eq!(String::from_utf8(out).unwrap(), wire::Timestamp::EPOCH.plus_ms(ms).to_string());
            }
        }
    }
}
