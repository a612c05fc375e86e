//! The Directus of the image: its version and its own migrations, read from its files without starting Node.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use contract::DIRECTUS_MIGRATIONS_SUBDIR;

/// The Directus of the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// `11.17.4`.
    pub version: String,
    /// The versions of its migrations (`20260113A`), ascending; each must be in `directus_migrations`.
    pub migrations: Vec<String>,
}

/// Why there is no Directus.
#[derive(Debug, thiserror::Error)]
#[error("no Directus in {dir}: {reason}; correct BOOT_DIRECTUS_DIR or build the image anew", dir = dir.display())]
pub struct NoDirectus {
    /// Where it was looked for.
    pub dir: PathBuf,
    /// What was not there, or not as expected.
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
        let missing = |path: &Path, reason: String| NoDirectus {
            dir: dir.to_owned(),
            reason: format!("{}: {reason}", path.display()),
        };
        let package = dir.join("package.json");
        let text = std::fs::read(&package).map_err(|error| missing(&package, error.to_string()))?;
        let Package { version } =
            serde_json::from_slice(&text).map_err(|error| missing(&package, error.to_string()))?;

        let folder = dir.join(DIRECTUS_MIGRATIONS_SUBDIR);
        let mut migrations = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(|error| missing(&folder, error.to_string()))? {
            let entry = entry.map_err(|error| missing(&folder, error.to_string()))?;
            migrations.extend(entry.file_name().to_str().and_then(migration_version).map(str::to_owned));
        }
        if migrations.is_empty() {
            return Err(missing(&folder, "holds no migrations".to_owned()));
        }
        migrations.sort_unstable();
        Ok(Release { version, migrations })
    }

    /// The migrations that are not in `applied` (ascending or not).
    #[must_use]
    pub fn pending(&self, applied: &[String]) -> Vec<String> {
        self.migrations.iter().filter(|version| !applied.contains(version)).cloned().collect()
    }

    /// What a newer Directus has applied: migrations that this one does not have, numbered after its last one. Unknown
    /// ones in between are somebody's own (`MIGRATIONS_PATH`).
    #[must_use]
    pub fn newer<'a>(&self, applied: &'a [String]) -> Vec<&'a str> {
        let last = self.migrations.last().map_or("", String::as_str);
        applied.iter().map(String::as_str).filter(|version| *version > last).collect()
    }
}

/// `20260113A` of `20260113A-add-revisions-index.js`, by the pattern that Directus itself goes by.
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
    fn only_what_directus_takes_for_a_migration_is_one() {
        assert_eq!(migration_version("20260113A-add-revisions-index.js"), Some("20260113A"));
        for other in ["run.js", "run.d.ts", "20260113-no-letter.js", "A-b.js", "20260113A-a.test.js", "20260113A-.js"] {
            assert_eq!(migration_version(other), None, "{other}");
        }
    }

    #[test]
    fn pending_is_what_the_database_lacks() {
        let release = release(&["20200101A", "20210101A"]);
        assert_eq!(release.pending(&applied(&["20200101A"])), ["20210101A"]);
        assert!(release.pending(&applied(&["20210101A", "20200101A"])).is_empty());
    }

    #[test]
    fn newer_is_what_comes_after_the_last_one_and_not_what_somebody_put_between() {
        let release = release(&["20200101A", "20210101A"]);
        assert_eq!(release.newer(&applied(&["20200101A", "20200601A", "20210101B"])), ["20210101B"]);
    }

    #[test]
    fn a_folder_without_directus_is_named() {
        let error = Release::read(Path::new("/no/such/folder")).expect_err("nothing there").to_string();
        assert!(error.starts_with("no Directus in /no/such/folder: "), "{error}");
        assert!(error.contains("BOOT_DIRECTUS_DIR"), "{error}");
    }
}
