//! `sweep`: a fault at each message of real boots, or at a sample of the messages.

use std::process::ExitCode;

use anyhow::Context as _;

use crate::sweep;
use grammar::{SweepScenario, ValueEnum as _};
use testbed::engine::Engine;
use testbed::ui;
use testbed::workspace;

/// Runs `sweep`.
pub async fn run(flags: &grammar::SweepFlags) -> anyhow::Result<ExitCode> {
    let engine = Engine::connect().await?;
    let density = if flags.full { sweep::SweepDensity::Full } else { sweep::SweepDensity::Sample(flags.sample) };
    let scenarios = flags.only.as_ref().map_or(SweepScenario::value_variants(), std::slice::from_ref);
    let report = crate::sweep_all(&engine, &flags.image, scenarios, density, flags.jobs).await?;
    let folder = workspace::target_dir().join("sweep");
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {folder}"))?;
    let json = format!("{}\n", serde_json::to_string_pretty(&report)?);
    for (name, content) in [("report.json", json), ("report.html", sweep::page(&report))] {
        let path = folder.join(name);
        std::fs::write(&path, content).with_context(|| format!("failed to write {path}"))?;
    }
    if flags.json {
        ui::json_result(&report)?;
    } else {
        ui::result(&format!("{}\n{folder}/report.html", report.render()));
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
