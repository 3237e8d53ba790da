//! A prediction and a label as they stand in a record, nothing copied.

use wire::Timestamp;
use wire::prediction::Status;

#[cfg(doc)]
use super::MEMBERS_MAX;
use super::NAME_BYTES_MAX;
use super::scan::{Span, Token};
use super::value::Value;

/// What a record without a `kind` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Prediction,
    Label,
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub enum Decoded<'a> {
    Prediction(Prediction<'a>),
    Label(Label<'a>),
}

/// A prediction. Texts live in the record or in the decoder's scratch.
#[derive(Clone, Copy, Debug)]
pub struct Prediction<'a> {
    pub id: &'a str,
    pub event_time: Timestamp,
    pub model: &'a str,
    pub version: Option<&'a str>,
    /// As written; it may be negative or infinite.
    pub latency_ms: Option<f64>,
    pub status: Status,
    pub prediction: Option<Value<'a>>,
    /// As written, or the probability of the predicted class out of `class_probs`.
    pub score: Option<f64>,
    /// Finite, not negative.
    pub weight: Option<f64>,
    pub features: Features<'a>,
    pub(super) view: View<'a>,
}

/// A label.
#[derive(Clone, Copy, Debug)]
pub struct Label<'a> {
    pub id: &'a str,
    /// When it became known.
    pub event_time: Timestamp,
    /// Never null.
    pub value: Value<'a>,
    pub model: Option<&'a str>,
    pub version: Option<&'a str>,
    /// The prediction it is about, if it says so itself.
    pub prediction: Option<Value<'a>>,
    pub score: Option<f64>,
}

/// Features of a record, in its order.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    pub(super) view: View<'a>,
    pub(super) members: &'a [(Span, Token)],
    /// Members beyond [`MEMBERS_MAX`], and those with names beyond [`NAME_BYTES_MAX`].
    pub skipped_members: u64,
    /// `features` was something else than an object.
    pub is_other: bool,
}

impl<'a> Features<'a> {
    /// Name and value of each, the last first: of two with one name, the later one holds.
    pub fn last_first(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + use<'a> {
        let view = self.view;
        self.members.iter().rev().map(move |(name, token)| (view.text(*name), view.value(*token)))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl<'a> Prediction<'a> {
    /// The value of a segment key, by its place in the keys that the decoder was made with.
    #[must_use]
    pub fn segment(&self, key: usize) -> Option<&'a str> {
        self.view.name(self.view.segments.get(key)?.given()?).filter(|text| text.len() <= NAME_BYTES_MAX)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) record: &'a str,
    pub(super) scratch: &'a str,
    pub(super) segments: &'a [Token],
}

impl<'a> View<'a> {
    pub(super) fn text(self, span: Span) -> &'a str {
        span.of(self.record, self.scratch)
    }

    pub(super) fn value(self, token: Token) -> Value<'a> {
        match token {
            Token::Absent | Token::Null => Value::Null,
            Token::Bool(b) => Value::Bool(b),
            Token::Number(_, x) => Value::Number(x),
            Token::Text(span) => Value::Text(self.text(span)),
            Token::Nested => Value::Nested,
        }
    }

    /// Names may be written as text, number or true/false.
    pub(super) fn name(self, token: Token) -> Option<&'a str> {
        match token {
            Token::Text(span) | Token::Number(span, _) => Some(self.text(span)),
            Token::Bool(true) => Some("true"),
            Token::Bool(false) => Some("false"),
            Token::Absent | Token::Null | Token::Nested => None,
        }
    }
}
