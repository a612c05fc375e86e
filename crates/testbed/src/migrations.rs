//! The SQL files of the checkout: their number and their requirements.

use anyhow::Context as _;
use contract::{DB_INIT_DIR, Phase};
use entrypoint::migrations::MigrationSet;

use crate::base_images::Resolved;
use crate::workspace;

/// The files of the checkout.
#[derive(Debug)]
pub struct CheckoutMigrations(MigrationSet);

impl CheckoutMigrations {
    /// Reads them as the boot does.
    ///
    /// # Errors
    /// A folder that cannot be read, or files that break the rules; all problems are listed.
    pub fn read() -> anyhow::Result<CheckoutMigrations> {
        let folder = workspace::path(workspace::in_tree(DB_INIT_DIR));
        let files = MigrationSet::read(folder.as_std_path()).with_context(|| format!("{folder} is not fit to ship"))?;
        Ok(CheckoutMigrations(files))
    }

    /// The files, as the boot sees them.
    #[must_use]
    pub fn files(&self) -> &MigrationSet {
        &self.0
    }

    /// Returns the number of files of both phases.
    #[must_use]
    pub fn count(&self) -> usize {
        [Phase::DbInit, Phase::PostSchema].map(|phase| self.0.of(phase).len()).iter().sum()
    }

    /// Returns the log line of a phase that applies every file: `3 applied, 0 skipped`.
    #[must_use]
    pub fn all_applied(&self, phase: Phase) -> String {
        format!("{} applied, 0 skipped", self.0.of(phase).len())
    }

    /// Returns the log line of a phase that has nothing to apply: `0 applied, 3 skipped`.
    #[must_use]
    pub fn all_skipped(&self, phase: Phase) -> String {
        format!("0 applied, {} skipped", self.0.of(phase).len())
    }

    /// Returns the session options (`-c trm.timescaledb=optional`) that make extensions optional which a stand-in for the
    /// database lacks; `None` if none are needed.
    #[must_use]
    pub fn session_options_for(&self, database: &Resolved) -> Option<String> {
        let required = self.0.required_extensions();
        let optional = required.iter().filter_map(|extension| extension.optional.as_deref());
        let settings: Vec<String> = optional.map(|setting| format!("-c {setting}")).collect();
        (database.stand_in && !settings.is_empty()).then(|| settings.join(" "))
    }
}
