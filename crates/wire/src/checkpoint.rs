//! Signed words on where an audit chain stood: kept elsewhere, they tell when it was cut or rebuilt since.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// One checkpoint: a record of the chain (its `content`), and one line of the file that leaves the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checkpoint {
    pub namespace: String,
    pub partition: u32,
    /// The record that it vouches for, and with it for every record before. Its own record follows.
    pub sequence: u64,
    /// Hash of that record.
    pub hash: String,
    /// The machine's recorded clock.
    pub at: Timestamp,
    /// Public key, Ed25519, 32 bytes in hexadecimal.
    pub key: String,
    /// Ed25519 over [`Checkpoint::signed`], 64 bytes in hexadecimal.
    pub signature: String,
}

impl Checkpoint {
    /// The bytes under the signature: five lines, each with its end, that a person can write down to check it by other
    /// means.
    #[must_use]
    pub fn signed(&self) -> Vec<u8> {
        let Self { namespace, partition, sequence, hash, at, key: _, signature: _ } = self;
        format!("tocsin audit checkpoint v1\n{namespace} {partition}\n{sequence}\n{hash}\n{at}\n")
            .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_text() {
        let checkpoint = Checkpoint {
            namespace: "default".into(),
            partition: 2,
            sequence: 17,
            hash: "ab".into(),
            at: Timestamp::EPOCH,
            key: "not signed".into(),
            signature: "not signed".into(),
        };
        let want = "tocsin audit checkpoint v1\ndefault 2\n17\nab\n1970-01-01T00:00:00.000Z\n";
        assert_eq!(String::from_utf8(checkpoint.signed()).unwrap(), want);
    }
}
