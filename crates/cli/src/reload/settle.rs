//! When what stands in a file is what its writer meant: an editor may be in the middle of it.

use wire::Digest;

/// Decides by digests of what the file holds, one at each look.
#[derive(Debug)]
pub(super) struct Settle {
    /// What was decided about last.
    decided: Digest,
    /// What the last look found.
    seen: Digest,
    /// Two looks in a row have found the same.
    settled: bool,
    /// Somebody has asked for it, at this look or since the last decision.
    asked: [bool; 2],
}

impl Settle {
    pub(super) fn new(loaded: Digest) -> Self {
        Self { decided: loaded.clone(), seen: loaded, settled: true, asked: [false; 2] }
    }

    /// Takes in what a look has found. False where there is nothing to decide.
    pub(super) fn look(&mut self, found: &Digest, asked: bool) -> bool {
        self.settled = self.seen == *found;
        self.seen.clone_from(found);
        self.asked = [asked, asked || self.asked[1]];
        *found != self.decided || self.asked[1]
    }

    /// Something valid is loaded once it stands still, at once when somebody asks: half of a file may be valid too.
    pub(super) fn may_load(&self) -> bool {
        self.settled || self.asked[0]
    }

    /// What is at fault may be half of something, whoever asks.
    pub(super) fn may_refuse(&self) -> bool {
        self.settled
    }

    /// It is decided. Says what made it so.
    pub(super) fn done(&mut self, found: Digest) -> &'static str {
        self.decided = found;
        if std::mem::take(&mut self.asked)[1] { "SIGHUP" } else { "file" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::of(&[text.as_bytes()])
    }

    #[test]
    fn a_file_counts_once_it_stands_still_or_somebody_asks() {
        let mut settle = Settle::new(digest("old"));
        let mut look = |text: &str, asked: bool| {
            settle.look(&digest(text), asked).then(|| (settle.may_load(), settle.may_refuse()))
        };
        assert_eq!(look("old", false), None);
        assert_eq!(look("ne", false), Some((false, false)), "half of it");
        assert_eq!(look("new", false), Some((false, false)));
        assert_eq!(look("new", false), Some((true, true)));
        assert_eq!(look("old", false), None, "and back, as if nothing had been");
        assert_eq!(look("hal", true), Some((true, false)), "what is valid is loaded when somebody asks");
        assert_eq!(look("hal", false), Some((true, true)));
        assert_eq!(settle.done(digest("hal")), "SIGHUP", "it was asked for before");
        assert!(!settle.look(&digest("hal"), false), "it is decided");
        assert!(settle.look(&digest("hal"), true) && settle.may_refuse(), "but whoever asks gets an answer");
        assert_eq!(settle.done(digest("hal")), "SIGHUP");
        assert!(settle.look(&digest("new"), false));
        assert_eq!(settle.done(digest("new")), "file");
    }
}
