//! Boots as horizontal bars on a common scale.
//!
//! Positions are percentages instead of a scaled `viewBox`, so that text keeps its size on a phone.

use maud::{Markup, html};

use crate::model::{BootTimeline, PhaseTime};

/// Height in pixels of a bar with the text above it.
const ROW: usize = 98;
/// Minimum width of the picture in pixels on a phone, a tablet and a screen, and the class of the style sheet for each.
const WIDTHS: [(f64, &str); 3] = [(300.0, "fits-narrow"), (590.0, "fits-medium"), (960.0, "fits-wide")];

/// A boot, and the name of the check that ran it.
#[derive(Clone, Copy)]
pub(super) struct BootBar<'a> {
    pub(super) check: &'static str,
    pub(super) timeline: &'a BootTimeline,
}

/// The picture of boots that share a scale.
pub(super) fn picture(boots: &[BootBar<'_>]) -> Markup {
    let longest = boots.iter().map(|boot| total(boot.timeline).max(boot.timeline.ready_ms.unwrap_or(0))).max();
    // Leaves room at the end for the last marker.
    let scale = longest.unwrap_or(0).max(1) as f64 * 1.02;
    let label = boots.iter().map(|boot| format!("{}: {}", boot.timeline.name, figures(boot.timeline)));
    html! {
        svg.boots role="img" width="100%" height=(boots.len() * ROW + 24)
            aria-label=(label.collect::<Vec<_>>().join("; ")) {
            @for (index, boot) in boots.iter().enumerate() {
                (bar(boot, index * ROW, scale))
            }
            (axis(boots.len() * ROW, scale))
        }
    }
}

fn phases_in(boot: &BootTimeline) -> String {
    format!("{} phases in {} ms", boot.phases.len(), total(boot))
}

fn figures(boot: &BootTimeline) -> String {
    let ready = boot.ready_ms.map(|ms| format!(", ready after {ms} ms")).unwrap_or_default();
    format!("{}{ready}", phases_in(boot))
}

fn bar(boot: &BootBar<'_>, top: usize, scale: f64) -> Markup {
    let timeline = boot.timeline;
    let mut phases = Vec::new();
    let mut end = 0;
    for phase in &timeline.phases {
        phases.push((phase, percent(end, scale), percent(phase.ms, scale)));
        end += phase.ms;
    }
    html! {
        text x="0" y=(top + 14) {
            tspan.strong { (timeline.name) } " "
            // Omits the name of the check if it contains that of the boot.
            @if !boot.check.contains(&timeline.name) { tspan.quiet { (boot.check) } }
        }
        text.quiet x="0" y=(top + 31) { (phases_in(timeline)) }
        @if let Some(ready) = timeline.ready_ms.filter(|ready| *ready > end) {
            @let (start, width) = (percent(end, scale), percent(ready - end, scale));
            (segment("p-server", top, start, width, "start of the container and of the server"))
            (labels("on-track", top, start, width, ["container and server", "server"]))
        }
        @for (phase, start, width) in &phases {
            (segment(&class(&phase.phase), top, *start, *width, &title(phase)))
            (labels("on-phase", top, *start, *width, [&title(phase), &format!("{} ms", phase.ms)]))
        }
        @if let Some(ready) = timeline.ready_ms {
            @let at = percent(ready, scale);
            line.ready x1=(place(at)) x2=(place(at)) y1=(top + 36) y2=(top + 71) {}
            text.ready x=(place(at)) y=(top + 84) text-anchor=(if at < 25.0 { "start" } else { "end" }) {
                "ready " (ready) " ms"
            }
        }
    }
}

fn segment(class: &str, top: usize, start: f64, width: f64, title: &str) -> Markup {
    html! {
        rect class=(class) x=(place(start)) y=(top + 38) width=(place(width)) height="28" { title { (title) } }
    }
}

/// For each width of the picture, the longest of the labels that fits.
fn labels(class: &str, top: usize, start: f64, width: f64, texts: [&str; 2]) -> Markup {
    html! {
        @for (widths, text) in fitting(width, texts) {
            text class=(format!("{class} {widths}")) x=(place(start + width / 2.0)) y=(top + 57) text-anchor="middle" {
                (text)
            }
        }
    }
}

/// The texts that fit, each with the classes of the style sheet for the widths at which it is shown. The first text is
/// preferred; `share` is the width of the bar in percent.
fn fitting(share: f64, texts: [&str; 2]) -> Vec<(String, String)> {
    let mut fitting: Vec<(String, String)> = Vec::new();
    for (width, class) in WIDTHS {
        // A letter of the 13 px font is at most 7.2 px wide; 8 px stay free at the ends.
        let letters = ((share / 100.0 * width - 8.0) / 7.2).max(0.0) as usize;
        let Some(text) = texts.into_iter().find(|text| text.chars().count() <= letters) else { continue };
        match fitting.last_mut() {
            Some((classes, last)) if last == text => *classes += &format!(" {class}"),
            _ => fitting.push((class.to_owned(), text.to_owned())),
        }
    }
    fitting
}

fn axis(top: usize, scale: f64) -> Markup {
    // Round steps, at most six of them.
    let steps = [100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5];
    let step = steps.into_iter().find(|step| scale / step <= 6.0).unwrap_or(1e6);
    let ticks = (0..=(scale / step) as usize).map(|tick| tick as f64 * step);
    html! {
        line.axis x1="0" x2="100%" y1=(top) y2=(top) {}
        @for ms in ticks {
            @let x = place(ms / scale * 100.0);
            line.axis x1=(x) x2=(x) y1=(top) y2=(top + 5) {}
            @let anchor = if ms == 0.0 { "start" } else if ms / scale > 0.95 { "end" } else { "middle" };
            text.quiet x=(x) y=(top + 19) text-anchor=(anchor) {
                @if step < 1e3 { (format!("{:.1} s", ms / 1e3)) } @else { (format!("{:.0} s", ms / 1e3)) }
            }
        }
    }
}

/// The class of the style sheet with the colour of a phase.
pub(super) fn class(phase: &str) -> String {
    contract::Phase::from_name(phase).map_or("p-server".to_owned(), |phase| format!("p-{phase}"))
}

fn total(boot: &BootTimeline) -> u64 {
    boot.phases.iter().map(|phase| phase.ms).sum()
}

fn title(phase: &PhaseTime) -> String {
    format!("{} {} ms", phase.phase, phase.ms)
}

/// The share of a duration of the scale, in percent.
fn percent(ms: u64, scale: f64) -> f64 {
    ms as f64 / scale * 100.0
}

fn place(percent: f64) -> String {
    format!("{percent:.2}%")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{boots, fixture};

    /// The number of an attribute in percent.
    fn attribute(rect: &str, name: &str) -> f64 {
        let (_, rest) = rect.split_once(&format!(" {name}=\"")).unwrap();
        rest.split_once('%').unwrap().0.parse().unwrap()
    }

    #[test]
    fn bars_are_adjacent_and_stay_inside_the_picture() {
        let text = boots::section(&fixture::report()).unwrap().into_string();
        let rects = text.split("<rect ").skip(1).filter(|rect| !rect.contains("p-server"));
        let mut end = 0.0_f64;
        for rect in rects {
            let (start, width) = (attribute(rect, "x"), attribute(rect, "width"));
            assert!(start == 0.0 || (start - end).abs() < 0.02, "{rect}");
            end = start + width;
            assert!(end <= 100.0, "{rect}");
        }
    }

    #[test]
    fn a_label_is_shown_only_where_it_fits() {
        assert_eq!(fitting(1.0, ["bootstrap 5072 ms", "5072 ms"]), []);
        let both = fitting(20.0, ["bootstrap 5072 ms", "5072 ms"]);
        let short = ("fits-narrow fits-medium".to_owned(), "5072 ms".to_owned());
        assert_eq!(both, [short, ("fits-wide".to_owned(), "bootstrap 5072 ms".to_owned())]);
    }
}
