use std::collections::BTreeMap;

use proptest::prelude::*;
use wire::Timestamp;
use wire::deadletter::Reason;
use wire::prediction::Status;

use super::*;

const FULL: &str = r#"{"kind":"prediction","prediction_id":"p-1","event_time":"2026-03-02T10:00:00.123Z","model":"fraud",
 "version":"2026-02-27.1","latency_ms":41.7,"status":"ok","features":{"amount":120.5,"country":"DE","is_new":false,
 "age":null,"tags":["a",{"b":1}]},"prediction":"deny","score":0.93,"segments":{"region":"eu","tier":2},"weight":1}"#;

fn decoder(fields: &Fields) -> Decoder {
    Decoder::new(fields, Some("meta.tag"), &["tier".into(), "region".into()], 1 << 20)
        .expect("distinct fields")
}

fn plain(text: &str) -> Result<String, (Reason, String)> {
    with(&Fields::default(), text, &[])
}

/// What was read, in one line; or why not.
fn with(fields: &Fields, text: &str, headers: &[(&str, &str)]) -> Result<String, (Reason, String)> {
    let mut decoder = decoder(fields);
    let attributes =
        Attributes::read(|name| headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_bytes()));
    match decoder.decode(Some(text.as_bytes()), &attributes, Kind::Prediction) {
        Err(e) => Err((e.reason(), e.to_string())),
        Ok(Decoded::Label(l)) => {
            Ok(format!("label {} {} {:?} {:?} {:?}", l.id, l.event_time, l.value, l.model, l.prediction))
        }
        Ok(Decoded::Prediction(p)) => {
            let features: Vec<String> = p.features.last_first().map(|(n, v)| format!("{n}={v:?}")).collect();
            Ok(format!("{} {} {} {:?} {}", p.id, p.event_time, p.model, p.version, features.join(" ")))
        }
    }
}

#[test]
fn a_full_prediction() {
    let mut decoder = decoder(&Fields::default());
    let decoded = decoder.decode(Some(FULL.as_bytes()), &Attributes::default(), Kind::Label).expect("fine");
    let Decoded::Prediction(p) = decoded else { panic!("a prediction") };
    assert_eq!((p.id, p.model, p.version), ("p-1", "fraud", Some("2026-02-27.1")));
    assert_eq!(p.event_time.to_string(), "2026-03-02T10:00:00.123Z");
    assert_eq!((p.latency_ms, p.status, p.score, p.weight), (Some(41.7), Status::Ok, Some(0.93), Some(1.0)));
    assert_eq!(p.prediction, Some(Value::Text("deny")));
    assert_eq!((p.segment(0), p.segment(1), p.segment(2)), (Some("2"), Some("eu"), None));
    let features: BTreeMap<&str, Value<'_>> = p.features.last_first().collect();
    let want = [
        ("amount", Value::Number(120.5)),
        ("country", Value::Text("DE")),
        ("is_new", Value::Bool(false)),
        ("age", Value::Null),
        ("tags", Value::Nested),
    ];
    assert_eq!(features, BTreeMap::from(want));
}

#[test]
fn records_in_other_shapes() {
    let short = "p 1970-01-01T00:00:01.000Z m";
    for (text, want) in [
        (r#"{"prediction_id":"p","event_time":1000,"model":"m"}"#, format!("{short} None ")),
        (
            r#"{"prediction_id":"p","event_time":1000.9,"model":"m","version":3}"#,
            format!("{short} Some(\"3\") "),
        ),
        (
            r#"{"prediction_id":"p","event_time":1e3,"model":"m","meta":{"x":[],"tag":"t"}}"#,
            format!("{short} Some(\"t\") "),
        ),
        (r#"{"prediction_id":"p","event_time":1e3,"model":"m","meta":7}"#, format!("{short} None ")),
        (
            "\u{feff} {\"prediction_id\":\"p\",\"event_time\":1000,\"model\":\"m\"}\n",
            format!("{short} None "),
        ),
        (r#"{"model":"x","prediction_id":"p","event_time":1000,"model":"m"}"#, format!("{short} None ")),
        (r#"{"\u006dodel":"m","prediction_id":"\u0070","event_time":1000}"#, format!("{short} None ")),
        (
            r#"{"prediction_id":"p","event_time":1000,"model":"m","features":{"a":1,"a":2,"b":1e999}}"#,
            format!("{short} None b=Number(inf) a=Number(2.0) a=Number(1.0)"),
        ),
        (
            r#"{"kind":"label","prediction_id":7,"event_time":1000,"value":"approve"}"#,
            "label 7 1970-01-01T00:00:01.000Z Text(\"approve\") None None".into(),
        ),
        (
            r#"{"specversion":"1.0","type":"tocsin.label","id":"e","time":"1970-01-01T00:00:01Z","data":{"prediction_id":"p","value":1,"model":"m","prediction":2}}"#,
            "label p 1970-01-01T00:00:01.000Z Number(1.0) Some(\"m\") Some(Number(2.0))".into(),
        ),
        (
            r#"{"specversion":"1.0","type":"org.example","id":"p","time":"1970-01-01T00:00:01Z","data":{"model":"m","features":{"a":1}}}"#,
            format!("{short} None a=Number(1.0)"),
        ),
    ] {
        assert_eq!(plain(text), Ok(want), "{text}");
    }
}

#[test]
fn records_that_are_none() {
    let of = |member: &str| format!(r#"{{"prediction_id":"p","event_time":1,"model":"m",{member}}}"#);
    for (text, reason, detail) in [
        ("", Reason::Empty, "no bytes"),
        (" ", Reason::Malformed, "no object at byte 1"),
        ("null", Reason::Malformed, "no object at byte 0"),
        ("{\"model\":\"m", Reason::Malformed, "cut short at byte 11"),
        ("{\"model\":NaN}", Reason::Malformed, "no value at byte 9"),
        ("{\"model\":Infinity}", Reason::Malformed, "no value at byte 9"),
        ("{\"model\":\"m\"} x", Reason::Malformed, "text after the record at byte 14"),
        ("{\"model\":\"m\",}", Reason::Malformed, "no string at byte 13"),
        (r#"{"event_time":1,"model":"m"}"#, Reason::Missing, "no prediction_id"),
        (r#"{"prediction_id":"p","model":"m"}"#, Reason::Missing, "no event_time"),
        (r#"{"prediction_id":"p","event_time":1}"#, Reason::Missing, "no model"),
        (r#"{"prediction_id":null,"event_time":1,"model":"m"}"#, Reason::Missing, "no prediction_id"),
        (
            r#"{"prediction_id":"p","event_time":"soon","model":"m"}"#,
            Reason::Invalid,
            "event_time is not RFC 3339 or epoch milliseconds",
        ),
        (
            r#"{"prediction_id":"p","event_time":1e308,"model":"m"}"#,
            Reason::Invalid,
            "event_time is not RFC 3339 or epoch milliseconds",
        ),
        (r#"{"prediction_id":"p","event_time":1,"model":""}"#, Reason::Invalid, "model is empty"),
        (r#"{"prediction_id":"p","event_time":1,"model":[1]}"#, Reason::Invalid, "model is not text"),
        (&of(r#""latency_ms":"41""#), Reason::Invalid, "latency_ms is not a number"),
        (&of(r#""status":"fine""#), Reason::Invalid, "status is not one of ok, error, timeout, rejected"),
        (&of(r#""weight":-1"#), Reason::Invalid, "weight is negative or too large"),
        (&of(r#""version":{}"#), Reason::Invalid, "version is not text"),
        (&of(r#""kind":"trace""#), Reason::Unsupported, "kind other than prediction or label"),
        (&of(r#""kind":"label""#), Reason::Missing, "no value"),
        (&of(r#""kind":"label","value":{}"#), Reason::Invalid, "value is an array or object"),
        (&of(r#""kind":"label","value":1e999"#), Reason::Invalid, "value is too large"),
        (r#"{"specversion":"0.3","data":{}}"#, Reason::Unsupported, "CloudEvents specversion other than 1"),
        (r#"{"specversion":"1.0","data_base64":"AA=="}"#, Reason::Unsupported, "data_base64"),
    ] {
        assert_eq!(plain(text), Err((reason, detail.to_owned())), "{text}");
    }
    let long = of(&format!(r#""version":"{}""#, "v".repeat(257)));
    assert_eq!(plain(&long), Err((Reason::Invalid, "version is too long".into())));
    let deep = of(&format!(r#""x":{}"#, "[".repeat(100_000)));
    assert!(matches!(plain(&deep), Err((Reason::Malformed, _))));
    let huge = of(&format!(r#""x":"{}""#, "x".repeat(1 << 20)));
    assert_eq!(plain(&huge), Err((Reason::TooLarge, "more than 1048576 bytes".into())));
}

#[test]
fn cloud_events_in_binary_mode() {
    let data = r#"{"model":"m"}"#;
    let event = |extra: &[(&'static str, &'static str)]| {
        let own = [("ce_specversion", "1.0"), ("ce_id", "p"), ("ce_time", "1970-01-01T00:00:01Z")];
        with(&Fields::default(), data, &[extra, &own].concat())
    };
    let fine = Ok("p 1970-01-01T00:00:01.000Z m None ".to_owned());
    assert_eq!(event(&[]), fine);
    assert_eq!(event(&[("content-type", "application/json; charset=utf-8")]), fine);
    assert_eq!(event(&[("ce_type", "x.label")]), Err((Reason::Missing, "no value".into())));
    let protobuf = event(&[("content-type", "application/protobuf")]);
    assert_eq!(protobuf, Err((Reason::Unsupported, "content type other than JSON".into())));
    let old = with(&Fields::default(), data, &[("ce_specversion", "0.3")]);
    assert_eq!(old, Err((Reason::Unsupported, "CloudEvents specversion other than 1".into())));
}

#[test]
fn names_and_paths_are_mapped() {
    let fields = Fields {
        event_time: "ts".into(),
        model: "meta.model.name".into(),
        features: "data.inputs".into(),
        ..Fields::default()
    };
    let text =
        r#"{"meta":{"model":{"name":"m","size":1}},"data":{"inputs":{"a":1}},"prediction_id":"p","ts":1000}"#;
    assert_eq!(with(&fields, text, &[]), Ok("p 1970-01-01T00:00:01.000Z m None a=Number(1.0)".into()));
}

#[test]
fn the_score_of_the_predicted_class() {
    let text = r#"{"prediction_id":"p","event_time":1,"model":"m","prediction":"b","class_probs":{"a":0.2,"b":0.8}}"#;
    let mut decoder = decoder(&Fields::default());
    let decoded = decoder.decode(Some(text.as_bytes()), &Attributes::default(), Kind::Prediction);
    assert!(matches!(decoded, Ok(Decoded::Prediction(Prediction { score: Some(0.8), .. }))), "{decoded:?}");
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<f64>().prop_filter("JSON has no such number", |x| x.is_finite()).prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
        Just(serde_json::json!([1, {"a": [null, "x\"y"]}])),
    ]
}

proptest! {
    #[test]
    fn agrees_with_serde_json(
        id in ".{1,20}",
        model in ".{1,20}",
        ms in 0i64..4_000_000_000_000,
        latency in 0.0..1e6f64,
        features in proptest::collection::btree_map(any::<String>(), json_value(), 0..8),
        other in json_value(),
    ) {
        let time = Timestamp::from_ms(ms).expect("in range");
        let json = serde_json::json!({
            "zzz": other, "prediction_id": id, "event_time": time.to_string(), "model": model,
            "latency_ms": latency, "features": features,
        });
        let text = json.to_string();
        let mut decoder = decoder(&Fields::default());
        let decoded = decoder.decode(Some(text.as_bytes()), &Attributes::default(), Kind::Prediction);
        let Ok(Decoded::Prediction(p)) = decoded else { panic!("{decoded:?} of {text}") };
        prop_assert_eq!((p.id, p.model, p.event_time), (id.as_str(), model.as_str(), time));
        prop_assert_eq!(p.latency_ms.map(f64::to_bits), Some(latency.to_bits()));
        let read: BTreeMap<&str, Value<'_>> = p.features.last_first().collect();
        prop_assert_eq!(read.len(), features.len());
        for (name, want) in &features {
            let same = match (&read[name.as_str()], want) {
                (Value::Null, serde_json::Value::Null) => true,
                (Value::Bool(a), serde_json::Value::Bool(b)) => a == b,
                (Value::Number(a), serde_json::Value::Number(b)) => b.as_f64().map(f64::to_bits) == Some(a.to_bits()),
                (Value::Text(a), serde_json::Value::String(b)) => a == b,
                (Value::Nested, serde_json::Value::Array(_)) => true,
                _ => false,
            };
            prop_assert!(same, "{name:?} in {text}");
        }
    }

    #[test]
    fn any_bytes_are_a_record_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut decoder = decoder(&Fields::default());
        drop(decoder.decode(Some(&bytes), &Attributes::default(), Kind::Label).map(|_| ()));
    }

    #[test]
    fn any_damage_to_a_record_is_survived(at in 0..FULL.len(), byte in any::<u8>(), cut in 0..FULL.len()) {
        let mut decoder = decoder(&Fields::default());
        let mut bytes = FULL.as_bytes().to_vec();
        bytes[at] = byte;
        drop(decoder.decode(Some(&bytes), &Attributes::default(), Kind::Label).map(|_| ()));
        let shorter = decoder.decode(Some(&FULL.as_bytes()[..cut]), &Attributes::default(), Kind::Label);
        prop_assert!(shorter.is_err());
    }
}

#[test]
fn features_with_long_names_are_counted_and_not_followed() {
    // Escapes count as what they mean: 256 bytes, not 512.
    let (fits, long) = (r"\n".repeat(256), "x".repeat(257));
    let text = FULL.replace(r#""age":null"#, &format!(r#""{fits}":1,"{long}":2"#));
    let mut decoder = decoder(&Fields::default());
    let attributes = Attributes::read(|_| None);
    let decoded = decoder.decode(Some(text.as_bytes()), &attributes, Kind::Prediction);
    let Ok(Decoded::Prediction(p)) = decoded else { panic!("a prediction") };
    let names: Vec<usize> = p.features.last_first().map(|(name, _)| name.len()).collect();
    assert_eq!((names, p.features.skipped_members), (vec![4, 256, 6, 7, 6], 1));
}
