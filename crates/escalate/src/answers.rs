//! What became of the latest commands: how a repeat is known, and how whoever asked learns the answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wire::CommandId;

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Answer {
    Accepted,
    /// It was written down, and stops nothing yet: why, and what would.
    Noted {
        why: String,
    },
    /// Nothing changed, and why.
    Refused {
        why: String,
    },
}

/// As it is kept in the state: with its place in the order of commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) order: u64,
    pub(crate) answer: Answer,
}

/// The latest answers, bounded; the oldest goes first.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    by_id: BTreeMap<CommandId, Kept>,
    by_order: BTreeMap<u64, CommandId>,
}

impl Answers {
    pub(crate) fn get(&self, id: &CommandId) -> Option<&Answer> {
        self.by_id.get(id).map(|kept| &kept.answer)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn insert(&mut self, id: CommandId, kept: Kept) {
        self.by_order.insert(kept.order, id.clone());
        if let Some(old) = self.by_id.insert(id, kept.clone())
            && old.order != kept.order
        {
            self.by_order.remove(&old.order);
        }
    }

    pub(crate) fn remove(&mut self, id: &CommandId) {
        if let Some(old) = self.by_id.remove(id) {
            self.by_order.remove(&old.order);
        }
    }

    /// Drops one answer too many, and says which.
    pub(crate) fn shed(&mut self, max: usize) -> Option<CommandId> {
        if self.by_id.len() <= max {
            return None;
        }
        let (_, id) = self.by_order.pop_first()?;
        self.by_id.remove(&id);
        Some(id)
    }
}
