//! The SQL files of the checkout: their number and their requirements.

use anyhow::Context as _;
use contract::{DB_INIT_DIR, Phase};
use entrypoint::migrations::{MigrationSet, RequiredExtension};
use tokio_postgres::Config;

use crate::postgres;
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
        let folder = workspace::path(contract::in_tree(DB_INIT_DIR));
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

    /// Asks a server for its extensions and returns the session options (`-c trm.timescaledb=optional`) by which the
    /// files do without those that it does not offer; `None` if they need no options.
    ///
    /// # Errors
    /// Fails if the server does not answer.
    pub async fn session_options_for(&self, server: &Config) -> anyhow::Result<Option<String>> {
        let required = self.0.required_extensions();
        if required.iter().all(|extension| extension.optional.is_none()) {
            return Ok(None);
        }
        Ok(optional_settings(&required, &postgres::available_extensions(server).await?))
    }
}

/// Returns the settings of the optional extensions that are not available, as session options.
fn optional_settings(required: &[RequiredExtension], available: &[String]) -> Option<String> {
    let missing = required.iter().filter(|extension| !available.contains(&extension.name));
    let settings: Vec<String> =
        missing.filter_map(|extension| Some(format!("-c {}", extension.optional.as_deref()?))).collect();
    (!settings.is_empty()).then(|| settings.join(" "))
}

#[cfg(test)]
mod tests {
    use super::{RequiredExtension, optional_settings};

    #[test]
    fn only_missing_extensions_become_optional_and_only_if_their_file_allows_it() {
        let required = [("a", Some("x.a=optional")), ("b", Some("x.b=none")), ("c", None)]
            .map(|(name, optional)| RequiredExtension { name: name.to_owned(), optional: optional.map(str::to_owned) });
        let cases: [(&[&str], Option<&str>); 4] = [
            (&[], Some("-c x.a=optional -c x.b=none")),
            (&["a", "plpgsql"], Some("-c x.b=none")),
            (&["a", "b"], None),
            (&["a", "b", "c"], None),
        ];
        for (available, expected) in cases {
            let available: Vec<String> = available.iter().map(|&name| name.to_owned()).collect();
            assert_eq!(optional_settings(&required, &available).as_deref(), expected, "{available:?}");
        }
    }
}
