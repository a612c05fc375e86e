//! Figures as tables: one row per metric, one column per subject, and the ratio of the two contenders.

use testbed::ui;

use super::model::{BenchReport, Figure, Subject, find, growth_of, median};
use super::stats::{Unit, show_ratio};
use grammar::{BenchPart, ValueEnum as _};

use super::{metrics, parts};

/// A table of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// Heads of the columns.
    pub(crate) head: Vec<String>,
    /// Rows with one cell per column.
    pub(crate) rows: Vec<Vec<String>>,
}

/// Returns the table of a part; `None` if it was not measured. Cells contain the number of measurements unless it is 1
/// or `runs`.
pub(crate) fn of(figures: &[Figure], part: BenchPart, runs: usize) -> Option<Table> {
    if part == BenchPart::Growth {
        return growth(figures, runs);
    }
    let mine: Vec<&Figure> = figures.iter().filter(|figure| figure.part == part).collect();
    let mut subjects: Vec<Subject> = mine.iter().map(|figure| figure.subject).collect();
    subjects.sort();
    subjects.dedup();
    let mut whats: Vec<&str> = Vec::new();
    for figure in &mine {
        if !whats.contains(&figure.what.as_str()) {
            whats.push(&figure.what);
        }
    }
    let compared = subjects.contains(&Subject::Ours) && subjects.contains(&Subject::Shell);
    let titles = subjects.iter().map(|subject| subject.title().to_owned());
    let ratio_head = compared.then(|| "ours / shell".to_owned());
    let head = std::iter::once(String::new()).chain(titles).chain(ratio_head).collect();
    let rows = whats.into_iter().map(|what| {
        let found = subjects.iter().map(|subject| find(figures, part, what, *subject));
        let cells = found.map(|figure| figure.map(|figure| cell(figure, runs)).unwrap_or_default());
        let ratio = compared.then(|| ratio(figures, part, what).unwrap_or_default());
        std::iter::once(what.to_owned()).chain(cells).chain(ratio).collect()
    });
    (!mine.is_empty()).then(|| Table { head, rows: rows.collect() })
}

/// Returns the table of the generated data models: one column per size, and the growth from the smallest to the
/// largest.
fn growth(figures: &[Figure], runs: usize) -> Option<Table> {
    let part = BenchPart::Growth;
    let [smallest, .., largest] = metrics::MODEL_SIZES;
    let sizes = metrics::MODEL_SIZES.map(|tables| format!("{tables} tables"));
    let head = std::iter::once(String::new()).chain(sizes).chain([format!("{largest} / {smallest}")]).collect();
    let mut rows = Vec::new();
    for figure in figures.iter().filter(|figure| figure.part == part) {
        let Some((what, _)) = figure.what.split_once(metrics::with_tables("", smallest).as_str()) else { continue };
        let found = metrics::MODEL_SIZES
            .map(|tables| find(figures, part, &metrics::with_tables(what, tables), figure.subject))
            .map(|figure| figure.map(|figure| cell(figure, runs)).unwrap_or_default());
        let ratio = growth_of(figures, what).map(show_ratio).unwrap_or_default();
        rows.push(std::iter::once(what.to_owned()).chain(found).chain([ratio]).collect());
    }
    (!rows.is_empty()).then_some(Table { head, rows })
}

fn cell(figure: &Figure, runs: usize) -> String {
    let times = figure.sample.len();
    let shown = figure.unit.show_sample(&figure.sample);
    if times == 1 || times == runs { shown } else { format!("{shown}, {times} times") }
}

fn ratio(figures: &[Figure], part: BenchPart, what: &str) -> Option<String> {
    let (ours, shell) = (find(figures, part, what, Subject::Ours)?, find(figures, part, what, Subject::Shell)?);
    // Not comparable if different numbers succeed: a container is not slowed down by others that failed.
    let succeed = metrics::survive(what);
    let [our_number, shell_number] =
        [Subject::Ours, Subject::Shell].map(|subject| median(figures, part, &succeed, subject));
    let comparable = ours.unit != Unit::Count && shell.sample.median() > 0.0 && our_number == shell_number;
    comparable.then(|| show_ratio(ours.sample.median() / shell.sample.median()))
}

/// Renders the whole report for a terminal.
pub(crate) fn render(report: &BenchReport) -> String {
    let mut text = String::new();
    for &part in BenchPart::value_variants() {
        let Some(Table { head, rows }) = of(&report.figures, part, report.runs) else { continue };
        text += &format!("{}\n{}\n\n", parts::title(part), aligned(std::iter::once(head).chain(rows).collect()));
    }
    let verdicts = report.verdicts.iter().map(|verdict| {
        let met = if verdict.met { "met" } else { "missed" };
        vec![met.to_owned(), verdict.measured.clone(), verdict.promise.clone()]
    });
    text += &format!("Thresholds\n{}", aligned(verdicts.collect()));
    text.trim_end().to_owned()
}

fn aligned(rows: Vec<Vec<String>>) -> String {
    // Number of columns of the widest table; other tables have empty columns.
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
    fn contenders_have_a_ratio_and_other_subjects_have_columns() {
        let mut figures = Figures::default();
        for seconds in [1.0, 2.0, 3.0] {
            figures.seconds(BenchPart::Process, "boot", Subject::Ours, seconds);
        }
        for seconds in [8.0, 9.0] {
            figures.seconds(BenchPart::Process, "boot", Subject::Shell, seconds);
        }
        figures.seconds(BenchPart::Process, "connect", Subject::Connect, 0.004);
        let table = of(&figures.0, BenchPart::Process, 2).unwrap();
        assert_eq!(table.head, ["", "trm-directus", "shell", "bare connect", "ours / shell"]);
        assert_eq!(table.rows[0], ["boot", "2 s (1 s – 3 s), 3 times", "8.50 s (8 s – 9 s)", "", "0.24×"]);
        assert_eq!(table.rows[1], ["connect", "", "", "4 ms", ""]);
        assert_eq!(of(&figures.0, BenchPart::Startup, 2), None);
    }

    #[test]
    fn durations_are_not_compared_if_different_numbers_succeed() {
        let mut figures = Figures::default();
        for (by, alive) in [(Subject::Ours, 5.0), (Subject::Shell, 1.0)] {
            figures.seconds(BenchPart::Replicas, "cold", by, 10.0);
            figures.add(BenchPart::Replicas, &metrics::survive("cold"), by, Unit::Count, alive);
        }
        assert_eq!(of(&figures.0, BenchPart::Replicas, 1).unwrap().rows[0], ["cold", "10 s", "10 s", ""]);
    }

    #[test]
    fn figures_of_data_models_have_a_column_per_size_and_their_growth() {
        let mut figures = Figures::default();
        for (tables, seconds) in [(10, 1.0), (50, 2.0), (500, 6.0)] {
            for what in ["cold boot", "cold boot: schema"] {
                figures.seconds(BenchPart::Growth, &metrics::with_tables(what, tables), Subject::Ours, seconds);
            }
        }
        let table = of(&figures.0, BenchPart::Growth, 1).unwrap();
        assert_eq!(table.head, ["", "10 tables", "50 tables", "100 tables", "500 tables", "500 / 10"]);
        assert_eq!(table.rows[0], ["cold boot", "1 s", "2 s", "", "6 s", "6×"]);
        assert_eq!(table.rows[1][0], "cold boot: schema");
    }

    #[test]
    fn counts_have_no_ratio() {
        let mut figures = Figures::default();
        figures.add(BenchPart::Replicas, "survive", Subject::Ours, Unit::Count, 5.0);
        figures.add(BenchPart::Replicas, "survive", Subject::Shell, Unit::Count, 1.0);
        assert_eq!(of(&figures.0, BenchPart::Replicas, 1).unwrap().rows, [["survive", "5", "1", ""]]);
    }
}
