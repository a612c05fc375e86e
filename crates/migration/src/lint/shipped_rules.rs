//! The rules about files that were shipped.

use super::finding::{Found, LintFinding};
use super::shipped::{Shipped, ShippedState};

pub(super) fn removed(shipped: Option<&Shipped>) -> Vec<LintFinding> {
    let Some(shipped) = shipped else { return Vec::new() };
    let removed = shipped.files.iter().filter(|(_, state)| **state == ShippedState::Removed);
    let finding = |(path, _): (&String, _)| LintFinding {
        file: path.clone(),
        line: 1,
        column: 1,
        rule: "removed-after-release",
        reason: format!(
            "{} shipped this file, and a boot of a database that has it ends",
            shipped.revisions.join(" or ")
        ),
        remedy: "restore the file; a new file can undo what it did".to_owned(),
    };
    removed.map(finding).collect()
}

pub(super) fn edited(path: &str, shipped: Option<&Shipped>) -> Option<Found> {
    let shipped = shipped.filter(|shipped| shipped.files.get(path) == Some(&ShippedState::Edited))?;
    let revisions = shipped.revisions.join(" or ");
    Some(Found::new(
        0,
        "edited-after-release",
        format!(
            "{revisions} shipped this file with another text, whose checksum databases have: their next boot ends (exit code 30)"
        ),
        "restore the text and put the change into a new file; if the edit is necessary, every database needs MIGRATION_ACCEPT once",
    ))
}

pub(super) fn number_before_shipped(path: &str, number: u64, shipped: Option<&Shipped>) -> Option<Found> {
    let (folder, _) = path.rsplit_once('/')?;
    let in_folder = shipped?.files.keys().filter_map(|path| path.rsplit_once('/')).filter(|(of, _)| *of == folder);
    let numbers = in_folder.filter_map(|(_, name)| name.split('_').next()?.parse::<u64>().ok());
    let last = numbers.max().filter(|last| *last > number)?;
    Some(Found::new(
        0,
        "number-before-shipped",
        format!(
            "number {last} of this folder was shipped, and the boot refuses a new file with a lower number (exit code 30)"
        ),
        format!("rename the file to a number above {last}"),
    ))
}
