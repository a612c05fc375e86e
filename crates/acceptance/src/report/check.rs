//! One check on the page: its promise, its verdict and its evidence.

use maud::{Markup, html};

use super::text;
use crate::model::{BootTimeline, CheckReport, CheckStatus, Evidence, LogExcerpt};

/// The details of a check, which are folded unless it failed.
pub(super) fn details(check: &CheckReport) -> Markup {
    let Evidence { figures, lines, boots, pictures, rolls } = &check.evidence;
    html! {
        details.check .(class(check.status)) #(format!("check-{}", check.name)) open[check.status == CheckStatus::Fail] {
            summary {
                (badge(check.status)) " "
                span.name { (check.name) } " "
                span.took { (text::seconds(check.seconds)) }
                span.promise { (check.promise) }
                @if check.status == CheckStatus::NotRun { (first_line(check)) }
            }
            div.body {
                @if check.status != CheckStatus::NotRun { (first_line(check)) }
                (other_lines(check))
                @if !figures.is_empty() {
                    div.scroll { table {
                        tbody { @for figure in figures {
                            tr { th scope="row" { (text::plain(&figure.name)) } td { (text::plain(&figure.value)) } }
                        } }
                    } }
                }
                @for boot in boots { (phases(boot)) }
                @if !lines.is_empty() {
                    h3 { "Log lines" }
                    (log(lines))
                }
                @for LogExcerpt { container, lines } in &check.logs {
                    h3 { "Last log lines of " code { (container) } }
                    @if lines.is_empty() { p.quiet { "The log is empty." } } @else { (log(lines)) }
                }
                @for picture in pictures {
                    p { a href=(format!("#picture-{}", picture.file)) { "Picture: " (picture.name) } }
                }
                @for roll in rolls { p { a href="#rolls" { "Roll: " (roll.name) } } }
                @if figures.is_empty() && lines.is_empty() && boots.is_empty() && pictures.is_empty() && rolls.is_empty()
                    && check.logs.is_empty() {
                    p.quiet { "No further evidence." }
                }
            }
        }
    }
}

/// The verdict as a colour, a sign and a word.
pub(super) fn badge(status: CheckStatus) -> Markup {
    html! { span.badge .(class(status)) { (text::sign(status)) " " (text::word(status)) } }
}

/// The first line of the reason.
fn first_line(check: &CheckReport) -> Markup {
    let line = text::first_line(check.reason.as_deref().unwrap_or_default());
    html! { @if !line.is_empty() { span.reason { (line) } } }
}

/// The other lines of the reason, which may quote a log.
fn other_lines(check: &CheckReport) -> Markup {
    let rest = check.reason.as_deref().and_then(|reason| reason.split_once('\n'));
    html! { @if let Some((_, rest)) = rest { pre tabindex="0" { (text::plain(rest)) } } }
}

fn phases(boot: &BootTimeline) -> Markup {
    html! {
        h3 { "Boot: " (boot.name) }
        div.scroll { table {
            tbody {
                @for phase in &boot.phases {
                    tr {
                        th scope="row" { (phase.phase) }
                        td.number { (phase.ms) " ms" }
                        td { (text::plain(&phase.message)) }
                    }
                }
                @if let Some(ms) = boot.ready_ms {
                    tr { th scope="row" { "ready" } td.number { (ms) " ms" } td { "from the container's start" } }
                }
            }
        } }
    }
}

/// Lines that scroll horizontally, also by keyboard.
fn log(lines: &[String]) -> Markup {
    html! { pre tabindex="0" { (text::plain(&lines.join("\n"))) } }
}

fn class(status: CheckStatus) -> &'static str {
    match status {
        CheckStatus::Pass => "pass",
        CheckStatus::Fail => "fail",
        CheckStatus::NotRun => "not-run",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_failed_check_is_open_and_shows_reason_evidence_and_log() {
        let report = fixture::report();
        let text = details(&report.checks[3]).into_string();
        assert!(text.starts_with("<details class=\"check fail\" id=\"check-postgres-killed\" open>"), "{text}");
        for shown in
            ["it printed &lt;script&gt;", "&lt;b&gt;expected&lt;/b&gt;", "(exit 23)", "日本語 &amp;", "✗ failed"]
        {
            assert!(text.contains(shown), "no {shown} in {text}");
        }
        assert!(!text.contains("<script>") && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn a_check_that_was_not_run_shows_the_reason_while_folded() {
        let report = fixture::report();
        let text = details(&report.checks[4]).into_string();
        let (summary, body) = text.split_once("</summary>").unwrap();
        assert!(summary.contains("there is no Chromium") && !body.contains("there is no Chromium"), "{text}");
        assert!(!summary.contains(" open"), "{text}");
    }
}
