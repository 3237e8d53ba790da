//! Bundles in the chain: with them, who would have been paged can be said from the audit alone.

use std::sync::Arc;

use super::Desk;
use crate::audit::{Entry, STATED, cut};
use crate::people::Directory;
use crate::policy::Policy;

/// Most bytes of a bundle in one record.
const PIECE_BYTES: usize = 32 * 1024;

/// What is in use is stated again after so long, so that retention never takes the last statement of it.
const AGAIN_MS: i64 = 30 * 86_400_000;

impl Desk {
    /// Writes a bundle into the chain, in as many records as it needs. Targets may be people: they stand there under
    /// their pseudonyms.
    pub(crate) fn state_bundle(&mut self, policy: &Policy) {
        let key = self.current.people_key();
        let bundle = policy.bundle().audited(&|name| Directory::pseudonym(key, name));
        let text = serde_json::to_string(&bundle).expect("a bundle has text keys only");
        let mut pieces = Vec::new();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let piece = cut(rest, PIECE_BYTES);
            pieces.push(piece.to_owned());
            rest = &rest[piece.len()..];
        }
        let of = pieces.len();
        for (i, piece) in pieces.into_iter().enumerate() {
            self.audit(Entry {
                action: STATED,
                after: Some(policy.digest().to_string()),
                why: Some(format!("part {} of {of}", i + 1)),
                content: Some(piece),
                ..Entry::default()
            });
        }
    }

    /// States what was in use before anything was ever stated (an earlier version wrote that chain).
    pub(crate) fn state_bundles_of_old(&mut self) {
        if self.stated_at.is_none() {
            let known = self.loaded.clone();
            self.state_bundles(known.as_ref() == Some(self.current.digest()));
        }
    }

    /// States everything in use once more, where the last time was long ago.
    pub(super) fn restate_bundles(&mut self) {
        if self.stated_at.is_some_and(|at| self.now.since_ms(at) >= AGAIN_MS) {
            self.state_bundles(true);
        }
    }

    fn state_bundles(&mut self, current: bool) {
        self.stated_at = Some(self.now);
        let digest = self.current.digest();
        let used = self.bundles.iter().filter(|(d, _)| self.stored.contains(*d) && *d != digest);
        let mut used: Vec<Arc<Policy>> = used.map(|(_, policy)| Arc::clone(policy)).collect();
        used.extend(current.then(|| Arc::clone(&self.current)));
        for policy in used {
            self.state_bundle(&policy);
        }
        if current {
            let digest = Some(self.current.digest().to_string());
            let (before, why) = (digest.clone(), Some("still in force".to_owned()));
            self.audit(Entry { action: "policy.loaded", before, after: digest, why, ..Entry::default() });
        }
    }
}
