//! Who works on what, as the processes themselves say, and how long nobody did.

use std::collections::BTreeMap;

use serde_json::Value;
use wire::Timestamp;

/// A role, and which part of its work.
pub type Work = (String, String);

/// A span in which nobody worked on something.
#[derive(Clone, Debug)]
pub struct Gap {
    pub work: Work,
    pub from: Timestamp,
    pub ms: i64,
}

/// One life of a process: what it said, and when it died or stood still.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    /// (when, who, what): somebody has restored its state and goes on.
    taken: Vec<(Timestamp, usize, Work)>,
    /// (when, who).
    died: Vec<(Timestamp, usize)>,
}

impl Owners {
    /// What a life said on standard error, as JSON lines, and when it ended. `who` is another number each life.
    pub fn lived(&mut self, who: usize, said: &str, died: Option<Timestamp>) {
        let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        self.taken.extend(lines.filter_map(|line| {
            let at = line["timestamp"].as_str()?.parse().ok()?;
            let fields = &line["fields"];
            let text = |name: &str| fields[name].as_str().map(str::to_owned);
            let restored = fields["message"] == "state restored";
            restored.then_some((at, who, (text("role")?, text("part")?)))
        }));
        self.died.extend(died.map(|at| (at, who)));
    }

    /// From each death until another has restored what the dead one worked on.
    #[must_use]
    pub fn gaps(mut self) -> Vec<Gap> {
        self.taken.sort();
        self.died.sort();
        let mut gaps = vec![];
        for &(died, who) in &self.died {
            let mut held: BTreeMap<&Work, usize> = BTreeMap::new();
            for (_, by, work) in self.taken.iter().filter(|(at, ..)| *at <= died) {
                held.insert(work, *by);
            }
            for (work, _) in held.into_iter().filter(|(_, by)| *by == who) {
                let next = self.taken.iter().find(|(at, _, taken)| *at > died && taken == work);
                if let Some((at, ..)) = next {
                    gaps.push(Gap { work: work.clone(), from: died, ms: at.since_ms(died) });
                }
            }
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: &str, partition: u32) -> String {
        format!(
            r#"{{"timestamp":"2026-01-01T00:00:{at}Z","level":"INFO","fields":{{"message":"state restored","role":"judge","part":"{partition}"}}}}"#
        )
    }

    #[test]
    fn a_gap_is_from_death_to_successor() {
        let mut owners = Owners::default();
        let died = "2026-01-01T00:00:20Z".parse().ok();
        owners.lived(1, &[line("10", 0), line("10", 1), "no JSON".to_owned()].join("\n"), died);
        // Partition 1 had gone to another before.
        owners.lived(2, &[line("15", 1), line("26.5", 0)].join("\n"), None);
        let gaps = owners.gaps();
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert_eq!((gaps[0].work.1.as_str(), gaps[0].ms), ("0", 6_500));
    }
}
