//! The benchmark: the image against the shell pipeline that it replaces, in the same run, in turns.
//!
//! [`harness`] starts the containers, each module named after a [`BenchPart`] measures it, [`model`] holds the results,
//! [`thresholds`] has the thresholds, [`table`] and [`document`] render the results.

mod ablation;
mod baseline;
mod document;
mod growth;
mod harness;
mod image;
mod ledger;
mod machine;
mod memory;
mod metrics;
mod migrations;
mod model;
mod parts;
mod process;
mod replicas;
mod scale;
mod startup;
mod stats;
mod table;
mod thresholds;
mod timestamp;
mod witness;
mod xtask;

use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;

use grammar::{BenchPart, ValueEnum as _, XtaskCommand};
use testbed::engine::Engine;
use testbed::program;
use testbed::ui;
use testbed::workspace;

use self::harness::Harness;
use self::model::BenchReport;
use self::model::{Figures, Origin};
use self::table::render;

fn main() -> ExitCode {
    program::main(async |command| match command {
        XtaskCommand::Bench(flags) => Some(run(&flags).await),
        _ => None,
    })
}

/// Runs `bench`. A missed threshold is a result, not a failure, because machines differ.
async fn run(flags: &grammar::BenchFlags) -> anyhow::Result<ExitCode> {
    let engine = Engine::connect().await?;
    let options = BenchOptions {
        only: flags.only.clone(),
        runs: flags.runs.into(),
        image: flags.image.clone(),
        against: flags.against.clone(),
    };
    let report = bench(&engine, &options).await?;
    if flags.write {
        write(FILE, document::render(&report))?;
        if let Some(picture) = growth::picture::render(&report.figures) {
            write(&format!("docs/{}", document::PICTURE), picture)?;
        }
    }
    if flags.json {
        ui::json_result(&report)?;
    } else {
        ui::result(&render(&report));
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Clone, Debug)]
pub(crate) struct BenchOptions {
    /// Parts to measure; all if empty.
    pub(crate) only: Vec<BenchPart>,
    /// Number of turns.
    pub(crate) runs: usize,
    pub(crate) image: String,
    /// An image that is measured in turns with it.
    pub(crate) against: Option<String>,
}

/// Measures the selected parts.
pub(crate) async fn bench(engine: &Engine, options: &BenchOptions) -> anyhow::Result<BenchReport> {
    let load_before = machine::load();
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let is_selected = |part: &&BenchPart| options.only.is_empty() || options.only.contains(part);
    let parts: Vec<BenchPart> = BenchPart::value_variants().iter().filter(is_selected).copied().collect();
    let with_shell = parts.iter().any(|&part| parts::measures_shell(part));
    let harness = Harness::open(engine, &options.image, with_shell).await?;
    let mut figures = Figures::default();
    for part in parts {
        ui::status("Measuring", parts::title(part));
        let (harness, figures, runs) = (&harness, &mut figures, options.runs);
        let measured = match part {
            BenchPart::Startup => startup::measure(harness, figures, runs).await,
            BenchPart::Ablation => ablation::measure(harness, figures, runs).await,
            BenchPart::Process => process::measure(harness, figures, runs).await,
            BenchPart::Ledger => ledger::measure(harness, figures, runs).await,
            BenchPart::Migrations => migrations::measure(harness, figures, runs).await,
            BenchPart::Witness => witness::measure(harness, figures, runs).await,
            BenchPart::Growth => growth::measure(harness, figures, runs).await,
            BenchPart::Replicas => replicas::measure(harness, figures, runs).await,
            BenchPart::Scale | BenchPart::ScaleWarm | BenchPart::ScaleWait | BenchPart::ScaleLimit => {
                scale::measure(harness, figures, runs, part, options.against.as_deref()).await
            }
            BenchPart::Memory => memory::measure(harness, figures, runs).await,
            BenchPart::Image => image::measure(harness, figures, runs).await,
            BenchPart::Xtask => xtask::measure(figures, runs).await,
        };
        measured.with_context(|| format!("failed to measure: {}", parts::title(part)))?;
    }
    Ok(BenchReport {
        origin: Origin {
            began: testbed::time::rfc3339(began),
            images: harness.images().await?,
            machine: machine::describe(engine, load_before).await?,
        },
        runs: options.runs,
        verdicts: thresholds::evaluate(&figures.0),
        figures: figures.0,
    })
}

const FILE: &str = "docs/BENCHMARKS.md";

fn write(file: &str, text: String) -> anyhow::Result<()> {
    let path = workspace::path(file);
    std::fs::write(&path, text).with_context(|| format!("failed to write {path}"))?;
    ui::status("Written", file);
    Ok(())
}
