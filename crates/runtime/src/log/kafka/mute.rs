//! Partitions that do not answer: those who ask from time to time must not stand still for each of them each time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::log::TopicPartition;

/// How long an answer is waited for while at most [`FEW`] partitions give none …
const PATIENT: Duration = Duration::from_secs(2);
/// … and while more do: a broker is gone, and with it all that it led.
const IMPATIENT: Duration = Duration::from_millis(100);
const FEW: usize = 2;
/// How long one that gave no answer is not asked again.
const REST: Duration = Duration::from_secs(5);
/// Of those that gave none, one may be waited for in vain within this.
const ONE_IN: Duration = Duration::from_secs(2);
/// Whoever does not ask for it any more does not hold it any more.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// Which partitions gave no answer when they were last asked.
///
/// Bound: the partitions that loops of this process hold.
#[derive(Debug, Default)]
pub(super) struct Mute {
    parts: BTreeMap<TopicPartition, Silent>,
    in_vain: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Silent {
    asked: Instant,
    /// Somebody last wanted to know.
    wanted: Instant,
}

impl Mute {
    /// How long to wait for its answer; `None`: do not ask.
    pub(super) fn patience(&mut self, at: &TopicPartition, now: Instant) -> Option<Duration> {
        self.parts.retain(|_, silent| now < silent.wanted + FORGOTTEN);
        if let Some(silent) = self.parts.get_mut(at) {
            silent.wanted = now;
            let rests = now < silent.asked + REST || self.in_vain.is_some_and(|last| now < last + ONE_IN);
            if rests {
                return None;
            }
        }
        Some(if self.parts.len() > FEW { IMPATIENT } else { PATIENT })
    }

    pub(super) fn answered(&mut self, at: &TopicPartition) {
        self.parts.remove(at);
    }

    pub(super) fn gave_no_answer(&mut self, at: &TopicPartition, now: Instant) {
        self.in_vain = Some(now);
        self.parts.insert(at.clone(), Silent { asked: now, wanted: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::clock::monotonic;

    #[test]
    fn those_that_give_no_answer_cost_the_others_little() {
        let at = |partition| TopicPartition::new("t", partition);
        let (mut mute, start) = (Mute::default(), monotonic());
        // A hundred have lost their broker, a hundred have not; all are asked ten times a second.
        let (mut now, mut waited, mut most) = (start, Duration::ZERO, Duration::ZERO);
        let mut healthy = 0;
        for round in 0..600 {
            let before = waited;
            for partition in 0..200 {
                let Some(patience) = mute.patience(&at(partition), now) else {
                    assert!(partition < 100, "one that answers is always asked");
                    continue;
                };
                if partition >= 100 {
                    healthy += 1;
                    mute.answered(&at(partition));
                    continue;
                }
                now += patience;
                waited += patience;
                mute.gave_no_answer(&at(partition), now);
            }
            if round == 0 {
                // Each is met once.
                assert!(waited < Duration::from_secs(20), "{waited:?}");
                waited = Duration::ZERO;
            } else {
                most = most.max(waited - before);
            }
            now += Duration::from_millis(100);
        }
        assert_eq!(healthy, 600 * 100);
        assert_eq!(most, IMPATIENT, "one at a time");
        assert!(waited * 5 < now - start, "{waited:?} of {:?}", now - start);
    }

    #[test]
    fn one_that_answers_again_or_is_asked_for_no_more_is_forgotten() {
        let (mut mute, now, at) = (Mute::default(), monotonic(), TopicPartition::new("t", 0));
        mute.gave_no_answer(&at, now);
        assert_eq!(mute.patience(&at, now + REST / 2), None);
        assert_eq!(mute.patience(&at, now + REST), Some(PATIENT));
        mute.answered(&at);
        assert_eq!(mute.patience(&at, now + REST), Some(PATIENT));
        mute.gave_no_answer(&at, now);
        assert_eq!(mute.patience(&TopicPartition::new("t", 1), now + FORGOTTEN), Some(PATIENT));
        assert!(mute.parts.is_empty());
    }
}
