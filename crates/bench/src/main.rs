//! The benchmark: the image against the shell pipeline that it replaces, in the same run, in turns.
//!
//! [`lab`] is where one measures, the modules named after a [`Part`] are what is measured, [`model`] is what was found,
//! [`bars`] judges it, [`table`] and [`document`] show it.

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

use grammar::{Command, Part};
use testbed::engine::Engine;
use testbed::program;
use testbed::ui;
use testbed::workspace;

use self::lab::Lab;
use self::model::Report;
use self::model::{Figures, Origin};
use self::table::render;

fn main() -> ExitCode {
    program::main(async |command| match command {
        Command::Bench(flags) => Some(run(&flags).await),
        _ => None,
    })
}

/// Runs `bench`. A bar that is missed is a result, not a failure: machines differ.
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

/// Options of a run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The parts; empty: all.
    pub(crate) only: Vec<Part>,
    /// Number of measurements of each.
    pub(crate) runs: usize,
    /// The image.
    pub(crate) image: String,
}

/// Measures.
pub(crate) async fn bench(engine: &Engine, options: &Options) -> anyhow::Result<Report> {
    let load_before = machine::load();
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let lab = Lab::open(engine, &options.image).await?;
    let mut figures = Figures::default();
    for part in Part::ALL.into_iter().filter(|part| options.only.is_empty() || options.only.contains(part)) {
        ui::status("Measuring", parts::title(part));
        let (lab, figures, runs) = (&lab, &mut figures, options.runs);
        let measured = match part {
            Part::Gate => gate::measure(lab, figures, runs).await,
            Part::Steps => steps::measure(lab, figures, runs).await,
            Part::Process => process::measure(lab, figures, runs).await,
            Part::Ledger => ledger::measure(lab, figures, runs).await,
            Part::Migrations => migrations::measure(lab, figures, runs).await,
            Part::Witness => witness::measure(lab, figures, runs).await,
            Part::Replicas => replicas::measure(lab, figures, runs).await,
            Part::Memory => memory::measure(lab, figures, runs).await,
            Part::Image => image::measure(lab, figures, runs).await,
            Part::Xtask => xtask::measure(figures, runs).await,
        };
        measured.with_context(|| format!("failed to measure: {}", parts::title(part)))?;
    }
    Ok(Report {
        origin: Origin {
            began: testbed::time::rfc3339(began),
            subject: lab.subject().await?,
            machine: machine::describe(engine, load_before).await?,
        },
        runs: options.runs,
        bars: bars::judge(&figures.0),
        figures: figures.0,
    })
}

/// The document.
const FILE: &str = "docs/BENCHMARKS.md";

fn write(report: &Report) -> anyhow::Result<()> {
    let path = workspace::path(FILE);
    std::fs::write(&path, document::render(report)).with_context(|| format!("failed to write {path}"))
}
