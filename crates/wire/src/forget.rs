//! A person is to be forgotten: what an administrator asks of every partition of the escalation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Principal;
use crate::{CommandId, Digest, Timestamp};

/// Longest name of a person, in bytes: a longer one is never remembered.
pub const NAME_BYTES_MAX: usize = 200;

/// One record a partition, on the commands topic. It never holds the name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Forget {
    /// Of this partition's record. A repeat with the same id changes nothing.
    pub command_id: CommandId,
    pub partition: u32,
    /// Clock of the process that accepted it.
    pub issued_at: Timestamp,
    pub principal: Principal,
    /// As which the person appears in the audit under the secret of the process that accepted it.
    pub pseudonym: String,
    /// Hash of the command's id and the name: by it a worker knows the name, whatever secret it was met under.
    pub name: Digest,
}

impl Forget {
    #[must_use]
    pub fn digest(command_id: &CommandId, name: &str) -> Digest {
        Digest::of(&[b"forget", command_id.as_str().as_bytes(), name.as_bytes()])
    }

    /// Whether it is the person of this name who is to be forgotten.
    #[must_use]
    pub fn is_about(&self, name: &str) -> bool {
        Self::digest(&self.command_id, name) == self.name
    }
}
