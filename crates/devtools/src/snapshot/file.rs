//! The file of a snapshot in the checkout.

use anyhow::Context as _;
use serde_json::{Value, json};

use testbed::{snapshot_text, workspace};

/// A file of a snapshot.
#[derive(Debug)]
pub(crate) struct SnapshotFile {
    /// Empty if there is no such file.
    pub(crate) text: String,
    pub(crate) document: Value,
}

impl SnapshotFile {
    /// Reads a file by its path in the workspace. A missing or empty file has an empty schema.
    pub(crate) fn read(file: &str) -> anyhow::Result<SnapshotFile> {
        let path = workspace::path(file);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text.replace("\r\n", "\n"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("failed to read {path}")),
        };
        if text.trim().is_empty() {
            return Ok(SnapshotFile { text: String::new(), document: json!({}) });
        }
        let hint = "correct it, or go back to an older one with `git checkout`";
        let document = snapshot_text::document(&text).with_context(|| format!("{file} cannot be compared: {hint}"))?;
        Ok(SnapshotFile { text, document })
    }
}

#[cfg(test)]
mod tests {
    use super::SnapshotFile;

    #[test]
    fn a_missing_file_has_an_empty_schema_and_an_invalid_one_is_an_error_with_a_remedy() {
        let file = SnapshotFile::read("target/no-such-file.yaml").unwrap();
        assert_eq!((file.text.as_str(), file.document.to_string().as_str()), ("", "{}"));
        let error = format!("{:#}", SnapshotFile::read("Cargo.toml").unwrap_err());
        assert!(error.starts_with("Cargo.toml cannot be compared: correct it, or"), "{error}");
        assert!(format!("{:#}", SnapshotFile::read("crates").unwrap_err()).starts_with("failed to read "));
    }
}
