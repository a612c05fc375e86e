//! Renders `docs/BENCHMARKS.md`.

use super::model::{BenchMachine, BenchReport, Images, Origin, ThresholdVerdict};
use super::parts;
use super::table::{self, Table};
use grammar::{BenchPart, ValueEnum as _};
use testbed::ui;

/// File name of the picture of the growth, next to the document.
pub(crate) const PICTURE: &str = "growth.svg";

/// Renders the whole document.
pub(crate) fn render(report: &BenchReport) -> String {
    let mut text = format!(
        "<!-- Written by `cargo xtask bench --write`; changes by hand are lost. -->\n\n# Benchmarks\n\n\
         The image against the shell pipeline that it replaces ([crates/bench/shell](../crates/bench/shell)): the same Directus, with \
         bash, `psql` and `entrypoint.sh`. Both are measured in the same run, in turns (A, B, A, B), {} times each unless a cell \
         contains another number. Cells are medians, with minimum and maximum in brackets.\n\n\
         ## Thresholds\n\n",
        report.runs
    );
    let mut rows = Vec::new();
    for ThresholdVerdict { promise, measured, met } in &report.verdicts {
        let met = if *met { "met" } else { "**missed**" };
        rows.push(vec![promise.clone(), measured.clone(), met.to_owned()]);
    }
    text += &markdown(&Table { head: ["threshold", "measured", ""].map(str::to_owned).to_vec(), rows });
    text += &too_busy(&report.origin.machine).unwrap_or_default();
    let mut omitted = Vec::new();
    for &part in BenchPart::value_variants() {
        match table::of(&report.figures, part, report.runs) {
            Some(table) => {
                text += &format!("\n## {}\n\n{}\n\n{}", parts::title(part), parts::method(part), markdown(&table));
                if part == BenchPart::Growth {
                    text += &format!("\n![{}]({PICTURE})\n", parts::title(part));
                }
            }
            None => omitted.push(parts::title(part)),
        }
    }
    if !omitted.is_empty() {
        text += &format!("\nNot measured: {}.\n", omitted.join("; "));
    }
    text += "\n## Machine and images\n\n";
    text += &markdown(&surroundings(&report.origin));
    text + "\nDurations depend on the machine, ratios much less. Run `cargo xtask bench` on yours.\n"
}

/// Returns a warning if the machine was busy before the first measurement.
fn too_busy(machine: &BenchMachine) -> Option<String> {
    let load = machine.load_before.filter(|load| *load > machine.cores as f64 / 4.0)?;
    Some(format!(
        "\n**These figures are not reliable:** the machine was busy (load {load:.2} on {} processors) before the first \
         measurement. Measure again on an idle machine.\n",
        machine.cores
    ))
}

fn stand_in(is_stand_in: bool) -> &'static str {
    if is_stand_in { ", a stand-in" } else { "" }
}

fn surroundings(Origin { began, images, machine }: &Origin) -> Table {
    let Images { image, version, base, base_id, database, database_id, postgres, .. } = images;
    let BenchMachine { cores, processor, memory_bytes, kernel, engine, load_before } = machine;
    let processor = processor.as_deref().map(|name| format!(", {name}")).unwrap_or_default();
    let load = load_before.map_or("unknown".to_owned(), |load| format!("{load:.2} before the first measurement"));
    let rows = [
        ("date", began.clone()),
        ("image", format!("`{image}` {version}, `{}`", images.image_id)),
        ("shell", images.shell_id.as_ref().map_or("not measured".to_owned(), |id| format!("`{id}`"))),
        ("base", format!("`{base}`{}, `{base_id}`", stand_in(images.base_is_stand_in))),
        ("database", format!("`{database}`{}, `{database_id}`", stand_in(images.database_is_stand_in))),
        ("PostgreSQL", format!("{postgres}, defaults except for `max_connections`")),
        ("processors", format!("{cores}{processor}")),
        ("memory", ui::size(*memory_bytes)),
        ("load", load),
        ("kernel", kernel.clone()),
        ("engine", engine.clone()),
    ];
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    Table { head: vec![String::new(), String::new()], rows }
}

fn markdown(table: &Table) -> String {
    let rule = vec!["---".to_owned(); table.head.len()];
    let mut text = String::new();
    for row in [&table.head, &rule].into_iter().chain(&table.rows) {
        let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', r"\|")).collect();
        text += &format!("| {} |\n", cells.join(" | "));
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::model::{Figures, Subject};
    use super::super::{metrics, thresholds};
    use super::*;

    /// Returns a report with figures for two parts.
    pub(crate) fn report() -> BenchReport {
        let mut figures = Figures::default();
        for seconds in [2.0, 2.5, 3.0] {
            figures.seconds(BenchPart::Startup, metrics::COLD_START, Subject::Ours, seconds);
            figures.seconds(BenchPart::Startup, metrics::COLD_START, Subject::Shell, seconds * 4.0);
        }
        figures.seconds(BenchPart::Process, metrics::WARM_BOOT, Subject::Ours, 0.006);
        figures.seconds(BenchPart::Process, metrics::WARM_BOOT, Subject::Shell, 7.0);
        BenchReport {
            origin: Origin {
                began: "2026-06-06T10:00:00Z".to_owned(),
                images: Images {
                    image: "trm-directus:dev".to_owned(),
                    image_id: "sha256:aa".to_owned(),
                    version: "0.1.0@abc".to_owned(),
                    shell_id: Some("sha256:bb".to_owned()),
                    base: "directus/directus:1".to_owned(),
                    base_id: "sha256:cc".to_owned(),
                    base_is_stand_in: false,
                    database: "stand-in/db:1".to_owned(),
                    database_id: "sha256:dd".to_owned(),
                    database_is_stand_in: true,
                    postgres: "16.6".to_owned(),
                },
                machine: BenchMachine {
                    cores: 2,
                    processor: None,
                    memory_bytes: 8_000_000_000,
                    kernel: "6.1".to_owned(),
                    engine: "27.0".to_owned(),
                    load_before: Some(0.1),
                },
            },
            runs: 3,
            verdicts: thresholds::evaluate(&figures.0),
            figures: figures.0,
        }
    }

    #[test]
    fn every_measured_part_has_a_table_with_method_and_ratio() {
        let text = render(&report());
        assert!(text.contains("| start to exec, cold | 2.50 s (2 s – 3 s) | 10 s (8 s – 12 s) | 0.25× |"));
        assert!(text.contains(parts::method(BenchPart::Startup)));
        assert!(!text.contains(&format!("## {}", parts::title(BenchPart::Memory))));
        let (_, omitted) = text.split_once("Not measured: ").unwrap();
        assert!(
            omitted.contains(parts::title(BenchPart::Memory)) && !omitted.contains(parts::title(BenchPart::Startup)),
            "{text}"
        );
    }

    #[test]
    fn thresholds_come_first_and_missed_ones_are_marked() {
        let text = render(&report());
        assert!(text.find("## Thresholds").unwrap() < text.find(parts::title(BenchPart::Startup)).unwrap());
        assert!(text.contains("| cold start to exec over the shell's: at most 0.45× | 0.25× | met |"), "{text}");
        let mut missed = report();
        missed.verdicts[0].met = false;
        assert!(render(&missed).contains("| **missed** |"));
    }

    #[test]
    fn figures_of_a_busy_machine_are_marked_as_unreliable() {
        assert!(!render(&report()).contains("not reliable"));
        let mut busy = report();
        busy.origin.machine.load_before = Some(3.0);
        assert!(render(&busy).contains("the machine was busy (load 3.00 on 2 processors)"));
    }

    #[test]
    fn stand_ins_are_marked() {
        let text = render(&report());
        assert!(text.contains("| database | `stand-in/db:1`, a stand-in, `sha256:dd` |"));
        assert!(text.contains("| base | `directus/directus:1`, `sha256:cc` |"));
    }
}
