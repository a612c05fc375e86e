//! `report.html` of a sweep: one self-contained file in the style of the gate's report.

use maud::{Markup, html};

use super::super::report::document;
use super::report::{HEADS, Messages, PointOutcome, ScenarioReport, SweepFigures, SweepResults};

/// Height of the picture in pixels, without the labels below it.
const HEIGHT: usize = 150;

/// Renders the whole page.
pub(crate) fn page(report: &SweepResults) -> String {
    let verdict = report.verdict();
    let class = if report.ok { "pass" } else { "fail" };
    let body = html! {
        header.(class) {
            h1 { (verdict) }
            p {
                "Boots of " code { (report.image) } ", each with one fault at one message to or from PostgreSQL. A boot must "
                "end within " (report.bound_seconds) " s and report the cause; the next boot must produce the same database "
                "as an undisturbed one."
            }
        }
        main {
            @if report.failures().next().is_some() {
                h2 { "Failures" }
                @for (scenario, outcome) in report.failures() { (failure(scenario, outcome)) }
            }
            h2 { "By scenario" }
            (table(report.scenarios.iter().map(|scenario| {
                (scenario.name.to_owned(), SweepFigures::of(&scenario.points, report.bound_seconds))
            })))
            h2 { "By fault" }
            (table(report.by(|outcome| outcome.kind.words().to_owned())))
            h2 { "By last phase" }
            (table(report.by(|outcome| outcome.phase.unwrap_or("none").to_owned())))
            h2 { "By exit code" }
            (table(report.by(|outcome| outcome.exit.map_or("none".to_owned(), |exit| exit.to_string()))))
            @for scenario in &report.scenarios { (picture(scenario, report.bound_seconds)) (list(scenario)) }
        }
        footer { "Took " (format!("{:.0} s", report.seconds)) ". " code { "cargo xtask sweep" } }
    };
    document(&format!("{verdict}: {}", report.image), &body)
}

fn table(rows: impl IntoIterator<Item = (String, SweepFigures)>) -> Markup {
    html! {
        div.scroll { table.numbers {
            thead { tr { th {} @for head in HEADS { th { (head) } } } }
            tbody {
                @for (name, figures) in rows {
                    tr { th scope="row" { (name) } @for cell in figures.cells() { td { (cell) } } }
                }
            }
        } }
    }
}

fn failure(scenario: &str, outcome: &PointOutcome) -> Markup {
    html! {
        details.check.fail open {
            summary {
                span.badge.fail { "✗ failed" } " "
                span.name { (scenario) ": " (outcome.point()) } " "
                span.took { (outcome.words()) }
                span.reason { (outcome.failure.as_deref().unwrap_or_default()) }
            }
            div.body { pre tabindex="0" { (console::strip_ansi_codes(&outcome.log.join("\n"))) } }
        }
    }
}

/// Returns the horizontal position in percent. Each direction has its own numbers and fills the whole width.
fn x(outcome: &PointOutcome, messages: Messages) -> f64 {
    let all = if outcome.direction == "to-server" { messages.to_server } else { messages.to_client };
    outcome.n as f64 / all.max(1) as f64 * 100.0
}

/// Returns the vertical position in pixels; times above the bound are drawn at the bound.
fn y(seconds: f64, bound: f64) -> f64 {
    (1.0 - (seconds / bound).min(1.0)) * (HEIGHT - 20) as f64 + 10.0
}

/// Draws the points of a scenario: time from the fault to the end of the boot, by message.
fn picture(scenario: &ScenarioReport, bound: u64) -> Markup {
    let (messages, limit) = (scenario.messages, bound as f64);
    html! {
        h2 { "The " (scenario.name) " boot, from its first message to its last" }
        p.quiet {
            (messages.to_server) " messages to PostgreSQL and " (messages.to_client) " from it on " (messages.connections)
            " connections. Each dot is a boot: horizontally its message, vertically the time to its end; the upper line is the "
            "bound of " (bound) " s."
        }
        figure { svg width="100%" height=(HEIGHT + 24) role="img" aria-label="Time to exit by message" {
            line.axis x1="0" x2="100%" y1=(y(limit, limit)) y2=(y(limit, limit)) {}
            line.axis x1="0" x2="100%" y1=(y(0.0, limit)) y2=(y(0.0, limit)) {}
            text.quiet x="0" y=(HEIGHT + 16) { "first message" }
            text.quiet x="100%" y=(HEIGHT + 16) text-anchor="end" { "last message" }
            @for outcome in &scenario.points {
                @let colour = if outcome.failure.is_some() { "var(--fail)" } else { "var(--bar)" };
                @let (x, y) = (x(outcome, messages), y(outcome.seconds.unwrap_or_default(), limit));
                circle cx=(format!("{x:.2}%")) cy=(format!("{y:.1}")) r="4" fill=(colour) fill-opacity=".65" {
                    title { (outcome.point()) ": " (outcome.words()) }
                }
            }
        } }
    }
}

fn list(scenario: &ScenarioReport) -> Markup {
    html! {
        details {
            summary { "All " (scenario.points.len()) " points of the " (scenario.name) " boot" }
            div.body { div.scroll { table {
                thead { tr { th { "fault" } th { "boot" } th { "next boot" } th { "last line" } } }
                tbody { @for outcome in &scenario.points { tr {
                    td { (outcome.point()) @if outcome.hit.is_none() { " (not reached)" } }
                    td { (outcome.words()) }
                    td { @match outcome.next_boot_seconds {
                        Some(seconds) if outcome.converged => { (format!("converged after {seconds:.1} s")) }
                        _ => "did not converge",
                    } }
                    td { (console::strip_ansi_codes(&outcome.last_line)) }
                } } }
            } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::fixture;
    use super::page;
    use testbed::workspace;

    #[test]
    fn the_page_shows_failures_with_their_log_and_is_self_contained() {
        let page = page(&fixture::report());
        for shown in ["1 of 2 fault points failed", "fields `&lt;1&gt;`", "6/8 schema: no changes", "message 417"] {
            assert!(page.contains(shown), "`{shown}` is missing in {page}");
        }
        assert!(!page.contains("<link") && !page.contains("<script") && !page.contains('\u{1b}'));
        let folder = workspace::target_dir().join("verify-fixture");
        std::fs::create_dir_all(&folder).unwrap();
        // For a developer to open in a browser.
        std::fs::write(folder.join("sweep.html"), page).unwrap();
    }
}
