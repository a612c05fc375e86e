//! The section "Boot timelines": the phases of boots as a picture and as a table.

use maud::{Markup, html};

use super::timeline::{BootBar, class, picture};
use crate::model::{BootTimeline, VerifyReport};

/// The section; `None` if the report has no boot.
pub(super) fn section(report: &VerifyReport) -> Option<Markup> {
    let all = report
        .checks
        .iter()
        .flat_map(|check| check.evidence.boots.iter().map(|timeline| BootBar { check: check.name, timeline }));
    let (mut main, mut others): (Vec<BootBar<'_>>, Vec<_>) =
        all.filter(|boot| !boot.timeline.phases.is_empty()).partition(|boot| is_plain(boot.timeline));
    if main.is_empty() {
        std::mem::swap(&mut main, &mut others);
    }
    // A phone is not wide enough for more columns.
    others.splice(0..0, main.split_off(main.len().min(3)));
    (!main.is_empty()).then(|| {
        html! {
            section aria-labelledby="boots" {
                h2 #boots { "Boot timelines" }
                p {
                    "Each bar is one boot: its phases in colour, then the start of the container and server in grey. "
                    "All bars have the same scale."
                }
                (picture(&main))
                (table(&main))
                @if !others.is_empty() {
                    details {
                        summary { "Boots of other checks, on another scale: " (others.len()) }
                        (picture(&others))
                    }
                }
            }
        }
    })
}

/// Returns true for the undisturbed boots, which come first.
fn is_plain(boot: &BootTimeline) -> bool {
    matches!(boot.name.as_str(), "cold" | "warm")
}

/// The same boots as a table, which is also the legend and has the phases that are too short for a label.
fn table(boots: &[BootBar<'_>]) -> Markup {
    let mut phases: Vec<&str> = Vec::new();
    for phase in boots.iter().flat_map(|boot| &boot.timeline.phases) {
        if !phases.contains(&phase.phase.as_str()) {
            phases.push(&phase.phase);
        }
    }
    html! {
        div.scroll {
            table.numbers {
                thead { tr {
                    th scope="col" { "phase" }
                    @for boot in boots { th scope="col" { (boot.timeline.name) } }
                } }
                tbody {
                    @for phase in phases {
                        tr {
                            th scope="row" { span class=(format!("swatch {}", class(phase))) {} (phase) }
                            @for boot in boots { td { (milliseconds(duration(boot, phase))) } }
                        }
                    }
                    tr {
                        th scope="row" { span.swatch.ready {} "ready, from the container's start" }
                        @for boot in boots {
                            td { (milliseconds(boot.timeline.ready_ms)) }
                        }
                    }
                }
            }
        }
    }
}

/// Duration of a phase in milliseconds, if the boot completed it.
fn duration(boot: &BootBar<'_>, phase: &str) -> Option<u64> {
    boot.timeline.phases.iter().find(|done| done.phase == phase).map(|done| done.ms)
}

fn milliseconds(ms: Option<u64>) -> String {
    ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn cold_and_warm_boots_come_first_and_others_are_folded() {
        let text = section(&fixture::report()).unwrap().into_string();
        let (main, others) = text.split_once("<details>").unwrap();
        assert!(main.contains("aria-label=\"cold: 8 phases in 5832 ms, ready after 8210 ms; warm: 8 phases"), "{main}");
        assert!(main.contains("bootstrap 5072 ms") && main.contains("<td>1310 ms</td>"), "{main}");
        assert!(!main.contains("cut off") && others.contains("cut off"), "{others}");
    }

    #[test]
    fn a_report_without_boots_has_no_such_section() {
        let mut report = fixture::report();
        report.checks.truncate(1);
        assert!(section(&report).is_none());
    }
}
