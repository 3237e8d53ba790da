//! Prometheus Alertmanager, API v2.
//!
//! There an alert is its label set, and it fires until its `endsAt` passes. So:
//! - labels hold what stays the same for an incident's generation and target, and `severity`, since Alertmanager routes
//!   on it. When the severity changes, the new label set fires at once, and the old one, which nobody sends any more,
//!   ends by itself within `hold_s`. Values, times and owners are annotations.
//! - `endsAt` lies `hold_s` ahead and moves on with each sending: the runtime repeats the last page of an open alert
//!   every `resend_s`. If tocsin is gone for longer than `hold_s`, Alertmanager ends the alert, as it does for any client.
//! - every peer gets every alert, since peers pass on silences and what they have notified of, not alerts. One that took
//!   it is enough to notify; what others missed they hear by the next sending.

mod render;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use wire::Timestamp;
use wire::outbox::Outcome;
use wire::page::{Page, PageKind};

use crate::client::guard::Guard;
use crate::client::tls::{self, TlsError};
use crate::client::{Answer, Client, Failure, authorization};
use crate::config::{checked_ca_file, checked_timeout, schema_as_written, timeout_s};
use crate::endpoint::Endpoint;
use crate::secret::{Secret, SecretSource};
use crate::{RequestParts, outcome};

const PATH: &str = "/api/v2/alerts";
const PEERS_MAX: usize = 16;
const LABELS_MAX: usize = 32;
/// How long the others are waited for once a peer has taken an alert: one that hangs must not hold up the page.
const OTHERS_WAIT: Duration = Duration::from_secs(1);
/// How often it is said that a peer takes no alerts, while that lasts.
const TOLD_EVERY_MS: i64 = 10 * 60_000;

/// Settings of an Alertmanager.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawAlertmanager")]
pub struct AlertmanagerConfig {
    pub urls: Vec<Endpoint>,
    pub labels: BTreeMap<String, String>,
    pub resend_s: u64,
    pub hold_s: u64,
    pub token: Option<SecretSource>,
    pub ca_file: Option<PathBuf>,
    pub timeout_s: u64,
}

schema_as_written!(AlertmanagerConfig, RawAlertmanager);

/// Posts each page as an alert to a Prometheus Alertmanager (API v2) and keeps it firing while the incident is open.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawAlertmanager {
    /// Base address of every peer of the cluster, such as `http://alertmanager:9093`: not a load balancer, since each
    /// peer must get each alert. The addresses may be private.
    urls: Vec<String>,
    /// Labels added to every alert, for routes: at most 32. A change of them is a new alert to Alertmanager.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Seconds between two sendings of an open alert.
    #[serde(default = "resend_s")]
    resend_s: u64,
    /// Seconds after which an alert ends when it is not sent again, at least three times `resend_s`. Also how long an
    /// alert of the old severity lingers when the severity changes.
    #[serde(default = "hold_s")]
    hold_s: u64,
    /// Name of the environment variable that holds a bearer token. Needs https.
    #[serde(default)]
    token_env: Option<String>,
    /// The same in a file that only tocsin can read.
    #[serde(default)]
    token_file: Option<PathBuf>,
    /// Trust the certificates in this file (PEM) instead of those that the machine trusts.
    #[serde(default)]
    ca_file: Option<PathBuf>,
    /// Longest time for one attempt in seconds, 1 to 30.
    #[serde(default = "timeout_s")]
    timeout_s: u64,
}

const fn resend_s() -> u64 {
    60
}

const fn hold_s() -> u64 {
    300
}

impl TryFrom<RawAlertmanager> for AlertmanagerConfig {
    type Error = String;

    fn try_from(raw: RawAlertmanager) -> Result<Self, String> {
        if raw.urls.is_empty() || raw.urls.len() > PEERS_MAX {
            return Err(format!("urls has {} addresses, not 1 to {PEERS_MAX}", raw.urls.len()));
        }
        let mut urls = Vec::new();
        for (i, text) in raw.urls.iter().enumerate() {
            let mut url: Endpoint = text.parse().map_err(|why| format!("urls[{i}] {why}"))?;
            if url.path.contains(PATH) || url.path.contains('?') {
                return Err(format!(
                    "urls[{i}] must be the base address, without {PATH} and without a query"
                ));
            }
            url.path = format!("{}{PATH}", url.path.trim_end_matches('/'));
            if urls.contains(&url) {
                return Err(format!("urls[{i}] is there twice"));
            }
            urls.push(url);
        }
        let token = SecretSource::of("token", raw.token_env, raw.token_file)?;
        if token.is_some() && urls.iter().any(|url| !url.tls) {
            return Err("a token would be sent in clear: every address in urls must be https".into());
        }
        check_labels(&raw.labels)?;
        if !(1..=3600).contains(&raw.resend_s) {
            return Err(format!("resend_s = {} is not between 1 and 3600", raw.resend_s));
        }
        if raw.hold_s < 3 * raw.resend_s || raw.hold_s > 86_400 {
            return Err(format!(
                "hold_s = {} is not between {} (three times resend_s, so that one lost sending ends nothing) and 86400",
                raw.hold_s,
                3 * raw.resend_s
            ));
        }
        Ok(Self {
            ca_file: checked_ca_file(raw.ca_file, urls.iter().any(|url| url.tls))?,
            timeout_s: checked_timeout(raw.timeout_s)?,
            urls,
            labels: raw.labels,
            resend_s: raw.resend_s,
            hold_s: raw.hold_s,
            token,
        })
    }
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), String> {
    if labels.len() > LABELS_MAX {
        return Err(format!("labels has {} entries, the most is {LABELS_MAX}", labels.len()));
    }
    for (name, value) in labels {
        let start = |c: char| c.is_ascii_alphabetic() || c == '_';
        if !name.starts_with(start) || !name.chars().all(|c| start(c) || c.is_ascii_digit()) {
            return Err(format!(
                "labels: {name:?} is not a label name (letters, digits and _, no digit first)"
            ));
        }
        if render::LABELS.contains(&name.as_str()) {
            return Err(format!("labels: {name} is set by tocsin itself"));
        }
        if value.is_empty() || value.len() > 1024 {
            return Err(format!("labels: {name} has {} bytes, not 1 to 1024", value.len()));
        }
    }
    Ok(())
}

/// A cluster of Alertmanagers, ready to send.
pub struct Alertmanager {
    peers: Vec<Arc<Peer>>,
    labels: BTreeMap<String, String>,
    token: Option<Secret>,
    resend: Duration,
    hold_ms: i64,
    timeout: Duration,
}

struct Peer {
    client: Client,
    /// When it was last said that it takes no alerts, in ms; 0 while it does.
    told_ms: AtomicI64,
}

impl Peer {
    /// Says, now and then, that it missed an alert that another took, and when that is over.
    fn tell(&self, outcome: &Outcome, now: Timestamp) {
        let peer = self.client.endpoint();
        let told_ms = self.told_ms.load(Ordering::Relaxed);
        match outcome {
            Outcome::Delivered { .. } => {
                if self.told_ms.swap(0, Ordering::Relaxed) != 0 {
                    tracing::info!(%peer, "this Alertmanager takes alerts again");
                }
            }
            Outcome::RetryAfter { reason, .. }
            | Outcome::Retry { reason }
            | Outcome::Unknown { reason }
            | Outcome::Config { reason }
            | Outcome::Reject { reason } => {
                if told_ms == 0 || now.as_ms() - told_ms >= TOLD_EVERY_MS {
                    self.told_ms.store(now.as_ms().max(1), Ordering::Relaxed);
                    tracing::warn!(%peer, reason, "this Alertmanager did not take an alert that another took");
                }
            }
        }
    }
}

impl Alertmanager {
    /// Why a token cannot stand in a header; `None` if it can.
    pub(crate) fn refuses(token: &Secret) -> Option<String> {
        let text = token.reveal();
        (text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()))
            .then(|| "the token is empty or holds characters that a header cannot carry".into())
    }

    pub(crate) fn new(config: &AlertmanagerConfig, token: Option<Secret>) -> Result<Self, TlsError> {
        let secure = config.urls.iter().any(|url| url.tls);
        let tls = secure.then(|| tls::connector(config.ca_file.as_deref())).transpose()?;
        let timeout = Duration::from_secs(config.timeout_s);
        let peer = |url: &Endpoint| {
            let client = Client::new(url.clone(), Guard::Open, tls.clone(), timeout);
            Arc::new(Peer { client, told_ms: AtomicI64::new(0) })
        };
        Ok(Self {
            peers: config.urls.iter().map(peer).collect(),
            labels: config.labels.clone(),
            token,
            resend: Duration::from_secs(config.resend_s),
            hold_ms: i64::try_from(config.hold_s).expect("at most a day") * 1000,
            timeout,
        })
    }

    pub(crate) const fn resend_every(&self) -> Duration {
        self.resend
    }

    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// What each peer gets at `now`. Sending it again later only moves `endsAt`.
    #[must_use]
    pub fn render(&self, page: &Page, now: Timestamp) -> RequestParts {
        RequestParts {
            path: PATH.into(),
            headers: vec![("content-type", "application/json".into())],
            body: render::alerts(page, &self.labels, now, self.hold_ms),
        }
    }

    pub(crate) async fn send(&self, page: &Page, now: Timestamp) -> Outcome {
        let body = self.render(page, now).body;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, authorization("Bearer", token));
        }
        let mut sends = JoinSet::new();
        for (i, peer) in self.peers.iter().enumerate() {
            let (peer, headers, body) = (Arc::clone(peer), headers.clone(), body.clone());
            sends.spawn(async move {
                let path = peer.client.endpoint().path.clone();
                (i, peer.client.post(&path, headers, body).await)
            });
        }
        let silent = |peer: &Arc<Peer>| Outcome::Unknown {
            reason: format!("{}: no answer in time", peer.client.endpoint()),
        };
        let mut outcomes: Vec<_> = self.peers.iter().map(silent).collect();
        while !outcomes.iter().any(is_taken)
            && let Some(sent) = sends.join_next().await
        {
            self.hear(sent, page, now, &mut outcomes);
        }
        let others = async {
            while let Some(sent) = sends.join_next().await {
                self.hear(sent, page, now, &mut outcomes);
            }
        };
        // Of a request that is cut off here nothing leaves any more: it would come behind a later page.
        drop(timeout(OTHERS_WAIT, others).await);
        if outcomes.iter().any(is_taken) {
            self.peers.iter().zip(&outcomes).for_each(|(peer, outcome)| peer.tell(outcome, now));
        }
        let missed = missed_end(page, now, self.hold_ms, &outcomes);
        missed.unwrap_or_else(|| combine(outcomes))
    }

    fn hear(
        &self,
        sent: Result<(usize, Result<Answer, Failure>), JoinError>,
        page: &Page,
        now: Timestamp,
        outcomes: &mut [Outcome],
    ) {
        // A task that panicked may have sent something: its peer has not answered.
        let Ok((i, answer)) = sent else { return };
        let secrets: Vec<_> = self.token.iter().collect();
        let outcome = outcome::of(answer, self.peers[i].client.endpoint(), &secrets, now);
        outcomes[i] = match &page.link {
            Some(link) => outcome::without_link(outcome, link),
            None => outcome,
        };
    }
}

const fn is_taken(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Delivered { .. })
}

/// An end that a peer missed is said again, since no reminder follows it: until the alert has ended there by itself.
fn missed_end(page: &Page, now: Timestamp, hold_ms: i64, outcomes: &[Outcome]) -> Option<Outcome> {
    if page.kind != PageKind::Resolve || now >= page.decided_at.plus_ms(hold_ms) {
        return None;
    }
    let taken = outcomes.iter().filter(|outcome| is_taken(outcome)).count();
    let why = outcomes.iter().find_map(|outcome| match outcome {
        Outcome::RetryAfter { reason, .. } | Outcome::Retry { reason } | Outcome::Unknown { reason } => {
            Some(reason)
        }
        Outcome::Delivered { .. } | Outcome::Config { .. } | Outcome::Reject { .. } => None,
    })?;
    let reason = format!("{taken} of {} peers took the end; {why}", outcomes.len());
    (taken > 0).then_some(Outcome::Retry { reason })
}

/// One outcome for all peers: delivered when one took it, since that one notifies, and a peer that is away for days must
/// not make every page a failed one. None did: what leaves most hope, so that one peer that is set up wrong does not give
/// up the page.
fn combine(outcomes: Vec<Outcome>) -> Outcome {
    let rank = |outcome: &Outcome| match outcome {
        Outcome::Delivered { .. } => 0,
        Outcome::RetryAfter { .. } => 1,
        Outcome::Unknown { .. } => 2,
        Outcome::Retry { .. } => 3,
        Outcome::Config { .. } => 4,
        Outcome::Reject { .. } => 5,
    };
    outcomes.into_iter().min_by_key(rank).expect("the config names a peer at least")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_one_receiver() {
        let delivered = || Outcome::Delivered { reference: None };
        let retry = || Outcome::Retry { reason: "b".into() };
        let unknown = || Outcome::Unknown { reason: "u".into() };
        let config = || Outcome::Config { reason: "c".into() };
        let reject = || Outcome::Reject { reason: "r".into() };
        let after = || Outcome::RetryAfter { ms: 7, reason: "a".into() };
        for (outcomes, want) in [
            (vec![delivered()], delivered()),
            (vec![delivered(), delivered()], delivered()),
            (vec![delivered(), retry()], delivered()),
            (vec![unknown(), delivered()], delivered()),
            (vec![delivered(), config()], delivered()),
            (vec![reject(), delivered()], delivered()),
            (vec![after(), delivered()], delivered()),
            (vec![retry(), after()], after()),
            (vec![config(), retry()], retry()),
            (vec![config(), config()], config()),
            (vec![reject(), config()], config()),
            (vec![retry(), unknown()], unknown()),
        ] {
            let shown = format!("{outcomes:?}");
            assert_eq!(combine(outcomes), want, "{shown}");
        }
    }
}
