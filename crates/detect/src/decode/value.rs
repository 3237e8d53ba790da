//! A value as a record holds it.

use super::number;

/// Longest text that may be a number in disguise: up to here numbers keep all their digits.
const NUMBER_TEXT_MAX: usize = 15;

/// Value of a feature, a prediction or a label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    /// Infinite where no float is as large.
    Number(f64),
    Text(&'a str),
    /// An array or object.
    Nested,
}

/// What a value is when it is compared with another: `"0"`, `0` and `0.0` are the same, and so are `true` and
/// `"true"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Canonical<'a> {
    /// Finite.
    Number(f64),
    Text(&'a str),
}

impl<'a> Value<'a> {
    /// `None` for null, arrays, objects and numbers that no float holds.
    #[must_use]
    pub fn canonical(self) -> Option<Canonical<'a>> {
        match self {
            Self::Number(x) => x.is_finite().then_some(Canonical::Number(x)),
            Self::Bool(true) => Some(Canonical::Text("true")),
            Self::Bool(false) => Some(Canonical::Text("false")),
            Self::Text(text) => Some(match number::whole(text) {
                Some(x) if text.len() <= NUMBER_TEXT_MAX && x.is_finite() => Canonical::Number(x),
                Some(_) | None => Canonical::Text(text),
            }),
            Self::Null | Self::Nested => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_values_in_other_clothes() {
        for (value, want) in [
            (Value::Text("0"), Some(Canonical::Number(0.0))),
            (Value::Text("1.50"), Some(Canonical::Number(1.5))),
            (Value::Text("01234"), Some(Canonical::Text("01234"))),
            (Value::Text("12345678901234567890"), Some(Canonical::Text("12345678901234567890"))),
            (Value::Text("1e999"), Some(Canonical::Text("1e999"))),
            (Value::Text("deny"), Some(Canonical::Text("deny"))),
            (Value::Bool(true), Some(Canonical::Text("true"))),
            (Value::Number(f64::INFINITY), None),
            (Value::Null, None),
            (Value::Nested, None),
        ] {
            assert_eq!(value.canonical(), want);
        }
    }
}
