//! The section "Where the time went": when each check ran, and the checks on the critical path.

use maud::{Markup, html};

use super::text;
use crate::model::{CheckReport, CheckStatus, VerifyReport};

/// Height in pixels of a check's bar with the text above it.
const ROW: usize = 34;

/// The section; `None` if no check was run.
pub(super) fn section(report: &VerifyReport) -> Option<Markup> {
    let mut checks: Vec<&CheckReport> =
        report.checks.iter().filter(|check| check.status != CheckStatus::NotRun || check.seconds > 0.0).collect();
    checks.sort_by(|a, b| a.began.total_cmp(&b.began));
    let total: f64 = checks.iter().map(|check| check.seconds).sum();
    (!checks.is_empty()).then(|| {
        html! {
            section aria-labelledby="time" {
                h2 #time { "Where the time went" }
                p {
                    (text::seconds(total)) " of checks in " (text::seconds(report.seconds)) ", up to "
                    (report.machine.jobs) " at once. The run waited for the checks with a ◆: only these, if they take "
                    "less time, make it shorter."
                }
                (picture(report, &checks))
            }
        }
    })
}

fn picture(report: &VerifyReport, checks: &[&CheckReport]) -> Markup {
    let critical = &report.critical_path;
    let end = checks.iter().map(|check| check.end()).fold(report.seconds, f64::max).max(0.001);
    html! {
        svg.run role="img" width="100%" height=(checks.len() * ROW + 4)
            aria-label=(format!("When each check ran; the run waited for {}", critical.join(", then "))) {
            @for (index, check) in checks.iter().enumerate() {
                @let top = index * ROW;
                @let waited_for = critical.contains(&check.name);
                text x="0" y=(top + 15) {
                    (text::sign(check.status)) " "
                    @if waited_for { "◆ " tspan.strong { (check.name) } } @else { (check.name) }
                    tspan.quiet { " " (text::seconds(check.seconds)) " from " (text::seconds(check.began)) }
                }
                rect.track x="0" y=(top + 21) width="100%" height="8" {}
                rect class=(if waited_for { "critical" } else { "check" })
                    x=(percent(check.began, end)) y=(top + 21) width=(percent(check.seconds, end)) height="8" {}
            }
        }
    }
}

fn percent(seconds: f64, end: f64) -> String {
    format!("{:.2}%", seconds / end * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_check_that_was_not_run_has_no_bar() {
        let text = section(&fixture::report()).unwrap().into_string();
        assert_eq!(text.matches("class=\"track\"").count(), 4);
        assert!(!text.contains("admin-ui"), "{text}");
        assert!(text.contains("1 min 24 s of checks in 1 min 03 s, up to 2 at once"), "{text}");
    }
}
