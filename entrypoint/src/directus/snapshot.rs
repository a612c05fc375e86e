//! The snapshot file: the schema to which the image brings the database.
//!
//! The boot itself only hashes the file, since a YAML parser would be a fifth of the binary. The bridge parses it with
//! Node's parser and returns its contents, before the first migration runs.

use std::fs::{File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::migrations::file::hex_sha256;
use crate::migrations::manifest::time_of;
use contract::failure;

/// The name of the file next to the snapshot with its recorded digest.
const RECORD: &str = ".digest";

/// The snapshot file of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// The path from `BOOT_SNAPSHOT_FILE`.
    pub path: PathBuf,
    /// SHA-256 of the text with normalized line endings, in hex.
    pub digest: String,
}

/// The contents of a snapshot, as read by the bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Snapshot {
    /// The version of Directus that saved the snapshot.
    pub directus: String,
    /// Collections with a table.
    pub tables: Vec<String>,
    /// Collections without a table, which are folders in the menu.
    pub folders: Vec<String>,
    /// Fields with a column: collection and field.
    pub columns: Vec<(String, String)>,
    /// Fields without a column (dividers, one-to-many lists).
    pub aliases: Vec<(String, String)>,
    /// Relations: collection and field.
    pub relations: Vec<(String, String)>,
    /// Warnings about the file, one sentence each.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// An invalid snapshot file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} {reason}; {}", failure::SNAPSHOT.ending())]
pub struct InvalidSnapshot {
    /// The path of the file.
    pub path: String,
    /// The problem, as a predicate: `is empty`.
    pub reason: String,
}

impl SnapshotFile {
    /// Returns the recorded digest of the file, or reads the file and computes it.
    ///
    /// # Errors
    /// Fails if the file does not exist, is not readable, not UTF-8, or empty.
    pub fn read(path: &Path) -> Result<SnapshotFile, InvalidSnapshot> {
        let mut file = SnapshotFile::unread(path);
        if let Some(digest) = recorded_digest(path) {
            file.digest = digest;
            return Ok(file);
        }
        let text = std::fs::read_to_string(path).map_err(|error| file.invalid(format!("cannot be read: {error}")))?;
        if text.trim().is_empty() {
            return Err(file.invalid("is empty".to_owned()));
        }
        file.digest = digest(&text);
        Ok(file)
    }

    /// Records the digest next to the file, for the build of the image: reading and hashing the snapshot of 500 tables
    /// takes longer than the rest of a boot with nothing to do. As with the manifest of the SQL files, the file gets a
    /// modification time that is derived from the digest. Every change of the file gives it another one.
    ///
    /// # Errors
    /// The digest or the time cannot be written.
    pub fn record(&self) -> io::Result<()> {
        std::fs::write(self.path.with_file_name(RECORD), &self.digest)?;
        File::open(&self.path)?.set_times(FileTimes::new().set_modified(time_of(&self.digest)))
    }

    /// Returns a placeholder for a file that is not needed (`SCHEMA_APPLY_MODE=skip`).
    #[must_use]
    pub fn unread(path: &Path) -> SnapshotFile {
        SnapshotFile { path: path.to_owned(), digest: digest("") }
    }

    /// The error for this file.
    #[must_use]
    pub fn invalid(&self, reason: String) -> InvalidSnapshot {
        InvalidSnapshot { path: self.path.display().to_string(), reason }
    }

    /// The first digits of the digest, enough to distinguish two snapshots by eye.
    #[must_use]
    pub fn short_digest(&self) -> &str {
        &self.digest[..12]
    }
}

/// Returns the recorded digest if the file has not changed since.
fn recorded_digest(path: &Path) -> Option<String> {
    let digest = std::fs::read_to_string(path.with_file_name(RECORD)).ok()?;
    let modified = path.metadata().and_then(|metadata| metadata.modified()).ok()?;
    (modified == time_of(&digest)).then_some(digest)
}

/// Hashes the text with LF line endings, so that a checkout with CRLF has the same digest.
fn digest(text: &str) -> String {
    hex_sha256(text.replace("\r\n", "\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_does_not_depend_on_line_endings() {
        assert_eq!(digest("version: 1\r\ndirectus: 11.17.4\r\n"), digest("version: 1\ndirectus: 11.17.4\n"));
        assert_ne!(digest("version: 1\n"), digest("version: 2\n"));
    }

    #[test]
    fn a_recorded_digest_is_valid_until_the_file_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("schema.yaml");
        let write = |text: &str| std::fs::write(&path, text).expect("the folder is writable");
        let read = || SnapshotFile::read(&path).expect("a good file").digest;
        write("version: 1\n");
        SnapshotFile::read(&path).expect("a good file").record().expect("the folder is writable");
        assert_eq!(read(), digest("version: 1\n"));
        // Other contents with the time of the old ones, so that only the record can have the old digest.
        let time = path.metadata().and_then(|metadata| metadata.modified()).expect("the file exists");
        write("version: 2\n");
        assert_eq!(read(), digest("version: 2\n"));
        File::options().write(true).open(&path).and_then(|file| file.set_modified(time)).expect("it exists");
        assert_eq!(read(), digest("version: 1\n"));
        std::fs::write(path.with_file_name(RECORD), digest("version: 3\n")).expect("the folder is writable");
        assert_eq!(read(), digest("version: 2\n"));
    }

    #[test]
    fn error_for_a_missing_file_names_it_and_the_remedy() {
        let error =
            SnapshotFile::read(Path::new("/no/such/schema.yaml")).expect_err("the file does not exist").to_string();
        assert!(error.starts_with("/no/such/schema.yaml cannot be read"), "{error}");
        assert!(error.ends_with("until the snapshot is corrected"), "{error}");
    }
}
