//! Schemas are generated from the types and checked in; samples are checked in and valid. `UPDATE_GOLDEN=1` rewrites
//! both after a change that was meant.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tocsin_tests::{samples, updating_golden};
use wire::command::Commanded;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member of the workspace").join("schemas")
}

fn schema<T: JsonSchema>(name: &str) -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    schema.insert("$id".into(), format!("https://tocsin.dev/schemas/{name}.v1.json").into());
    schema.to_value()
}

/// Compares with the checked-in file, or rewrites it.
fn golden(path: &Path, now: &Value) {
    let text = format!("{}\n", serde_json::to_string_pretty(now).unwrap());
    if updating_golden() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        return;
    }
    let before = fs::read_to_string(path).unwrap_or_default();
    assert!(before == text, "{} has drifted from its type; UPDATE_GOLDEN=1 rewrites it", path.display());
}

/// Schema and sample of one record: the sample is valid, and reading and writing it changes nothing.
fn record<T: JsonSchema + Serialize + DeserializeOwned>(name: &str, sample: &T) {
    let schema = schema::<T>(name);
    golden(&folder().join(format!("{name}.v1.json")), &schema);
    let sample = serde_json::to_value(sample).unwrap();
    golden(&folder().join(format!("samples/{name}.json")), &sample);
    let validator = jsonschema::validator_for(&schema).unwrap_or_else(|e| panic!("{name}: {e}"));
    let faults: Vec<_> =
        validator.iter_errors(&sample).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(faults.is_empty(), "{name}: {faults:?}");
    let again: T = serde_json::from_value(sample.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(serde_json::to_value(again).unwrap(), sample, "{name} does not survive reading and writing");
    if let Value::Object(fields) = &sample
        && let Some(required) = schema.get("required").and_then(Value::as_array).and_then(|r| r.first())
    {
        let mut without = fields.clone();
        without.remove(required.as_str().unwrap());
        assert!(
            !validator.is_valid(&Value::Object(without)),
            "{name}: the schema accepts a record without {required}"
        );
    }
}

#[test]
fn every_record_has_a_schema_and_a_sample() {
    record("prediction", &samples::prediction());
    record("label", &samples::label());
    record("incident", &samples::incident());
    record("context", &samples::deployment());
    record("profile", &samples::profile());
    record("history", &samples::history());
    record("command", &Commanded::OnIncident(samples::command()));
    let forget = serde_json::to_value(samples::forget()).unwrap();
    golden(&folder().join("samples/command-forget.json"), &forget);
    assert!(jsonschema::validator_for(&schema::<Commanded>("command")).unwrap().is_valid(&forget));
    let silence = serde_json::to_value(samples::silence_command()).unwrap();
    golden(&folder().join("samples/command-silence.json"), &silence);
    assert!(jsonschema::validator_for(&schema::<Commanded>("command")).unwrap().is_valid(&silence));
    record("control", &samples::control());
    record("checkpoint", &samples::checkpoint());
    record("response", &samples::response());
    record("page", &samples::page());
    record("outbox", &samples::outbox());
    record("audit", &samples::audit());
    record("deadletter", &samples::dead_letter());
}

#[test]
fn the_config_has_a_schema() {
    let schema = schema::<tocsin::config::Config>("config");
    golden(&folder().join("config.v1.json"), &schema);
    let validator = jsonschema::validator_for(&schema).unwrap();
    let template: toml::Table = tocsin::config::TEMPLATE.parse().unwrap();
    let template = serde_json::to_value(template).unwrap();
    let faults: Vec<_> =
        validator.iter_errors(&template).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn asyncapi_names_every_topic_and_only_schemas_that_exist() {
    let text = fs::read_to_string(folder().join("asyncapi.yaml")).unwrap();
    let topics = wire::topic::Topics::of("default");
    for topic in [
        &topics.telemetry,
        &topics.context,
        &topics.panes,
        &topics.history,
        &topics.incidents,
        &topics.open,
        &topics.responses,
        &topics.commands,
        &topics.control,
        &topics.outbox,
        &topics.audit,
        &topics.deadletters,
        &topics.state_collect,
        &topics.state_judge,
        &topics.state_escalate,
    ] {
        assert!(text.contains(&format!("address: {topic}\n")), "asyncapi.yaml does not describe {topic}");
    }
    let named = text.lines().filter_map(|l| l.trim().strip_prefix("$ref: ./"));
    let mut count = 0;
    for file in named {
        assert!(folder().join(file).exists(), "asyncapi.yaml names {file}, which is not there");
        count += 1;
    }
    assert!(count >= 10, "asyncapi.yaml names next to no schema");
}
