//! The problems for which the boot would refuse the files.

use contract::Phase;

use super::finding::LintFinding;
use crate::checkout;

/// Returns a finding for each problem: `001_a.sql:2:3: reason: remedy`, or `001_a.sql reason: remedy`.
#[must_use]
pub(super) fn refused(problems: &[String]) -> Vec<LintFinding> {
    problems.iter().map(|problem| finding(problem)).collect()
}

fn finding(problem: &str) -> LintFinding {
    let (text, remedy) = problem.rsplit_once(": ").unwrap_or((problem, "correct the file"));
    let (file, line, column, reason) = placed(text).unwrap_or_else(|| {
        let first = text.split(' ').next().filter(|word| word.contains('.')).unwrap_or_default();
        (first, 1, 1, text)
    });
    let folder = checkout::folder(Phase::DbInit);
    let file = if file.is_empty() { folder } else { format!("{folder}/{file}") };
    LintFinding { file, line, column, rule: "refused-by-boot", reason: reason.to_owned(), remedy: remedy.to_owned() }
}

/// Splits `001_a.sql:2:3: reason`.
fn placed(text: &str) -> Option<(&str, usize, usize, &str)> {
    let (place, reason) = text.split_once(": ")?;
    let mut parts = place.rsplitn(3, ':');
    let (column, line) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some((parts.next()?, line, column, reason))
}
