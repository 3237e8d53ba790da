//! The topics that tocsin owns, as it creates them. `docs/topics.md` gives the reasons.

use wire::topic::Topics;

use crate::log::{Cleanup, TopicSpec};

/// How many partitions the owned topics get. Part of the config digest: they cannot be changed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitions {
    pub telemetry: u32,
    pub judge: u32,
    pub escalate: u32,
    pub collect: u32,
}

const DAY_MS: u64 = 86_400_000;
/// Key and headers of a record, and what of its value is not counted in the bounds below.
const AROUND: u64 = 16 * 1024;
/// A part, or a record of history.
const PART: u64 = wire::parts::PART_BYTES as u64 + AROUND;
/// A part as text within JSON: what is escaped in it already is escaped once more.
const TEXT_PART: u64 = 2 * wire::parts::PART_BYTES as u64 + AROUND;
/// An incident, or a page, which carries one.
const INCIDENT: u64 = wire::incident::INCIDENT_BYTES_MAX as u64 + AROUND;
/// A text of a person, each byte of which may be escaped.
const TEXT: u64 = 6 * wire::command::TEXT_BYTES_MAX as u64 + AROUND;
/// A silence: its conditions, a thousand incidents of some 64 bytes, a text.
const SILENCE: u64 =
    wire::control::CONDITIONS_BYTES_MAX as u64 + 64 * wire::control::SILENCED_MAX as u64 + TEXT;
/// Three texts of the audit, a little longer than those of people.
const AUDIT: u64 = 3 * TEXT + AROUND;

/// Every owned topic. Telemetry is among them only when the config names no topic of its own.
#[must_use]
pub fn owned(topics: &Topics, partitions: Partitions, with_telemetry: bool) -> Vec<TopicSpec> {
    let keep = |days: u64| Cleanup::Delete { retention_ms: Some(days * DAY_MS) };
    let p = partitions;
    let mut specs = vec![
        TopicSpec::new(topics.context.as_str(), 1, Cleanup::Compact).takes(TEXT_PART),
        // At least the longest outage of the judge that must lose nothing.
        TopicSpec::new(topics.panes.as_str(), p.judge, keep(7)).takes(PART),
        TopicSpec::new(topics.history.as_str(), p.judge, keep(35)).takes(PART),
        TopicSpec::new(topics.incidents.as_str(), p.escalate, keep(90)).takes(INCIDENT),
        TopicSpec::new(topics.open.as_str(), p.escalate, Cleanup::Compact).takes(INCIDENT),
        TopicSpec::new(topics.responses.as_str(), p.escalate, keep(90)).takes(TEXT),
        TopicSpec::new(topics.commands.as_str(), p.escalate, keep(30)).takes(SILENCE),
        TopicSpec::new(topics.control.as_str(), 1, Cleanup::Compact).takes(SILENCE),
        TopicSpec::new(
            topics.outbox.as_str(),
            p.escalate,
            Cleanup::CompactDelete { retention_ms: Some(30 * DAY_MS) },
        )
        .takes(INCIDENT),
        TopicSpec::new(topics.audit.as_str(), p.escalate, keep(400)).takes(AUDIT),
        TopicSpec::new(topics.deadletters.as_str(), 1, keep(14)).takes(AROUND),
    ];
    for (name, count) in [
        (&topics.state_collect, p.collect),
        (&topics.state_judge, p.judge),
        (&topics.state_escalate, p.escalate),
    ] {
        specs.push(
            TopicSpec::new(name.as_str(), count, Cleanup::Compact)
                .takes(PART)
                // A restore reads what is not yet compacted: keep that short.
                .set("segment.bytes", "67108864")
                .set("min.cleanable.dirty.ratio", "0.2")
                .set("max.compaction.lag.ms", "3600000"),
        );
    }
    if with_telemetry {
        specs.push(TopicSpec::new(topics.telemetry.as_str(), p.telemetry, keep(3)));
    }
    specs
}

/// A topic that pages are written to. It is the operator's own: one that exists is taken as it is.
#[must_use]
pub fn of_pages(name: &str) -> TopicSpec {
    TopicSpec::new(name, 1, Cleanup::Delete { retention_ms: None })
}
