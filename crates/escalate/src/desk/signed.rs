//! When the chain is signed, and who is told of it.

use wire::Timestamp;

use super::Desk;
use crate::audit::{CHECKPOINT, Entry};
use crate::effect::Effect;

impl Desk {
    /// When the next checkpoint is made. `None` when nothing was appended since the last one, or there is no key.
    pub(crate) fn checkpoint_due(&self) -> Option<Timestamp> {
        let every_ms = self.current.checkpoints()?.every_ms;
        match &self.checkpoint {
            None => (self.head.sequence > 0).then_some(self.signed_at),
            Some(last) => (self.head.sequence > last.sequence + 1).then(|| self.signed_at.plus_ms(every_ms)),
        }
    }

    /// Signs the head of the chain if it is time to, and appends that to the chain.
    pub(crate) fn checkpoint_if_due(&mut self) {
        if self.checkpoint_due().is_none_or(|due| due > self.now) {
            return;
        }
        self.restate_bundles();
        let Some(checkpoints) = self.current.checkpoints() else { return };
        let checkpoint = checkpoints.key.sign(&self.head, self.current.namespace(), self.now);
        let content = serde_json::to_string(&checkpoint).expect("a checkpoint is plain data");
        let why = format!("signed with {}", checkpoint.key);
        let after = Some(format!("record {}", checkpoint.sequence));
        self.checkpoint = Some(checkpoint.clone());
        self.signed_at = self.now;
        self.audit(Entry {
            action: CHECKPOINT,
            after,
            why: Some(why),
            content: Some(content),
            ..Entry::default()
        });
        self.effects.push(Effect::Checkpoint(Box::new(checkpoint)));
    }

    /// Hands out the last checkpoint once more: whoever committed it may have died before it left.
    pub(crate) fn vouch_again(&mut self) {
        // A clock that was set back must not keep the next one away for as long.
        self.signed_at = self.checkpoint.as_ref().map_or(self.now, |last| last.at.min(self.now));
        let last = self.checkpoint.clone().map(|last| Effect::Checkpoint(Box::new(last)));
        self.effects.extend(last);
    }
}
