//! Writes an export into the file, without losing changes of the file that the stack never had.

use std::process::ExitCode;

use anyhow::{Context as _, bail};

use super::file::SnapshotFile;
use crate::stack::Stack;
use testbed::cmd::Cmd;
use testbed::schema_diff::{self, SchemaChange};
use testbed::snapshot_text::{self, SnapshotText};
use testbed::{ui, workspace};

/// The exit code if the file has changes that the stack never had, and no flag decides about them.
const COLLISION: u8 = 3;

/// The answer to changes of the file that the stack never had, and that an export would undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collision {
    Ask,
    Overwrite,
    Merge,
}

/// Exports the schema of the stack into the file, and prints the change.
pub(crate) async fn save(stack: &Stack, file: &str, collision: Collision) -> anyhow::Result<ExitCode> {
    ui::status("Reading", &format!("the schema of {}", stack.project()));
    let export = stack.export().await?;
    let old = SnapshotFile::read(file)?;
    let image = stack.image_snapshot().await?;
    let base = stack.saved().unwrap_or_else(|| image.clone());
    let unknown = unknown_changes(&old, [&image, &base], &export)?;
    let decision = if unknown.is_empty() { Collision::Overwrite } else { decide(&unknown, file, collision).await? };
    match decision {
        Collision::Ask => return Ok(ExitCode::from(COLLISION)),
        Collision::Overwrite => write(stack, file, &old, &export).await?,
        Collision::Merge => write(stack, file, &old, &merged(export.clone(), &base, &old.text, file)?).await?,
    }
    // Not the merged text: the stack still lacks the changes of the file.
    stack.record_saved(&export.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a schema into the file, unless the file has it, and prints the change.
pub(super) async fn write(stack: &Stack, file: &str, old: &SnapshotFile, new: &SnapshotText) -> anyhow::Result<()> {
    let text = new.to_string();
    if old.text == text {
        ui::result(&format!("{file} is up to date"));
    } else {
        let mut changes = schema_diff::changes(&old.document, &new.document());
        stack.count(&mut changes).await?;
        let path = workspace::path(file);
        std::fs::write(&path, &text).with_context(|| format!("failed to write {path}"))?;
        let list = if changes.is_empty() {
            "  only the order of the entries has changed".to_owned()
        } else {
            schema_diff::list(&changes)
        };
        ui::result(&format!("{file} is written\n{list}"));
    }
    Ok(())
}

/// Lists the changes of the file that the stack never had and that the export undoes. A file that is the snapshot of the
/// stack's image, or an earlier export of this stack, has none.
fn unknown_changes(
    file: &SnapshotFile,
    [image, base]: [&str; 2],
    export: &SnapshotText,
) -> anyhow::Result<Vec<SchemaChange>> {
    if file.text.is_empty() || file.text == image || file.text == base {
        return Ok(Vec::new());
    }
    Ok(schema_diff::changes_missing_in(&snapshot_text::document(base)?, &file.document, &export.document()))
}

/// Asks for the fate of these changes, if no flag has decided it. [`Collision::Ask`] is no answer.
async fn decide(unknown: &[SchemaChange], file: &str, collision: Collision) -> anyhow::Result<Collision> {
    if collision != Collision::Ask {
        return Ok(collision);
    }
    let state = if is_committed(file).await { "" } else { ", and which are not committed" };
    ui::warning(&format!(
        "{file} has changes that the stack never had{state}; the export would undo them:\n{}",
        schema_diff::list(unknown)
    ));
    Ok(match ui::choose("keep them?", ["merge both sides", "overwrite the file", "cancel"]).await? {
        Some("merge both sides") => Collision::Merge,
        Some("overwrite the file") => Collision::Overwrite,
        _ => {
            ui::error("nothing was written: keep both with --merge, or undo the changes of the file with --overwrite");
            Collision::Ask
        }
    })
}

/// Returns false if git knows uncommitted changes of the file.
async fn is_committed(file: &str) -> bool {
    let status = Cmd::new("git").args(["status", "--porcelain", "--", file]).read().await;
    status.is_ok_and(|changes| changes.is_empty())
}

/// Adds to an export the changes of the file since `base`.
fn merged(mut export: SnapshotText, base: &str, file_text: &str, file: &str) -> anyhow::Result<SnapshotText> {
    let base = SnapshotText::parse(base).context("the snapshot that the stack began with")?;
    let theirs = SnapshotText::parse(file_text).with_context(|| format!("{file} cannot be merged"))?;
    if let Err(conflicts) = export.merge(&base, &theirs) {
        bail!(
            "the changes of the stack and of {file} contradict each other, so nothing was written: {}; undo one of them, or use --overwrite",
            conflicts.join(", ")
        );
    }
    Ok(export)
}
