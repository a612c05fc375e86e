//! The result of the lint as text, as JSON, and as annotations of a CI server.

use std::fmt::Write as _;

use serde::Serialize;
use testbed::workflow;

use super::finding::LintFinding;

/// The result of the lint.
#[derive(Debug, Serialize)]
pub(crate) struct LintReport {
    /// True without findings.
    pub(crate) ok: bool,
    /// The findings, by file and line.
    pub(crate) findings: Vec<LintFinding>,
    /// The number of new files, which were checked.
    pub(crate) new_files: usize,
    /// The number of files that were shipped before.
    pub(crate) shipped_files: usize,
    /// The revisions that shipped them; empty if there is none.
    pub(crate) shipped_by: Vec<String>,
    /// Files that could not be checked, and measurements.
    pub(crate) notes: Vec<String>,
}

impl LintReport {
    /// Renders it for a terminal.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for LintFinding { file, line, column, rule, reason, remedy } in &self.findings {
            writeln!(text, "{file}:{line}:{column}: {rule}\n  reason: {reason}\n  remedy: {remedy}\n")
                .expect("a String");
        }
        for note in &self.notes {
            writeln!(text, "note: {note}").expect("a String");
        }
        let shipped = match self.shipped_by.as_slice() {
            [] => "no release and no branch main to compare with: every file and table counts as new".to_owned(),
            revisions => format!("{} shipped before ({})", count(self.shipped_files, "file"), revisions.join(", ")),
        };
        if !self.ok {
            text += "`-- lint: allow RULE (reason)` before a statement silences a finding; docs/reference/lint.md has the rules\n";
        }
        let findings = count(self.findings.len(), "finding");
        if self.new_files + self.shipped_files == 0 {
            return text + &findings;
        }
        text + &format!("{findings} in {}; {shipped}", count(self.new_files, "new file"))
    }

    /// Returns a line for each finding, by which a CI server shows it next to the statement.
    pub(crate) fn annotations(&self) -> String {
        let line = |finding: &LintFinding| {
            let LintFinding { file, line, column, rule, reason, remedy } = finding;
            let (file, title) = (workflow::property(file), workflow::property(rule));
            let message = workflow::data(&format!("{reason}\n{remedy}"));
            format!("::error file={file},line={line},col={column},title={title}::{message}\n")
        };
        self.findings.iter().map(line).collect()
    }
}

/// `no findings`, `1 finding`, `2 findings`.
fn count(number: usize, noun: &str) -> String {
    match number {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(findings: Vec<LintFinding>) -> LintReport {
        let shipped_by = vec!["main at 1a2b3c4".to_owned()];
        LintReport { ok: findings.is_empty(), findings, new_files: 1, shipped_files: 5, shipped_by, notes: Vec::new() }
    }

    fn finding() -> LintFinding {
        LintFinding {
            file: "db-init/004_laps.sql".to_owned(),
            line: 3,
            column: 1,
            rule: "no-assertion",
            reason: "100% of it: nothing".to_owned(),
            remedy: "end it".to_owned(),
        }
    }

    #[test]
    fn a_finding_has_place_rule_reason_and_remedy() {
        let text = report(vec![finding()]).text();
        assert!(
            text.starts_with(
                "db-init/004_laps.sql:3:1: no-assertion\n  reason: 100% of it: nothing\n  remedy: end it\n"
            ),
            "{text}"
        );
        assert!(text.ends_with("\n1 finding in 1 new file; 5 files shipped before (main at 1a2b3c4)"), "{text}");
        assert_eq!(report(Vec::new()).text(), "no findings in 1 new file; 5 files shipped before (main at 1a2b3c4)");
    }

    #[test]
    fn an_annotation_names_file_and_line_and_is_one_line() {
        let expected =
            "::error file=db-init/004_laps.sql,line=3,col=1,title=no-assertion::100%25 of it: nothing%0Aend it\n";
        assert_eq!(report(vec![finding()]).annotations(), expected);
    }

    #[test]
    fn without_a_shipped_revision_the_text_says_so() {
        let report = LintReport { shipped_by: Vec::new(), ..report(Vec::new()) };
        assert!(
            report
                .text()
                .ends_with("no release and no branch main to compare with: every file and table counts as new")
        );
    }
}
