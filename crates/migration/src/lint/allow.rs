//! Comments that silence a finding: `-- lint: allow RULE (reason)`.
//!
//! A comment applies to the statement around it, to the one that ends in its line, or to the next one. Before the first
//! statement it applies to the whole file as well.

use std::ops::Range;

use grammar::{LintRule, LintRuleKind};

use super::finding::Found;
use super::source::Source;

/// The form, for messages.
const FORM: &str = "write `-- lint: allow RULE (reason)`";

/// A comment that silences one rule.
#[derive(Debug)]
struct Allow {
    /// Offset of the comment.
    at: usize,
    rule: &'static str,
    /// The statement that it applies to; empty at the end of a file.
    unit: Range<usize>,
    is_for_file: bool,
}

/// Returns the findings that no comment silences, and those about the comments themselves.
pub(crate) fn silence(source: &Source, found: Vec<Found>) -> Vec<Found> {
    let (allows, mut kept) = read(source);
    let mut is_used = vec![false; allows.len()];
    for finding in found {
        let unit = source.unit_at(finding.at);
        let applies = |allow: &Allow| {
            let is_here = unit.map_or(allow.is_for_file, |unit| unit.range == allow.unit);
            allow.rule == finding.rule && (is_here || allow.is_for_file && finding.at == 0)
        };
        let mut is_silenced = false;
        for (allow, used) in allows.iter().zip(&mut is_used) {
            if applies(allow) {
                (is_silenced, *used) = (true, true);
            }
        }
        if !is_silenced && !finding.is_exempt {
            kept.push(finding);
        }
    }
    for (allow, _) in allows.iter().zip(&is_used).filter(|(_, is_used)| !**is_used) {
        kept.push(Found::new(
            allow.at,
            "unused-allow",
            format!("no finding of {} is silenced by this comment", allow.rule),
            "remove it, or put it directly before the statement",
        ));
    }
    kept
}

fn read(source: &Source) -> (Vec<Allow>, Vec<Found>) {
    let (mut allows, mut bad) = (Vec::new(), Vec::new());
    for comment in source.comments() {
        let text = &source.text[comment.clone()];
        let words = text.trim_start_matches(['-', '/', '*']).trim_end_matches(['*', '/']).trim();
        match rules(words) {
            None => {}
            Some(Err(reason)) => bad.push(Found::new(comment.start, "bad-allow", reason, FORM)),
            Some(Ok(rules)) => {
                let unit = unit_of(source, &comment);
                let is_for_file = source.units.first().is_none_or(|first| comment.start < first.range.start);
                allows.extend(rules.into_iter().map(|rule| Allow {
                    at: comment.start,
                    rule,
                    unit: unit.clone(),
                    is_for_file,
                }));
            }
        }
    }
    (allows, bad)
}

/// Returns the rules that a comment names, or its problem; `None` for other comments.
fn rules(comment: &str) -> Option<Result<Vec<&'static str>, String>> {
    let lower = comment.to_ascii_lowercase();
    if lower.starts_with("squawk-") {
        return Some(Err("comments of squawk have no effect here, because they need no reason".to_owned()));
    }
    let rest = lower.strip_prefix("lint")?;
    if !rest.trim_start_matches([' ', ':', '-', '_']).starts_with("allow") {
        return None;
    }
    let Some(body) = comment.strip_prefix("lint: allow ") else {
        return Some(Err(format!("`{comment}` is not a comment of the lint")));
    };
    let Some((names, reason)) = body.split_once('(').and_then(|(names, rest)| Some((names, rest.strip_suffix(')')?)))
    else {
        return Some(Err(format!("`{comment}` has no reason in brackets at its end")));
    };
    if !reason.chars().any(char::is_alphanumeric) {
        return Some(Err(format!("`{comment}` has an empty reason")));
    }
    Some(names.split(',').map(|name| rule(name.trim())).collect())
}

fn rule(name: &str) -> Result<&'static str, String> {
    match LintRule::of(name) {
        None => Err(format!("`{name}` is not a rule of the lint")),
        Some(LintRule { kind: LintRuleKind::Off { .. }, .. }) => Err(format!("the rule {name} is switched off")),
        Some(LintRule { kind: LintRuleKind::Own { silenceable: false, .. }, .. }) => {
            Err(format!("findings of {name} cannot be silenced"))
        }
        Some(rule) => Ok(rule.name),
    }
}

/// Returns the statement that a comment applies to.
fn unit_of(source: &Source, comment: &Range<usize>) -> Range<usize> {
    let on_its_line =
        |unit: &Range<usize>| unit.end <= comment.start && !source.text[unit.end..comment.start].contains('\n');
    let ranges = || source.units.iter().map(|unit| unit.range.clone());
    ranges()
        .find(|unit| unit.contains(&comment.start) || on_its_line(unit))
        .or_else(|| ranges().find(|unit| unit.start >= comment.end))
        .unwrap_or(comment.end..comment.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies the comments of a file to a finding of `ban-char-field` at each of these words.
    fn left(sql: &str, words: &[&str]) -> Vec<(&'static str, usize)> {
        let found = words.iter().map(|word| Found::new(sql.find(word).expect("a word"), "ban-char-field", "", ""));
        let kept = silence(&Source::parse(sql), found.collect());
        kept.into_iter().map(|found| (found.rule, found.at)).collect()
    }

    #[test]
    fn a_comment_silences_the_statement_around_it_before_it_or_after_it() {
        for sql in [
            "select 1;\n-- lint: allow ban-char-field (fixed width)\nselect one;\nselect 2;",
            "select 1;\nselect one; -- lint: allow ban-char-field (fixed width)\nselect 2;",
            "select 1;\nselect one,\n -- lint: allow ban-char-field (fixed width)\n 1;\nselect 2;",
            "select 1;\n/* lint: allow ban-char-field (fixed width) */ select one;",
            "do $$ begin if true then\n -- lint: allow ban-char-field (fixed width)\n select one; end if; end $$;",
        ] {
            assert_eq!(left(sql, &["one"]), [], "{sql}");
        }
    }

    #[test]
    fn a_comment_silences_no_other_statement_and_no_other_rule() {
        let sql = "select 1;\n-- lint: allow ban-char-field (fixed width)\nselect one;\nselect two;";
        assert_eq!(left(sql, &["one", "two"]), [("ban-char-field", sql.find("two").unwrap())]);
        let sql = "select 1;\n-- lint: allow prefer-identity (old table)\nselect one;";
        assert_eq!(
            left(sql, &["one"]),
            [("ban-char-field", sql.find("one").unwrap()), ("unused-allow", sql.find("--").unwrap())]
        );
    }

    #[test]
    fn a_comment_at_the_top_silences_findings_about_the_file() {
        let sql = "-- lint: allow edited-after-release (a password)\nselect 1;\nselect 2;";
        let found = Found::new(0, "edited-after-release", "", "");
        assert_eq!(silence(&Source::parse(sql), vec![found.clone()]), []);
        let later = "select 1;\n-- lint: allow edited-after-release (a password)\nselect 2;";
        assert_eq!(silence(&Source::parse(later), vec![found]).len(), 2);
    }

    #[test]
    fn a_comment_for_an_exempt_finding_is_used() {
        let sql = "-- lint: allow ban-char-field (fixed width)\nselect one;";
        let found = |is_exempt| Found { is_exempt, ..Found::new(sql.find("one").unwrap(), "ban-char-field", "", "") };
        assert_eq!(silence(&Source::parse(sql), vec![found(true)]), []);
        assert_eq!(silence(&Source::parse("select one;"), vec![found(true)]), []);
    }

    #[test]
    fn a_comment_in_another_form_is_a_finding() {
        for (comment, reason) in [
            ("lint: allow ban-char-field", "no reason in brackets"),
            ("lint: allow ban-char-field ()", "an empty reason"),
            ("lint: allow ban-chars (x)", "`ban-chars` is not a rule"),
            ("lint: allow require-lock-timeout (x)", "is switched off"),
            ("lint: allow unused-allow (x)", "cannot be silenced"),
            ("lint allow ban-char-field (x)", "is not a comment of the lint"),
            ("Lint: Allow ban-char-field (x)", "is not a comment of the lint"),
            ("squawk-ignore ban-char-field", "comments of squawk"),
        ] {
            let kept = silence(&Source::parse(&format!("-- {comment}\nselect 1;")), Vec::new());
            assert_eq!(kept.len(), 1, "{comment}");
            assert!(kept[0].rule == "bad-allow" && kept[0].reason.contains(reason), "{comment}: {}", kept[0].reason);
        }
        for comment in ["lint this later", "linting", "a lint: allow x"] {
            assert_eq!(silence(&Source::parse(&format!("-- {comment}\nselect 1;")), Vec::new()), [], "{comment}");
        }
    }
}
