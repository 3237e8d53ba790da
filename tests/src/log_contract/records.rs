//! Laws about records, ranges and topics.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use runtime::log::partitioner::partition_of;
use runtime::log::{Cleanup, Ends, Isolation, Log, LogError, NewRecord, TopicSpec, Transaction};

use super::{Names, Subject, at, delete, rounds, spec, text, texts, topic, values};

pub fn appends_are_ordered_and_where_it_says<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("append"));
    let a = topic(&log, &names, "a", 2);
    assert_eq!(log.ends(&at(&a, 0)).expect("exists"), Ends { start: 0, stable: 0, high: 0 });
    let mixed: Vec<NewRecord> = (0..40).map(|n| text(&a, n % 2, &n.to_string())).collect();
    let placed = log.append(&mixed).expect("durable");
    for (n, (place, offset)) in (0_u32..).zip(&placed) {
        assert_eq!((place, *offset), (&at(&a, n % 2), i64::from(n / 2)), "record {n}");
    }
    let placed = log.append(&texts(&a, 1, 40..43)).expect("durable");
    assert_eq!(placed.iter().map(|(_, offset)| *offset).collect::<Vec<_>>(), [20, 21, 22]);
    let odd: Vec<String> = (0..40).filter(|n| n % 2 == 1).chain(40..43).map(|n: u32| n.to_string()).collect();
    assert_eq!(values(&log, &at(&a, 1)), odd);
    assert_eq!(log.ends(&at(&a, 1)).expect("exists"), Ends { start: 0, stable: 23, high: 23 });
    assert!(log.append(&[]).expect("nothing to do").is_empty());
}

type Bytes = Option<&'static [u8]>;
type Case = (Bytes, Bytes, &'static [(&'static str, &'static [u8])]);

pub fn bytes_come_back_as_they_were<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("bytes"));
    let a = topic(&log, &names, "a", 1);
    let cases: [Case; 6] = [
        (None, None, &[]),
        (Some(b"k"), Some(b""), &[("empty", b"")]),
        (None, Some(b"v"), &[("a", b"1"), ("b", b"2"), ("a", b"3")]),
        (Some(&[0, 255]), Some(&[0; 5000]), &[("bytes", &[0, 159, 146, 150])]),
        (Some(b"tombstone"), None, &[("grüße", b"x")]),
        (Some(b"last"), Some(b"last"), &[]),
    ];
    let new: Vec<NewRecord> = cases
        .iter()
        .zip(1_700_000_000_000_i64..)
        .map(|((key, value, headers), now)| {
            let mut new = NewRecord::new(Arc::clone(&a), vec![]).partition(0).timestamp_ms(now);
            new.key = key.map(<[u8]>::to_vec);
            new.value = value.map(<[u8]>::to_vec);
            new.headers = headers.iter().map(|(name, value)| ((*name).into(), value.to_vec())).collect();
            new
        })
        .collect();
    log.append(&new).expect("durable");
    let mut n = 0;
    let place = at(&a, 0);
    let next = log.read(&place, 0, None, Isolation::Committed, &mut |record| {
        let (key, value, headers) = cases[n];
        assert_eq!((record.key, record.value), (key, value), "record {n}");
        assert_eq!(record.headers.iter().collect::<Vec<_>>(), headers, "record {n}");
        assert_eq!(record.headers.get("a"), headers.iter().find(|h| h.0 == "a").map(|h| h.1));
        assert_eq!(record.timestamp_ms, 1_700_000_000_000 + i64::try_from(n).expect("small"));
        assert_eq!(
            (record.topic, record.partition, record.offset),
            (&*a, 0, i64::try_from(n).expect("small"))
        );
        n += 1;
        ControlFlow::Continue(())
    });
    assert_eq!((next.expect("read"), n), (6, cases.len()));
}

pub fn keys_go_where_kafka_puts_them<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("keys"));
    let a = topic(&log, &names, "a", 7);
    let keys: Vec<String> = (0..200).map(|n| format!("key-{n}")).collect();
    let new: Vec<NewRecord> =
        keys.iter().map(|key| NewRecord::new(Arc::clone(&a), "v").key(key.as_str())).collect();
    for (key, (place, _)) in keys.iter().zip(log.append(&new).expect("durable")) {
        assert_eq!(place.partition, partition_of(key.as_bytes(), 7), "{key}");
    }
    // Without a key any partition will do.
    let placed = log.append(&[NewRecord::new(Arc::clone(&a), "v")]).expect("durable");
    assert!(placed[0].0.partition < 7);
}

pub fn what_a_topic_cannot_take_is_refused<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("refused"));
    let a = topic(&log, &names, "a", 2);
    let compacted = names.of("compacted");
    log.ensure_topics(&[TopicSpec::new(Arc::clone(&compacted), 1, Cleanup::Compact)], true).expect("made");
    let refused = |new: NewRecord| log.append(&[new]).expect_err("must be refused");

    let huge = NewRecord::new(Arc::clone(&a), vec![7; 3 << 20]).partition(0);
    assert!(matches!(refused(huge), LogError::TooLarge { topic, bytes } if topic == a && bytes == 3 << 20));
    assert!(matches!(refused(text(&a, 2, "v")), LogError::Refused { topic, .. } if topic == a));
    assert!(matches!(refused(text(&names.of("missing"), 0, "v")), LogError::NotFound { .. }));
    assert!(
        matches!(refused(text(&compacted, 0, "v")), LogError::Refused { topic, .. } if topic == compacted)
    );
    assert_eq!(
        log.partitions(&names.of("missing")).expect("can be asked"),
        None,
        "and it was not made by the way"
    );
    assert!(matches!(log.ends(&at(&a, 2)), Err(LogError::NotFound { .. })));
    assert!(values(&log, &at(&a, 0)).is_empty(), "nothing of what was refused is there");
}

pub fn ranges_are_read_as_asked<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("ranges"));
    let a = topic(&log, &names, "a", 1);
    for from in [0, 5] {
        let next = log.read(&at(&a, 0), from, None, Isolation::Committed, &mut |_| panic!("it is empty"));
        assert_eq!(next.expect("read"), from, "of an empty partition");
    }
    log.append(&texts(&a, 0, 0..10)).expect("durable");
    for (from, to, want, next) in [
        (0, None, 0..10, 10),
        (3, Some(7), 3..7, 7),
        (3, Some(3), 3..3, 3),
        (8, Some(99), 8..10, 10),
        (10, None, 10..10, 10),
        (7, Some(3), 7..7, 7),
    ] {
        for isolation in [Isolation::Committed, Isolation::Uncommitted] {
            let mut got = vec![];
            let found = log.read(&at(&a, 0), from, to, isolation, &mut |record| {
                got.push(record.offset);
                ControlFlow::Continue(())
            });
            assert_eq!(found.expect("read"), next, "[{from}, {to:?})");
            assert_eq!(got, want.clone().collect::<Vec<i64>>(), "[{from}, {to:?})");
        }
    }
    let mut got = vec![];
    let next = log.read(&at(&a, 0), 2, None, Isolation::Committed, &mut |record| {
        got.push(record.offset);
        if record.offset == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((next.expect("read"), got), (5, vec![2, 3, 4]), "broken off");
}

pub fn topics_are_made_once_and_checked<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("topics"));
    let (a, b) = (names.of("a"), names.of("b"));
    let compact =
        TopicSpec::new(Arc::clone(&b), 1, Cleanup::CompactDelete { retention_ms: Some(86_400_000) });
    let specs = [delete(&a, 3), compact.clone()];
    assert!(matches!(log.ensure_topics(&specs, false), Err(LogError::NotFound { .. })), "there is none yet");
    for create in [true, true, false] {
        log.ensure_topics(&specs, create).expect("made once, then found");
    }
    assert_eq!(log.partitions(&a).expect("can be asked"), Some(3));

    let check = |spec: TopicSpec, what: &str, is: &str, should: &str| {
        let name = Arc::clone(&spec.name);
        match log.ensure_topics(&[spec], true) {
            Err(LogError::Topic { topic, setting, found, wanted }) => {
                assert_eq!((topic, setting), (name, what));
                assert_eq!((found.as_str(), wanted.as_str()), (is, should));
            }
            other => panic!("{what}: {other:?}"),
        }
    };
    check(delete(&a, 4), "partitions", "3", "4");
    check(TopicSpec::new(Arc::clone(&a), 3, Cleanup::Compact), "cleanup.policy", "delete", "compact");
    let found = match log.ensure_topics(&[delete(&b, 1)], true) {
        Err(LogError::Topic { found, .. }) => found,
        other => panic!("both policies are not one: {other:?}"),
    };
    assert!(found.contains("compact") && found.contains("delete"), "{found}");
    log.ensure_topics(&[compact.set("max.message.bytes", "2000000")], true)
        .expect("other settings may differ");

    let c = TopicSpec::new(names.of("c"), 1, Cleanup::Compact).set("max.message.bytes", "2000000");
    log.ensure_topics(&[c.clone().takes(2_000_000)], true).expect("it takes that");
    check(c.takes(2_000_001), "max.message.bytes", "2000000", "2000001 or more");
}

pub fn many_threads_append_at_once<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("threads"));
    let a = topic(&log, &names, "a", 2);
    std::thread::scope(|scope| {
        for thread in 0..8_u32 {
            let (log, a) = (log.clone(), Arc::clone(&a));
            scope.spawn(move || {
                for n in 0..25_u32 {
                    let value = format!("{thread} {n:02}");
                    let placed = log.append(&[text(&a, n % 2, &value)]).expect("durable");
                    let mut found = None;
                    let to = placed[0].1 + 1;
                    log.read(&placed[0].0, placed[0].1, Some(to), Isolation::Committed, &mut |record| {
                        found = record.value.map(<[u8]>::to_vec);
                        ControlFlow::Continue(())
                    })
                    .expect("read");
                    assert_eq!(found.as_deref(), Some(value.as_bytes()), "there as soon as it is said");
                }
            });
        }
    });
    let all: Vec<String> = (0..2).flat_map(|p| values(&log, &at(&a, p))).collect();
    assert_eq!(all.len(), 200);
    for thread in 0..8 {
        let own = format!("{thread} ");
        for parity in 0..2 {
            let of: Vec<&String> = all.iter().filter(|v| v.starts_with(&own)).collect();
            let of: Vec<_> =
                of.iter().filter(|v| v[2..].parse::<u32>().expect("a number") % 2 == parity).collect();
            assert!(of.len() >= 12 && of.is_sorted(), "thread {thread}: {of:?}");
        }
    }
}

/// What folding a compacted topic from its start gives.
fn fold<L: Log>(log: &L, topic: &Arc<str>) -> (BTreeMap<String, String>, usize) {
    let (mut folded, mut read) = (BTreeMap::new(), 0);
    log.read(&at(topic, 0), 0, None, Isolation::Committed, &mut |record| {
        read += 1;
        let key = String::from_utf8_lossy(record.key.expect("a compacted topic has keys")).into_owned();
        match record.value {
            Some(value) => folded.insert(key, String::from_utf8_lossy(value).into_owned()),
            None => folded.remove(&key),
        };
        ControlFlow::Continue(())
    })
    .expect("read");
    (folded, read)
}

pub fn compaction_keeps_the_last_of_each_key<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("compaction"));
    let a = names.of("a");
    let spec = TopicSpec::new(Arc::clone(&a), 1, Cleanup::Compact);
    let spec = spec
        .set("segment.ms", "100")
        .set("min.cleanable.dirty.ratio", "0.01")
        .set("delete.retention.ms", "0");
    log.ensure_topics(&[spec], true).expect("made");
    let keyed = |key: &str, value: &str| NewRecord::new(Arc::clone(&a), value).key(key).partition(0);
    let mut want = BTreeMap::new();
    for round in 0..20 {
        let new: Vec<NewRecord> =
            (0..10).map(|key| keyed(&format!("k{key}"), &format!("{key} in round {round}"))).collect();
        log.append(&new).expect("durable");
    }
    want.extend((0..10).map(|key| (format!("k{key}"), format!("{key} in round 19"))));
    let gone = [NewRecord::tombstone(Arc::clone(&a), "k3").partition(0), keyed("k4", "again")];
    log.append(&gone).expect("durable");
    want.remove("k3");
    want.insert("k4".into(), "again".into());
    assert_eq!(fold(&log, &a).0, want, "before any compaction");
    let high = log.ends(&at(&a, 0)).expect("exists").high;
    // A log may leave its newest part alone: a record on top lets the rest be compacted.
    std::thread::sleep(std::time::Duration::from_millis(300));
    log.append(&[keyed("top", "0")]).expect("durable");
    want.insert("top".into(), "0".into());
    for _ in 0..rounds() {
        if subject.compact(&log) {
            let (folded, read) = fold(&log, &a);
            assert_eq!(folded, want, "compaction changes no fold");
            if read <= want.len() + 2 {
                assert!(log.ends(&at(&a, 0)).expect("exists").high > high, "offsets only grow");
                return;
            }
        }
    }
    panic!("old records of a key never went: {} read", fold(&log, &a).1);
}

pub fn everything_is_there_again<S: Subject>(subject: &S) {
    let (log, names) = (subject.log(), Names::new("again"));
    let (a, b) = (topic(&log, &names, "a", 2), topic(&log, &names, "b", 1));
    log.append(&texts(&a, 1, 0..30)).expect("durable");
    let mut consumer = log.consumer(spec(&names, "g", &[&a], &[])).expect("joins");
    super::poll_until_held(&mut consumer, &[at(&a, 0), at(&a, 1)]);
    let mut holder = log.transaction(&names.of("t")).expect("taken");
    holder.commit(&texts(&b, 0, 0..3), Some((&mut consumer, &[(at(&a, 1), 12)]))).expect("commits");
    let ends = (log.ends(&at(&a, 1)).expect("exists"), log.ends(&at(&b, 0)).expect("exists"));
    drop((consumer, holder));

    let log = subject.again(log);
    assert_eq!((log.ends(&at(&a, 1)).expect("exists"), log.ends(&at(&b, 0)).expect("exists")), ends);
    assert_eq!(values(&log, &at(&a, 1)).len(), 30);
    assert_eq!(values(&log, &at(&b, 0)), ["0", "1", "2"]);
    let places = [at(&a, 1), at(&a, 0), at(&b, 0)];
    assert_eq!(log.committed(&names.of("g"), &places).expect("can be asked"), [Some(12), None, None]);
    assert_eq!(log.append(&texts(&a, 1, 30..31)).expect("durable")[0].1, 30, "and it goes on");
    log.ensure_topics(&[delete(&a, 2)], false).expect("the topic is there, as it was");
}
