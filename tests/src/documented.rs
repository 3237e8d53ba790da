//! What a running tocsin writes, held against the schemas that are checked in.

use std::collections::BTreeMap;
use std::path::Path;

use jsonschema::Validator;
use runtime::log::Log;
use serde_json::Value;
use wire::topic::Topics;

use crate::stored;

/// The contracts of `schemas/`, ready to check by.
pub struct Schemas(BTreeMap<String, Validator>);

impl Schemas {
    /// # Panics
    /// When a schema is none.
    #[must_use]
    pub fn read() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas");
        let files = std::fs::read_dir(&folder).expect("the schemas are checked in");
        let paths = files.map(|entry| entry.expect("a folder can be read").path());
        let validators = paths.filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix(".v1.json")?.to_owned();
            let text = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let schema = serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema);
            Some((name, validator.unwrap_or_else(|e| panic!("{}: {e}", path.display()))))
        });
        Self(validators.collect())
    }

    /// # Panics
    /// When `value` is not what the schema `name` says; says where.
    pub fn check(&self, name: &str, value: &Value) {
        let faults = self.faults(name, value);
        assert!(faults.is_empty(), "no {name}: {faults:#?}\n{value:#}");
    }

    fn faults(&self, name: &str, value: &Value) -> Vec<String> {
        let validator = self.0.get(name).unwrap_or_else(|| panic!("there is no schema {name}"));
        validator.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect()
    }

    /// Checks every record of the topics that are public; returns how many there are, by schema.
    ///
    /// # Panics
    /// When one is not what its schema says, or the log cannot be read.
    pub fn check_topics<L: Log>(&self, log: &L, namespace: &str) -> BTreeMap<&'static str, usize> {
        let t = Topics::of(namespace);
        let topics = [
            ("incident", &t.incidents),
            ("incident", &t.open),
            ("response", &t.responses),
            ("command", &t.commands),
            ("outbox", &t.outbox),
            ("audit", &t.audit),
            ("deadletter", &t.deadletters),
            ("history", &t.history),
            ("context", &t.context),
        ];
        let mut counts = BTreeMap::new();
        for (name, topic) in topics {
            let records: Vec<Value> = stored::json(log, topic);
            records.iter().for_each(|record| self.check(name, record));
            *counts.entry(name).or_default() += records.len();
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn what_is_not_as_documented_is_found() {
        let schemas = Schemas::read();
        let good = serde_json::to_value(samples::incident()).expect("plain data");
        schemas.check("incident", &good);
        for (field, bad) in [
            ("severity", Value::from("sev9")),
            ("opened_at", "yesterday".into()),
            ("generation", (-1).into()),
            ("subject", Value::Null),
        ] {
            let mut record = good.clone();
            record[field] = bad;
            assert!(!schemas.faults("incident", &record).is_empty(), "{field}");
        }
    }
}
