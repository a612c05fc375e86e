//! `docs/BENCHMARKS.md`.

use super::model::{Machine, Origin, Report, Subject};
use super::parts;
use super::table::{self, Table};
use grammar::Part;
use testbed::ui;

/// The whole document.
pub(crate) fn render(report: &Report) -> String {
    let mut text = format!(
        "<!-- Written by `cargo xtask bench --write`; changes by hand are lost. -->\n\n# Benchmarks\n\n\
         The image against the shell pipeline that it replaces ([crates/bench/shell](../crates/bench/shell)): the same Directus, with \
         bash, `psql` and `entrypoint.sh`. Both in the same run, in turns (A, B, A, B), {} times each unless a cell \
         says otherwise. Cells are medians, with the smallest and the largest in brackets.\n\n\
         ## What is promised\n\n",
        report.runs
    );
    let verdict = |met| if met { "met" } else { "**missed**" };
    let rows = report.bars.iter();
    let rows = rows.map(|bar| vec![bar.promise.clone(), bar.measured.clone(), verdict(bar.met).to_owned()]).collect();
    text += &markdown(&Table { head: ["promise", "measured", ""].map(str::to_owned).to_vec(), rows });
    text += &too_busy(&report.origin.machine).unwrap_or_default();
    let mut left_out = Vec::new();
    for part in Part::ALL {
        match table::of(&report.figures, part, report.runs) {
            Some(table) => {
                text += &format!("\n## {}\n\n{}\n\n{}", parts::title(part), parts::method(part), markdown(&table))
            }
            None => left_out.push(parts::title(part)),
        }
    }
    if !left_out.is_empty() {
        text += &format!("\nNot measured: {}.\n", left_out.join("; "));
    }
    text += "\n## What it was measured on\n\n";
    text += &markdown(&surroundings(&report.origin));
    text + "\nMachines differ, and so do these seconds; ratios travel better. `cargo xtask bench` measures on yours.\n"
}

/// What is to be said of figures that others had a part in.
fn too_busy(machine: &Machine) -> Option<String> {
    let load = machine.load_before.filter(|load| *load > machine.cores as f64 / 4.0)?;
    Some(format!(
        "\n**These figures prove nothing:** the machine was busy (load {load:.2} on {} processors) before the first \
         measurement. Measure again on an idle one.\n",
        machine.cores
    ))
}

fn surroundings(Origin { began, subject, machine }: &Origin) -> Table {
    let Subject { image, version, base, base_id, database, database_id, postgres, .. } = subject;
    let Machine { cores, processor, memory_bytes, kernel, engine, load_before } = machine;
    let stand_in = |is| if is { ", a stand-in" } else { "" };
    let processor = processor.as_deref().map(|name| format!(", {name}")).unwrap_or_default();
    let load = load_before.map_or("unknown".to_owned(), |load| format!("{load:.2} before the first measurement"));
    let rows = [
        ("date", began.clone()),
        ("image", format!("`{image}` {version}, `{}`", subject.image_id)),
        ("shell", format!("`{}`", subject.shell_id)),
        ("base", format!("`{base}`{}, `{base_id}`", stand_in(subject.base_is_stand_in))),
        ("database", format!("`{database}`{}, `{database_id}`", stand_in(subject.database_is_stand_in))),
        ("PostgreSQL", format!("{postgres}, its own defaults but for `max_connections`")),
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
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = vec!["---".to_owned(); table.head.len()];
    let rows = table.rows.iter().map(|row| {
        let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', r"\|")).collect();
        line(&cells)
    });
    line(&table.head) + &line(&rule) + &rows.collect::<String>()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::model::{By, Figures};
    use super::super::{bars, names};
    use super::*;

    /// A report with figures for the first two parts.
    pub(crate) fn report() -> Report {
        let mut figures = Figures::default();
        for seconds in [2.0, 2.5, 3.0] {
            figures.seconds(Part::Gate, names::COLD_GATE, By::Ours, seconds);
            figures.seconds(Part::Gate, names::COLD_GATE, By::Shell, seconds * 4.0);
        }
        figures.seconds(Part::Process, names::WARM_BOOT, By::Ours, 0.006);
        figures.seconds(Part::Process, names::WARM_BOOT, By::Shell, 7.0);
        Report {
            origin: Origin {
                began: "2026-06-06T10:00:00Z".to_owned(),
                subject: Subject {
                    image: "trm-directus:dev".to_owned(),
                    image_id: "sha256:aa".to_owned(),
                    version: "0.1.0@abc".to_owned(),
                    shell_id: "sha256:bb".to_owned(),
                    base: "directus/directus:1".to_owned(),
                    base_id: "sha256:cc".to_owned(),
                    base_is_stand_in: false,
                    database: "stand-in/db:1".to_owned(),
                    database_id: "sha256:dd".to_owned(),
                    database_is_stand_in: true,
                    postgres: "16.6".to_owned(),
                },
                machine: Machine {
                    cores: 2,
                    processor: None,
                    memory_bytes: 8_000_000_000,
                    kernel: "6.1".to_owned(),
                    engine: "27.0".to_owned(),
                    load_before: Some(0.1),
                },
            },
            runs: 3,
            bars: bars::judge(&figures.0),
            figures: figures.0,
        }
    }

    #[test]
    fn every_part_that_was_measured_has_its_table_with_method_and_ratio() {
        let text = render(&report());
        assert!(text.contains("| start to exec, cold | 2.50 s (2 s – 3 s) | 10 s (8 s – 12 s) | 0.25× |"));
        assert!(text.contains(parts::method(Part::Gate)));
        assert!(!text.contains(&format!("## {}", parts::title(Part::Memory))));
        let (_, left_out) = text.split_once("Not measured: ").unwrap();
        assert!(
            left_out.contains(parts::title(Part::Memory)) && !left_out.contains(parts::title(Part::Gate)),
            "{left_out}"
        );
    }

    #[test]
    fn bars_stand_first_and_what_was_missed_can_be_seen() {
        let text = render(&report());
        assert!(text.find("What is promised").unwrap() < text.find(parts::title(Part::Gate)).unwrap());
        assert!(text.contains("| cold gate over the shell's: at most 0.45× | 0.25× | met |"), "{text}");
        let mut missed = report();
        missed.bars[0].met = false;
        assert!(render(&missed).contains("| **missed** |"));
    }

    #[test]
    fn figures_of_a_busy_machine_are_said_to_prove_nothing() {
        assert!(!render(&report()).contains("prove nothing"));
        let mut busy = report();
        busy.origin.machine.load_before = Some(3.0);
        assert!(render(&busy).contains("the machine was busy (load 3.00 on 2 processors)"));
    }

    #[test]
    fn a_stand_in_is_said_to_be_one() {
        let text = render(&report());
        assert!(text.contains("| database | `stand-in/db:1`, a stand-in, `sha256:dd` |"));
        assert!(text.contains("| base | `directus/directus:1`, `sha256:cc` |"));
    }
}
