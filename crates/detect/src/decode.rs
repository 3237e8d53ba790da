//! One telemetry record from its bytes: plain JSON or a CloudEvent, a prediction or a label.
//!
//! One pass over the bytes. Nothing is allocated per record once the scratch space has grown: what is read are
//! spans into the record, and strings with escapes in a scratch text.

use wire::deadletter::Reason;

pub mod fields;
mod number;
mod reading;
mod scan;
mod telemetry;
mod value;

pub use fields::{Fields, FieldsError};
pub use telemetry::{Decoded, Features, Kind, Label, Prediction};
pub use value::{Canonical, Value};

use fields::{Field, Member, Tree};
use reading::Reading;
use scan::{Scanner, Span, Token};
use telemetry::View;

/// Most members of `features` that are read; what is beyond is counted.
pub const MEMBERS_MAX: usize = 4096;

/// Longest model, version or segment name in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// Why a record is a dead letter. Tells what and where, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No value, or no bytes.
    #[error("no bytes")]
    Empty,
    /// Larger than `record_bytes_max`.
    #[error("more than {max} bytes")]
    TooLarge { max: usize },
    /// Not JSON, or cut short.
    #[error("{what} at byte {at}")]
    Malformed { what: &'static str, at: usize },
    /// A required field is absent or null.
    #[error("no {field}")]
    Missing { field: &'static str },
    /// A field that cannot be what it is.
    #[error("{field} is {what}")]
    Invalid { field: &'static str, what: &'static str },
    /// A kind or encoding that this version does not read.
    #[error("{what}")]
    Unsupported { what: &'static str },
}

impl DecodeError {
    /// The reason that the dead letter states.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Empty => Reason::Empty,
            Self::TooLarge { .. } => Reason::TooLarge,
            Self::Malformed { .. } => Reason::Malformed,
            Self::Missing { .. } => Reason::Missing,
            Self::Invalid { .. } => Reason::Invalid,
            Self::Unsupported { .. } => Reason::Unsupported,
        }
    }
}

/// Attributes of a CloudEvent in binary mode, from the headers of its record.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes<'a> {
    pub content_type: Option<&'a [u8]>,
    pub spec_version: Option<&'a [u8]>,
    pub event_type: Option<&'a [u8]>,
    pub id: Option<&'a [u8]>,
    pub time: Option<&'a [u8]>,
}

impl<'a> Attributes<'a> {
    /// Reads them through `header`, which gives the value of a header by its name.
    pub fn read(header: impl Fn(&str) -> Option<&'a [u8]>) -> Self {
        let spec_version = header("ce_specversion");
        let of_event = |name| spec_version.and_then(|_| header(name));
        Self {
            content_type: header("content-type"),
            spec_version,
            event_type: of_event("ce_type"),
            id: of_event("ce_id"),
            time: of_event("ce_time"),
        }
    }
}

/// Reads records. Keeps the scratch space, and the layout of the last record.
#[derive(Clone, Debug)]
pub struct Decoder {
    plain: Tree,
    structured: Tree,
    segment_keys: Vec<String>,
    record_bytes_max: usize,
    found: Found,
    scratch: String,
}

/// What one pass found.
#[derive(Clone, Debug, Default)]
struct Found {
    fields: [Token; Field::COUNT],
    features: Vec<(Span, Token)>,
    skipped: u64,
    probabilities: Vec<(Span, Token)>,
    segments: Vec<Token>,
}

impl Found {
    fn get(&self, field: Field) -> Token {
        self.fields[field as usize]
    }
}

/// Records are cut off below this whatever the config says, so that spans fit.
const BYTES_LIMIT: usize = 1 << 30;

impl Decoder {
    /// # Errors
    /// When the fields cannot be told apart.
    pub fn new(
        fields: &Fields,
        version_from: Option<&str>,
        segment_keys: &[String],
        record_bytes_max: usize,
    ) -> Result<Self, FieldsError> {
        Ok(Self {
            plain: Tree::plain(fields, version_from)?,
            structured: Tree::structured(fields, version_from)?,
            segment_keys: segment_keys.to_vec(),
            record_bytes_max: record_bytes_max.min(BYTES_LIMIT),
            found: Found::default(),
            scratch: String::new(),
        })
    }

    /// Reads one record; `kind` is what it is when it does not say.
    ///
    /// # Errors
    /// When it is none. Never panics, whatever the bytes.
    pub fn decode<'a>(
        &'a mut self,
        value: Option<&'a [u8]>,
        attributes: &Attributes<'a>,
        kind: Kind,
    ) -> Result<Decoded<'a>, DecodeError> {
        let bytes = value.filter(|bytes| !bytes.is_empty()).ok_or(DecodeError::Empty)?;
        if bytes.len() > self.record_bytes_max {
            return Err(DecodeError::TooLarge { max: self.record_bytes_max });
        }
        let record = std::str::from_utf8(bytes)
            .map_err(|e| DecodeError::Malformed { what: "invalid UTF-8", at: e.valid_up_to() })?;
        let record = record.strip_prefix('\u{feff}').unwrap_or(record);
        let structured = encoding(attributes)?;
        self.pass(record, structured)?;
        // Structured events are told by their content type, or else by their shape.
        let disguised = !structured
            && self.found.get(Field::SpecVersion).given().is_some()
            && self.found.get(Field::PredictionId).given().is_none();
        if disguised {
            self.pass(record, true)?;
        }
        let view = View { record, scratch: &self.scratch, segments: &self.found.segments };
        Reading { found: &self.found, view, attributes, is_event: structured || disguised }.finish(kind)
    }

    fn pass(&mut self, record: &str, structured: bool) -> Result<(), DecodeError> {
        let Self { plain, structured: events, segment_keys, found, scratch, .. } = self;
        scratch.clear();
        found.fields = [Token::Absent; Field::COUNT];
        found.features.clear();
        found.probabilities.clear();
        found.skipped = 0;
        found.segments.clear();
        found.segments.resize(segment_keys.len(), Token::Absent);
        let tree = if structured { events } else { plain };
        let mut pass = Pass { scanner: Scanner::new(record, scratch), record, tree, segment_keys, found };
        pass.scanner.skip_space();
        pass.object(0, 0)?;
        pass.scanner.end()
    }
}

/// True if the content type says structured mode.
fn encoding(attributes: &Attributes<'_>) -> Result<bool, DecodeError> {
    if attributes.spec_version.is_some_and(|v| !v.starts_with(b"1.")) {
        return Err(DecodeError::Unsupported { what: "CloudEvents specversion other than 1" });
    }
    let Some(content_type) = attributes.content_type else { return Ok(false) };
    let essence = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    let is = |name: &[u8]| essence.eq_ignore_ascii_case(name);
    let ends = |suffix: &[u8]| {
        essence.len() >= suffix.len() && essence[essence.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
    };
    match () {
        () if is(b"application/cloudevents+json") => Ok(true),
        () if is(b"application/cloudevents-batch+json") => {
            Err(DecodeError::Unsupported { what: "a batch of CloudEvents" })
        }
        // Content types that say nothing of the encoding are given the benefit of the doubt.
        () if essence.is_empty() || ends(b"json") || is(b"application/octet-stream") || is(b"text/plain") => {
            Ok(false)
        }
        () => Err(DecodeError::Unsupported { what: "content type other than JSON" }),
    }
}

/// One pass over one record.
struct Pass<'p> {
    scanner: Scanner<'p>,
    record: &'p str,
    tree: &'p mut Tree,
    segment_keys: &'p [String],
    found: &'p mut Found,
}

impl Pass<'_> {
    fn object(&mut self, node: usize, depth: usize) -> Result<(), DecodeError> {
        let mut more = self.scanner.open()?;
        while more {
            // Most often the member that came here in the last record.
            let expected = self.tree.expected(node).map_or(Ok(false), |name| self.scanner.skip_name(name))?;
            let member = if expected {
                Some(self.tree.take_expected(node))
            } else {
                let name = self.scanner.name()?;
                self.tree.member(node, self.scanner.text(name, self.record))
            };
            match member {
                Some(Member::Field(field)) => self.field(field, depth + 1)?,
                Some(Member::Within(inner)) if self.scanner.peek() == Some(b'{') => {
                    self.object(inner, depth + 1)?
                }
                Some(Member::Within(_)) | None => drop(self.scanner.token(depth + 1)?),
            }
            more = self.scanner.another()?;
        }
        Ok(())
    }

    /// Of two members with one name the later holds.
    fn field(&mut self, field: Field, depth: usize) -> Result<(), DecodeError> {
        let is_object = self.scanner.peek() == Some(b'{');
        match field {
            Field::Features if is_object => {
                self.found.skipped = members(&mut self.scanner, &mut self.found.features, depth)?;
                Ok(())
            }
            Field::ClassProbs if is_object => {
                members(&mut self.scanner, &mut self.found.probabilities, depth)?;
                Ok(())
            }
            Field::Segments if is_object => self.segments(depth),
            Field::Features
            | Field::ClassProbs
            | Field::Segments
            | Field::Kind
            | Field::PredictionId
            | Field::EventTime
            | Field::Model
            | Field::Version
            | Field::VersionFrom
            | Field::LatencyMs
            | Field::Status
            | Field::Prediction
            | Field::Score
            | Field::Weight
            | Field::Value
            | Field::SpecVersion
            | Field::EventType
            | Field::EventId
            | Field::Time
            | Field::DataContentType
            | Field::DataBase64 => {
                self.found.fields[field as usize] = self.scanner.token(depth)?;
                Ok(())
            }
        }
    }

    fn segments(&mut self, depth: usize) -> Result<(), DecodeError> {
        let mut more = self.scanner.open()?;
        while more {
            let name = self.scanner.name()?;
            let text = self.scanner.text(name, self.record);
            let key = self.segment_keys.iter().position(|key| key == text);
            let token = self.scanner.token(depth + 1)?;
            if let Some(key) = key {
                self.found.segments[key] = token;
            }
            more = self.scanner.another()?;
        }
        Ok(())
    }
}

/// Reads the members of an object of plain values, at most [`MEMBERS_MAX`], with names of at most [`NAME_BYTES_MAX`].
/// How many were left out.
fn members(
    scanner: &mut Scanner<'_>,
    into: &mut Vec<(Span, Token)>,
    depth: usize,
) -> Result<u64, DecodeError> {
    into.clear();
    let mut left_out = 0;
    let mut more = scanner.open()?;
    while more {
        let name = scanner.name()?;
        let token = scanner.token(depth + 1)?;
        if into.len() < MEMBERS_MAX && name.len() <= NAME_BYTES_MAX {
            into.push((name, token));
        } else {
            left_out += 1;
        }
        more = scanner.another()?;
    }
    Ok(left_out)
}

#[cfg(test)]
mod tests;
