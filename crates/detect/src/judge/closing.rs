//! What is known where a base pane closes.

use wire::{Family, Subject, Timestamp};

use super::incident::Whose;
use super::surroundings::Surroundings;
use crate::config::{JudgeConfig, ModelSettings};

/// What closing a base pane must know.
#[derive(Debug)]
pub(super) struct Closing<'a> {
    pub(super) config: &'a JudgeConfig,
    pub(super) settings: &'a ModelSettings,
    pub(super) model: &'a str,
    pub(super) version: &'a str,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) highest: Timestamp,
    pub(super) incomplete: bool,
    /// Another config judges the next pane: whatever was gathered is judged now.
    pub(super) last_of_config: bool,
    /// The version's part of the partition's budget.
    pub(super) part: f64,
    /// End of the last pane with a prediction of any version of the model.
    pub(super) model_seen: Timestamp,
    pub(super) surroundings: &'a Surroundings,
    /// Whether the model's traffic may page, and so holds part of that budget.
    pub(super) traffic_pages: bool,
    /// For a segment, which is told of and not judged.
    pub(super) segment: Option<&'a str>,
}

impl Closing<'_> {
    pub(super) fn whose(&self, family: Family) -> Whose<'_> {
        let (subject, drill) =
            (Subject::model(self.model, self.version), self.config.model(self.model).drill);
        Whose { namespace: &self.config.namespace, subject, family, drill }
    }
}
