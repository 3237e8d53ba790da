//! From the tokens of a record to what they mean.

use std::str::FromStr as _;

use wire::Timestamp;
use wire::prediction::Status;

use super::fields::Field;
use super::scan::Token;
use super::telemetry::{Decoded, Features, Kind, Label, Prediction, View};
use super::value::Value;
use super::{Attributes, DecodeError, Found, NAME_BYTES_MAX};

/// From tokens to a record.
pub(super) struct Reading<'a, 'b> {
    pub(super) found: &'a Found,
    pub(super) view: View<'a>,
    pub(super) attributes: &'b Attributes<'a>,
    /// In structured mode.
    pub(super) is_event: bool,
}

impl<'a> Reading<'a, '_> {
    pub(super) fn finish(&self, default: Kind) -> Result<Decoded<'a>, DecodeError> {
        if self.is_event {
            self.event()?;
        }
        match self.kind(default)? {
            Kind::Prediction => self.prediction().map(Decoded::Prediction),
            Kind::Label => self.label().map(Decoded::Label),
        }
    }

    fn given(&self, field: Field) -> Option<Token> {
        self.found.get(field).given()
    }

    fn event(&self) -> Result<(), DecodeError> {
        let text = |field| self.given(field).and_then(|t| self.view.name(t));
        if !text(Field::SpecVersion).is_some_and(|v| v.starts_with("1.")) {
            return Err(DecodeError::Unsupported { what: "CloudEvents specversion other than 1" });
        }
        if self.given(Field::DataBase64).is_some() {
            return Err(DecodeError::Unsupported { what: "data_base64" });
        }
        if text(Field::DataContentType).is_some_and(|t| !t.to_ascii_lowercase().contains("json")) {
            return Err(DecodeError::Unsupported { what: "content type other than JSON" });
        }
        Ok(())
    }

    fn kind(&self, default: Kind) -> Result<Kind, DecodeError> {
        match self.given(Field::Kind) {
            Some(Token::Text(span)) => match self.view.text(span) {
                "prediction" => Ok(Kind::Prediction),
                "label" => Ok(Kind::Label),
                _ => Err(DecodeError::Unsupported { what: "kind other than prediction or label" }),
            },
            Some(_) => Err(DecodeError::Invalid { field: "kind", what: "not text" }),
            None => {
                let structured =
                    self.given(Field::EventType).and_then(|t| self.view.name(t)).map(str::as_bytes);
                Ok(match structured.or(self.attributes.event_type) {
                    Some(t) if t.ends_with(b"label") => Kind::Label,
                    Some(t) if t.ends_with(b"prediction") => Kind::Prediction,
                    Some(_) | None => default,
                })
            }
        }
    }

    fn prediction(&self) -> Result<Prediction<'a>, DecodeError> {
        let id = match self.name(Field::PredictionId, "prediction_id", usize::MAX)? {
            Some(id) => id,
            None => self.event_id().ok_or(DecodeError::Missing { field: "prediction_id" })?,
        };
        let prediction = self.given(Field::Prediction);
        let features = self.given(Field::Features);
        Ok(Prediction {
            id,
            event_time: self.event_time()?,
            model: self
                .name(Field::Model, "model", NAME_BYTES_MAX)?
                .ok_or(DecodeError::Missing { field: "model" })?,
            version: self.version()?,
            latency_ms: self.number(Field::LatencyMs, "latency_ms")?,
            status: self.status()?,
            prediction: prediction.map(|t| self.view.value(t)),
            score: self.score(prediction)?,
            weight: self.weight()?,
            features: Features {
                view: self.view,
                members: &self.found.features,
                skipped_members: self.found.skipped,
                is_other: features.is_some(),
            },
            view: self.view,
        })
    }

    fn label(&self) -> Result<Label<'a>, DecodeError> {
        let id = self.name(Field::PredictionId, "prediction_id", usize::MAX)?;
        let value = self.given(Field::Value).ok_or(DecodeError::Missing { field: "value" })?;
        let prediction = self.given(Field::Prediction);
        Ok(Label {
            id: id.ok_or(DecodeError::Missing { field: "prediction_id" })?,
            event_time: self.event_time()?,
            value: match self.view.value(value) {
                Value::Nested => {
                    return Err(DecodeError::Invalid { field: "value", what: "an array or object" });
                }
                Value::Number(x) if !x.is_finite() => {
                    return Err(DecodeError::Invalid { field: "value", what: "too large" });
                }
                plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_)) => plain,
            },
            model: self.name(Field::Model, "model", NAME_BYTES_MAX)?,
            version: self.version()?,
            prediction: prediction.map(|t| self.view.value(t)),
            score: self.score(prediction)?,
        })
    }

    fn version(&self) -> Result<Option<&'a str>, DecodeError> {
        match self.name(Field::Version, "version", NAME_BYTES_MAX)? {
            Some(version) => Ok(Some(version)),
            None => self.name(Field::VersionFrom, "version", NAME_BYTES_MAX),
        }
    }

    /// Text, or a number as it is written.
    fn name(&self, field: Field, name: &'static str, max: usize) -> Result<Option<&'a str>, DecodeError> {
        match self.given(field) {
            None => Ok(None),
            Some(Token::Text(span) | Token::Number(span, _)) => {
                let text = self.view.text(span);
                match text.len() {
                    0 => Err(DecodeError::Invalid { field: name, what: "empty" }),
                    length if length > max => Err(DecodeError::Invalid { field: name, what: "too long" }),
                    _ => Ok(Some(text)),
                }
            }
            Some(_) => Err(DecodeError::Invalid { field: name, what: "not text" }),
        }
    }

    fn number(&self, field: Field, name: &'static str) -> Result<Option<f64>, DecodeError> {
        match self.given(field) {
            None => Ok(None),
            Some(Token::Number(_, x)) => Ok(Some(x)),
            Some(_) => Err(DecodeError::Invalid { field: name, what: "not a number" }),
        }
    }

    /// Text of the event's id, which names the prediction where nothing else does.
    fn event_id(&self) -> Option<&'a str> {
        let structured = self.given(Field::EventId).and_then(|t| self.view.name(t));
        let text = structured.or_else(|| std::str::from_utf8(self.attributes.id?).ok());
        text.filter(|t| !t.is_empty())
    }

    fn event_time(&self) -> Result<Timestamp, DecodeError> {
        let invalid =
            DecodeError::Invalid { field: "event_time", what: "not RFC 3339 or epoch milliseconds" };
        let own = match self.given(Field::EventTime) {
            Some(Token::Number(_, ms)) => Some(from_ms(ms)),
            Some(Token::Text(span)) => Some(Timestamp::from_str(self.view.text(span)).ok()),
            Some(_) => Some(None),
            None => None,
        };
        let structured = || self.given(Field::Time).and_then(|t| self.view.name(t));
        let binary = || std::str::from_utf8(self.attributes.time?).ok();
        let time = own.or_else(|| structured().or_else(binary).map(|t| Timestamp::from_str(t).ok()));
        time.ok_or(DecodeError::Missing { field: "event_time" })?.ok_or(invalid)
    }

    fn status(&self) -> Result<Status, DecodeError> {
        let what = "not one of ok, error, timeout, rejected";
        match self.given(Field::Status) {
            None => Ok(Status::Ok),
            Some(Token::Text(span)) => {
                let text = self.view.text(span);
                let known = Status::ALL.into_iter().find(|s| text.eq_ignore_ascii_case(s.name()));
                known.ok_or(DecodeError::Invalid { field: "status", what })
            }
            Some(_) => Err(DecodeError::Invalid { field: "status", what }),
        }
    }

    fn score(&self, prediction: Option<Token>) -> Result<Option<f64>, DecodeError> {
        if let Some(score) = self.number(Field::Score, "score")? {
            return Ok(Some(score));
        }
        let Some(class) = prediction.and_then(|t| self.view.name(t)) else { return Ok(None) };
        let mut probabilities = self.found.probabilities.iter().rev();
        let of_class = probabilities.find(|(name, _)| self.view.text(*name) == class);
        Ok(of_class.and_then(|(_, token)| match token {
            Token::Number(_, p) => Some(*p),
            Token::Absent | Token::Null | Token::Bool(_) | Token::Text(_) | Token::Nested => None,
        }))
    }

    fn weight(&self) -> Result<Option<f64>, DecodeError> {
        match self.number(Field::Weight, "weight")? {
            Some(weight) if !weight.is_finite() || weight < 0.0 => {
                Err(DecodeError::Invalid { field: "weight", what: "negative or too large" })
            }
            other => Ok(other),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a float cast saturates, and the range is checked after it"
)]
fn from_ms(ms: f64) -> Option<Timestamp> {
    if ms.is_finite() { Timestamp::from_ms(ms.floor() as i64) } else { None }
}
