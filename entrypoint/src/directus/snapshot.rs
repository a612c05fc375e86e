//! The snapshot file: what the image promises that the database has.
//!
//! The boot itself only hashes it. A YAML parser would be a fifth of the binary, and Node has one at hand: the bridge
//! reads the file and tells what is in it, before the first migration runs.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::migrations::file::hex_sha256;

/// The snapshot file of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Where it lies.
    pub path: PathBuf,
    /// SHA-256 over the EOL-normalised text, in hex.
    pub digest: String,
}

/// The contents of a snapshot, as the bridge read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Snapshot {
    /// The version of Directus that saved it.
    pub directus: String,
    /// Its collections that have a table.
    pub tables: Vec<String>,
    /// Its collections that are only folders in the menu.
    pub folders: Vec<String>,
    /// Its fields that are columns: collection and field.
    pub columns: Vec<(String, String)>,
    /// Its fields that are not (dividers, one-to-many lists).
    pub aliases: Vec<(String, String)>,
    /// Its relations: collection and field.
    pub relations: Vec<(String, String)>,
    /// Warnings about the file, one sentence each.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What is wrong with the file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} {reason}; nothing was changed, run the previous image until the snapshot is corrected")]
pub struct InvalidSnapshot {
    /// The file.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

impl SnapshotFile {
    /// Reads the file for its digest.
    ///
    /// # Errors
    /// It is not there, not readable, not UTF-8, or empty.
    pub fn read(path: &Path) -> Result<SnapshotFile, InvalidSnapshot> {
        let invalid = |reason: String| InvalidSnapshot { path: path.display().to_string(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| invalid(format!("cannot be read: {error}")))?;
        if text.trim().is_empty() {
            return Err(invalid("is empty".to_owned()));
        }
        Ok(SnapshotFile { path: path.to_owned(), digest: digest(&text) })
    }

    /// In place of a file that nothing will read (`SCHEMA_APPLY_MODE=skip`).
    #[must_use]
    pub fn unread(path: &Path) -> SnapshotFile {
        SnapshotFile { path: path.to_owned(), digest: digest("") }
    }

    /// The complaint about its content.
    #[must_use]
    pub fn invalid(&self, reason: String) -> InvalidSnapshot {
        InvalidSnapshot { path: self.path.display().to_string(), reason }
    }

    /// Enough of the digest to tell two snapshots apart by eye.
    #[must_use]
    pub fn short_digest(&self) -> &str {
        &self.digest[..12]
    }
}

/// The same on a checkout with CRLF line ends.
fn digest(text: &str) -> String {
    hex_sha256(text.replace("\r\n", "\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_does_not_change_with_line_ends() {
        assert_eq!(digest("version: 1\r\ndirectus: 11.17.4\r\n"), digest("version: 1\ndirectus: 11.17.4\n"));
        assert_ne!(digest("version: 1\n"), digest("version: 2\n"));
    }

    #[test]
    fn a_missing_file_is_named_with_the_way_out() {
        let error = SnapshotFile::read(Path::new("/no/such/schema.yaml")).expect_err("not there").to_string();
        assert!(error.starts_with("/no/such/schema.yaml cannot be read"), "{error}");
        assert!(error.ends_with("until the snapshot is corrected"), "{error}");
    }
}
