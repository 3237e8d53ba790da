//! What a stream last told, within binary state: there a field cannot be absent, as it may be in JSON.

use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
use wire::history::{StreamHistory, Verdict};
use wire::{Effect, Family};

type Named = (Family, String, Verdict);
type Counts = (u64, u64, f64, u32, Option<Effect>);
/// Before, after, granted, peak.
type Evidence = [[f64; 2]; 4];

pub(super) fn serialize<S: Serializer>(last: &StreamHistory, to: S) -> Result<S::Ok, S::Error> {
    let named: Named = (last.family, last.name.clone(), last.verdict);
    let counts: Counts = (last.k, last.n, last.reference, last.judged, last.effect);
    let evidence: Evidence = [last.before, last.after, last.granted, last.peak];
    (named, counts, evidence).serialize(to)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<StreamHistory, D::Error> {
    type Kept = (Named, Counts, Evidence);
    let ((family, name, verdict), (k, n, reference, judged, effect), evidence) = Kept::deserialize(from)?;
    let [before, after, granted, peak] = evidence;
    Ok(StreamHistory { family, name, verdict, k, n, reference, before, after, granted, judged, peak, effect })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct State(#[serde(with = "super")] StreamHistory, u8);

    #[test]
    fn every_field_comes_back() {
        let effect = Some(Effect { estimate: 0.2, lower: 0.1, upper: 0.3 });
        for effect in [None, effect] {
            let last = StreamHistory {
                k: 1,
                n: 2,
                reference: 0.5,
                before: [0.1, 0.2],
                after: [0.3, 0.4],
                granted: [0.5, 0.6],
                judged: 7,
                peak: [0.8, 0.9],
                effect,
                ..StreamHistory::new(Family::Drift, "a", Verdict::Drifting)
            };
            let bytes = postcard::to_stdvec(&State(last.clone(), 9)).expect("plain data");
            assert_eq!(postcard::from_bytes::<State>(&bytes), Ok(State(last, 9)));
        }
    }
}
