//! The file of a snapshot in the checkout.

use anyhow::{Context as _, ensure};
use serde_json::Value;

use testbed::{snapshot_text, workspace};

/// A text of a snapshot with its schema.
#[derive(Clone, Debug, Default)]
pub(crate) struct SavedSchema {
    /// Empty if there is no such file.
    pub(crate) text: String,
    pub(crate) document: Value,
}

impl SavedSchema {
    /// Reads a file by its path in the workspace. A missing or empty file has an empty schema.
    pub(crate) fn read(file: &str) -> anyhow::Result<SavedSchema> {
        let path = workspace::path(file);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text.replace("\r\n", "\n"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("failed to read {path}")),
        };
        ensure!(
            !text.lines().any(|line| line.starts_with("<<<<<<< ")),
            "{file} has conflict markers of git: take the side of the other branch with `git checkout --theirs {file}`, and add \
             the edits of your stack with `cargo xtask snapshot --merge`"
        );
        SavedSchema::parse(text)
            .with_context(|| format!("{file} cannot be compared; `git checkout {file}` restores it"))
    }

    /// Parses a text.
    pub(super) fn parse(text: String) -> anyhow::Result<SavedSchema> {
        let is_empty = text.trim().is_empty();
        let document = if is_empty { Value::Null } else { snapshot_text::document(&text)? };
        Ok(SavedSchema { text: if is_empty { String::new() } else { text }, document })
    }
}

#[cfg(test)]
mod tests {
    use super::SavedSchema;

    #[test]
    fn a_missing_file_has_an_empty_schema() {
        let file = SavedSchema::read("target/no-such-file.yaml").unwrap();
        assert_eq!((file.text.as_str(), file.document.is_null()), ("", true));
    }

    #[test]
    fn a_file_that_is_not_a_snapshot_is_an_error_with_a_remedy() {
        let error = |file: &str| format!("{:#}", SavedSchema::read(file).unwrap_err());
        let found = error("Cargo.toml");
        assert!(found.starts_with("Cargo.toml cannot be compared; `git checkout Cargo.toml` restores it: "), "{found}");
        assert!(error("crates").starts_with("failed to read "));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("conflict.yaml");
        std::fs::write(&path, "a: 1\n<<<<<<< HEAD\nb: 2\n=======\n").unwrap();
        assert!(error(path.to_str().unwrap()).contains("`cargo xtask snapshot --merge`"));
    }
}
