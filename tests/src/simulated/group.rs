//! Groups as Kafka's cooperative protocol has them: only what moves is given up, and nobody gets a partition before its
//! holder has let go of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use runtime::log::{Offset, TopicPartition};

#[derive(Debug, Default)]
pub(super) struct Group {
    joined: u64,
    /// Decides who gets what; another number is another sharing out.
    seed: u64,
    members: BTreeMap<u64, Member>,
    pub(super) offsets: BTreeMap<TopicPartition, Offset>,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) process: usize,
    pub(super) polled: Duration,
    lead: Vec<Arc<str>>,
    partners: Vec<Arc<str>>,
    /// Lead partitions; partners follow the first lead.
    owned: BTreeSet<TopicPartition>,
    /// Of those, what it was told to give up: gone with its next poll.
    revoking: BTreeSet<TopicPartition>,
    /// It was told what it has, even if that is nothing.
    told: bool,
}

/// What a member's poll finds.
pub(super) enum Turn {
    Quiet,
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
    /// It is no member any more.
    Lost,
}

impl Member {
    fn with_partners(&self, lead: &BTreeSet<TopicPartition>) -> Vec<TopicPartition> {
        let first = self.lead.first();
        let follow = lead.iter().filter(|at| Some(&at.topic) == first);
        let partners = follow.flat_map(|at| {
            self.partners.iter().map(|partner| TopicPartition::new(Arc::clone(partner), at.partition))
        });
        lead.iter().cloned().chain(partners).collect()
    }
}

impl Group {
    pub(super) fn join(
        &mut self,
        process: usize,
        polled: Duration,
        lead: Vec<Arc<str>>,
        partners: Vec<Arc<str>>,
    ) -> u64 {
        self.joined += 1;
        self.seed = self.seed.wrapping_add(1);
        let (owned, revoking, told) = (BTreeSet::new(), BTreeSet::new(), false);
        self.members.insert(self.joined, Member { process, polled, lead, partners, owned, revoking, told });
        self.joined
    }

    pub(super) fn leave(&mut self, member: u64) {
        self.members.remove(&member);
    }

    pub(super) fn expel(&mut self, is_out: impl Fn(&Member) -> bool) {
        self.members.retain(|_, member| !is_out(member));
    }

    pub(super) fn share_out_anew(&mut self, seed: u64) {
        self.seed = seed;
    }

    pub(super) fn is_member(&self, member: u64) -> bool {
        self.members.contains_key(&member)
    }

    /// Whether a member may commit an offset of this partition.
    pub(super) fn holds(&self, member: u64, at: &TopicPartition) -> bool {
        self.members.get(&member).is_some_and(|member| member.with_partners(&member.owned).contains(at))
    }

    pub(super) fn turn(&mut self, id: u64, now: Duration, partitions: &dyn Fn(&str) -> u32) -> Turn {
        let Some(member) = self.members.get_mut(&id) else { return Turn::Lost };
        member.polled = now;
        for at in std::mem::take(&mut member.revoking) {
            member.owned.remove(&at);
        }
        let mine = self.target(id, partitions);
        let member = &self.members[&id];
        let surplus: BTreeSet<_> = member.owned.difference(&mine).cloned().collect();
        if !surplus.is_empty() {
            let told = member.with_partners(&surplus);
            self.members.get_mut(&id).expect("here").revoking = surplus;
            return Turn::Revoked(told);
        }
        let wanted: BTreeSet<_> = mine.difference(&member.owned).cloned().collect();
        let elsewhere =
            |at: &TopicPartition| self.members.iter().any(|(other, m)| *other != id && m.owned.contains(at));
        let free: BTreeSet<_> = wanted.iter().filter(|at| !elsewhere(at)).cloned().collect();
        let told = member.with_partners(&free);
        let member = self.members.get_mut(&id).expect("here");
        if free.is_empty() {
            let first = wanted.is_empty() && !std::mem::replace(&mut member.told, true);
            return if first { Turn::Assigned(vec![]) } else { Turn::Quiet };
        }
        member.told = true;
        member.owned.extend(free);
        Turn::Assigned(told)
    }

    /// What a member should hold: each topic dealt out evenly, beginning with whom the seed says.
    fn target(&self, id: u64, partitions: &dyn Fn(&str) -> u32) -> BTreeSet<TopicPartition> {
        let mut mine = BTreeSet::new();
        let mut dealt = 0;
        let topics: BTreeSet<&Arc<str>> = self.members.values().flat_map(|member| &member.lead).collect();
        for topic in topics {
            let readers: Vec<u64> =
                self.members.iter().filter(|(_, m)| m.lead.contains(topic)).map(|(id, _)| *id).collect();
            for partition in 0..partitions(topic) {
                let turn = (self.seed % 1009 + dealt) % readers.len().max(1) as u64;
                dealt += 1;
                if readers.get(usize::try_from(turn).unwrap_or(0)) == Some(&id) {
                    mine.insert(TopicPartition::new(Arc::clone(topic), partition));
                }
            }
        }
        mine
    }
}
