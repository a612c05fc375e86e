//! Figures as tables: a row for what was measured, a column for each who was, and the ratio of the two that compete.

use testbed::ui;

use super::model::{By, Figure, Report, find, median};
use super::stats::{Unit, show_ratio};
use grammar::Part;

use super::{names, parts};

/// A table of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// The columns' heads.
    pub(crate) head: Vec<String>,
    /// As many cells a row as there are heads.
    pub(crate) rows: Vec<Vec<String>>,
}

/// The table of a part; `None` if nothing of it was measured. A cell says how often only if that is neither once nor
/// `runs`.
pub(crate) fn of(figures: &[Figure], part: Part, runs: usize) -> Option<Table> {
    let mine: Vec<&Figure> = figures.iter().filter(|figure| figure.part == part).collect();
    let mut parties: Vec<By> = mine.iter().map(|figure| figure.by).collect();
    parties.sort();
    parties.dedup();
    let mut whats: Vec<&str> = Vec::new();
    for figure in &mine {
        if !whats.contains(&figure.what.as_str()) {
            whats.push(&figure.what);
        }
    }
    let compared = parties.contains(&By::Ours) && parties.contains(&By::Shell);
    let titles = parties.iter().map(|by| by.title().to_owned());
    let ratio_head = compared.then(|| "ours / shell".to_owned());
    let head = std::iter::once(String::new()).chain(titles).chain(ratio_head).collect();
    let rows = whats.into_iter().map(|what| {
        let cells = parties
            .iter()
            .map(|by| find(figures, part, what, *by).map(|figure| cell(figure, runs)).unwrap_or_default());
        let ratio = compared.then(|| ratio(figures, part, what).unwrap_or_default());
        std::iter::once(what.to_owned()).chain(cells).chain(ratio).collect()
    });
    (!mine.is_empty()).then(|| Table { head, rows: rows.collect() })
}

fn cell(figure: &Figure, runs: usize) -> String {
    let times = figure.sample.len();
    let shown = figure.unit.show_sample(&figure.sample);
    if times == 1 || times == runs { shown } else { format!("{shown}, {times} times") }
}

fn ratio(figures: &[Figure], part: Part, what: &str) -> Option<String> {
    let (ours, shell) = (find(figures, part, what, By::Ours)?, find(figures, part, what, By::Shell)?);
    // One that came through alone was not slowed down by those that died.
    let alive = |by| median(figures, part, &names::survive(what), by);
    let comparable = ours.unit != Unit::Count && shell.sample.median() > 0.0 && alive(By::Ours) == alive(By::Shell);
    comparable.then(|| show_ratio(ours.sample.median() / shell.sample.median()))
}

/// Everything, for people at a terminal.
pub(crate) fn render(report: &Report) -> String {
    let mut text = String::new();
    for part in Part::ALL {
        let Some(Table { head, rows }) = of(&report.figures, part, report.runs) else { continue };
        text += &format!("{}\n{}\n\n", parts::title(part), aligned(std::iter::once(head).chain(rows).collect()));
    }
    let bars = report.bars.iter().map(|bar| {
        let met = if bar.met { "met" } else { "missed" };
        vec![met.to_owned(), bar.measured.clone(), bar.promise.clone()]
    });
    text += &format!("Bars\n{}", aligned(bars.collect()));
    text.trim_end().to_owned()
}

fn aligned(rows: Vec<Vec<String>>) -> String {
    // As wide as the widest table: columns that it does not have are empty.
    const WIDEST: usize = 7;
    let rows: Vec<[String; WIDEST]> = rows
        .into_iter()
        .map(|row| std::array::from_fn(|column| row.get(column).cloned().unwrap_or_default()))
        .collect();
    ui::columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::super::model::Figures;
    use super::*;

    #[test]
    fn the_two_that_compete_have_a_ratio_and_others_have_columns_of_their_own() {
        let mut figures = Figures::default();
        for seconds in [1.0, 2.0, 3.0] {
            figures.seconds(Part::Process, "boot", By::Ours, seconds);
        }
        for seconds in [8.0, 9.0] {
            figures.seconds(Part::Process, "boot", By::Shell, seconds);
        }
        figures.seconds(Part::Process, "connect", By::Connect, 0.004);
        let table = of(&figures.0, Part::Process, 2).unwrap();
        assert_eq!(table.head, ["", "trm-directus", "shell", "bare connect", "ours / shell"]);
        assert_eq!(table.rows[0], ["boot", "2 s (1 s – 3 s), 3 times", "8.50 s (8 s – 9 s)", "", "0.24×"]);
        assert_eq!(table.rows[1], ["connect", "", "", "4 ms", ""]);
        assert_eq!(of(&figures.0, Part::Gate, 2), None);
    }

    #[test]
    fn times_of_different_numbers_of_survivors_are_not_compared() {
        let mut figures = Figures::default();
        for (by, alive) in [(By::Ours, 5.0), (By::Shell, 1.0)] {
            figures.seconds(Part::Replicas, "cold", by, 10.0);
            figures.add(Part::Replicas, &names::survive("cold"), by, Unit::Count, alive);
        }
        assert_eq!(of(&figures.0, Part::Replicas, 1).unwrap().rows[0], ["cold", "10 s", "10 s", ""]);
    }

    #[test]
    fn survivors_are_counted_and_not_divided() {
        let mut figures = Figures::default();
        figures.add(Part::Replicas, "survive", By::Ours, Unit::Count, 5.0);
        figures.add(Part::Replicas, "survive", By::Shell, Unit::Count, 1.0);
        assert_eq!(of(&figures.0, Part::Replicas, 1).unwrap().rows, [["survive", "5", "1", ""]]);
    }
}
