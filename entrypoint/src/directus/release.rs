//! The image's release of Directus: its version and migrations, read from its files without starting Node.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use contract::{DIRECTUS_MIGRATIONS_SUBDIR, failure};

/// The image's release of Directus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// For example `11.17.4`.
    pub version: String,
    /// Versions of its migrations (`20260113A`) and of the custom ones, ascending; a migrated database has all of them
    /// in `directus_migrations`.
    pub migrations: Vec<String>,
}

/// The reason why Directus was not found.
#[derive(Debug, thiserror::Error)]
#[error("no Directus in {dir}: {reason}; {}", failure::NO_DIRECTUS.ending(), dir = dir.display())]
pub struct NoDirectus {
    /// The expected directory, `BOOT_DIRECTUS_DIR`.
    pub dir: PathBuf,
    /// The path that is missing or invalid, and the error.
    pub reason: String,
}

#[derive(Deserialize)]
struct Package {
    version: String,
}

impl Release {
    /// Reads `package.json` and the names of the migration files. `custom` is the folder of custom migrations
    /// (`MIGRATIONS_PATH`), which need not exist.
    ///
    /// # Errors
    /// [`NoDirectus`].
    pub fn read(dir: &Path, custom: &Path) -> Result<Release, NoDirectus> {
        Release::try_read(dir, custom)
            .map_err(|(path, error)| NoDirectus { dir: dir.to_owned(), reason: format!("{}: {error}", path.display()) })
    }

    fn try_read(dir: &Path, custom: &Path) -> Result<Release, (PathBuf, std::io::Error)> {
        let package = dir.join("package.json");
        let Package { version } = std::fs::read(&package)
            .and_then(|text| serde_json::from_slice(&text).map_err(std::io::Error::from))
            .map_err(|error| (package, error))?;
        let folder = dir.join(DIRECTUS_MIGRATIONS_SUBDIR);
        let mut migrations = read_migrations(&folder).map_err(|error| (folder, error))?;
        for version in read_custom_migrations(custom).map_err(|error| (custom.to_owned(), error))? {
            // Directus would refuse to run any migration.
            if migrations.contains(&version) {
                let error = format!("two migrations have the version {version}: rename the custom one");
                return Err((custom.to_owned(), std::io::Error::other(error)));
            }
            migrations.push(version);
        }
        migrations.sort_unstable();
        Ok(Release { version, migrations })
    }

    /// The migrations that are not in `applied`, which may be in any order.
    #[must_use]
    pub fn pending(&self, applied: &[String]) -> Vec<String> {
        self.migrations.iter().filter(|version| !applied.contains(version)).cloned().collect()
    }

    /// The migrations in `applied` that a newer image has applied: those with a version after the last one here. Other
    /// unknown ones are custom migrations that this image does not have any more.
    #[must_use]
    pub fn newer<'a>(&self, applied: &'a [String]) -> Vec<&'a str> {
        let last = self.migrations.last().map_or("", String::as_str);
        applied.iter().map(String::as_str).filter(|version| *version > last).collect()
    }
}

/// The versions of the migrations in a folder, ascending.
fn read_migrations(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut migrations = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        migrations.extend(entry?.file_name().to_str().and_then(migration_version).map(str::to_owned));
    }
    if migrations.is_empty() {
        return Err(std::io::Error::other("contains no migrations"));
    }
    Ok(migrations)
}

/// The versions of the custom migrations, by the rules of Directus' `database/migrations/run.js`.
fn read_custom_migrations(folder: &Path) -> std::io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut migrations = Vec::new();
    for entry in entries {
        migrations.extend(entry?.file_name().to_str().and_then(custom_version).map(str::to_owned));
    }
    Ok(migrations)
}

/// Returns `20260901A` for `20260901A-x.mjs`.
fn custom_version(file: &str) -> Option<&str> {
    let stem = [".js", ".mjs", ".cjs"].iter().find_map(|extension| file.strip_suffix(extension))?;
    stem.split_once('-').map(|(version, _)| version)
}

/// Returns `20260113A` for `20260113A-add-revisions-index.js`, by the pattern that Directus itself uses.
fn migration_version(file: &str) -> Option<&str> {
    let (version, name) = file.strip_suffix(".js")?.split_once('-')?;
    let digits = version.trim_end_matches(|c: char| c.is_ascii_uppercase());
    let one_letter = version.len() == digits.len() + 1;
    let numbered = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
    (one_letter && numbered && !name.is_empty() && !name.contains('.')).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(migrations: &[&str]) -> Release {
        Release { version: "11".to_owned(), migrations: migrations.iter().map(|&version| version.to_owned()).collect() }
    }

    fn applied(versions: &[&str]) -> Vec<String> {
        versions.iter().map(|&version| version.to_owned()).collect()
    }

    #[test]
    fn migration_files_match_the_pattern_of_directus() {
        assert_eq!(migration_version("20260113A-add-revisions-index.js"), Some("20260113A"));
        for other in ["run.js", "run.d.ts", "20260113-no-letter.js", "A-b.js", "20260113A-a.test.js", "20260113A-.js"] {
            assert_eq!(migration_version(other), None, "{other}");
        }
    }

    #[test]
    fn custom_migrations_may_have_any_version() {
        assert_eq!(custom_version("20260901A-x.js"), Some("20260901A"));
        assert_eq!(custom_version("v1-add-a-view.mjs"), Some("v1"));
        for other in ["readme.md", "helper.js", "20260901A-x.ts"] {
            assert_eq!(custom_version(other), None, "{other}");
        }
        assert_eq!(read_custom_migrations(Path::new("/no/such/folder")).expect("no folder"), [""; 0]);
    }

    #[test]
    fn pending_migrations_are_those_that_the_database_lacks() {
        let release = release(&["20200101A", "20210101A"]);
        assert_eq!(release.pending(&applied(&["20200101A"])), ["20210101A"]);
        assert!(release.pending(&applied(&["20210101A", "20200101A"])).is_empty());
    }

    #[test]
    fn newer_migrations_come_after_the_last_one_and_not_in_between() {
        let release = release(&["20200101A", "20210101A"]);
        assert_eq!(release.newer(&applied(&["20200101A", "20200601A", "20210101B"])), ["20210101B"]);
    }

    #[test]
    fn a_folder_without_directus_is_named() {
        let folder = Path::new("/no/such/folder");
        let error = Release::read(folder, folder).expect_err("the folder does not exist").to_string();
        assert!(error.starts_with("no Directus in /no/such/folder: "), "{error}");
        assert!(error.contains("BOOT_DIRECTUS_DIR"), "{error}");
    }
}
