//! `migration lint`: findings in the SQL files that no image has shipped yet.
//!
//! [`check`] is a pure function over the files, what was shipped, the snapshot, and, where a database is given, what the
//! files did to it. [`command`] reads these and prints the result.

mod allow;
mod catalog;
pub mod collections;
pub mod command;
mod correct;
pub mod finding;
mod losses;
pub mod measure;
mod report;
mod rules;
pub mod shipped;
mod source;
mod squawk;
mod syntax;

use std::collections::BTreeSet;

use contract::Phase;
use entrypoint::migrations::{MigrationFile, MigrationSet};
use entrypoint::witness::TableName;

use crate::checkout;
use collections::Collections;
use finding::{Finding, Found};
use measure::Measured;
use rules::FileContext;
use shipped::{Shipped, ShippedState};
use source::Source;

/// A file that the boot accepts.
#[derive(Clone, Debug)]
pub struct LintFile {
    /// Relative to the workspace: `db-init/001_a.sql`.
    pub path: String,
    /// The phase that applies it.
    pub phase: Phase,
    /// The content, as the boot reads it.
    pub file: MigrationFile,
}

impl LintFile {
    /// Returns the files of both phases in the order in which the boot applies them.
    #[must_use]
    pub fn of(files: &MigrationSet) -> Vec<LintFile> {
        let of = |phase: Phase| {
            files.of(phase).iter().map(move |file| LintFile {
                path: format!("{}/{}", checkout::folder(phase), file.filename),
                phase,
                file: file.clone(),
            })
        };
        checkout::PHASES.into_iter().flat_map(of).collect()
    }
}

/// Everything that findings depend on.
#[derive(Debug, Default)]
pub struct LintInput {
    /// The files, in the order in which the boot applies them.
    pub files: Vec<LintFile>,
    /// The files and collections that were shipped; `None` if nothing was, or if git does not know.
    pub shipped: Option<Shipped>,
    /// The collections of the checkout's snapshot.
    pub collections: Collections,
    /// The effects of the new files on a database.
    pub measured: Option<Measured>,
}

/// Returns true for a file that no image has shipped yet.
#[must_use]
pub fn is_new(path: &str, shipped: Option<&Shipped>) -> bool {
    shipped.is_none_or(|shipped| !shipped.files.contains_key(path))
}

/// Returns all findings, by file and line.
#[must_use]
pub fn check(input: &LintInput) -> Vec<Finding> {
    let shipped = input.shipped.as_ref();
    let nothing = Collections::default();
    let shipped_collections = shipped.map_or(&nothing, |shipped| &shipped.collections);
    let mut new: BTreeSet<TableName> = input.collections.not_in(shipped_collections).collect();
    let owned: BTreeSet<String> =
        input.files.iter().flat_map(|file| file.file.directives.owned_tables.iter().cloned()).collect();
    let mut findings = removed(shipped);
    for LintFile { path, phase, file } in &input.files {
        let source = Source::parse(&file.sql);
        let found = if is_new(path, shipped) {
            new.extend(source.units.iter().filter_map(|unit| syntax::created(&unit.stmt)));
            let context = FileContext {
                phase: *phase,
                file,
                source: &source,
                collections: &input.collections,
                new: &new,
                owned: &owned,
            };
            let mut found = rules::check(context);
            found.extend(number_before_shipped(path, file.number, shipped));
            match input.measured.as_ref().and_then(|measured| measured.files.get(path)) {
                Some(measured) => correct::correct(file, measured, found),
                None => found,
            }
        } else {
            // A shipped file cannot be changed any more, so nothing else is checked.
            edited(path, shipped).into_iter().collect()
        };
        let kept = allow::silence(&source, found).into_iter();
        let kept = kept.filter(|found| is_new(path, shipped) || found.rule == "edited-after-release");
        findings.extend(kept.map(|found| found.in_file(path, &file.sql)));
    }
    findings.sort();
    findings.dedup();
    findings
}

/// Returns the problems for which the boot would refuse the files.
#[must_use]
pub fn refused(problems: &[String]) -> Vec<Finding> {
    let findings = problems.iter().map(|problem| {
        let remedy = "correct the file";
        let (place, reason) = problem.split_once(": ").unwrap_or(("", problem));
        let mut parts = place.split(':');
        let (file, line, column) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
        let (reason, remedy) = reason.rsplit_once(": ").unwrap_or((reason, remedy));
        match (number(line), number(column)) {
            (Some(line), Some(column)) => at_line(file, line, column, reason, remedy),
            _ => {
                let (reason, remedy) = problem.rsplit_once(": ").unwrap_or((problem, remedy));
                at_line(problem.split(' ').next().unwrap_or_default(), 1, 1, reason, remedy)
            }
        }
    });
    findings.collect()
}

fn at_line(file: &str, line: usize, column: usize, reason: &str, remedy: &str) -> Finding {
    let file = format!("{}/{file}", checkout::folder(Phase::DbInit));
    Finding { file, line, column, rule: "refused-by-boot", reason: reason.to_owned(), remedy: remedy.to_owned() }
}

fn removed(shipped: Option<&Shipped>) -> Vec<Finding> {
    let Some(shipped) = shipped else { return Vec::new() };
    let removed = shipped.files.iter().filter(|(_, state)| **state == ShippedState::Removed);
    let finding = |(path, _): (&String, _)| Finding {
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

fn edited(path: &str, shipped: Option<&Shipped>) -> Option<Found> {
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

fn number_before_shipped(path: &str, number: u64, shipped: Option<&Shipped>) -> Option<Found> {
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

#[cfg(test)]
mod tests;
