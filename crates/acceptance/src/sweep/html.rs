//! `report.html` of a sweep: one file that needs no other, in the style of the gate's.

use maud::{Markup, html};

use super::super::report::document;
use super::found::{Figures, HEADS, Outcome, Report, Scenario};

/// Room for a name at the left of the picture, and its height.
const HEIGHT: usize = 150;

/// The page.
pub(crate) fn page(report: &Report) -> String {
    let verdict = report.verdict();
    let class = if report.ok { "pass" } else { "fail" };
    let body = html! {
        header.(class) {
            h1 { (verdict) }
            p {
                "Boots of " code { (report.image) } ", each with one fault at one message of its conversation with "
                "PostgreSQL. A boot must end within " (report.bound_seconds) " s and say why; the next one must leave "
                "what an undisturbed one leaves."
            }
        }
        main {
            @if report.failures().next().is_some() {
                h2 { "Not made good" }
                @for (scenario, outcome) in report.failures() { (failure(scenario, outcome)) }
            }
            h2 { "By scenario" }
            (table(report.scenarios.iter().map(|scenario| {
                (scenario.name.to_owned(), Figures::of(&scenario.points, report.bound_seconds))
            })))
            h2 { "By fault" }
            (table(report.by(|outcome| outcome.kind.words().to_owned())))
            h2 { "By the phase that the boot got to" }
            (table(report.by(|outcome| outcome.phase.unwrap_or("none").to_owned())))
            h2 { "By exit code" }
            (table(report.by(|outcome| outcome.exit.map_or("none".to_owned(), |exit| exit.to_string()))))
            @for scenario in &report.scenarios { (picture(scenario, report.bound_seconds)) (list(scenario)) }
        }
        footer { "Swept in " (format!("{:.0} s", report.seconds)) ". " code { "cargo xtask sweep" } }
    };
    document(&format!("{verdict}: {}", report.image), &body)
}

fn table(rows: impl IntoIterator<Item = (String, Figures)>) -> Markup {
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

fn failure(scenario: &str, outcome: &Outcome) -> Markup {
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

/// Every point of a scenario: from left to right its message, upwards how long the boot took to end.
fn picture(scenario: &Scenario, bound: u64) -> Markup {
    let messages = scenario.messages;
    // The two directions have numbers of their own; each is as wide as the picture.
    let x = |outcome: &Outcome| {
        let all = if outcome.direction == "to-server" { messages.to_server } else { messages.to_client };
        outcome.n as f64 / all.max(1) as f64 * 100.0
    };
    let y = |seconds: f64| (1.0 - (seconds / bound as f64).min(1.0)) * (HEIGHT - 20) as f64 + 10.0;
    html! {
        h2 { "The " (scenario.name) " boot, from its first message to its last" }
        p.quiet {
            (messages.to_server) " messages to PostgreSQL and " (messages.to_client) " from it on " (messages.connections)
            " connections. Each dot is a boot: to the right its message, upwards how long it took to end; above, the bound of "
            (bound) " s."
        }
        figure { svg width="100%" height=(HEIGHT + 24) role="img" aria-label="Time to exit by message" {
            line.axis x1="0" x2="100%" y1=(y(bound as f64)) y2=(y(bound as f64)) {}
            line.axis x1="0" x2="100%" y1=(y(0.0)) y2=(y(0.0)) {}
            text.quiet x="0" y=(HEIGHT + 16) { "first message" }
            text.quiet x="100%" y=(HEIGHT + 16) text-anchor="end" { "last message" }
            @for outcome in &scenario.points {
                @let colour = if outcome.failure.is_some() { "var(--fail)" } else { "var(--bar)" };
                circle cx=(format!("{:.2}%", x(outcome))) cy=(format!("{:.1}", y(outcome.seconds.unwrap_or_default())))
                    r="4" fill=(colour) fill-opacity=".65" { title { (outcome.point()) ": " (outcome.words()) } }
            }
        } }
    }
}

fn list(scenario: &Scenario) -> Markup {
    html! {
        details {
            summary { "All " (scenario.points.len()) " points of the " (scenario.name) " boot" }
            div.body { div.scroll { table {
                thead { tr { th { "fault" } th { "boot" } th { "next boot" } th { "what it said" } } }
                tbody { @for outcome in &scenario.points { tr {
                    td { (outcome.point()) @if outcome.hit.is_none() { " (did not come)" } }
                    td { (outcome.words()) }
                    td { @match outcome.healed {
                        Some(seconds) if outcome.converged => { (format!("good after {seconds:.1} s")) }
                        _ => "not good",
                    } }
                    td { (console::strip_ansi_codes(&outcome.said)) }
                } } }
            } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::found::fixture;
    use super::page;
    use testbed::workspace;

    #[test]
    fn the_page_shows_a_failure_with_its_log_and_needs_no_other_file() {
        let page = page(&fixture::report());
        for shown in ["1 of 2 faults were not made good", "fields `&lt;1&gt;`", "6/8 schema: no changes", "message 417"]
        {
            assert!(page.contains(shown), "no {shown} in {page}");
        }
        assert!(!page.contains("<link") && !page.contains("<script") && !page.contains('\u{1b}'));
        let folder = workspace::target_dir().join("verify-fixture");
        std::fs::create_dir_all(&folder).unwrap();
        // Open it to look at the page.
        std::fs::write(folder.join("sweep.html"), page).unwrap();
    }
}
