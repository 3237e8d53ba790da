//! A topic of the log that tocsin itself runs on: each page is one record.
//!
//! Here a page becomes a record; whoever runs on the log writes it. The record holds the whole page. Its key is the alert
//! key, so that what happens to one alert stays in order in one partition.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use wire::cloudevent::{self, Headers};
use wire::page::Page;

use crate::config::schema_as_written;
use crate::text;

/// Longest name of a topic, as Kafka has it.
const NAME_BYTES_MAX: usize = 249;
/// How the names of tocsin's own topics begin.
const OWN: &str = "tocsin.";

/// Settings of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawTopic")]
pub struct TopicConfig {
    pub topic: Arc<str>,
}

schema_as_written!(TopicConfig, RawTopic);

/// Writes each page as a record to a topic of the log.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawTopic {
    /// Name of the topic, in the log that `[log]` names. Created with one partition where it is missing and
    /// `create_topics` is set; with more partitions, the pages of one alert share one.
    topic: String,
}

impl TryFrom<RawTopic> for TopicConfig {
    type Error = String;

    fn try_from(RawTopic { topic }: RawTopic) -> Result<Self, String> {
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let dots = topic.bytes().all(|b| b == b'.');
        if dots || topic.len() > NAME_BYTES_MAX || !topic.bytes().all(fine) {
            return Err(format!(
                "topic = {topic:?} is not 1 to {NAME_BYTES_MAX} letters, digits, `.`, `_` and `-`"
            ));
        }
        if topic.starts_with(OWN) {
            return Err(format!(
                "topic = {topic:?}: names that begin with {OWN} are tocsin's own topics, choose another such as \"pages\""
            ));
        }
        Ok(Self { topic: topic.into() })
    }
}

/// A topic, ready to be written to by whoever holds the log.
#[derive(Debug)]
pub struct Topic {
    name: Arc<str>,
}

/// A page as a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRecord {
    pub topic: Arc<str>,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub headers: Headers,
}

impl Topic {
    pub(crate) fn new(config: &TopicConfig) -> Self {
        Self { name: Arc::clone(&config.topic) }
    }

    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The same page gives the same bytes, but for the header that counts attempts.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a page is plain data")]
    pub fn render(&self, page: &Page, attempt: u32) -> TopicRecord {
        let mut headers = cloudevent::headers(
            page.notification_id.as_str(),
            &format!("/tocsin/{}", page.incident.namespace),
            &format!("tocsin.page.{}", page.kind.name()),
            Some((page.incident.incident_id.as_str(), page.decided_at)),
        );
        headers.push(("ce_partitionkey".into(), page.alert_key.as_str().into()));
        headers.push(("ce_severitytext".into(), page.incident.severity.name().into()));
        headers.push(("tocsin_attempt".into(), attempt.to_string().into()));
        TopicRecord {
            topic: Arc::clone(&self.name),
            key: page.alert_key.as_str().into(),
            value: if page.minimal {
                serde_json::to_vec(&text::smallest(page)).expect("a page is plain data")
            } else {
                serde_json::to_vec(page).expect("a page is plain data")
            },
            headers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tests::page;
    use wire::page::PageKind;

    #[test]
    fn a_record_is_the_page_under_its_alert() {
        let topic = Topic::new(&TopicConfig { topic: "pages".into() });
        let page = page();
        let record = topic.render(&page, 2);
        assert_eq!((&*record.topic, record.key.as_slice()), ("pages", page.alert_key.as_str().as_bytes()));
        assert_eq!(serde_json::from_slice::<Page>(&record.value).expect("a page"), page);
        let headers: Vec<_> =
            record.headers.iter().map(|(k, v)| (&**k, std::str::from_utf8(v).expect("text"))).collect();
        let want = [
            ("ce_specversion", "1.0"),
            ("ce_id", page.notification_id.as_str()),
            ("ce_source", "/tocsin/default"),
            ("ce_type", "tocsin.page.trigger"),
            ("content-type", "application/json"),
            ("ce_subject", page.incident.incident_id.as_str()),
            ("ce_time", "2026-03-02T10:01:01.000Z"),
            ("ce_partitionkey", page.alert_key.as_str()),
            ("ce_severitytext", "sev2"),
            ("tocsin_attempt", "2"),
        ];
        assert_eq!(headers, want);
        let resolve = topic.render(&Page { kind: PageKind::Resolve, ..page }, 1);
        assert_eq!(resolve.key, record.key, "one alert, one partition");
    }
}
