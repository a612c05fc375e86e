//! Writes an export into the file, without losing changes of the file that the stack never had.

use std::process::ExitCode;

use anyhow::{Context as _, bail};

use super::file::SavedSchema;
use super::unfinished::unfinished;
use crate::stack::Stack;
use testbed::cmd::Cmd;
use testbed::schema_diff::{self, SchemaChange};
use testbed::snapshot_text::SnapshotText;
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
    let old = SavedSchema::read(file)?;
    for problem in &unfinished(&export.document()) - &unfinished(&old.document) {
        ui::warning(&format!("{problem}: is an edit still being saved?"));
    }
    let mut origins = vec![SavedSchema::parse(stack.image_snapshot().await?)?];
    origins.extend(stack.saved().map(SavedSchema::parse).transpose()?);
    let base = nearest(origins, &old).context("a stack has an image")?;
    let unknown = unknown_changes(&base, &old, &export);
    let decision = if unknown.is_empty() { Collision::Overwrite } else { decide(&unknown, file, collision).await? };
    match decision {
        Collision::Ask => return Ok(ExitCode::from(COLLISION)),
        Collision::Overwrite => write(stack, file, &old, &export).await?,
        Collision::Merge => write(stack, file, &old, &merged(export.clone(), &base.text, &old.text, file)?).await?,
    }
    // Not the merged text: the stack still lacks the changes of the file.
    stack.record_saved(&export.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a schema into the file, unless the file has it, and prints the change.
pub(super) async fn write(stack: &Stack, file: &str, old: &SavedSchema, new: &SnapshotText) -> anyhow::Result<()> {
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

/// Returns the schema that the file and the stack have begun with. That is the snapshot of the stack's image, or the last
/// export of the stack that was saved, which the file of another branch does not contain.
fn nearest(origins: Vec<SavedSchema>, file: &SavedSchema) -> Option<SavedSchema> {
    origins.into_iter().min_by_key(|origin| schema_diff::changes(&origin.document, &file.document).len())
}

/// Lists the changes of the file that the stack never had and that the export undoes. A missing file has none.
fn unknown_changes(base: &SavedSchema, file: &SavedSchema, export: &SnapshotText) -> Vec<SchemaChange> {
    if file.text.is_empty() {
        return Vec::new();
    }
    schema_diff::changes_missing_in(&base.document, &file.document, &export.document())
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
            "the changes of the stack and of {file} contradict each other, so nothing was written: {}; undo one of them, or \
             use --overwrite",
            conflicts.join(", ")
        );
    }
    Ok(export)
}

#[cfg(test)]
mod tests {
    use testbed::snapshot_text::SnapshotText;

    use super::{SavedSchema, nearest, unknown_changes};

    fn file(fields: &[&str]) -> SavedSchema {
        let fields: String = fields.iter().map(|name| format!("  - collection: laps\n    field: {name}\n")).collect();
        SavedSchema::parse(format!("collections:\n  - collection: laps\nfields:\n{fields}relations: []\n")).unwrap()
    }

    fn unknown(of: &SavedSchema, export: &SavedSchema) -> Vec<String> {
        let (image, saved) = (file(&["id"]), file(&["id", "mine"]));
        let base = nearest(vec![image, saved], of).unwrap();
        let export = SnapshotText::parse(&export.text).unwrap();
        unknown_changes(&base, of, &export).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_that_the_stack_knows_or_that_is_missing_has_no_unknown_changes() {
        let export = file(&["id", "mine", "new"]);
        for known in [file(&["id"]), file(&["id", "mine"]), export.clone(), SavedSchema::default()] {
            assert_eq!(unknown(&known, &export), [""; 0], "{}", known.text);
        }
    }

    #[test]
    fn an_edit_after_the_last_export_and_the_other_branch_of_a_merge_are_unknown() {
        let export = file(&["id", "mine"]);
        assert_eq!(unknown(&file(&["id", "mine", "theirs"]), &export), ["+ field laps.theirs (no type)"]);
        assert_eq!(unknown(&file(&["id", "theirs"]), &export), ["+ field laps.theirs (no type)"]);
    }
}
