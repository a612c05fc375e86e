//! A file with its path.

use contract::Phase;
use entrypoint::migrations::{MigrationFile, MigrationSet};

use crate::checkout;

/// A file that the boot accepts.
#[derive(Clone, Debug)]
pub struct LintFile {
    /// Relative to the workspace: `db-init/001_a.sql`.
    pub path: String,
    /// The phase that applies it.
    pub phase: Phase,
    /// The content, as the boot reads it.
    pub file: MigrationFile,
}

impl LintFile {
    /// Returns the files of both phases in the order in which the boot applies them.
    #[must_use]
    pub fn of(files: &MigrationSet) -> Vec<LintFile> {
        let of = |phase: Phase| {
            files.of(phase).iter().map(move |file| LintFile {
                path: format!("{}/{}", checkout::folder(phase), file.filename),
                phase,
                file: file.clone(),
            })
        };
        checkout::PHASES.into_iter().flat_map(of).collect()
    }
}
