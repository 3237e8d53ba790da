//! Event time.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant in milliseconds since 1970-01-01T00:00:00Z. Text form: RFC 3339, UTC, three decimals.
///
/// Range: years 0001 to 9999, so that the text form always exists. Read from RFC 3339 or epoch milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Why a text or number is not an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not RFC 3339 or epoch milliseconds between the years 0001 and 9999")]
pub struct NotATimestamp;

const MIN_MS: i64 = -62_135_596_800_000;
const MAX_MS: i64 = 253_402_300_799_999;

impl Timestamp {
    pub const EPOCH: Self = Self(0);
    pub const MIN: Self = Self(MIN_MS);
    pub const MAX: Self = Self(MAX_MS);

    /// From epoch milliseconds; `None` outside the years 0001 to 9999.
    #[must_use]
    pub const fn from_ms(ms: i64) -> Option<Self> {
        if ms < MIN_MS || ms > MAX_MS { None } else { Some(Self(ms)) }
    }

    #[must_use]
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// `self + ms`, held within the range.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms).clamp(MIN_MS, MAX_MS))
    }

    /// `self - earlier` in milliseconds, negative when `earlier` is later.
    #[must_use]
    pub fn since_ms(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }

    /// The start of the slice of `width_ms` that holds this instant; slices are aligned to the epoch.
    ///
    /// # Panics
    /// If `width_ms` is not positive.
    #[must_use]
    pub fn floor_to(self, width_ms: i64) -> Self {
        assert!(width_ms > 0, "a slice of time has a width");
        Self(self.0.div_euclid(width_ms) * width_ms).max(Self::MIN)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (y, m, d) = civil(days);
        let (h, min, s, milli) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
        write!(f, "{y:04}-{m:02}-{d:02}T{h:02}:{min:02}:{s:02}.{milli:03}Z")
    }
}

/// Year, month, day of a count of days since 1970-01-01 (proleptic Gregorian).
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (d, m) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    (yoe + era * 400 + i64::from(m <= 2), m, d)
}

/// Days since 1970-01-01 of a civil date. The inverse of [`civil`].
fn days_from_civil(y: i64, m: i64, d: i64) -> i64 {
    let y = y - i64::from(m <= 2);
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (if m > 2 { m - 3 } else { m + 9 }) + 2) / 5 + d - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// How many days a month (1 to 12) has.
fn days_of(y: i64, m: i64) -> i64 {
    let (next_y, next_m) = if m == 12 { (y + 1, 1) } else { (y, m + 1) };
    days_from_civil(next_y, next_m, 1) - days_from_civil(y, m, 1)
}

impl FromStr for Timestamp {
    type Err = NotATimestamp;

    /// The fixed form `2026-03-02T10:00:00[.fff]Z` is read by hand in some 20 ns; all else goes to `jiff`.
    fn from_str(text: &str) -> Result<Self, NotATimestamp> {
        if let Some(t) = fixed_form(text.as_bytes()) {
            return Ok(t);
        }
        let t: jiff::Timestamp = text.parse().map_err(|_| NotATimestamp)?;
        Self::from_ms(t.as_millisecond()).ok_or(NotATimestamp)
    }
}

fn fixed_form(b: &[u8]) -> Option<Timestamp> {
    let (zone, b) = b.split_last()?;
    if *zone != b'Z' || !matches!(b.len(), 19 | 23) {
        return None;
    }
    let digits = |from: usize, to: usize| {
        b[from..to].iter().try_fold(0i64, |n, c| c.is_ascii_digit().then(|| n * 10 + i64::from(c - b'0')))
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|&(i, c)| b[i] != c) || (b.len() == 23 && b[19] != b'.') {
        return None;
    }
    let (y, m, d) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let (h, min, s) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
    let milli = if b.len() == 23 { digits(20, 23)? } else { 0 };
    // Leap seconds are left to jiff. Days are not: it has no times in the last two of the range.
    if !(1..=12).contains(&m) || !(1..=days_of(y, m)).contains(&d) || y == 0 || h > 23 || min > 59 || s > 59 {
        return None;
    }
    Timestamp::from_ms(((days_from_civil(y, m, d) * 24 + h) * 60 + min) * 60_000 + s * 1000 + milli)
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { s.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct TextOrMs;
        impl Visitor<'_> for TextOrMs {
            type Value = Timestamp;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time in RFC 3339 or epoch milliseconds")
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Timestamp, E> {
                v.parse().map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Timestamp, E> {
                Timestamp::from_ms(v).ok_or_else(|| E::custom(NotATimestamp))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Timestamp, E> {
                i64::try_from(v).ok().and_then(Timestamp::from_ms).ok_or_else(|| E::custom(NotATimestamp))
            }
        }
        if d.is_human_readable() { d.deserialize_any(TextOrMs) } else { d.deserialize_i64(TextOrMs) }
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time", "description": "RFC 3339, UTC, milliseconds"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_known_texts() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-03-02T10:00:00.123Z", Some(1_772_445_600_123)),
            ("2026-03-02T11:00:00.123+01:00", Some(1_772_445_600_123)),
            ("2024-02-29T00:00:00Z", Some(1_709_164_800_000)),
            ("2023-02-29T00:00:00Z", None),
            ("1900-02-29T00:00:00Z", None),
            ("2026-04-31T00:00:00Z", None),
            ("2026-12-32T00:00:00Z", None),
            ("0001-01-01T00:00:00Z", Some(MIN_MS)),
            ("9999-12-31T23:59:59.999Z", Some(MAX_MS)),
            ("2026-13-01T00:00:00Z", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<Timestamp>().ok().map(Timestamp::as_ms), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_back(ms in MIN_MS..=MAX_MS) {
            let t = Timestamp(ms);
            prop_assert_eq!(t.to_string().parse::<Timestamp>(), Ok(t));
        }

        #[test]
        fn agrees_with_jiff(ms in MIN_MS..=jiff::Timestamp::MAX.as_millisecond()) {
            let want = jiff::Timestamp::from_millisecond(ms).unwrap();
            prop_assert_eq!(Timestamp(ms).to_string(), format!("{want:.3}"));
        }

        #[test]
        fn a_slice_holds_its_instant(ms in -1_000_000_000_000i64..1_000_000_000_000, width in 1i64..100_000_000) {
            let (t, start) = (Timestamp(ms), Timestamp(ms).floor_to(width));
            prop_assert!(start <= t && t.since_ms(start) < width);
        }
    }
}
