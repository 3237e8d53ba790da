use super::*;

fn chain(partition: u32, n: u64) -> (Vec<AuditRecord>, Anchor) {
    let mut head = Anchor::start(partition);
    let records = (1..=n)
        .map(|i| {
            let entry = Entry {
                action: "incident.opened",
                incident_id: Some(IncidentId::new(format!("incident-{i}"))),
                before: (i % 2 == 0).then(|| "open".into()),
                after: Some(format!("state {i}")),
                why: (i % 3 == 0).then(|| "because".into()),
                ..Entry::default()
            };
            head.append(entry, Timestamp::EPOCH.plus_ms(1000 * i64::try_from(i).unwrap()))
        })
        .collect();
    (records, head)
}

fn fault(records: Vec<AuditRecord>, anchors: &[Anchor]) -> (u64, Fault) {
    let broken = verify(0, records, anchors).expect_err("must be seen");
    (broken.sequence, broken.why)
}

#[test]
fn a_whole_chain_holds() {
    let (records, head) = chain(0, 9);
    let verified = verify(0, records.clone(), std::slice::from_ref(&head)).unwrap();
    let nobody = (None, None);
    assert_eq!((verified.first, verified.last, verified.records, verified.from_start), (1, head, 9, true));
    assert_eq!((verified.continues, verified.vouched), nobody, "nothing was signed");
    let empty = verify(0, [], &[]).unwrap();
    assert_eq!((empty.records, empty.last.sequence), (0, 0));
}

#[test]
fn every_changed_byte_of_every_field_is_seen() {
    let (records, _) = chain(0, 4);
    let text = serde_json::to_string(&records[1]).unwrap();
    let (mut changed, mut ignored) = (0, 0);
    for i in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[i] ^= 1;
        let Ok(record) = serde_json::from_slice::<AuditRecord>(&bytes) else { continue };
        if record == records[1] {
            ignored += 1;
            continue;
        }
        let mut tampered = records.clone();
        tampered[1] = record;
        let (sequence, _) = fault(tampered, &[]);
        assert!(sequence == 2 || i > 0, "byte {i}");
        changed += 1;
    }
    // Names of absent optional fields may turn into unknown ones; nearly every byte carries meaning.
    assert!(changed > 200 && ignored < 20, "{changed} changed, {ignored} ignored");
}

#[test]
fn tampering_is_named() {
    let (records, head) = chain(0, 9);
    let (other, _) = chain(1, 9);
    let without = |i: usize| records.iter().enumerate().filter(move |(n, _)| *n != i).map(|(_, r)| r.clone());

    let mut reworded = records.clone();
    reworded[3].why = Some("another reason".into());
    assert_eq!(fault(reworded.clone(), &[]), (4, Fault::Changed));

    // Whoever also mends the hash breaks the link of the next record.
    reworded[3].hash = reworded[3].digest();
    assert_eq!(fault(reworded.clone(), &[]), (5, Fault::Unlinked));

    assert_eq!(fault(without(4).collect(), &[]), (6, Fault::OutOfOrder { after: 4 }));

    let mut swapped = records.clone();
    swapped.swap(2, 3);
    assert_eq!(fault(swapped, &[]), (4, Fault::OutOfOrder { after: 2 }));

    let mut repeated = records.clone();
    repeated.insert(5, records[4].clone());
    assert_eq!(fault(repeated, &[]), (5, Fault::OutOfOrder { after: 5 }));

    let cut: Vec<_> = records[..6].to_vec();
    assert!(verify(0, cut.clone(), &[]).is_ok(), "a cut tail can only be seen by an anchor");
    assert_eq!(fault(cut, std::slice::from_ref(&head)), (9, Fault::Cut { last: 6 }));
    assert_eq!(fault(vec![], std::slice::from_ref(&head)), (9, Fault::Cut { last: 0 }));

    assert_eq!(fault(other, &[]), (1, Fault::OtherPartition { found: 1 }));

    // Rebuilt from the middle, every link mended: only an anchor can tell.
    let mut rebuilt = records[..4].to_vec();
    let mut forged = Anchor { partition: 0, sequence: 4, hash: records[3].hash.clone() };
    for _ in 0..5 {
        rebuilt.push(forged.append(Entry { action: "page.delivered", ..Entry::default() }, Timestamp::EPOCH));
    }
    assert!(verify(0, rebuilt.clone(), &[]).is_ok());
    assert_eq!(fault(rebuilt, &[head]), (9, Fault::NotAsAnchored));
}

#[test]
fn a_chain_whose_beginning_is_gone_needs_an_anchor() {
    let (records, head) = chain(0, 9);
    let late = verify(0, records[5..].to_vec(), &[head]).unwrap();
    assert_eq!((late.first, late.from_start), (6, false));
    let before = Anchor { partition: 0, sequence: 5, hash: records[3].hash.clone() };
    assert_eq!(fault(records[5..].to_vec(), &[before]), (6, Fault::Unlinked));
}

#[test]
fn long_texts_are_cut_at_a_character() {
    assert_eq!(cut("aé", 2), "a");
    assert_eq!(cut("aé", 3), "aé");
    assert_eq!(cut("", 0), "");
}
