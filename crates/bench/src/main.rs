//! The benchmark: the image against the shell pipeline that it replaces, in the same run, in turns.
//!
//! [`lab`] is where one measures, the modules named after a [`Part`] are what is measured, [`model`] is what was found,
//! [`bars`] judges it, [`table`], [`document`] and [`chart`] show it.

mod bars;
mod baseline;
mod chart;
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
use camino::Utf8Path;

use grammar::{Command, Part};
use testbed::engine::Engine;
use testbed::program;
use testbed::ui;
use testbed::workspace;

use self::lab::Lab;
use self::model::Report;
use self::model::{Figures, Origin};
use self::table::render;

/// The head of its table.
fn title(part: Part) -> &'static str {
    match part {
        Part::Gate => "Containers: from the start to the server",
        Part::Steps => "What each step brings",
        Part::Process => "Processes: the boot alone",
        Part::Ledger => "A warm boot and the length of the ledger",
        Part::Migrations => "Applying 1,000 small migrations",
        Part::Witness => "The witness in a cold boot",
        Part::Replicas => "Several containers at once",
        Part::Memory => "The most memory of a boot",
        Part::Image => "The image",
        Part::Xtask => "xtask without anything to do",
    }
}

/// How it is measured.
fn method(part: Part) -> &'static str {
    match part {
        Part::Gate => {
            "From the engine's `StartedAt` to the engine's time stamp of the line before the server's exec: ours is \
             the line of phase 8, the shell's is one that it writes right before `exec`. `StartedAt` itself is a few \
             milliseconds off, so that figures of less are zero here; processes tell more. Serving is the first 200 \
             from `/server/ping`, asked every 20 ms. Cold is an empty database, warm the same one again. Our \
             image has its health check, the shell's has none."
        }
        Part::Steps => {
            "The same, beside itself with one step undone: on all of upstream's image; without what Node compiled when \
             the image was built; with Directus' modules as upstream has them, which were never compiled; and, warm, \
             on a database whose fingerprint was forgotten, so that Directus has to plan."
        }
        Part::Process => {
            "In containers that run already, by a clock inside them: `entrypoint boot`, and `entrypoint.sh true`. The \
             bare connect is a process of the same build as the boot binary that authenticates (SCRAM) and ends; \
             `psql` is the program itself, not a wrapper."
        }
        Part::Ledger => {
            "The same, with that many migrations more than the image has, all applied. The shell starts a psql and a \
             sha256sum for each: it is measured up to 1,000."
        }
        Part::Migrations => {
            "One `insert` each, on a booted database. Ours is what phase 4 says of itself; the shell's is the time \
             between its lines before and after; psql alone has neither ledger nor checksums, and each file commits."
        }
        Part::Witness => {
            "In a process of its own, after the connection: the catalog is read, then before and after each of seven \
             transactions only what may have changed, as in a cold boot of this image, but over the finished database. \
             The large model adds 500 tables of 30 columns and 10,000 partitions."
        }
        Part::Replicas => {
            "Made first, then started at the same moment on one database: from the first start until the last that \
             survives is done with the boot. No server is started after it. The shell has no lock: what dies is part \
             of the result."
        }
        Part::Memory => {
            "The container's own peak (cgroup: with the file cache that it was charged for), from a first process that \
             runs the boot and then reads it."
        }
        Part::Image => {
            "Sizes as the engine counts them; the shell has all of upstream's image for its base. Rebuilds are done in a copy of the tree: cargo, where it has a part, \
             and `docker buildx build`, until the image is in the engine."
        }
        Part::Xtask => "`cargo xtask --help`, by cargo and as the bare program.",
    }
}

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
    let base = flags.onto.as_deref().map(|path| read(path, options.runs)).transpose()?;
    let mut report = bench(&engine, &options).await?;
    if let Some(base) = base {
        report = report.onto(base);
    }
    if flags.write {
        let files = write(&report)?;
        ui::status("Written", &files.join(", "));
    }
    if flags.json {
        ui::json_result(&report)?;
    } else {
        ui::result(&render(&report));
    }
    Ok(ExitCode::SUCCESS)
}

/// What a run is to measure.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The parts; empty: all.
    pub(crate) only: Vec<Part>,
    /// How often each is measured.
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
        ui::status("Measuring", crate::title(part));
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
        measured.with_context(|| format!("failed to measure: {}", crate::title(part)))?;
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
        earlier: Vec::new(),
    })
}

/// The document, and the picture in it.
const FILES: [&str; 2] = ["docs/BENCHMARKS.md", "docs/benchmarks.svg"];

/// Reads an earlier run's report, to measure parts of it again; see [`Report::parse`].
pub(crate) fn read(path: &Utf8Path, runs: usize) -> anyhow::Result<Report> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {path}"))?;
    Report::parse(&text, runs).with_context(|| format!("{path} cannot be the base of this run"))
}

/// Writes the document and its picture, and returns where they lie.
pub(crate) fn write(report: &Report) -> anyhow::Result<[&'static str; 2]> {
    for (file, content) in FILES.into_iter().zip([document::render(report), chart::render(&report.figures)]) {
        let path = workspace::path(file);
        std::fs::write(&path, content).with_context(|| format!("failed to write {path}"))?;
    }
    Ok(FILES)
}
