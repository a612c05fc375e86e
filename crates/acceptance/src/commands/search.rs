//! `search`: random legal edits against real boots of the image.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use crate::search;
use testbed::engine::Engine;
use testbed::ui;
use testbed::workspace;

/// Runs `search`.
pub async fn run(flags: &grammar::SearchFlags) -> anyhow::Result<ExitCode> {
    let engine = Engine::connect().await?;
    let selection = search::CaseSelection {
        seed: flags.seed,
        cases: if flags.case.is_some() { 1 } else { flags.cases },
        first: flags.case.unwrap_or(0),
        only: flags.only,
        fixed: flags.case.is_none() && flags.only.is_none(),
        most_failures: flags.most_failures,
        limit: Duration::MAX,
    };
    let report = crate::search_all(&engine, &flags.image, selection, flags.jobs).await?;
    let folder = workspace::target_dir().join("search");
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {folder}"))?;
    let path = folder.join("report.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&report)?);
    std::fs::write(&path, text).with_context(|| format!("failed to write {path}"))?;
    if flags.json {
        ui::json_result(&report)?;
    } else {
        ui::result(&format!("{}\n{path}", report.render()));
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
