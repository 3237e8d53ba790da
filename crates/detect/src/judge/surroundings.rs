//! What surrounds a model: its deployments and its lineage, for an incident's context.

use serde::{Deserialize, Serialize};
use wire::Timestamp;
use wire::context::{ContextRecord, Deployment, Lineage};

/// Deployments kept of a model, latest last; more than an incident shows, since they may come out of order.
const DEPLOYMENTS_MAX: usize = 16;
/// Deployments that an incident shows.
const SHOWN_MAX: usize = 5;

/// Deployments and lineage of one model.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Surroundings {
    deployments: Vec<Deployment>,
    lineage: Option<Lineage>,
}

/// The written form: public records are kept as the JSON that they are elsewhere.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored(Vec<u8>);

impl Surroundings {
    /// Takes in a record that concerns the model.
    pub(super) fn add(&mut self, record: ContextRecord) {
        match record {
            ContextRecord::Deployment(new) => {
                self.deployments.retain(|d| *d != new);
                let at = self.deployments.partition_point(|d| d.event_time <= new.event_time);
                self.deployments.insert(at, new);
                if self.deployments.len() > DEPLOYMENTS_MAX {
                    self.deployments.remove(0);
                }
            }
            ContextRecord::Lineage(mut new) => {
                new.upstream.truncate(32);
                if self.lineage.as_ref().is_none_or(|old| old.event_time <= new.event_time) {
                    self.lineage = Some(new);
                }
            }
            ContextRecord::Profile(_) | ContextRecord::ProfilePart(_) | ContextRecord::Feedback(_) => (),
        }
    }

    /// Deployments up to `at`, latest first.
    pub(super) fn deployments(&self, at: Timestamp) -> Vec<Deployment> {
        self.deployments.iter().rev().filter(|d| d.event_time <= at).take(SHOWN_MAX).cloned().collect()
    }

    pub(super) fn lineage(&self) -> Option<&Lineage> {
        self.lineage.as_ref()
    }

    pub(super) fn store(&self) -> Stored {
        Stored(serde_json::to_vec(&(&self.deployments, &self.lineage)).expect("context is plain data"))
    }

    pub(super) fn restore(stored: &Stored) -> Result<Self, serde_json::Error> {
        let (deployments, lineage) = serde_json::from_slice(&stored.0)?;
        Ok(Self { deployments, lineage })
    }
}
