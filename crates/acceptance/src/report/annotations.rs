//! Output for CI servers: annotations (GitHub's workflow commands, which Gitea's runner supports too) and the job's
//! summary.

use std::io::Write as _;

use anyhow::Context as _;
use testbed::workflow;

use super::text;
use crate::model::{CheckReport, CheckStatus, VerifyReport};

/// Maximum number of characters of a reason: GitHub truncates annotations at 4 kB. The report has the full text.
const LONGEST: usize = 1_500;

/// Writes annotations and the summary if this runs on a CI server.
pub(crate) fn announce(report: &VerifyReport) -> anyhow::Result<()> {
    if workflow::is_ci_server() {
        // Runners read both streams; standard output is for results only.
        eprint!("{}", workflow_commands(report));
    }
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else { return Ok(()) };
    let written = std::fs::OpenOptions::new().create(true).append(true).open(&path).and_then(|mut file| {
        // A single write, because other steps may append too.
        file.write_all(summary(report).as_bytes())
    });
    written.with_context(|| format!("failed to append to {}", path.display()))
}

/// A line for each check that did not pass.
fn workflow_commands(report: &VerifyReport) -> String {
    report.checks.iter().filter_map(annotation).collect()
}

fn annotation(check: &CheckReport) -> Option<String> {
    let level = match check.status {
        CheckStatus::Pass => return None,
        CheckStatus::Fail => "error",
        CheckStatus::NotRun => "warning",
    };
    let title = workflow::property(&format!("{} {}", check.name, text::word(check.status)));
    let reason = text::plain(check.reason.as_deref().unwrap_or("no reason was given"));
    let reason: String = reason.chars().take(LONGEST).collect();
    Some(format!("::{level} title={title}::{}\n", workflow::data(&format!("{}\n{reason}", check.promise))))
}

/// The job's summary, in Markdown.
fn summary(report: &VerifyReport) -> String {
    let subject = &report.subject;
    let counts = report.summary;
    let sign = if report.ok { "✅" } else { "❌" };
    let mut text = format!(
        "## {sign} verify: {}\n\n{} ({}) in {}: {} passed, {} failed, {} not run.\n\n",
        text::verdict(report),
        markdown(&subject.image),
        markdown(&text::short_version(&subject.version)),
        text::seconds(report.seconds),
        counts.pass,
        counts.fail,
        counts.not_run,
    );
    if let Some(note) = text::stand_ins(report) {
        text += &format!("> {}\n\n", markdown(&text::capital(&note)));
    }
    text += "| | check | promise or reason | time |\n| --- | --- | --- | ---: |\n";
    for status in [CheckStatus::Fail, CheckStatus::NotRun, CheckStatus::Pass] {
        for check in report.checks.iter().filter(|check| check.status == status) {
            let reason = text::first_line(check.reason.as_deref().unwrap_or(check.promise));
            let (name, reason) = (markdown(check.name), markdown(&reason));
            let (sign, word, took) = (text::sign(status), text::word(status), text::seconds(check.seconds));
            text += &format!("| {sign} {word} | {name} | {reason} | {took} |\n");
        }
    }
    if let Some(line) = text::waited_for(report) {
        text += &format!("\n{}.\n", markdown(&text::capital(&line)));
    }
    text + "\n"
}

/// Escapes a text for a cell of a table, so that no part of it is read as Markdown or HTML.
fn markdown(text: &str) -> String {
    let mut escaped = String::new();
    for char in text.chars() {
        match char {
            '\n' => escaped += "<br>",
            _ if "&<>|*_[]`~\\#@!$".contains(char) => escaped += &format!("&#{};", u32::from(char)),
            _ => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_failed_check_is_an_error_and_a_check_that_was_not_run_is_a_warning() {
        let text = workflow_commands(&fixture::report());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].starts_with("::error title=postgres-killed failed::A boot whose PostgreSQL"), "{text}");
        assert!(lines[0].contains("%0Ait printed <script>alert(\"1\")</script>: 100%25"), "{text}");
        assert!(lines[1].starts_with("::warning title=admin-ui not run::"), "{text}");
    }

    #[test]
    fn the_summary_is_one_table_for_any_content_of_a_reason() {
        let text = summary(&fixture::report());
        assert!(text.starts_with("## ❌ verify: 1 of 5 checks failed\n"), "{text}");
        assert!(text.contains("> The base image"), "{text}");
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(rows.len(), 7, "{text}");
        assert!(rows.iter().all(|row| row.matches('|').count() == 5), "{text}");
        assert!(text.ends_with("\n\nThe run waited for: fresh-boot (14.2 s), postgres-killed (48.3 s).\n\n"), "{text}");
        assert!(rows[2].contains("✗ failed | postgres-killed | it printed &#60;script&#62;"), "{text}");
    }
}
