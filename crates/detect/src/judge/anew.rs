//! A judge's state, read beside it: to judge again what was judged, with what was learned known and nothing judged yet, or to
//! know who is judged.

use std::sync::Arc;

use wire::Timestamp;

use super::Judge;
use super::state::RestoreError;
use crate::config::JudgeConfig;
use crate::reference::Reference;

impl Judge {
    /// A judge that has the references of a state, and of all else that is in it nothing. Panes that were counted while
    /// that state came to be are counted as these references want them. [`Judge::begin`] comes before the first of them.
    ///
    /// # Errors
    /// When a reference is newer than this judge, or damaged.
    pub fn anew(
        partition: u32,
        config: Arc<JudgeConfig>,
        state: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<Self, RestoreError> {
        let mut judge = Self::new(partition, config);
        let known = |key: &[u8]| key.starts_with(b"reference/") || key.starts_with(b"version/");
        for (key, value) in state.iter().filter(|(key, _)| known(key)) {
            judge.restore(key, value)?;
        }
        judge.restored = false;
        Ok(judge)
    }

    /// Versions that were live when the state was written, each with the reference that it is judged by under its own name.
    ///
    /// # Errors
    /// When the state is newer than this judge, or damaged.
    pub fn observed(
        partition: u32,
        config: Arc<JudgeConfig>,
        state: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<Vec<Reference>, RestoreError> {
        let mut judge = Self::anew(partition, config, state)?;
        for (key, value) in state.iter().filter(|(key, _)| key == b"meta") {
            judge.restore(key, value)?;
        }
        let now = judge.last_record;
        Ok(judge.models.values().flat_map(|model| model.observed(now)).collect())
    }

    /// The first pane to be judged starts at `at`: whatever was judged before is as if it had not been.
    pub fn begin(&mut self, at: Timestamp) {
        for (name, model) in &mut self.models {
            model.start_anew(at, self.config.model(name));
        }
    }
}
