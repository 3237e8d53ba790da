//! What signed checkpoints find out that the links alone do not.

use wire::checkpoint::Checkpoint;

use super::*;
use crate::checkpoint::{PublicKeys, SigningKey};

/// Two records, a checkpoint, two records, a checkpoint, …: records 3, 6, 9 are the checkpoints.
struct Chain {
    head: Anchor,
    records: Vec<AuditRecord>,
    checkpoints: Vec<Checkpoint>,
    key: SigningKey,
}

impl Chain {
    fn start(partition: u32, seed: u8) -> Self {
        let (records, checkpoints) = (vec![], vec![]);
        Self { head: Anchor::start(partition), records, checkpoints, key: SigningKey::new([seed; 32]) }
    }

    fn of(partition: u32, n: usize) -> Self {
        let mut chain = Self::start(partition, 7);
        chain.grow(n, "as it was");
        chain
    }

    fn grow(&mut self, to: usize, what: &str) {
        while self.records.len() < to {
            let at = Timestamp::EPOCH.plus_ms(1000 * i64::try_from(self.records.len()).unwrap());
            let entry = if self.records.len() % 3 == 2 {
                let checkpoint = self.key.sign(&self.head, "default", at);
                self.checkpoints.push(checkpoint.clone());
                let content = Some(serde_json::to_string(&checkpoint).unwrap());
                Entry { action: CHECKPOINT, content, ..Entry::default() }
            } else {
                Entry { action: "page.delivered", why: Some(what.into()), ..Entry::default() }
            };
            self.records.push(self.head.append(entry, at));
        }
    }

    /// What somebody makes who rewrites everything from record `from` on, with whatever key they have.
    fn rebuilt(&self, from: usize, seed: u8) -> Self {
        let mut forged = Self::start(self.head.partition, seed);
        forged.records = self.records[..from - 1].to_vec();
        let last = forged.records.last().expect("from the middle");
        forged.head = Anchor { partition: last.partition, sequence: last.sequence, hash: last.hash.clone() };
        forged.grow(self.records.len(), "as they say it was");
        forged
    }
}

fn known() -> PublicKeys {
    PublicKeys::new([SigningKey::new([7; 32]).public()]).unwrap()
}

fn check(partition: u32, records: &[AuditRecord], anchors: &[Checkpoint]) -> Result<Verified, Broken> {
    let mut checker = Checker::new(partition, &[])?.against(&known(), "default", anchors)?;
    records.iter().try_for_each(|record| checker.record(record))?;
    checker.end()
}

#[test]
fn a_whole_chain_is_vouched_for_up_to_its_last_checkpoint() {
    let chain = Chain::of(0, 11);
    for (anchors, by) in [(&[][..], Witness::Chain), (&chain.checkpoints[..], Witness::Anchor)] {
        let verified = check(0, &chain.records, anchors).unwrap();
        let vouched = verified.vouched.expect("it is signed");
        assert_eq!((vouched.sequence, vouched.by), (8, by));
        assert_eq!((verified.from_start, verified.last.sequence), (true, 11));
    }
}

#[test]
fn tampering_is_found_by_checkpoints() {
    let chain = Chain::of(0, 11);
    let other = Chain::of(1, 11);
    let anchors = &chain.checkpoints[..];
    let unknown = Fault::Checkpoint(Disbelief::UnknownKey { key: SigningKey::new([9; 32]).public().into() });

    let mut changed = chain.records.clone();
    changed[4].why = Some("at it was".into());
    let mut removed = chain.records.clone();
    removed.remove(4);
    let cut = chain.records[..7].to_vec();
    let rebuilt = chain.rebuilt(4, 9).records;
    // They keep their key to themselves: no checkpoints, a shorter chain, every link right.
    let mut unsigned = chain.rebuilt(4, 9).records[..5].to_vec();
    let mut head = Anchor { partition: 0, sequence: 5, hash: unsigned[4].hash.clone() };
    unsigned.extend(
        (0..6).map(|_| head.append(Entry { action: "page.failed", ..Entry::default() }, Timestamp::EPOCH)),
    );
    // Both partitions whole, each in the other's place; and with the number put right.
    let mut renumbered: Vec<AuditRecord> = Vec::new();
    for record in &other.records {
        let mut record = AuditRecord { partition: 0, ..record.clone() };
        record.previous = renumbered.last().map_or_else(|| record.previous.clone(), |r| r.hash.clone());
        record.hash = record.digest();
        renumbered.push(record);
    }
    for (name, records, anchors, want) in [
        ("a changed byte", changed, &[][..], (5, Fault::Changed)),
        ("a removed record", removed, &[], (6, Fault::OutOfOrder { after: 4 })),
        ("a cut tail", cut, anchors, (8, Fault::Cut { last: 7 })),
        ("everything cut", vec![], anchors, (8, Fault::Cut { last: 0 })),
        ("rebuilt from the middle", rebuilt.clone(), &[], (6, unknown)),
        ("rebuilt, against the file", rebuilt[..5].to_vec(), anchors, (5, Fault::NotAsAnchored)),
        ("rebuilt without checkpoints", unsigned, anchors, (5, Fault::NotAsAnchored)),
        ("two partitions swapped", other.records.clone(), &[], (1, Fault::OtherPartition { found: 1 })),
        ("swapped and renumbered", renumbered, &[], (3, Fault::Checkpoint(Disbelief::NotOfThis))),
    ] {
        let broken = check(0, &records, anchors).expect_err(name);
        assert_eq!((broken.partition, broken.sequence, broken.why), (0, want.0, want.1), "{name}");
    }
}

#[test]
fn an_anchor_is_believed_only_under_a_known_key_and_of_this_installation() {
    let chain = Chain::of(0, 5);
    let stranger = Chain::start(0, 9).key.sign(&chain.head, "default", Timestamp::EPOCH);
    let elsewhere = chain.key.sign(&chain.head, "other", Timestamp::EPOCH);
    let mut bent = chain.checkpoints[0].clone();
    bent.sequence = 1;
    let namespace = Disbelief::OtherNamespace { found: "other".into() };
    let unknown = Disbelief::UnknownKey { key: stranger.key.clone() };
    for (anchor, want) in [(stranger, unknown), (elsewhere, namespace), (bent, Disbelief::BadSignature)] {
        let broken = check(0, &chain.records, &[anchor]).expect_err("it is not to be believed");
        assert_eq!(broken.why, Fault::Anchor(want));
    }
}

#[test]
fn what_retention_left_is_vouched_for_by_a_checkpoint() {
    let chain = Chain::of(0, 20);
    // The first records that are left, and who says that they follow from what is gone.
    for (gone, continues) in [(10, None), (8, Some((8, Witness::Chain))), (9, None)] {
        let verified = check(0, &chain.records[gone..], &[]).unwrap();
        let vouched = verified.vouched.clone().expect("there are checkpoints after it");
        assert_eq!((verified.first, vouched.sequence), (gone as u64 + 1, 17), "{gone}");
        assert_eq!((verified.from_start, vouched.by), (false, Witness::Chain));
        assert_eq!(verified.continues.map(|v| (v.sequence, v.by)), continues, "{gone}");
    }
    // The file has all of them: one is of the last record that is gone.
    let verified = check(0, &chain.records[8..], &chain.checkpoints).unwrap();
    assert_eq!(verified.continues.map(|v| (v.sequence, v.by)), Some((8, Witness::Anchor)));
    assert_eq!(verified.vouched.map(|v| (v.sequence, v.by)), Some((17, Witness::Anchor)));
    // After the last checkpoint nobody vouches, and that is said.
    let verified = check(0, &chain.records[18..], &[]).unwrap();
    assert_eq!((verified.first, verified.vouched), (19, None));
    // A beginning that does not follow from what the file knows.
    let broken = check(0, &Chain::of(0, 20).rebuilt(5, 7).records[8..], &chain.checkpoints).unwrap_err();
    assert_eq!((broken.sequence, broken.why), (9, Fault::Unlinked));
}
