//! CloudEvents 1.0 on Kafka: binary mode is written; binary, structured and plain JSON are read.

use crate::{Incident, Timestamp};

/// Headers of a binary-mode event.
pub type Headers = Vec<(std::borrow::Cow<'static, str>, Vec<u8>)>;

/// Headers of an incident record. `emitted_at` is the only thing in it that depends on the clock.
#[must_use]
pub fn incident_headers(incident: &Incident, emitted_at: Timestamp) -> Headers {
    let mut headers = headers(
        &format!("{}.{}.{}", incident.incident_id, incident.generation, incident.sequence),
        &format!("/tocsin/{}/{}", incident.namespace, incident.source),
        &format!("tocsin.incident.{}", incident.change),
        Some((&incident.subject.to_string(), incident.changed_at)),
    );
    headers.push(("ce_partitionkey".into(), incident.incident_id.as_str().into()));
    headers.push(("ce_sequence".into(), format!("{:010}", incident.sequence).into()));
    headers.push(("ce_severitytext".into(), incident.severity.name().into()));
    headers.push(("emitted_at".into(), emitted_at.to_string().into()));
    headers
}

/// Headers of any other record of ours.
#[must_use]
pub fn headers(id: &str, source: &str, kind: &str, subject: Option<(&str, Timestamp)>) -> Headers {
    let mut headers: Headers = vec![
        ("ce_specversion".into(), b"1.0".to_vec()),
        ("ce_id".into(), id.into()),
        ("ce_source".into(), source.into()),
        ("ce_type".into(), kind.into()),
        ("content-type".into(), b"application/json".to_vec()),
    ];
    if let Some((subject, time)) = subject {
        headers.push(("ce_subject".into(), subject.into()));
        headers.push(("ce_time".into(), time.to_string().into()));
    }
    headers
}
