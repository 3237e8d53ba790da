//! JSON numbers into floats, correctly rounded, without allocating.

/// Powers of ten that a float holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Largest integer up to which every integer is a float.
const EXACT_INTEGER: u64 = 1 << 53;

/// Most digits that always fit 64 bits.
const DIGITS: usize = 19;

/// The number at the start of `bytes` and its length in bytes. Infinite when no float is as large.
///
/// `None` if what stands there is not a number by the grammar of JSON (RFC 8259, section 6).
///
/// Cost: one pass. The usual short decimal is exact in one multiplication or division (Clinger 1990); the rest
/// goes to the standard library.
pub(crate) fn leading(bytes: &[u8]) -> Option<(f64, usize)> {
    let negative = bytes.first() == Some(&b'-');
    let start = usize::from(negative);
    let mut digits = Digits::default();
    let whole = digits.take(&bytes[start..]);
    if whole == 0 || (whole > 1 && bytes[start] == b'0') {
        return None;
    }
    let mut at = start + whole;
    let mut exponent = 0_i64;
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits.take(&bytes[at + 1..]);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
        exponent = -i64::try_from(fraction).ok()?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let (power, length) = power_of_ten(&bytes[at + 1..])?;
        at += 1 + length;
        exponent = exponent.saturating_add(power);
    }
    let value = digits.exactly(exponent).or_else(|| slowly(&bytes[start..at]))?;
    Some((if negative { -value } else { value }, at))
}

/// The number that the whole of `text` is.
pub(crate) fn whole(text: &str) -> Option<f64> {
    leading(text.as_bytes()).filter(|(_, length)| *length == text.len()).map(|(x, _)| x)
}

/// Digits read so far, as an integer while they fit.
#[derive(Default)]
struct Digits {
    value: u64,
    /// Digits after leading zeros.
    significant: usize,
}

impl Digits {
    /// Reads the digits at the start of `bytes` and says how many there were.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let mut read = 0;
        for byte in bytes {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            read += 1;
            self.significant += usize::from(self.significant > 0 || digit > 0);
            self.value = self.value.wrapping_mul(10).wrapping_add(u64::from(digit));
        }
        read
    }

    /// `value · 10^exponent` where one rounding gives it.
    #[expect(clippy::cast_precision_loss, reason = "at most 2^53")]
    fn exactly(&self, exponent: i64) -> Option<f64> {
        if self.significant > DIGITS || self.value > EXACT_INTEGER {
            return None;
        }
        let power = EXACT_POWERS.get(usize::try_from(exponent.unsigned_abs()).ok()?)?;
        let value = self.value as f64;
        Some(if exponent < 0 { value / power } else { value * power })
    }
}

/// The exponent after `e` and its length. Beyond what matters it stays at its bound.
fn power_of_ten(bytes: &[u8]) -> Option<(i64, usize)> {
    let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let digits = bytes[sign..].iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let power = bytes[sign..sign + digits]
        .iter()
        .fold(0_i64, |n, b| n.saturating_mul(10).saturating_add(i64::from(b - b'0')));
    Some((if bytes[0] == b'-' { -power } else { power }, sign + digits))
}

#[cold]
fn slowly(bytes: &[u8]) -> Option<f64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_texts() {
        for (text, want) in [
            ("0", Some(0.0)),
            ("-0", Some(-0.0)),
            ("41.7", Some(41.7)),
            ("1e308", Some(1e308)),
            ("-1.5E-3", Some(-0.0015)),
            ("1740960001234", Some(1_740_960_001_234.0)),
            ("123456789012345678901234567890", Some(123_456_789_012_345_678_901_234_567_890.0)),
            ("1e999", Some(f64::INFINITY)),
            ("1e99999999999999999999", Some(f64::INFINITY)),
            ("0e99999999999999999999", Some(0.0)),
            ("1e-999", Some(0.0)),
            ("0.000000000000000000000000001", Some(1e-27)),
            ("01", None),
            ("-", None),
            ("1.", None),
            (".5", None),
            ("1e", None),
            ("1e+", None),
            ("+1", None),
            ("NaN", None),
            ("Infinity", None),
            ("0x10", None),
            ("", None),
        ] {
            assert_eq!(whole(text).map(f64::to_bits), want.map(f64::to_bits), "{text}");
        }
        assert_eq!(leading(b"12,"), Some((12.0, 2)));
        assert_eq!(leading(b"1.5e3}"), Some((1500.0, 5)));
    }

    proptest! {
        #[test]
        fn agrees_with_the_standard_library(text in "-?(0|[1-9][0-9]{0,22})(\\.[0-9]{1,22})?([eE][+-]?[0-9]{1,3})?") {
            let want: f64 = text.parse().expect("the grammar of JSON is within Rust's");
            prop_assert_eq!(whole(&text).map(f64::to_bits), Some(want.to_bits()));
        }

        #[test]
        fn shortest_texts_come_back(bits in any::<u64>()) {
            let x = f64::from_bits(bits);
            prop_assume!(x.is_finite());
            prop_assert_eq!(whole(&format!("{x:e}")).map(f64::to_bits), Some(x.to_bits()));
            prop_assert_eq!(whole(&format!("{x}")).map(f64::to_bits), Some(x.to_bits()));
        }

        #[test]
        fn any_text_is_a_number_or_none(text in "[-+.eE0-9]{0,12}") {
            let json = serde_json::from_str::<f64>(&text).is_ok() || text.parse::<f64>().is_ok_and(f64::is_infinite);
            if whole(&text).is_some() {
                prop_assert!(json, "{text}");
            }
            if serde_json::from_str::<f64>(&text).is_ok() {
                prop_assert!(whole(&text).is_some(), "{text}");
            }
        }
    }
}
