//! Phases 4 and 7: the SQL files before and after the Directus schema.
//!
//! [`mod@file`] reads and checks them, [`ledger`] reads the applied ones from the database, [`mod@plan`] decides which to
//! apply (a pure function over both), [`reconcile_ledger()`] brings the ledger up to date, and [`mod@apply`] applies them, one
//! transaction per file with its ledger row inside.

#[cfg(feature = "boot")]
mod accept;
#[cfg(feature = "boot")]
pub mod apply;
pub mod directives;
mod do_block;
#[cfg(feature = "boot")]
pub mod effects;
pub mod extension;
#[cfg(feature = "boot")]
mod failure;
pub mod file;
mod indexes;
#[cfg(feature = "boot")]
pub mod ledger;
#[cfg(feature = "boot")]
mod locate_error;
#[cfg(feature = "boot")]
pub mod manifest;
mod no_transaction;
#[cfg(feature = "boot")]
pub mod plan;
#[cfg(feature = "boot")]
mod reconcile_ledger;
mod rules;
pub mod scan;
mod source_location;
mod track_counts;

use std::path::Path;

use crate::listing::Listing;
use contract::{POST_SCHEMA_SUBDIR, Phase};

#[cfg(feature = "boot")]
pub use accept::Acceptance;
#[cfg(feature = "boot")]
pub use apply::{ApplyContext, apply};
pub use directives::Directives;
pub use extension::RequiredExtension;
#[cfg(feature = "boot")]
pub use failure::{ApplyError, PartialProgress};
pub use file::MigrationFile;
#[cfg(feature = "boot")]
pub(crate) use ledger::{LEDGER_STAMPS, ledger_digest};
#[cfg(feature = "boot")]
pub use ledger::{Ledger, LedgerRow};
#[cfg(feature = "boot")]
pub use manifest::{Manifest, Migrations};
#[cfg(feature = "boot")]
pub use plan::{Accepted, Plan, plan};
#[cfg(feature = "boot")]
pub use reconcile_ledger::reconcile_ledger;

/// Every problem of the files. Nothing was applied.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct InvalidMigrations(pub Vec<String>);

impl InvalidMigrations {
    fn one(problem: String) -> InvalidMigrations {
        InvalidMigrations(vec![problem])
    }

    /// The problems for the last line of the log.
    #[must_use]
    pub fn listing(&self) -> Listing {
        Listing::new(self.0.clone())
    }
}

/// The files of both phases.
#[derive(Debug, Default)]
pub struct MigrationSet {
    /// The files of phase 4, before the Directus schema.
    pub db_init: Vec<MigrationFile>,
    /// The files of phase 7, after the Directus schema.
    pub post_schema: Vec<MigrationFile>,
}

impl MigrationSet {
    /// Reads and checks the files of both phases.
    ///
    /// # Errors
    /// Every problem of the files.
    pub fn read(db_init: &Path) -> Result<MigrationSet, InvalidMigrations> {
        let dir = db_init.join(POST_SCHEMA_SUBDIR);
        let db_init = file::read_dir("", db_init);
        // The folder is optional, because git does not keep an empty one.
        let post_schema =
            if dir.exists() { file::read_dir(&format!("{POST_SCHEMA_SUBDIR}/"), &dir) } else { Ok(Vec::new()) };
        match (db_init, post_schema) {
            (Ok(db_init), Ok(post_schema)) => Ok(MigrationSet { db_init, post_schema }),
            (Err(problems), Ok(_)) | (Ok(_), Err(problems)) => Err(problems),
            (Err(first), Err(second)) => Err(InvalidMigrations([first.0, second.0].concat())),
        }
    }

    /// The files of that phase.
    #[must_use]
    pub fn of(&self, phase: Phase) -> &[MigrationFile] {
        if phase == Phase::PostSchema { &self.post_schema } else { &self.db_init }
    }

    /// The tables of all `-- owns-table` directives; Directus must not see them.
    pub fn owned_tables(&self) -> impl Iterator<Item = &str> {
        self.db_init
            .iter()
            .chain(&self.post_schema)
            .flat_map(|file| file.directives.owned_tables.iter().map(String::as_str))
    }

    /// The extensions that the files require, each once.
    pub fn required_extensions(&self) -> Vec<RequiredExtension> {
        let files = self.db_init.iter().chain(&self.post_schema);
        let mut required: Vec<RequiredExtension> = Vec::new();
        for extension in files.flat_map(|file| &file.directives.required_extensions) {
            if !required.iter().any(|other| other.name == extension.name) {
                required.push(extension.clone());
            }
        }
        required
    }
}
