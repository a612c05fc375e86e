//! `bench`: measures the image against the shell pipeline that it replaces.

use std::process::ExitCode;

use crate::bench::{self, Options};
use crate::engine::Engine;
use crate::{flags, ui};

/// Runs `bench`. A bar that is missed is a result, not a failure: machines differ.
pub(crate) async fn run(flags: &flags::Bench) -> anyhow::Result<ExitCode> {
    let engine = Engine::connect().await?;
    let options = Options { only: flags.only.clone(), runs: flags.runs.into(), image: flags.image.clone() };
    let base = flags.onto.as_deref().map(|path| bench::read(path, options.runs)).transpose()?;
    let mut report = bench::bench(&engine, &options).await?;
    if let Some(base) = base {
        report = report.onto(base);
    }
    if flags.write {
        let files = bench::write(&report)?;
        ui::status("Written", &files.join(", "));
    }
    if flags.json {
        ui::json_result(&report)?;
    } else {
        ui::result(&bench::render(&report));
    }
    Ok(ExitCode::SUCCESS)
}
