//! The section "Rolls": the phases of each replica and the load on them, on one scale of time.
//!
//! Positions are percentages, so that text keeps its size on a phone; only the curves are scaled, without their strokes.

use maud::{Markup, html};

use super::timeline::class;
use crate::model::{LoadSecond, ReplicaSpan, ReplicaTimeline, Roll, VerifyReport};

/// Height in pixels of the names of the moments.
const HEAD: usize = 40;
/// Height of a replica's bar with the text above it.
const ROW: usize = 36;
/// Height of the curves of latency and of the bars of requests, each with a gap above for its title.
const CURVES: usize = 120;
const BARS: usize = 56;
const GAP: usize = 40;
/// The latencies at the bottom and at the top of the curves, in milliseconds. The scale is logarithmic.
const LATENCIES: (f64, f64) = (1.0, 10_000.0);

/// The section; `None` if the report has no roll.
pub(super) fn section(report: &VerifyReport) -> Option<Markup> {
    let rolls: Vec<_> =
        report.checks.iter().flat_map(|check| check.evidence.rolls.iter().map(|roll| (check.name, roll))).collect();
    (!rolls.is_empty()).then(|| {
        html! {
            section aria-labelledby="rolls" {
                h2 #rolls { "Rolls" }
                p {
                    "Each bar is the container of one replica: the phases of its boot, its server until it is healthy, then "
                    "serving, then stopping. Below are the requests of a constant load through the proxy; a latency counts "
                    "from the time at which its request was due."
                }
                (legend(&rolls))
                @for (check, roll) in rolls {
                    h3 { (roll.name) " " span.quiet { (check) } }
                    (picture(roll))
                    (table(roll))
                }
            }
        }
    })
}

fn legend(rolls: &[(&str, &Roll)]) -> Markup {
    let spans = rolls.iter().flat_map(|(_, roll)| &roll.replicas).flat_map(visible);
    let mut phases: Vec<&str> = Vec::new();
    for span in spans {
        if !phases.contains(&span.phase.as_str()) {
            phases.push(&span.phase);
        }
    }
    html! {
        p.legend {
            @for phase in phases { span { span.swatch.(colour(phase)) {} (phase) } " " }
        }
    }
}

/// The phases that did not end before the load began.
fn visible(replica: &ReplicaTimeline) -> impl Iterator<Item = &ReplicaSpan> {
    replica.spans.iter().filter(|span| span.to > 0.0)
}

/// The class with the colour of a phase.
fn colour(phase: &str) -> String {
    match phase {
        "serving" => "p-serving".to_owned(),
        "stopping" => "p-stopping".to_owned(),
        phase => class(phase),
    }
}

fn picture(roll: &Roll) -> Markup {
    let curves = HEAD + roll.replicas.len() * ROW + GAP;
    let bars = curves + CURVES + GAP;
    let height = bars + BARS;
    html! {
        svg.boots role="img" width="100%" height=(height + 24)
            aria-label=(format!("{}: {} replicas over {:.0} s", roll.name, roll.replicas.len(), roll.seconds)) {
            @for (index, moment) in roll.moments.iter().enumerate() {
                @let x = percent(roll, moment.at);
                line.moment x1=(x) x2=(x) y1=(14 + index % 2 * 16) y2=(height) {}
                text x=(x) y=(12 + index % 2 * 16) text-anchor=(anchor(roll, moment.at)) { (moment.name) }
            }
            @for (index, replica) in roll.replicas.iter().enumerate() { (row(roll, replica, HEAD + index * ROW)) }
            (latencies(roll, curves))
            (requests(roll, bars))
            (axis(roll, height))
        }
    }
}

fn row(roll: &Roll, replica: &ReplicaTimeline, top: usize) -> Markup {
    let begin = visible(replica).map(|span| span.from).next().unwrap_or_default();
    html! {
        text x=(percent(roll, begin)) y=(top + 14) text-anchor=(anchor(roll, begin)) {
            tspan.strong { (replica.image) } tspan.quiet { " replica " (replica.slot) }
        }
        @for span in visible(replica) {
            @let from = span.from.max(0.0);
            rect class=(colour(&span.phase)) x=(percent(roll, from)) y=(top + 19) width=(percent(roll, span.to - from))
                height="12" { title { (span.phase) (format!(" {:.1} s", span.to - span.from)) } }
        }
    }
}

/// The median and the 99th percentile of each second.
fn latencies(roll: &Roll, top: usize) -> Markup {
    let y = |ms: f64| (1.0 - share(ms)) * CURVES as f64;
    let curve = |value: fn(&LoadSecond) -> u64| {
        let point = |second: &LoadSecond| format!("{:.1},{:.1}", second.second as f64 + 0.5, y(value(second) as f64));
        roll.load.iter().map(point).collect::<Vec<_>>().join(" ")
    };
    html! {
        text x="0" y=(top - 22) { tspan.strong { "Latency" } tspan.quiet { " of each second" } }
        text x="0" y=(top - 6) { tspan.p50 { "p50" } " " tspan.p99 { "p99" } }
        @for (ms, name) in [(1.0, "1 ms"), (10.0, "10 ms"), (100.0, "100 ms"), (1e3, "1 s"), (1e4, "10 s")] {
            @let at = top as f64 + y(ms);
            line.grid x1="0" x2="100%" y1=(at) y2=(at) {}
            text.quiet x="100%" y=(at - 2.0) text-anchor="end" { (name) }
        }
        svg x="0" y=(top) width="100%" height=(CURVES) preserveAspectRatio="none"
            viewBox=(format!("0 0 {:.1} {CURVES}", roll.seconds.max(1.0))) {
            polyline.p99 points=(curve(|second| second.p99_ms)) {}
            polyline.p50 points=(curve(|second| second.p50_ms)) {}
        }
    }
}

/// The place of a latency between the bottom and the top of the scale.
fn share(ms: f64) -> f64 {
    let (bottom, top) = LATENCIES;
    ((ms.max(bottom) / bottom).ln() / (top / bottom).ln()).min(1.0)
}

/// The number of requests in each second, failures in red from below.
fn requests(roll: &Roll, top: usize) -> Markup {
    let most = roll.load.iter().map(|second| second.requests).max().unwrap_or_default().max(1);
    let height = |number: usize| (number * BARS) as f64 / most as f64;
    let failed: usize = roll.load.iter().map(|second| second.failed).sum();
    html! {
        text x="0" y=(top - 8) {
            tspan.strong { "Requests" } tspan.quiet { ", up to " (most) " in a second; " }
            @if failed == 0 { tspan.quiet { "none failed" } } @else { tspan.failed { (failed) " failed" } }
        }
        @for second in &roll.load {
            @let (x, width) = (percent(roll, second.second as f64), percent(roll, 0.8));
            @for (class, number) in [("requests", second.requests), ("failed", second.failed)] {
                @if number > 0 {
                    rect class=(class) x=(x) y=(format!("{:.1}", (top + BARS) as f64 - height(number))) width=(width)
                        height=(format!("{:.1}", height(number))) {}
                }
            }
        }
    }
}

fn axis(roll: &Roll, top: usize) -> Markup {
    let step = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0].into_iter().find(|step| roll.seconds / step <= 10.0);
    let step = step.unwrap_or(120.0);
    html! {
        line.axis x1="0" x2="100%" y1=(top) y2=(top) {}
        @for tick in 0..=(roll.seconds / step) as usize {
            @let at = tick as f64 * step;
            line.axis x1=(percent(roll, at)) x2=(percent(roll, at)) y1=(top) y2=(top + 5) {}
            text.quiet x=(percent(roll, at)) y=(top + 19) text-anchor=(anchor(roll, at)) { (format!("{at:.0} s")) }
        }
    }
}

fn table(roll: &Roll) -> Markup {
    html! {
        div.scroll { table.numbers {
            thead { tr {
                th scope="col" { "load" }
                @for head in ["s", "requests", "writes", "failed", "p50 ms", "p99 ms", "longest ms"] {
                    th scope="col" { (head) }
                }
            } }
            tbody { @for period in &roll.periods { tr {
                th scope="row" { (period.name) }
                td { (format!("{:.1}", period.to - period.from)) }
                td { (period.requests) }
                td { (period.writes) }
                td { (period.failed) }
                td { (period.p50_ms) }
                td { (period.p99_ms) }
                td { (period.longest_ms) }
            } } }
        } }
    }
}

fn percent(roll: &Roll, seconds: f64) -> String {
    format!("{:.2}%", seconds.max(0.0) / roll.seconds.max(0.001) * 100.0)
}

/// Keeps a text inside the picture.
fn anchor(roll: &Roll, at: f64) -> &'static str {
    if at > roll.seconds * 0.85 { "end" } else { "start" }
}

#[cfg(test)]
mod tests {
    use super::{section, share};
    use crate::report::fixture;

    #[test]
    fn latencies_have_a_logarithmic_scale() {
        assert_eq!([share(0.0), share(1.0), share(100.0), share(1e6)], [0.0, 0.0, 0.5, 1.0]);
    }

    #[test]
    fn a_failed_request_is_red_and_counted_and_what_was_before_the_load_is_not_shown() {
        let text = section(&fixture::report()).unwrap().into_string();
        assert_eq!(text.matches("class=\"failed\"").count(), 2, "{text}");
        assert!(text.contains("1 failed") && text.contains(">update to B<"), "{text}");
        assert!(text.contains("p-serving") && !text.contains("p-config"), "{text}");
        assert!(!text.contains("x=\"-"), "{text}");
    }
}
