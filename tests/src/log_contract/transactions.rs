//! Laws about transactions, fencing and what is committed with what.

use std::ops::ControlFlow;
use std::sync::Arc;

use runtime::log::{Consumer, Isolation, Log, LogError, NewRecord, Transaction};

use super::{Names, Subject, Told, at, poll, poll_until_held, rounds, spec, text, texts, topic, values};

pub fn a_transaction_shows_whole<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("whole"));
    let (a, b) = (topic(&log, &names, "a", 2), topic(&log, &names, "b", 1));
    let mut holder = log.transaction(&names.of("t")).expect("taken");
    for round in 0..3_u32 {
        let new: Vec<NewRecord> =
            [text(&a, 0, "x"), text(&a, 1, "y"), text(&b, 0, "z"), text(&b, 0, &round.to_string())].to_vec();
        holder.commit(&new, None).expect("commits");
        for place in [at(&a, 0), at(&a, 1)] {
            assert_eq!(
                values(&log, &place).len(),
                usize::try_from(round + 1).expect("small"),
                "visible at once"
            );
        }
        assert_eq!(values(&log, &at(&b, 0)).last(), Some(&round.to_string()), "in the order written");
    }
    holder.commit(&[], None).expect("nothing is fine");
}

pub fn a_transaction_that_fails_leaves_nothing<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("fails"));
    let a = topic(&log, &names, "a", 1);
    let mut holder = log.transaction(&names.of("t")).expect("taken");
    holder.commit(&[text(&a, 0, "before")], None).expect("commits");
    let huge = NewRecord::new(Arc::clone(&a), vec![7; 3 << 20]).partition(0);
    let failed = holder.commit(&[text(&a, 0, "with it"), huge], None);
    assert!(matches!(&failed, Err(LogError::TooLarge { topic, .. }) if *topic == a), "{failed:?}");
    let missing = text(&names.of("missing"), 0, "v");
    let failed = holder.commit(&[text(&a, 0, "nor this"), missing], None);
    assert!(matches!(&failed, Err(LogError::NotFound { .. })), "{failed:?}");
    assert_eq!(values(&log, &at(&a, 0)), ["before"]);
    holder.commit(&[text(&a, 0, "after")], None).expect("goes on");
    assert_eq!(values(&log, &at(&a, 0)), ["before", "after"], "what failed is never seen");
}

pub fn offsets_and_records_are_one<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("one"));
    let (lead, partner) = (topic(&log, &names, "lead", 2), topic(&log, &names, "partner", 2));
    let out = topic(&log, &names, "out", 1);
    let mut consumer = log.consumer(spec(&names, "g", &[&lead], &[&partner])).expect("joins");
    let held = [at(&lead, 0), at(&lead, 1), at(&partner, 0), at(&partner, 1)];
    poll_until_held(&mut consumer, &held);
    let mut holder = log.transaction(&names.of("t")).expect("taken");
    let offsets = [(at(&lead, 0), 5), (at(&partner, 0), 7)];
    holder.commit(&[text(&out, 0, "v")], Some((&mut consumer, &offsets))).expect("commits");
    let committed = |places: &[_]| log.committed(&names.of("g"), places).expect("can be asked");
    assert_eq!(committed(&held), [Some(5), None, Some(7), None]);
    assert_eq!(consumer.committed(&held).expect("can be asked"), [Some(5), None, Some(7), None]);

    let huge = NewRecord::new(Arc::clone(&out), vec![7; 3 << 20]).partition(0);
    let failed = holder.commit(&[huge], Some((&mut consumer, &[(at(&lead, 0), 6)])));
    assert!(matches!(failed, Err(LogError::TooLarge { .. })));
    assert_eq!(committed(&held), [Some(5), None, Some(7), None], "no offset without its records");
    // Offsets alone are a transaction too.
    holder.commit(&[], Some((&mut consumer, &[(at(&lead, 1), 9)]))).expect("commits");
    assert_eq!(committed(&held), [Some(5), Some(9), Some(7), None]);
    assert_eq!(values(&log, &at(&out, 0)), ["v"]);
    consumer.close().expect("leaves");
}

pub fn a_newer_holder_fences_the_older<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("fences"));
    let a = topic(&log, &names, "a", 1);
    let id = names.of("t");
    let mut older = log.transaction(&id).expect("taken");
    older.commit(&[text(&a, 0, "older")], None).expect("commits");
    let mut newer = log.transaction(&id).expect("taken over");
    let mut other = log.transaction(&names.of("u")).expect("another id is another matter");
    for _ in 0..2 {
        let fenced = older.commit(&[text(&a, 0, "too late")], None);
        assert!(matches!(&fenced, Err(LogError::Fenced { id: found }) if **found == *id), "{fenced:?}");
    }
    newer.commit(&[text(&a, 0, "newer")], None).expect("commits");
    other.commit(&[text(&a, 0, "other")], None).expect("commits");
    assert_eq!(values(&log, &at(&a, 0)), ["older", "newer", "other"]);
}

pub fn an_expelled_member_cannot_commit<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("expelled"));
    let (a, out) = (topic(&log, &names, "a", 1), topic(&log, &names, "out", 1));
    let mut stale = log.consumer(spec(&names, "g", &[&a], &[])).expect("joins");
    poll_until_held(&mut stale, &[at(&a, 0)]);
    let mut holder = log.transaction(&names.of("t")).expect("taken");
    holder.commit(&[text(&out, 0, "mine")], Some((&mut stale, &[(at(&a, 0), 1)]))).expect("commits");
    // It polls no more; another comes to wait for the partition.
    std::thread::sleep(subject.max_poll() + subject.max_poll() / 5);
    let mut heir = log.consumer(spec(&names, "g", &[&a], &[])).expect("joins");
    poll_until_held(&mut heir, &[at(&a, 0)]);
    let refused = holder.commit(&[text(&out, 0, "not mine")], Some((&mut stale, &[(at(&a, 0), 2)])));
    assert!(matches!(refused, Err(LogError::Aborted { .. })), "{refused:?}");
    assert_eq!(values(&log, &at(&out, 0)), ["mine"]);
    assert_eq!(log.committed(&names.of("g"), &[at(&a, 0)]).expect("can be asked"), [Some(1)]);
    let mut told = vec![];
    let lost = (0..rounds()).any(|_| {
        told.extend(poll(&mut stale, 10));
        poll(&mut heir, 10);
        told.contains(&Told::Lost(vec![at(&a, 0)]))
    });
    assert!(lost, "it is told that it lost the partition: {told:?}");
    let mut heirs = log.transaction(&names.of("u")).expect("taken");
    let (mut heir, mut stale) = if heir.assignment().is_empty() { (stale, heir) } else { (heir, stale) };
    heirs.commit(&[], Some((&mut heir, &[(at(&a, 0), 2)]))).expect("who holds it commits");
    let told = poll(&mut stale, 10);
    assert!(told.iter().all(|t| *t == Told::Assigned(vec![])), "the other one gets nothing: {told:?}");
}

pub fn ends_are_reached_past_markers<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("markers"));
    let a = topic(&log, &names, "a", 1);
    let mut holder = log.transaction(&names.of("t")).expect("taken");
    for n in 0..3 {
        holder.commit(&texts(&a, 0, n..n + 1), None).expect("commits");
    }
    assert_eq!(values(&log, &at(&a, 0)).len(), 3);
    let ends = log.ends(&at(&a, 0)).expect("exists");
    assert_eq!(ends.stable, ends.high, "nothing is open");
    let mut offsets = vec![];
    let next = log.read(&at(&a, 0), 0, Some(ends.high), Isolation::Committed, &mut |record| {
        offsets.push(record.offset);
        ControlFlow::Continue(())
    });
    assert_eq!(next.expect("read"), ends.high, "though its last offsets are no records");
    assert!(offsets.len() == 3 && offsets.is_sorted(), "{offsets:?}");
    assert!(offsets[2] + 1 < ends.high, "a transaction ends in a marker: {offsets:?}, {ends:?}");
    // To read on from there waits for nothing that was there already.
    let next = log.read(&at(&a, 0), ends.high, None, Isolation::Committed, &mut |_| panic!("nothing is new"));
    assert_eq!(next.expect("read"), ends.high);
    let last = offsets[2] + 1;
    let next =
        log.read(&at(&a, 0), last, Some(ends.high), Isolation::Committed, &mut |_| panic!("only a marker"));
    assert_eq!(next.expect("read"), ends.high);
    assert_eq!(log.append(&texts(&a, 0, 3..4)).expect("durable")[0].1, ends.high);
}
