//! All findings, as a pure function.

use std::collections::BTreeSet;

use entrypoint::witness::TableName;

use super::collections::Collections;
use super::finding::LintFinding;
use super::lint_file::LintFile;
use super::measure::Measured;
use super::rules::{self, FileContext};
use super::shipped::{Shipped, is_new};
use super::shipped_rules::{edited, number_before_shipped, removed};
use super::source::Source;
use super::{allow, correct, syntax};

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

/// Returns all findings, by file and line.
#[must_use]
pub fn check(input: &LintInput) -> Vec<LintFinding> {
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
