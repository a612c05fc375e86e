//! A finding, and its place in a file.

use serde::Serialize;

/// A problem of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LintFinding {
    /// Relative to the workspace.
    pub file: String,
    /// 1-based; 1 for a finding about the whole file.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// A name of [`grammar::LINT_RULES`].
    pub rule: &'static str,
    /// The reason, as a clause or sentences without the last full stop.
    pub reason: String,
    /// The remedy, in the same form.
    pub remedy: String,
}

/// A finding before its place is known as line and column, and before comments silence it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Offset in the file; 0 for the whole file.
    pub(crate) at: usize,
    pub(crate) rule: &'static str,
    pub(crate) reason: String,
    pub(crate) remedy: String,
    /// It does not count, because no server uses the table yet. A comment may silence it all the same.
    pub(crate) is_exempt: bool,
}

impl Found {
    pub(crate) fn new(at: usize, rule: &'static str, reason: impl Into<String>, remedy: impl Into<String>) -> Found {
        Found { at, rule, reason: reason.into(), remedy: remedy.into(), is_exempt: false }
    }

    /// Returns the finding for a file with this text.
    pub(crate) fn in_file(self, file: &str, text: &str) -> LintFinding {
        let (line, column) = place(text, self.at);
        LintFinding { file: file.to_owned(), line, column, rule: self.rule, reason: self.reason, remedy: self.remedy }
    }
}

/// Returns line and column of an offset, both 1-based; the column counts characters.
pub(crate) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn a_place_counts_lines_and_characters() {
        let text = "select 1;\n-- größer\nselect 2;";
        assert_eq!(place(text, 0), (1, 1));
        assert_eq!(place(text, text.find("er").unwrap()), (2, 8));
        assert_eq!(place(text, text.len()), (3, 10));
    }
}
