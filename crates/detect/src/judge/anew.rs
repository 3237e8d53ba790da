//! Judging again what was judged before: what was learned is known, and nothing was judged yet.

use std::sync::Arc;

use wire::Timestamp;

use super::Judge;
use super::state::RestoreError;
use crate::config::JudgeConfig;

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

    /// The first pane to be judged starts at `at`: whatever was judged before is as if it had not been.
    pub fn begin(&mut self, at: Timestamp) {
        for (name, model) in &mut self.models {
            model.start_anew(at, self.config.model(name));
        }
    }
}
