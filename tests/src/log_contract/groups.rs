//! Laws about consumers and their groups.

use std::collections::{BTreeMap, BTreeSet};

use runtime::log::{Consumer, Log, LogError, Offset, TopicPartition, Transaction};

use super::{
    Names, Seen, Subject, Told, at, poll, poll_until, poll_until_held, records, rounds, seen_values, spec,
    texts, topic,
};

pub fn a_group_goes_on_where_it_committed<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("goes-on"));
    let a = topic(&log, &names, "a", 1);
    log.append(&texts(&a, 0, 0..20)).expect("durable");
    let mut holder = log.transaction(&names.of("t")).expect("taken");
    for (from, to) in [(0_usize, 7), (7, 12)] {
        let mut consumer = log.consumer(spec(&names, "g", &[&a], &[])).expect("joins");
        let told = poll_until(&mut consumer, "the rest", |told| records(told).len() == 20 - from);
        let want: Vec<String> = (from..20).map(|n| n.to_string()).collect();
        assert_eq!(seen_values(&told), want);
        assert_eq!(consumer.position(&at(&a, 0)), Some(20));
        holder.commit(&[], Some((&mut consumer, &[(at(&a, 0), to)]))).expect("commits");
        consumer.close().expect("leaves");
    }
    let mut another = log.consumer(spec(&names, "another", &[&a], &[])).expect("joins");
    poll_until(&mut another, "all of it", |told| records(told).len() == 20);
}

pub fn assignment_comes_before_records_and_seek_counts<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("seek"));
    let a = topic(&log, &names, "a", 2);
    log.append(&texts(&a, 0, 0..10)).expect("durable");
    log.append(&texts(&a, 1, 10..20)).expect("durable");
    let mut consumer = log.consumer(spec(&names, "g", &[&a], &[])).expect("joins");
    let told = poll_until(&mut consumer, "an assignment", |told| !told.is_empty());
    assert_eq!(told, [Told::Assigned(vec![at(&a, 0), at(&a, 1)])], "and nothing besides in the same poll");
    assert_eq!(consumer.assignment(), [at(&a, 0), at(&a, 1)]);
    consumer.seek(&at(&a, 0), 6).expect("held");
    let told = poll_until(&mut consumer, "records", |told| records(told).len() == 14);
    let zero: Vec<_> =
        records(&told).into_iter().filter(|seen| seen.at.partition == 0).map(|s| s.offset).collect();
    assert_eq!(zero, [6, 7, 8, 9]);
    consumer.seek(&at(&a, 1), 8).expect("held");
    assert_eq!(consumer.position(&at(&a, 1)), Some(8));
    let told = poll_until(&mut consumer, "two again", |told| records(told).len() == 2);
    assert_eq!(seen_values(&told), ["18", "19"]);
    assert!(matches!(consumer.seek(&at(&a, 2), 0), Err(LogError::NotHeld { .. })));
}

pub fn rewind_goes_back_to_the_last_commit<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("rewind"));
    let a = topic(&log, &names, "a", 2);
    log.append(&texts(&a, 0, 0..10)).expect("durable");
    log.append(&texts(&a, 1, 10..13)).expect("durable");
    let mut consumer = log.consumer(spec(&names, "g", &[&a], &[])).expect("joins");
    poll_until(&mut consumer, "all", |told| records(told).len() == 13);
    let mut holder = log.transaction(&names.of("t")).expect("taken");
    holder.commit(&[], Some((&mut consumer, &[(at(&a, 0), 8)]))).expect("commits");
    consumer.rewind(&[at(&a, 0), at(&a, 1)]).expect("held");
    let told = poll_until(&mut consumer, "what was not committed", |told| records(told).len() == 5);
    let mut again = seen_values(&told);
    again.sort();
    assert_eq!(again, ["10", "11", "12", "8", "9"]);
}

pub fn paused_partitions_wait_and_lose_nothing<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("pause"));
    let a = topic(&log, &names, "a", 2);
    log.append(&texts(&a, 0, 0..50)).expect("durable");
    log.append(&texts(&a, 1, 0..50)).expect("durable");
    let mut consumer = log.consumer(spec(&names, "g", &[&a], &[])).expect("joins");
    let zero = [at(&a, 0)];
    poll_until(&mut consumer, "an assignment", |told| !told.is_empty());
    consumer.pause(&zero).expect("held");
    let ended = |told: &[Told], p| told.iter().any(|t| matches!(t, Told::End(at, _) if at.partition == p));
    let told =
        poll_until(&mut consumer, "the other partition", |told| records(told).len() == 50 && ended(told, 1));
    assert!(records(&told).iter().all(|seen| seen.at.partition == 1));
    consumer.resume(&zero).expect("held");
    let mut got = vec![];
    // On and off, in the middle of things: nothing is lost and nothing comes twice.
    for _ in 0..rounds() {
        if got.len() == 50 {
            break;
        }
        got.extend(seen_values(&poll(&mut consumer, 7)));
        consumer.pause(&zero).expect("held");
        assert!(seen_values(&poll(&mut consumer, 7)).is_empty(), "paused");
        consumer.resume(&zero).expect("held");
    }
    assert_eq!(got, (0..50).map(|n| n.to_string()).collect::<Vec<_>>());
    log.append(&texts(&a, 0, 50..51)).expect("durable");
    let told = poll_until(&mut consumer, "what came later, and the end", |told| ended(told, 0));
    assert_eq!(seen_values(&told), ["50"]);
    assert_eq!(told.last(), Some(&Told::End(at(&a, 0), 51)));
}

pub fn polls_are_bounded_and_at_once<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("bounded"));
    let a = topic(&log, &names, "a", 3);
    for p in 0..3 {
        log.append(&texts(&a, p, 0..400)).expect("durable");
    }
    let mut consumer = log.consumer(spec(&names, "g", &[&a], &[])).expect("joins");
    let mut got: BTreeMap<TopicPartition, Vec<Offset>> = BTreeMap::new();
    for _ in 0..rounds() * 10 {
        let told = poll(&mut consumer, 13);
        assert!(records(&told).len() <= 13);
        for Seen { at, offset, .. } in records(&told) {
            got.entry(at).or_default().push(offset);
        }
        if got.values().map(Vec::len).sum::<usize>() == 1200 {
            break;
        }
    }
    let all: Vec<Offset> = (0..400).collect();
    for p in 0..3 {
        assert_eq!(got.get(&at(&a, p)), Some(&all), "partition {p}: each once, in order");
    }
    // With nothing to deliver, a poll that may not wait comes back at once.
    for _ in 0..200 {
        consumer.poll(std::time::Duration::ZERO, 10, &mut |_| ()).expect("polls");
    }
}

/// A member of the test's group with what it was told.
struct Member<C> {
    consumer: C,
    held: BTreeSet<TopicPartition>,
    /// Per partition, next to process.
    progress: BTreeMap<TopicPartition, Offset>,
    got: Vec<Seen>,
}

impl<C: Consumer> Member<C> {
    fn new(consumer: C) -> Self {
        Self { consumer, held: BTreeSet::new(), progress: BTreeMap::new(), got: vec![] }
    }

    /// Polls; on a revocation commits what it has of these partitions, before they are gone.
    fn turn<T: Transaction<Consumer = C>>(&mut self, holder: &mut T) {
        for told in poll(&mut self.consumer, 3) {
            match told {
                Told::Record(seen) => {
                    assert!(self.held.contains(&seen.at), "{} without holding it", seen.at);
                    self.progress.insert(seen.at.clone(), seen.offset + 1);
                    self.got.push(seen);
                }
                Told::Assigned(parts) => {
                    for at in parts {
                        assert!(self.held.insert(at.clone()), "{at} assigned twice");
                    }
                }
                Told::Revoked(parts) => {
                    let offsets: Vec<_> =
                        parts.iter().filter_map(|at| self.progress.remove_entry(at)).collect();
                    holder.commit(&[], Some((&mut self.consumer, &offsets))).expect("still ours");
                    for at in parts {
                        assert!(self.held.remove(&at), "{at} revoked, not held");
                    }
                }
                Told::Lost(parts) => panic!("nothing was lost: {parts:?}"),
                Told::Gap(at, ..) => panic!("{at} has no gap"),
                Told::End(..) => (),
            }
        }
        let leads = |what: &str| {
            let of = self.held.iter().filter(|at| at.topic.ends_with(what));
            of.map(|at| at.partition).collect::<BTreeSet<_>>()
        };
        assert_eq!(leads("lead"), leads("partner"), "nobody holds p of one without p of the other");
    }
}

pub fn two_members_share_and_never_hold_the_same<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("share"));
    let (lead, partner) = (topic(&log, &names, "lead", 4), topic(&log, &names, "partner", 4));
    for p in 0..4 {
        log.append(&texts(&lead, p, 0..30)).expect("durable");
        log.append(&texts(&partner, p, 0..30)).expect("durable");
    }
    let join = || Member::new(log.consumer(spec(&names, "g", &[&lead], &[&partner])).expect("joins"));
    let (mut one, mut other) = (join(), None);
    let mut holders =
        [log.transaction(&names.of("t")).expect("taken"), log.transaction(&names.of("u")).expect("taken")];
    let mut shared = false;
    for _ in 0..rounds() {
        one.turn(&mut holders[0]);
        if one.held.len() == 8 && one.got.len() > 20 && other.is_none() {
            other = Some(join());
        }
        if let Some(other) = &mut other {
            other.turn(&mut holders[1]);
            assert!(one.held.is_disjoint(&other.held), "{:?} and {:?}", one.held, other.held);
            shared |= one.held.len() == 4 && other.held.len() == 4;
            if shared && one.got.len() + other.got.len() >= 240 {
                break;
            }
        }
    }
    let mut other = other.expect("the other has joined");
    assert!(shared, "they share evenly: {:?} and {:?}", one.held, other.held);
    // Each record once: what was revoked was committed first, and who took over began there.
    let mut all: Vec<Seen> = one.got.iter().chain(&other.got).cloned().collect();
    all.sort();
    assert_eq!(all.len(), 240);
    all.dedup();
    assert_eq!(all.len(), 240, "no record came to both");
    let offsets: Vec<_> = one.progress.clone().into_iter().collect();
    holders[0].commit(&[], Some((&mut one.consumer, &offsets))).expect("commits");
    one.consumer.close().expect("leaves");
    let taken_over = (0..rounds()).any(|_| {
        other.turn(&mut holders[1]);
        other.held.len() == 8
    });
    assert!(taken_over, "who stays gets all: {:?}", other.held);
    for _ in 0..5 {
        other.turn(&mut holders[1]);
    }
    assert_eq!(other.got.len() + one.got.len(), 240, "and nothing comes again");
}

pub fn who_gets_nothing_is_told_so<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("standby"));
    let (a, p) = (topic(&log, &names, "a", 1), topic(&log, &names, "p", 1));
    let both = [at(&a, 0), at(&p, 0)];
    let mut holder = log.consumer(spec(&names, "g", &[&a], &[&p])).expect("joins");
    poll_until_held(&mut holder, &both);
    let mut standby = log.consumer(spec(&names, "g", &[&a], &[&p])).expect("joins");
    let shared = |holder: &mut <S::Log as Log>::Consumer,
                  standby: &mut <S::Log as Log>::Consumer,
                  told: &mut Vec<Told>| {
        drop(poll(holder, 10));
        told.extend(poll(standby, 10));
        // Which of them gets the partition is the group's affair.
        told.iter().any(|t| matches!(t, Told::Assigned(_)))
    };
    let mut told = vec![];
    let known = (0..rounds()).any(|_| shared(&mut holder, &mut standby, &mut told));
    assert!(known, "it learns what it has, were it nothing: {told:?}");
    if standby.assignment().is_empty() {
        assert_eq!(told, [Told::Assigned(vec![])]);
        holder.close().expect("leaves");
        poll_until_held(&mut standby, &both);
    }
}

pub fn partners_must_match<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("match"));
    let (lead, narrow) = (topic(&log, &names, "lead", 2), topic(&log, &names, "narrow", 1));
    let refused = log.consumer(spec(&names, "g", &[&lead], &[&narrow])).map(drop);
    match refused {
        Err(LogError::Topic { topic, setting: "partitions", found, .. }) => {
            assert_eq!((topic, found.as_str()), (narrow, "1"));
        }
        other => panic!("{other:?}"),
    }
    let missing = names.of("missing");
    assert!(matches!(
        log.consumer(spec(&names, "g", &[&missing], &[])).map(drop),
        Err(LogError::NotFound { .. })
    ));
    assert!(matches!(
        log.consumer(spec(&names, "g", &[&lead], &[&missing])).map(drop),
        Err(LogError::NotFound { .. })
    ));
}

pub fn two_leads_are_both_shared_out<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("leads"));
    let (a, b) = (topic(&log, &names, "a", 2), topic(&log, &names, "b", 3));
    let all = [at(&a, 0), at(&a, 1), at(&b, 0), at(&b, 1), at(&b, 2)];
    let mut consumer = log.consumer(spec(&names, "g", &[&a, &b], &[])).expect("joins");
    let mut told = poll_until_held(&mut consumer, &all);
    for place in &all {
        log.append(&texts(&place.topic, place.partition, 0..2)).expect("durable");
    }
    told.extend(poll_until(&mut consumer, "records of both", |told| records(told).len() == 10));
    let mut holder = log.transaction(&names.of("t")).expect("taken");
    let offsets: Vec<_> = all.iter().map(|at| (at.clone(), 2)).collect();
    holder.commit(&[], Some((&mut consumer, &offsets))).expect("commits");
    assert_eq!(log.committed(&names.of("g"), &all).expect("can be asked"), [Some(2); 5]);
}

pub fn a_position_out_of_range_is_a_gap<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("gap"));
    let a = topic(&log, &names, "a", 1);
    log.append(&texts(&a, 0, 0..4)).expect("durable");
    let mut consumer = log.consumer(spec(&names, "g", &[&a], &[])).expect("joins");
    poll_until(&mut consumer, "an assignment", |told| !told.is_empty());
    consumer.seek(&at(&a, 0), 1000).expect("held");
    let told = poll_until(&mut consumer, "a gap and what is there", |told| records(told).len() == 4);
    let gap = told.iter().position(|told| *told == Told::Gap(at(&a, 0), 1000, 0)).expect("it is told of");
    let first = told.iter().position(|told| matches!(told, Told::Record(_))).expect("there are four");
    assert!(gap < first, "before the records it concerns: {told:?}");
}
