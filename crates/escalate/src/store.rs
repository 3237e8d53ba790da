//! State records: one byte for the version of their schema, then JSON. Keys are text: what it is, and which.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wire::checkpoint::Checkpoint;
use wire::{CommandId, Digest, IncidentId, Timestamp};

use crate::answers::Kept;
use crate::audit::Anchor;
use crate::config::Bundle;
use crate::effect::Effect;
use crate::own::Own;
use crate::state::IncidentState;

/// Version of the schema that this program writes, and the newest that it reads.
const VERSION: u8 = 2;

/// Key of the head of the chain.
const HEAD: &str = "head";

/// Why a state record cannot be taken back in. The partition must not be worked on without it.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Written by a newer tocsin. Upgrade this process.
    #[error(
        "state record {key:?} has schema version {found}, this program reads up to {supported}; upgrade it"
    )]
    TooNew { key: String, found: u8, supported: u8 },
    /// Not what this key holds.
    #[error("state record {key:?} cannot be read")]
    Malformed { key: String, source: serde_json::Error },
    /// A bundle that was checked when it was written does not pass now.
    #[error("state record {key:?} holds a policy that this program refuses")]
    Bundle { key: String, source: crate::config::ConfigErrors },
    /// Not one of this machine's keys.
    #[error("state record {key:?} is none of this machine's")]
    UnknownKey { key: String },
}

/// Head of the audit chain, and the policy and config in force when it was written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) chain: Anchor,
    pub(crate) policy: Digest,
    /// Not there before anything was loaded, nor from earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) config: Option<Digest>,
    /// The last one of the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoint: Option<Checkpoint>,
    /// When every bundle in use was last written into the chain; each load writes its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stated_at: Option<Timestamp>,
}

/// One state record taken apart; `None` is a tombstone.
pub(crate) enum Record {
    Head(Option<Head>),
    Incident(IncidentId, Option<Box<IncidentState>>),
    Bundle(Digest, Option<Box<Bundle>>),
    Own(String, Option<Box<Own>>),
    Person(String, Option<String>),
    /// A pseudonym that no name is kept for again.
    Forgotten(String),
    Answer(CommandId, Option<Kept>),
}

pub(crate) fn read(key: &[u8], value: &[u8]) -> Result<Record, StateError> {
    let text = String::from_utf8_lossy(key).into_owned();
    let unknown = || Err(StateError::UnknownKey { key: text.clone() });
    if text == HEAD {
        return Ok(Record::Head(parse(&text, value)?));
    }
    let Some((what, which)) = text.split_once('/') else { return unknown() };
    Ok(match what {
        "incident" => Record::Incident(IncidentId::new(which), parse(&text, value)?),
        "bundle" => Record::Bundle(Digest::new(which), parse(&text, value)?),
        "own" => Record::Own(which.into(), parse(&text, value)?),
        "person" => Record::Person(which.into(), parse(&text, value)?),
        "forgotten" => {
            parse::<bool>(&text, value)?;
            Record::Forgotten(which.into())
        }
        "answer" => Record::Answer(CommandId::new(which), parse(&text, value)?),
        _ => return unknown(),
    })
}

/// The end of the audit chain, if this record of the state holds it; all others are passed over unread.
///
/// # Errors
/// When it is the one that does, and cannot be read.
pub fn anchor(key: &[u8], value: &[u8]) -> Result<Option<Anchor>, StateError> {
    if key != HEAD.as_bytes() {
        return Ok(None);
    }
    parse::<Head>(HEAD, value).map(|head| head.map(|head| head.chain))
}

fn parse<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<Option<T>, StateError> {
    let Some((&version, json)) = value.split_first() else { return Ok(None) };
    if version > VERSION {
        return Err(StateError::TooNew { key: key.into(), found: version, supported: VERSION });
    }
    let parsed = serde_json::from_slice(json);
    parsed.map(Some).map_err(|source| StateError::Malformed { key: key.into(), source })
}

/// The text of a record of a version that this program knows; `None` if it is another's.
pub(crate) fn text(record: &[u8]) -> Option<&[u8]> {
    record.split_first().filter(|(version, _)| **version <= VERSION).map(|(_, text)| text)
}

fn state<T: Serialize>(key: String, value: Option<&T>) -> Effect {
    let value = value.map(|value| {
        let mut bytes = vec![VERSION];
        serde_json::to_writer(&mut bytes, value).expect("state has text keys and finite numbers");
        bytes
    });
    Effect::State { key: key.into_bytes(), value }
}

pub(crate) fn head(head: &Head) -> Effect {
    state(HEAD.into(), Some(head))
}

pub(crate) fn incident(id: &IncidentId, incident: Option<&IncidentState>) -> Effect {
    state(format!("incident/{id}"), incident)
}

pub(crate) fn bundle(digest: &Digest, bundle: Option<&Bundle>) -> Effect {
    state(format!("bundle/{digest}"), bundle)
}

pub(crate) fn own(what: &str, own: &Own) -> Effect {
    state(format!("own/{what}"), Some(own))
}

pub(crate) fn person(pseudonym: &str, name: Option<&str>) -> Effect {
    state(format!("person/{pseudonym}"), name.as_ref())
}

pub(crate) fn forgotten(pseudonym: &str) -> Effect {
    state(format!("forgotten/{pseudonym}"), Some(&true))
}

pub(crate) fn answer(id: &CommandId, kept: Option<&Kept>) -> Effect {
    state(format!("answer/{id}"), kept)
}
