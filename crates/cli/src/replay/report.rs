//! `--report DIR`: one page that shows what a replay came to. Nothing in it is fetched from anywhere, and nothing runs.

mod gather;
mod page;
mod pictures;

use std::path::{Path, PathBuf};

use detect::replay::Told;

use super::Read;
use super::scorecard::Scorecard;
use crate::config::Checked;
use crate::failure::Failure;
use gather::Gathered;

/// What the page says beside the telemetry's own story.
pub(super) struct About<'a> {
    pub(super) checked: &'a Checked,
    pub(super) read: &'a Read,
    pub(super) scorecard: Option<&'a Scorecard>,
}

/// A report under way: bounded, however long the telemetry is.
pub(super) struct Report {
    file: PathBuf,
    gathered: Gathered,
}

impl Report {
    /// Makes the folder at once, so that a wrong name is known before anything is replayed.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn open(folder: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(folder).map_err(|e| super::cannot(folder, &e))?;
        Ok(Self { file: folder.join("index.html"), gathered: Gathered::default() })
    }

    pub(super) fn add(&mut self, told: &Told) {
        told.history.iter().for_each(|pane| self.gathered.pane(pane));
        told.incidents.iter().for_each(|incident| self.gathered.incident(incident));
    }

    /// Writes the page, and says where.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(self, about: &About<'_>) -> Result<PathBuf, Failure> {
        let html = page::page(&self.gathered, about);
        std::fs::write(&self.file, html).map_err(|e| super::cannot(&self.file, &e))?;
        Ok(self.file)
    }
}

#[cfg(test)]
mod tests;
