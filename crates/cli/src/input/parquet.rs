//! Rows of a Parquet file as the JSON Lines that they would have been.
//!
//! Times of any unit become milliseconds since 1970, decimals and dates text; the rest is as its name says. A null is left out,
//! as a producer of JSON would.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use parquet::basic::{LogicalType, TimeUnit};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use serde_json::{Map, Number, Value};

/// Opens a file; `read` is kept at the part of its `length` bytes whose rows were handed out.
///
/// # Errors
/// When it is no Parquet, or is packed in a way that this build does not read.
pub(super) fn open(path: &Path, length: u64, read: Rc<Cell<u64>>) -> io::Result<impl Read + use<>> {
    let reader = SerializedFileReader::new(File::open(path)?).map_err(io::Error::other)?;
    let about = reader.metadata().file_metadata();
    let all = about.num_rows().max(1).unsigned_abs();
    let columns = about.schema_descr().root_schema().get_fields().iter();
    let nanos = columns.filter(|column| is_nanos(column)).map(|column| column.name().to_owned()).collect();
    let rows = RowIter::from_file_into(Box::new(reader));
    Ok(Lines { rows, nanos, all, handed: 0, length, read, line: vec![], at: 0 })
}

/// Whether a column holds times in nanoseconds, which rows show as bare numbers.
fn is_nanos(column: &Type) -> bool {
    let logical = column.get_basic_info().logical_type_ref();
    matches!(logical, Some(LogicalType::Timestamp(time)) if time.unit == TimeUnit::NANOS)
}

struct Lines {
    rows: RowIter<'static>,
    /// Columns that hold times in nanoseconds.
    nanos: BTreeSet<String>,
    all: u64,
    handed: u64,
    length: u64,
    read: Rc<Cell<u64>>,
    line: Vec<u8>,
    at: usize,
}

impl Read for Lines {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.line.len() {
            let Some(row) = self.rows.next() else { return Ok(0) };
            let mut object = object(&row.map_err(io::Error::other)?);
            for name in &self.nanos {
                if let Some(nanos) = object.get(name).and_then(Value::as_i64) {
                    object[name] = nanos.div_euclid(1_000_000).into();
                }
            }
            self.line = serde_json::to_vec(&object).map_err(io::Error::other)?;
            self.line.push(b'\n');
            self.at = 0;
            self.handed += 1;
            self.read.set(
                u64::try_from(u128::from(self.length) * u128::from(self.handed) / u128::from(self.all))
                    .unwrap_or(self.length),
            );
        }
        let n = (&self.line[self.at..]).read(into)?;
        self.at += n;
        Ok(n)
    }
}

fn object(row: &Row) -> Value {
    let columns = row.get_column_iter().filter(|(_, field)| !matches!(field, Field::Null));
    Value::Object(columns.map(|(name, field)| (name.clone(), value(field))).collect())
}

fn value(field: &Field) -> Value {
    let float = |x: f64| Number::from_f64(x).map_or(Value::Null, Value::Number);
    match field {
        Field::Null => Value::Null,
        Field::Bool(x) => (*x).into(),
        Field::Byte(x) => (*x).into(),
        Field::Short(x) => (*x).into(),
        Field::Int(x) => (*x).into(),
        Field::Long(x) | Field::TimestampMillis(x) => (*x).into(),
        Field::TimestampMicros(x) => x.div_euclid(1000).into(),
        Field::UByte(x) => (*x).into(),
        Field::UShort(x) => (*x).into(),
        Field::UInt(x) => (*x).into(),
        Field::ULong(x) => (*x).into(),
        Field::Float16(x) => float(f64::from(*x)),
        Field::Float(x) => float(f64::from(*x)),
        Field::Double(x) => float(*x),
        Field::Str(x) => x.as_str().into(),
        Field::Bytes(x) => String::from_utf8_lossy(x.data()).into_owned().into(),
        Field::Decimal(_) | Field::Date(_) | Field::TimeMillis(_) | Field::TimeMicros(_) => {
            field.to_string().into()
        }
        Field::Group(row) => object(row),
        Field::ListInternal(list) => list.elements().iter().map(value).collect::<Vec<_>>().into(),
        Field::MapInternal(map) => {
            let entries = map.entries().iter();
            let entries = entries.map(|(key, of)| (text(key), value(of)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
    }
}

/// A key of a map: text is itself.
fn text(key: &Field) -> String {
    if let Field::Str(text) = key { text.clone() } else { key.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_pyarrow_wrote_are_the_lines_that_a_producer_would_send() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/input/fixtures/rows.parquet"));
        let read = Rc::new(Cell::new(0));
        let mut lines = String::new();
        open(path, 1000, Rc::clone(&read)).unwrap().read_to_string(&mut lines).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let expected = [
            serde_json::json!({
                "event_time": 1_740_960_010_948_i64, "seen_at": 1_740_960_010_948_i64, "model": "flights",
                "features": {"dow": "w6", "delay": 31.5}, "count": 1, "ok": true, "path": ["a", "b"],
                "tags": {"site": "eu"}, "price": "1.50",
            }),
            serde_json::json!({
                "event_time": 1_740_960_011_948_i64, "model": "flights", "features": {"delay": null},
                "count": 1_099_511_627_776_i64, "ok": false, "path": [], "tags": {},
            }),
            serde_json::json!({"event_time": 1_740_960_012_948_i64}),
        ];
        assert_eq!(lines, expected);
        assert_eq!(read.get(), 1000, "all of it was handed out");
    }

    #[test]
    fn a_file_that_is_no_parquet_is_said_to_be_none() {
        let none = Path::new(file!())
            .file_name()
            .map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join("src/input").join(name));
        let why = open(&none.unwrap(), 1, Rc::default()).err().unwrap().to_string();
        assert!(why.contains("Invalid Parquet file"), "{why}");
    }
}
