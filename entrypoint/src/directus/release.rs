//! The image's release of Directus: its version and migrations, read from its files without starting Node.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use contract::DIRECTUS_MIGRATIONS_SUBDIR;

/// The image's release of Directus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// For example `11.17.4`.
    pub version: String,
    /// Versions of its migrations (`20260113A`), ascending; a migrated database has all of them in
    /// `directus_migrations`.
    pub migrations: Vec<String>,
}

/// The reason why Directus was not found.
#[derive(Debug, thiserror::Error)]
#[error("no Directus in {dir}: {reason}; correct BOOT_DIRECTUS_DIR or rebuild the image", dir = dir.display())]
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
    /// Reads `package.json` and the names of the migration files.
    ///
    /// # Errors
    /// [`NoDirectus`].
    pub fn read(dir: &Path) -> Result<Release, NoDirectus> {
        Release::try_read(dir)
            .map_err(|(path, error)| NoDirectus { dir: dir.to_owned(), reason: format!("{}: {error}", path.display()) })
    }

    fn try_read(dir: &Path) -> Result<Release, (PathBuf, std::io::Error)> {
        let package = dir.join("package.json");
        let Package { version } = std::fs::read(&package)
            .and_then(|text| serde_json::from_slice(&text).map_err(std::io::Error::from))
            .map_err(|error| (package, error))?;
        let folder = dir.join(DIRECTUS_MIGRATIONS_SUBDIR);
        let migrations = read_migrations(&folder).map_err(|error| (folder, error))?;
        Ok(Release { version, migrations })
    }

    /// The migrations that are not in `applied`, which may be in any order.
    #[must_use]
    pub fn pending(&self, applied: &[String]) -> Vec<String> {
        self.migrations.iter().filter(|version| !applied.contains(version)).cloned().collect()
    }

    /// The migrations in `applied` that a newer Directus has applied: those with a version after the last one here.
    /// Other unknown ones are custom migrations (`MIGRATIONS_PATH`).
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
    migrations.sort_unstable();
    Ok(migrations)
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
        let error = Release::read(Path::new("/no/such/folder")).expect_err("the folder does not exist").to_string();
        assert!(error.starts_with("no Directus in /no/such/folder: "), "{error}");
        assert!(error.contains("BOOT_DIRECTUS_DIR"), "{error}");
    }
}
