//! `docs/benchmarks.svg`: seconds as bars, ours beside the shell's. Plain SVG, no script, readable on light and dark.

use std::fmt::Write as _;

use super::model::{By, Figure, find};
use super::stats::show_ratio;
use grammar::Part;

use super::names;

/// The pairs that are shown.
const PAIRS: [(Part, &str, &str); 6] = [
    (Part::Gate, names::COLD_GATE, "cold start to exec"),
    (Part::Gate, names::WARM_GATE, "warm start to exec"),
    (Part::Gate, names::COLD_SERVE, "cold start to answer"),
    (Part::Gate, names::WARM_SERVE, "warm start to answer"),
    (Part::Process, names::WARM_BOOT, "warm boot, process"),
    (Part::Migrations, names::APPLY, "1,000 small migrations"),
];

const WIDTH: f64 = 860.0;
const LEFT: f64 = 210.0;
/// Room for a value behind the longest bar.
const RIGHT: f64 = 190.0;
const TOP: f64 = 56.0;
const BAR: f64 = 16.0;
const PAIR: f64 = 54.0;

/// A pair that was measured.
struct Pair<'a> {
    title: &'a str,
    ours: &'a Figure,
    shell: &'a Figure,
}

/// The picture of all pairs that were measured. Each pair has a scale of its own: a warm boot would not be seen beside
/// a thousand migrations.
pub(crate) fn render(figures: &[Figure]) -> String {
    let pairs: Vec<Pair<'_>> = PAIRS
        .iter()
        .filter_map(|(part, what, title)| {
            let figure = |by| find(figures, *part, what, by);
            Some(Pair { title, ours: figure(By::Ours)?, shell: figure(By::Shell)? })
        })
        .collect();
    let height = TOP + PAIR * pairs.len() as f64 + 8.0;
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" aria-label="Seconds, trm-directus beside the shell pipeline">
<style>
  text {{ font: 13px system-ui, sans-serif; fill: #24292f; }}
  .title {{ font-weight: 600; }}
  .muted {{ fill: #57606a; }}
  .ours {{ fill: #1a7f5a; }}
  .shell {{ fill: #b0b7bf; }}
  .spread {{ stroke: #57606a; stroke-width: 1.5; }}
</style>
<rect width="100%" height="100%" rx="6" fill="#ffffff"/>
<rect class="ours" x="{LEFT}" y="18" width="12" height="12" rx="2"/><text x="{}" y="29">trm-directus</text>
<rect class="shell" x="{}" y="18" width="12" height="12" rx="2"/><text x="{}" y="29">shell pipeline</text>
<text class="muted" x="{}" y="29">medians; each pair to its own scale; lines: the spread</text>
"##,
        LEFT + 18.0,
        LEFT + 118.0,
        LEFT + 136.0,
        LEFT + 240.0,
    );
    for (index, pair) in pairs.iter().enumerate() {
        draw(&mut svg, pair, TOP + PAIR * index as f64);
    }
    svg + "</svg>\n"
}

fn draw(svg: &mut String, pair: &Pair<'_>, top: f64) {
    let largest = pair.ours.sample.max().max(pair.shell.sample.max()).max(f64::MIN_POSITIVE);
    let place = |value: f64| value / largest * (WIDTH - LEFT - RIGHT);
    let (title, x) = (pair.title, LEFT - 14.0);
    push(svg, format!(r#"<text class="title" x="{x}" y="{:.1}" text-anchor="end">{title}</text>"#, top + 21.0));
    for (figure, class, y) in [(pair.ours, "ours", top), (pair.shell, "shell", top + BAR + 2.0)] {
        let sample = &figure.sample;
        let (median, min, max) = (place(sample.median()), place(sample.min()), place(sample.max()));
        // Even the shortest can be seen.
        let width = median.max(1.5);
        push(svg, format!(r#"<rect class="{class}" x="{LEFT}" y="{y:.1}" width="{width:.1}" height="{BAR}" rx="2"/>"#));
        let middle = y + BAR / 2.0;
        if max - min > 2.0 {
            let (from, to) = (LEFT + min, LEFT + max);
            let line = format!(r#"x1="{from:.1}" x2="{to:.1}" y1="{middle:.1}" y2="{middle:.1}""#);
            push(svg, format!(r#"<line class="spread" {line}/>"#));
        }
        let ratio = match figure.by {
            By::Ours if pair.shell.sample.median() > 0.0 => {
                format!(" ({})", show_ratio(sample.median() / pair.shell.sample.median()))
            }
            _ => String::new(),
        };
        let value = figure.unit.show(sample.median());
        push(
            svg,
            format!(r#"<text x="{:.1}" y="{:.1}">{value}{ratio}</text>"#, LEFT + max.max(width) + 8.0, middle + 4.5),
        );
    }
}

fn push(svg: &mut String, line: String) {
    writeln!(svg, "{line}").expect("a string takes any text");
}

#[cfg(test)]
mod tests {
    use super::super::document::tests::report;
    use super::render;

    #[test]
    fn a_bar_is_as_long_as_its_share_of_the_longest_in_its_pair() {
        let svg = render(&report().figures);
        // 2.5 s and 10 s, where 12 s was the slowest, on 460 units.
        assert!(svg.contains(r#"class="ours" x="210" y="56.0" width="95.8""#), "{svg}");
        assert!(svg.contains(r#"class="shell" x="210" y="74.0" width="383.3""#), "{svg}");
        assert!(svg.contains(">2.50 s (0.25×)</text>"), "{svg}");
    }

    #[test]
    fn a_bar_that_is_too_short_is_seen_all_the_same() {
        assert!(render(&report().figures).contains(r#"width="1.5""#));
    }

    #[test]
    fn what_was_not_measured_is_not_drawn() {
        let svg = render(&report().figures);
        assert!(!svg.contains("1,000 small migrations"));
        assert!(render(&[]).ends_with("</svg>\n"));
    }
}
