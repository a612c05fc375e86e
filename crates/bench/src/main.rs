//! The benchmark: the image against the shell pipeline that it replaces, in the same run, in turns.
//!
//! [`lab`] is the test harness, each module named after a [`Part`] measures it, [`model`] holds the results, [`bars`]
//! has the thresholds, [`table`] and [`document`] render the results.

mod bars;
mod baseline;
mod document;
mod gate;
mod image;
mod lab;
mod ledger;
mod machine;
mod memory;
mod migrations;
mod model;
mod moment;
mod names;
mod parts;
mod process;
mod replicas;
mod stats;
mod steps;
mod table;
mod witness;
mod xtask;

use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;

use grammar::{Command, Part, ValueEnum as _};
use testbed::engine::Engine;
use testbed::program;
use testbed::ui;
use testbed::workspace;

use self::lab::Harness;
use self::model::Report;
use self::model::{Figures, Origin};
use self::table::render;

fn main() -> ExitCode {
    program::main(async |command| match command {
        Command::Bench(flags) => Some(run(&flags).await),
        _ => None,
    })
}

/// Runs `bench`. A missed threshold is a result, not a failure, because machines differ.
async fn run(flags: &grammar::Bench) -> anyhow::Result<ExitCode> {
    let engine = Engine::connect().await?;
    let options = Options { only: flags.only.clone(), runs: flags.runs.into(), image: flags.image.clone() };
    let report = bench(&engine, &options).await?;
    if flags.write {
        write(&report)?;
        ui::status("Written", FILE);
    }
    if flags.json {
        ui::json_result(&report)?;
    } else {
        ui::result(&render(&report));
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Parts to measure; all if empty.
    pub(crate) only: Vec<Part>,
    /// Number of turns.
    pub(crate) runs: usize,
    pub(crate) image: String,
}

/// Measures the selected parts.
pub(crate) async fn bench(engine: &Engine, options: &Options) -> anyhow::Result<Report> {
    let load_before = machine::load();
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let harness = Harness::open(engine, &options.image).await?;
    let mut figures = Figures::default();
    for &part in Part::value_variants().iter().filter(|part| options.only.is_empty() || options.only.contains(part)) {
        ui::status("Measuring", parts::title(part));
        let (harness, figures, runs) = (&harness, &mut figures, options.runs);
        let measured = match part {
            Part::Gate => gate::measure(harness, figures, runs).await,
            Part::Steps => steps::measure(harness, figures, runs).await,
            Part::Process => process::measure(harness, figures, runs).await,
            Part::Ledger => ledger::measure(harness, figures, runs).await,
            Part::Migrations => migrations::measure(harness, figures, runs).await,
            Part::Witness => witness::measure(harness, figures, runs).await,
            Part::Replicas => replicas::measure(harness, figures, runs).await,
            Part::Memory => memory::measure(harness, figures, runs).await,
            Part::Image => image::measure(harness, figures, runs).await,
            Part::Xtask => xtask::measure(figures, runs).await,
        };
        measured.with_context(|| format!("failed to measure: {}", parts::title(part)))?;
    }
    Ok(Report {
        origin: Origin {
            began: testbed::time::rfc3339(began),
            images: harness.images().await?,
            machine: machine::describe(engine, load_before).await?,
        },
        runs: options.runs,
        verdicts: bars::evaluate(&figures.0),
        figures: figures.0,
    })
}

const FILE: &str = "docs/BENCHMARKS.md";

fn write(report: &Report) -> anyhow::Result<()> {
    let path = workspace::path(FILE);
    std::fs::write(&path, document::render(report)).with_context(|| format!("failed to write {path}"))
}
