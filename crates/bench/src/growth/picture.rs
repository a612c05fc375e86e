//! The picture of the growth: each duration over that with the smallest model, on logarithmic axes, next to the growth
//! of the model.

use std::fmt::Write as _;

use super::super::metrics::{self, MODEL_SIZES};
use super::super::model::{Figure, Subject, growth_of, median};
use super::super::stats::{Unit, show_ratio};
use grammar::BenchPart;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 470.0;
/// Space around the plot: left, top, right (with the labels of the lines), bottom.
const MARGINS: [f64; 4] = [58.0, 50.0, 262.0, 52.0];
/// The vertical axis begins below 1, because a duration may shrink.
const LOWEST: f64 = 0.5;
/// Minimum distance of two labels of two lines of text each.
const LABEL: f64 = 40.0;
/// The metrics, and the class of the style sheet for each.
const LINES: [(&str, &str); 4] = [
    (metrics::COLD_BOOT, "cold"),
    (metrics::UPGRADE_BOOT, "upgrade"),
    (metrics::PLAN, "plan"),
    (metrics::WARM_MODEL_BOOT, "warm"),
];
const STYLE: &str = "text { font: 14px system-ui, sans-serif; fill: #1f2328 } .quiet { fill: #59636e; font-size: 13px }
  .title { font-weight: 600; font-size: 16px } .background { fill: #ffffff } .grid { stroke: #d1d9e0 }
  .linear { stroke: #59636e; stroke-dasharray: 6 5; stroke-width: 1.5 } polyline { fill: none; stroke-width: 2.5 }
  .leader { stroke: #8c959f; stroke-width: 1 }
  .cold { stroke: #0969da } .upgrade { stroke: #bc4c00 } .plan { stroke: #8250df } .warm { stroke: #1a7f37 }
  circle.cold { fill: #0969da } circle.upgrade { fill: #bc4c00 } circle.plan { fill: #8250df }
  circle.warm { fill: #1a7f37 }";

/// A metric in the picture.
struct Line {
    what: &'static str,
    class: &'static str,
    /// Positions in pixels.
    points: Vec<(f64, f64)>,
    /// The growth, and the durations with the smallest and the largest model.
    growth: String,
    durations: String,
}

/// Returns the picture as SVG; `None` if a figure of it was not measured.
pub(crate) fn render(figures: &[Figure]) -> Option<String> {
    let lines: Vec<Line> = LINES.iter().map(|(what, class)| line(figures, what, class)).collect::<Option<_>>()?;
    let described: Vec<String> = lines.iter().map(|line| format!("{} {}", line.what, line.growth)).collect();
    let mut svg = format!(
        // A comment of XML cannot contain the name of the option.
        "<!-- Written by `cargo xtask bench`; changes by hand are lost. -->
<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">
<style>{STYLE}</style>
<rect class=\"background\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n",
        described.join("; ")
    );
    axes(&mut svg);
    let mut ends: Vec<&Line> = lines.iter().collect();
    ends.sort_by(|one, other| other.end().1.total_cmp(&one.end().1));
    let heights = spread(ends.iter().map(|line| line.end().1));
    for (line, height) in ends.into_iter().zip(heights) {
        draw(&mut svg, line, height);
    }
    svg += "</svg>\n";
    Some(svg)
}

fn line(figures: &[Figure], what: &'static str, class: &'static str) -> Option<Line> {
    let of = |tables| median(figures, BenchPart::Growth, &metrics::with_tables(what, tables), Subject::Ours);
    let durations: Vec<f64> = MODEL_SIZES.map(of).into_iter().collect::<Option<_>>()?;
    let (first, last) = (*durations.first()?, *durations.last()?);
    let points = MODEL_SIZES.iter().zip(&durations).map(|(tables, seconds)| point(*tables as f64, seconds / first));
    Some(Line {
        what,
        class,
        points: points.collect(),
        growth: show_ratio(growth_of(figures, what)?),
        durations: format!("{} to {}", Unit::Seconds.show(first), Unit::Seconds.show(last)),
    })
}

impl Line {
    fn end(&self) -> (f64, f64) {
        self.points[self.points.len() - 1]
    }
}

/// Returns the position of a number of tables and a growth, in pixels.
fn point(tables: f64, growth: f64) -> (f64, f64) {
    let [left, top, right, bottom] = MARGINS;
    let [smallest, .., largest] = MODEL_SIZES.map(|tables| tables as f64);
    let x = (tables / smallest).ln() / (largest / smallest).ln();
    let y = (growth / LOWEST).ln() / (largest / smallest / LOWEST).ln();
    (left + x * (WIDTH - left - right), HEIGHT - bottom - y * (HEIGHT - top - bottom))
}

fn axes(svg: &mut String) {
    let [smallest, .., largest] = MODEL_SIZES.map(|tables| tables as f64);
    let (left, bottom) = point(smallest, LOWEST);
    let (right, top) = point(largest, largest / smallest);
    let mut add = |text: String| *svg += &text;
    let title = "Growth of the boot's durations with the data model";
    add(format!("<text class=\"title\" x=\"14\" y=\"24\">{title}</text>\n"));
    for growth in [1.0, 2.0, 5.0, 10.0, 20.0, 50.0] {
        let (_, y) = point(smallest, growth);
        add(format!(
            "<line class=\"grid\" x1=\"{left:.1}\" x2=\"{right:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"quiet\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{growth}×</text>\n",
            left - 8.0,
            y + 4.5
        ));
    }
    for tables in MODEL_SIZES {
        let (x, _) = point(tables as f64, 1.0);
        add(format!(
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>\
             <text class=\"quiet\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{tables}</text>\n",
            bottom + 20.0
        ));
    }
    add(format!(
        "<text class=\"quiet\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">tables</text>\n",
        (left + right) / 2.0,
        bottom + 40.0
    ));
    let (_, start) = point(smallest, 1.0);
    // The label is to the left of the middle of the line.
    let middle = (smallest * largest).sqrt();
    let (x, y) = point(middle, middle / smallest);
    add(format!(
        "<line class=\"linear\" x1=\"{left:.1}\" y1=\"{start:.1}\" x2=\"{right:.1}\" y2=\"{top:.1}\"/>\
         <text class=\"quiet\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">the model: {}</text>\n",
        x - 12.0,
        y - 4.0,
        show_ratio(largest / smallest)
    ));
}

/// Moves labels upwards until none overlaps another; the heights are in pixels from the top, the lowest label first.
fn spread(heights: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut placed: Vec<f64> = Vec::new();
    for height in heights {
        placed.push(placed.last().map_or(height, |last| height.min(last - LABEL)));
    }
    placed
}

/// Draws a line, and its label at this height.
fn draw(svg: &mut String, line: &Line, height: f64) {
    let Line { what, class, points, growth, durations } = line;
    let (x, y) = line.end();
    let list: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    write!(svg, "<polyline class=\"{class}\" points=\"{}\"/>", list.join(" ")).expect("writing to a String succeeds");
    for (x, y) in points {
        write!(svg, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>")
            .expect("writing to a String succeeds");
    }
    let (near, far) = (x + 6.0, x + 26.0);
    writeln!(
        svg,
        "<line class=\"leader\" x1=\"{near:.1}\" y1=\"{y:.1}\" x2=\"{far:.1}\" y2=\"{height:.1}\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\">{what}: {growth}</text>\
         <text class=\"quiet\" x=\"{:.1}\" y=\"{:.1}\">{durations}</text>",
        far + 6.0,
        height - 1.0,
        far + 6.0,
        height + 15.0
    )
    .expect("writing to a String succeeds");
}

#[cfg(test)]
mod tests {
    use super::super::super::model::Figures;
    use super::*;

    #[test]
    fn the_picture_has_a_labelled_line_per_metric_and_stays_inside_its_frame() {
        let mut figures = Figures::default();
        assert_eq!(render(&figures.0), None);
        for (what, growth) in [
            (metrics::COLD_BOOT, 50.0_f64),
            (metrics::UPGRADE_BOOT, 9.0),
            (metrics::PLAN, 8.9),
            (metrics::WARM_MODEL_BOOT, 1.0),
        ] {
            for tables in MODEL_SIZES {
                let seconds = growth.powf((tables as f64 / 10.0).ln() / 50.0_f64.ln());
                figures.seconds(BenchPart::Growth, &metrics::with_tables(what, tables), Subject::Ours, seconds);
            }
        }
        let svg = render(&figures.0).unwrap();
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert_eq!(svg.matches("--").count(), 2, "a comment of XML ends at the first two hyphens");
        for text in [">cold boot: 50×<", ">1 s to 9 s<", ">plan without changes: 8.90×<", ">the model: 50×<"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        for (start, most) in [(" cx=\"", WIDTH), (" cy=\"", HEIGHT), (" x=\"", WIDTH), (" y=\"", HEIGHT)] {
            for rest in svg.split(start).skip(1) {
                let number: f64 = rest.split_once('"').unwrap().0.parse().unwrap();
                assert!((0.0..=most).contains(&number), "{start}{number}");
            }
        }
    }

    #[test]
    fn labels_of_similar_growth_do_not_overlap() {
        assert_eq!(spread([400.0, 390.0, 100.0].into_iter()), [400.0, 360.0, 100.0]);
    }
}
