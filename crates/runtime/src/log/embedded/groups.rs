//! Consumer groups: who holds which partition, and how it passes from one to another.
//!
//! Cooperative: only what moves is given up, and nobody gets a partition before its holder has let go of it, which
//! it does by polling again after it was told (or by not polling for too long). No I/O, no clock of its own.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::log::TopicPartition;

/// A place in a group.
#[derive(Clone, Debug)]
pub(super) struct Membership {
    pub(super) group: Arc<str>,
    pub(super) member: u64,
}

/// What a member's poll finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Quiet,
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
    /// It did not poll for too long and is no member any more.
    Lost,
}

#[derive(Default)]
pub(super) struct Group {
    joined: u64,
    /// Raised by every change that another member may have to follow.
    version: u64,
    members: BTreeMap<u64, Member>,
}

struct Member {
    lead: Vec<Arc<str>>,
    partners: Vec<Arc<str>>,
    /// Lead partitions only; partners follow the first lead.
    owned: BTreeSet<TopicPartition>,
    /// Of those, the ones it has been told to give up: gone with its next poll.
    revoking: BTreeSet<TopicPartition>,
    polled: Instant,
    /// A commit of its offsets is being written.
    busy: bool,
    /// Version at which it was last in accord with the group.
    seen: Option<u64>,
    /// It knows what it has.
    told: bool,
}

impl Member {
    /// Lead partitions with their partners behind them.
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
    pub(super) fn join(&mut self, lead: Vec<Arc<str>>, partners: Vec<Arc<str>>, now: Instant) -> u64 {
        self.joined += 1;
        self.version += 1;
        let (owned, revoking) = (BTreeSet::new(), BTreeSet::new());
        let member =
            Member { lead, partners, owned, revoking, polled: now, busy: false, seen: None, told: false };
        self.members.insert(self.joined, member);
        self.joined
    }

    pub(super) fn leave(&mut self, member: u64) {
        self.members.remove(&member);
        self.version += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether the member's next turn may bring something.
    pub(super) fn news(&self, member: u64) -> bool {
        self.members
            .get(&member)
            .is_none_or(|member| !member.revoking.is_empty() || member.seen != Some(self.version))
    }

    pub(super) fn busy(&mut self, member: u64, is: bool) {
        if let Some(member) = self.members.get_mut(&member) {
            member.busy = is;
        }
    }

    /// Whether a member may commit an offset of this partition.
    pub(super) fn holds(&self, member: u64, at: &TopicPartition) -> bool {
        self.members.get(&member).is_some_and(|member| {
            member.owned.contains(at)
                || member.partners.contains(&at.topic)
                    && member.lead.first().is_some_and(|lead| {
                        member.owned.contains(&TopicPartition::new(Arc::clone(lead), at.partition))
                    })
        })
    }

    /// A member polls: it lets go of what it was told to, and learns of the next change that concerns it.
    pub(super) fn turn(
        &mut self,
        id: u64,
        now: Instant,
        max_poll: Duration,
        partitions: &dyn Fn(&str) -> u32,
    ) -> Turn {
        let Some(member) = self.members.get_mut(&id) else { return Turn::Lost };
        member.polled = now;
        if !member.revoking.is_empty() {
            for at in std::mem::take(&mut member.revoking) {
                member.owned.remove(&at);
            }
            self.version += 1;
        }
        self.expel(id, now, max_poll);
        if self.members[&id].seen == Some(self.version) {
            return Turn::Quiet;
        }
        let mine = self.target(partitions).remove(&id).unwrap_or_default();
        let surplus: BTreeSet<_> = self.members[&id].owned.difference(&mine).cloned().collect();
        if !surplus.is_empty() {
            return self.revoke(id, surplus);
        }
        let wanted: BTreeSet<_> = mine.difference(&self.members[&id].owned).cloned().collect();
        let free: BTreeSet<_> = wanted.iter().filter(|at| !self.held_elsewhere(id, at)).cloned().collect();
        if !free.is_empty() {
            self.version += 1;
        }
        let version = self.version;
        let member = self.members.get_mut(&id).expect("it polls, so it is here");
        // Whoever has just gained looks again: that may have moved what the others should have.
        member.seen = free.is_empty().then_some(version);
        // Once a member knows what it has, even if that is nothing, it is told.
        let first = wanted.is_empty() && !std::mem::replace(&mut member.told, true);
        if free.is_empty() {
            return if first { Turn::Assigned(vec![]) } else { Turn::Quiet };
        }
        member.told = true;
        let events = member.with_partners(&free);
        member.owned.extend(free);
        Turn::Assigned(events)
    }

    fn revoke(&mut self, id: u64, surplus: BTreeSet<TopicPartition>) -> Turn {
        let member = self.members.get_mut(&id).expect("it polls, so it is here");
        let events = member.with_partners(&surplus);
        member.revoking = surplus;
        Turn::Revoked(events)
    }

    fn held_elsewhere(&self, id: u64, at: &TopicPartition) -> bool {
        self.members.iter().any(|(other, member)| *other != id && member.owned.contains(at))
    }

    /// Puts out members that hold partitions and have not polled for too long.
    fn expel(&mut self, id: u64, now: Instant, max_poll: Duration) {
        let before = self.members.len();
        self.members.retain(|other, member| {
            let late = now.saturating_duration_since(member.polled) > max_poll;
            *other == id || !late || member.busy || member.owned.is_empty()
        });
        if self.members.len() < before {
            self.version += 1;
        }
    }

    /// Who should hold what: each topic shared out evenly, as much as possible staying where it is.
    fn target(&self, partitions: &dyn Fn(&str) -> u32) -> BTreeMap<u64, BTreeSet<TopicPartition>> {
        let topics: BTreeSet<&Arc<str>> = self.members.values().flat_map(|member| &member.lead).collect();
        let mut target: BTreeMap<u64, BTreeSet<TopicPartition>> = BTreeMap::new();
        for topic in topics {
            let mut left: BTreeSet<TopicPartition> =
                (0..partitions(topic)).map(|p| TopicPartition::new(Arc::clone(topic), p)).collect();
            let here: Vec<u64> =
                self.members.iter().filter(|(_, m)| m.lead.contains(topic)).map(|(id, _)| *id).collect();
            let holds = |id: &u64| self.members[id].owned.iter().filter(|at| at.topic == *topic).count();
            let load = |id: &u64| target.get(id).map_or(0, BTreeSet::len);
            let mut order = here;
            // Those who hold most keep the odd ones; among equals the least loaded, then the oldest.
            order.sort_by_key(|id| (Reverse(holds(id)), load(id), *id));
            let (each, odd) = (left.len() / order.len(), left.len() % order.len());
            let quota: Vec<(u64, usize)> =
                order.iter().enumerate().map(|(i, id)| (*id, each + usize::from(i < odd))).collect();
            for (id, quota) in &quota {
                let kept: Vec<_> = self.members[id].owned.intersection(&left).take(*quota).cloned().collect();
                left.retain(|at| !kept.contains(at));
                target.entry(*id).or_default().extend(kept);
            }
            for (id, quota) in &quota {
                let has = target.entry(*id).or_default();
                let short = quota - has.iter().filter(|at| at.topic == *topic).count();
                for _ in 0..short {
                    has.extend(left.pop_first());
                }
            }
        }
        target
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Act {
        Join { both: bool },
        Leave(usize),
        Poll(usize),
        Wait(u64),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            1 => any::<bool>().prop_map(|both| Act::Join { both }),
            1 => (0_usize..5).prop_map(Act::Leave),
            8 => (0_usize..5).prop_map(Act::Poll),
            2 => (0_u64..8).prop_map(Act::Wait),
        ]
    }

    const MAX_POLL: Duration = Duration::from_secs(10);

    fn partitions(topic: &str) -> u32 {
        if topic == "a" { 7 } else { 3 }
    }

    fn lead(both: bool) -> Vec<Arc<str>> {
        let mut lead = vec![Arc::from("a")];
        lead.extend(both.then(|| Arc::from("b")));
        lead
    }

    proptest! {
        /// Whatever joins, leaves, polls or hangs: nobody holds what another holds, and once all poll it settles
        /// with every partition held and the loads even.
        #[test]
        fn partitions_have_one_holder_and_all_are_held_in_the_end(acts in vec(act(), 1..60)) {
            #[expect(clippy::disallowed_methods, reason = "only differences of instants matter here")]
            let mut now = Instant::now();
            let mut group = Group::default();
            let mut members: Vec<(u64, BTreeSet<TopicPartition>, bool)> = vec![];
            let poll = |group: &mut Group, member: &mut (u64, BTreeSet<TopicPartition>, bool), now| {
                match group.turn(member.0, now, MAX_POLL, &partitions) {
                    Turn::Quiet => (),
                    Turn::Assigned(new) => for at in new { assert!(member.1.insert(at), "assigned twice"); },
                    Turn::Revoked(gone) => for at in gone { assert!(member.1.remove(&at), "revoked, not held"); },
                    Turn::Lost => {
                        member.1.clear();
                        member.0 = group.join(lead(member.2), vec![], now);
                    }
                }
            };
            for act in acts.into_iter().chain([Act::Join { both: true }]) {
                match act {
                    Act::Join { both } if members.len() < 5 => {
                        members.push((group.join(lead(both), vec![], now), BTreeSet::new(), both));
                    }
                    Act::Join { .. } => (),
                    Act::Leave(i) if i < members.len() => group.leave(members.remove(i).0),
                    Act::Poll(i) if i < members.len() => poll(&mut group, &mut members[i], now),
                    Act::Leave(_) | Act::Poll(_) => (),
                    Act::Wait(s) => now += Duration::from_secs(s),
                }
                let held: Vec<_> = group.members.values().flat_map(|m| &m.owned).collect();
                prop_assert_eq!(held.iter().collect::<BTreeSet<_>>().len(), held.len(), "held twice");
            }
            for _ in 0..60 {
                for member in &mut members { poll(&mut group, member, now); }
            }
            let held: BTreeSet<_> = members.iter().flat_map(|m| m.1.clone()).collect();
            let both = members.iter().any(|m| m.2);
            prop_assert_eq!(held.len(), if both { 10 } else { 7 }, "all are held");
            let loads: Vec<_> = members.iter().map(|m| m.1.iter().filter(|at| &*at.topic == "a").count()).collect();
            let spread = loads.iter().max().expect("one joined") - loads.iter().min().expect("one joined");
            prop_assert!(spread <= 1, "loads {:?}", loads);
        }
    }

    #[test]
    fn partners_come_and_go_with_the_first_lead() {
        #[expect(clippy::disallowed_methods, reason = "only differences of instants matter here")]
        let now = Instant::now();
        let mut group = Group::default();
        let member = group.join(vec!["b".into()], vec!["p".into(), "q".into()], now);
        let Turn::Assigned(all) = group.turn(member, now, MAX_POLL, &partitions) else {
            panic!("one takes all")
        };
        assert_eq!(all.len(), 9);
        let p1 = TopicPartition::new("p", 1);
        assert!(group.holds(member, &p1) && !group.holds(member, &TopicPartition::new("r", 1)));
        let other = group.join(vec!["b".into()], vec!["p".into(), "q".into()], now);
        assert_eq!(group.turn(other, now, MAX_POLL, &partitions), Turn::Quiet, "nothing is free yet");
        let Turn::Revoked(gone) = group.turn(member, now, MAX_POLL, &partitions) else {
            panic!("must share")
        };
        assert_eq!(gone.len(), 3, "{gone:?}: a lead partition and its two partners");
        assert!(gone.iter().all(|at| group.holds(member, at)), "ours until the next poll");
        assert_eq!(group.turn(other, now, MAX_POLL, &partitions), Turn::Quiet, "not let go of yet");
        assert_eq!(group.turn(member, now, MAX_POLL, &partitions), Turn::Quiet);
        assert_eq!(group.turn(other, now, MAX_POLL, &partitions), Turn::Assigned(gone.clone()));
        assert!(gone.iter().all(|at| group.holds(other, at) && !group.holds(member, at)));
    }
}
