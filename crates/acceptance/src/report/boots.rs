//! "Boot timelines": the phases of boots, as a picture and as numbers.

use maud::{Markup, html};

use super::bars::{Boot, class, picture};
use crate::model::{BootTimeline, Report};

/// The section, if any boot was seen.
pub(super) fn section(report: &Report) -> Option<Markup> {
    let all = report
        .checks
        .iter()
        .flat_map(|check| check.evidence.boots.iter().map(|timeline| Boot { check: check.name, timeline }));
    let (mut main, mut others): (Vec<Boot<'_>>, Vec<_>) =
        all.filter(|boot| !boot.timeline.phases.is_empty()).partition(|boot| is_plain(boot.timeline));
    if main.is_empty() {
        std::mem::swap(&mut main, &mut others);
    }
    // More columns of numbers than these no phone is wide enough for.
    others.splice(0..0, main.split_off(main.len().min(3)));
    (!main.is_empty()).then(|| {
        html! {
            section aria-labelledby="boots" {
                h2 #boots { "Boot timelines" }
                p {
                    "Each bar is one boot: its phases, then, in grey, what the container and the server took to start. "
                    "All have the same scale."
                }
                (picture(&main))
                (table(&main))
                @if !others.is_empty() {
                    details {
                        summary { "Boots of other checks, with a scale of their own: " (others.len()) }
                        (picture(&others))
                    }
                }
            }
        }
    })
}

/// The undisturbed boots, which everybody wants to see first.
fn is_plain(boot: &BootTimeline) -> bool {
    matches!(boot.name.as_str(), "cold" | "warm")
}

/// The same as numbers: a legend, and what is too short for a label.
fn table(boots: &[Boot<'_>]) -> Markup {
    let mut phases: Vec<&str> = Vec::new();
    for phase in boots.iter().flat_map(|boot| &boot.timeline.phases) {
        if !phases.contains(&phase.phase.as_str()) {
            phases.push(&phase.phase);
        }
    }
    let ms = |boot: &Boot<'_>, name: &str| {
        let phase = boot.timeline.phases.iter().find(|phase| phase.phase == name);
        phase.map_or_else(|| "–".to_owned(), |phase| format!("{} ms", phase.ms))
    };
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
                            @for boot in boots { td { (ms(boot, phase)) } }
                        }
                    }
                    tr {
                        th scope="row" { span.swatch.ready {} "ready, from the container's start" }
                        @for boot in boots {
                            td { (boot.timeline.ready_ms.map_or("–".to_owned(), |ms| format!("{ms} ms"))) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn cold_and_warm_come_first_and_others_are_folded_away() {
        let text = section(&fixture::report()).unwrap().into_string();
        let (main, others) = text.split_once("<details>").unwrap();
        assert!(main.contains("aria-label=\"cold: 8 phases in 5832 ms, ready after 8210 ms; warm: 8 phases"), "{main}");
        assert!(main.contains("bootstrap 5072 ms") && main.contains("<td>1310 ms</td>"), "{main}");
        assert!(!main.contains("cut off") && others.contains("cut off"), "{others}");
    }

    #[test]
    fn a_run_without_boots_has_no_picture_of_them() {
        let mut report = fixture::report();
        report.checks.truncate(1);
        assert!(section(&report).is_none());
    }
}
