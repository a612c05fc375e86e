//! `verify`: the acceptance gate.

use std::process::ExitCode;
use std::time::Instant;

use crate::swarm::second_engine as swarm;
use crate::{Check, CheckSelection, CheckStatus};
use testbed::engine::Engine;
use testbed::ui;

use testbed::image::{self, BuildOptions};

/// Runs `verify`.
pub async fn run(flags: &grammar::VerifyFlags) -> anyhow::Result<ExitCode> {
    if flags.list {
        ui::result(&crate::list(flags.swarm));
        return Ok(ExitCode::SUCCESS);
    }
    let checks = CheckSelection { only: flags.only.clone(), skip: flags.skip.clone(), swarm: flags.swarm }.checks()?;
    let engine = Engine::connect().await?;
    let tag = flags.image.as_deref().unwrap_or(grammar::DEFAULT_TAG);
    let began = Instant::now();
    let build = match &flags.image {
        Some(_) => None,
        None => Some(crate::judge_build(&image::build(&engine, tag, BuildOptions::default()).await, began.elapsed())),
    };
    if flags.swarm && swarm::is_in_second_engine() {
        engine.init_swarm().await?;
    }
    let report = match build {
        Some(build) if build.status == CheckStatus::Fail => {
            ui::error(&format!("the image does not build: {}", build.reason.as_deref().unwrap_or_default()));
            crate::without_image(&engine, tag, &checks, build).await?
        }
        build if flags.swarm && !swarm::is_in_second_engine() => {
            return swarm::in_second_engine(&engine, tag, build.is_some()).await;
        }
        _ if flags.mutants => return mutants(flags, &engine, tag, &checks).await,
        build => crate::verify(&engine, tag, &checks, flags, build).await?,
    };
    let folder = if flags.swarm { swarm::folder() } else { crate::folder() };
    crate::write(&report, &folder)?;
    // Annotations of the CI server are a convenience: a failure to write them must not change the verdict.
    if let Err(error) = crate::announce(&report) {
        ui::warning(&format!("{error:#}"));
    }
    if let Some(line) = crate::waited_for(&report) {
        ui::status("Time", &line);
    }
    let summary = report.summary;
    if flags.json {
        ui::json_result(&report)?;
    } else {
        let text = format!(
            "{} passed, {} failed, {} not run, in {:.0} s; {folder}/report.html",
            summary.pass, summary.fail, summary.not_run, report.seconds
        );
        ui::result(&text);
    }
    let strict = flags.strict && report.checks.iter().any(|check| check.status == CheckStatus::NotRun);
    Ok(if report.ok && !strict { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the checks on images that are broken on purpose: each check must fail.
async fn mutants(
    flags: &grammar::VerifyFlags,
    engine: &Engine,
    tag: &str,
    checks: &[&'static Check],
) -> anyhow::Result<ExitCode> {
    let report = crate::test_mutants(engine, tag, checks, flags).await?;
    let folder = if flags.swarm { swarm::folder() } else { crate::folder() };
    report.write(&folder.join("mutants.json"))?;
    if flags.json {
        ui::json_result(&report)?;
    } else {
        ui::result(&report.render());
    }
    Ok(if report.ok(flags.strict) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
