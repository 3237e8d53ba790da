//! What every incident of a partition shares while one input is taken in: the clock, the policy, the chain, the effects.

mod signed;
mod stated;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wire::checkpoint::Checkpoint;
use wire::{Digest, Incident, IncidentId, Timestamp};

use crate::audit::{Anchor, Entry, cut};
use crate::counts::Counters;
use crate::effect::Effect;
use crate::machine::Parted;
use crate::mutant::{self, Mutant};
use crate::mutes::{Mutes, Verdict};
use crate::people::Directory;
use crate::policy::Policy;
use crate::store;

#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) now: Timestamp,
    /// Name of the process, once it has said that it started. Nothing is sent before.
    pub(crate) owner: Option<String>,
    /// When it said so.
    pub(crate) started_at: Option<Timestamp>,
    /// Of all incidents; this is one of them.
    pub(crate) partitions: u32,
    pub(crate) current: Arc<Policy>,
    /// Bundles that incidents opened with, the current one included.
    pub(crate) bundles: BTreeMap<Digest, Arc<Policy>>,
    /// Bundles that are in the state.
    pub(crate) stored: BTreeSet<Digest>,
    pub(crate) head: Anchor,
    /// Policy in force when the head was last written.
    pub(crate) loaded: Option<Digest>,
    /// Config in force when the head was last written.
    pub(crate) config: Option<Digest>,
    pub(crate) head_moved: bool,
    /// The last of the chain.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// When every bundle in use was last written into the chain.
    pub(crate) stated_at: Option<Timestamp>,
    /// When that was made, and not later than this process took over.
    pub(crate) signed_at: Timestamp,
    pub(crate) people: Directory,
    pub(crate) mutes: Mutes,
    /// What the pages that are decided just now say first: why they come only now.
    pub(crate) notice: Option<String>,
    pub(crate) count: Counters,
    pub(crate) effects: Vec<Effect>,
    /// Kept apart: nothing is sent before all else is committed.
    pub(crate) sends: Vec<Effect>,
    /// Messages for several whose page ended otherwise than by arriving.
    pub(crate) parted: Vec<Parted>,
    /// What happened at receivers and tables that tocsin's own incidents are about.
    pub(crate) health: Vec<Health>,
}

/// Something that tocsin has an incident of its own about, or no longer has.
#[derive(Clone, Debug)]
pub(crate) enum Health {
    /// `part` of `what` does not work.
    Broken { what: String, part: String, why: String },
    /// `part` of `what` works.
    Fine { what: String, part: String },
}

impl Desk {
    pub(crate) fn new(partition: u32, policy: Arc<Policy>) -> Self {
        Self {
            now: Timestamp::EPOCH,
            owner: None,
            started_at: None,
            partitions: 1,
            bundles: BTreeMap::from([(policy.digest().clone(), Arc::clone(&policy))]),
            current: policy,
            stored: BTreeSet::new(),
            head: Anchor::start(partition),
            loaded: None,
            config: None,
            head_moved: false,
            checkpoint: None,
            stated_at: None,
            signed_at: Timestamp::EPOCH,
            people: Directory::default(),
            mutes: Mutes::default(),
            notice: None,
            count: Counters::default(),
            effects: Vec::new(),
            sends: Vec::new(),
            parted: Vec::new(),
            health: Vec::new(),
        }
    }

    /// The bundle an incident follows; the current one if it is not known any more.
    pub(crate) fn policy(&self, digest: &Digest) -> Arc<Policy> {
        if mutant::is(Mutant::BundleNotPinned) {
            return Arc::clone(&self.current);
        }
        Arc::clone(self.bundles.get(digest).unwrap_or(&self.current))
    }

    /// Whether an incident may page now.
    pub(crate) fn verdict(&self, incident: &Incident) -> Verdict {
        self.mutes.verdict(incident, self.current.quiet(), self.now)
    }

    pub(crate) fn audit(&mut self, entry: Entry) {
        let record = self.head.append(entry, self.now);
        self.head_moved = true;
        self.effects.push(Effect::Audit(record));
    }

    /// Incidents that open from now on follow this policy.
    pub(crate) fn follow(&mut self, policy: Arc<Policy>, why: String) {
        self.bundles.insert(policy.digest().clone(), Arc::clone(&policy));
        self.current = policy;
        self.note_policy(Some(why));
    }

    /// Audits the policy in force, if it is another than the head of the chain knows.
    pub(crate) fn note_policy(&mut self, why: Option<String>) {
        let digest = self.current.digest().clone();
        if self.loaded.as_ref() != Some(&digest) {
            let before = self.loaded.replace(digest.clone()).map(|d| d.to_string());
            let after = Some(digest.to_string());
            let policy = Arc::clone(&self.current);
            self.state_bundle(&policy);
            self.audit(Entry { action: "policy.loaded", before, after, why, ..Entry::default() });
        }
    }

    /// Audits something about an incident that no person asked for.
    pub(crate) fn note(
        &mut self,
        id: &IncidentId,
        action: &'static str,
        before: impl Into<Option<String>>,
        after: impl Into<Option<String>>,
        why: impl Into<Option<String>>,
    ) {
        self.audit(Entry {
            action,
            incident_id: Some(id.clone()),
            before: before.into(),
            after: after.into(),
            why: why.into(),
            ..Entry::default()
        });
    }

    /// Pseudonym of a person, remembered unless they are to be forgotten.
    pub(crate) fn pseudonym(&mut self, name: &str) -> String {
        let pseudonym = Directory::pseudonym(self.current.people_key(), name);
        let forgotten = self.current.forgotten().contains(name);
        if !forgotten && self.people.learn(&pseudonym, name) {
            self.effects.push(store::person(&pseudonym, Some(name)));
        }
        pseudonym
    }

    /// Removes the names that are to be forgotten. The chain says of which pseudonyms, so that nobody looks for them.
    /// True when anyone was forgotten.
    pub(crate) fn forget_people(&mut self) -> bool {
        let forgotten = self.people.forget_names(self.current.forgotten());
        let any = !forgotten.is_empty();
        for pseudonym in forgotten {
            self.effects.push(store::person(&pseudonym, None));
            self.audit(Entry { action: "person.forgotten", before: Some(pseudonym), ..Entry::default() });
        }
        any
    }

    /// `text` within `max` bytes; a longer one is cut and counted.
    pub(crate) fn bounded(&mut self, text: &str, max: usize) -> String {
        let short = cut(text, max);
        self.count.texts_cut += u64::from(short.len() < text.len());
        short.into()
    }
}
