//! Phases 4 and 7: the SQL files before and after the Directus schema.
//!
//! [`mod@file`] reads them and holds them against the rules, [`ledger`] reads what a database has seen of them, [`mod@plan`]
//! decides what to apply (a pure function over both), [`settle()`] puts the ledger in order, and [`mod@apply`] does
//! it, one transaction a file with its ledger row inside.

mod accept;
pub mod apply;
mod do_block;
pub mod extension;
mod failure;
pub mod file;
pub mod headers;
mod indexes;
pub mod ledger;
mod locate;
pub mod manifest;
mod no_transaction;
pub mod patience;
mod place;
pub mod plan;
mod rules;
pub mod scan;
mod settle;
mod track_counts;

use std::path::Path;

use contract::{POST_SCHEMA_SUBDIR, Phase};

pub use accept::Acceptance;
pub use apply::{Conditions, apply};
pub use extension::RequiredExtension;
pub use failure::{ApplyError, Kept};
pub use file::MigrationFile;
pub use headers::Headers;
pub(crate) use ledger::{LEDGER_STAMPS, ledger_digest};
pub use ledger::{Ledger, LedgerRow};
pub use manifest::{Manifest, Migrations};
pub use patience::LockPatience;
pub use plan::{Accepted, Plan, plan};
pub use settle::settle;

/// What is wrong with the files, all of it. Nothing was applied.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct InvalidMigrations(pub Vec<String>);

/// The files of both phases.
#[derive(Debug, Default)]
pub struct MigrationSet {
    /// Before the schema.
    pub db_init: Vec<MigrationFile>,
    /// After it.
    pub post_schema: Vec<MigrationFile>,
}

impl MigrationSet {
    /// Reads and checks the files of both phases.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read(db_init: &Path) -> Result<MigrationSet, InvalidMigrations> {
        let mut problems = Vec::new();
        let mut read = |folder: &str, dir: &Path| {
            file::read_dir(folder, dir).unwrap_or_else(|InvalidMigrations(found)| {
                problems.extend(found);
                Vec::new()
            })
        };
        let after = db_init.join(POST_SCHEMA_SUBDIR);
        let db_init = read("", db_init);
        // Nothing to do after the schema is no fault, and git keeps no empty folder.
        let post_schema = if after.exists() { read(&format!("{POST_SCHEMA_SUBDIR}/"), &after) } else { Vec::new() };
        if problems.is_empty() { Ok(MigrationSet { db_init, post_schema }) } else { Err(InvalidMigrations(problems)) }
    }

    /// The files of that phase.
    #[must_use]
    pub fn of(&self, phase: Phase) -> &[MigrationFile] {
        if phase == Phase::PostSchema { &self.post_schema } else { &self.db_init }
    }

    /// The tables that the files say they own; Directus must not see them.
    pub fn owned_tables(&self) -> impl Iterator<Item = &str> {
        self.db_init
            .iter()
            .chain(&self.post_schema)
            .flat_map(|file| file.headers.owned_tables.iter().map(String::as_str))
    }

    /// The extensions that the files require, each once.
    pub fn required_extensions(&self) -> Vec<RequiredExtension> {
        let files = self.db_init.iter().chain(&self.post_schema);
        let mut required: Vec<RequiredExtension> = Vec::new();
        for extension in files.flat_map(|file| &file.headers.required_extensions) {
            if !required.iter().any(|other| other.name == extension.name) {
                required.push(extension.clone());
            }
        }
        required
    }
}
