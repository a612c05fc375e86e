//! The development stack, as a developer gets it.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use contract::Phase;
use serde::Deserialize;

use crate::case::Case;
use crate::check::{Check, Need};
use crate::model::{BootTimeline, PhaseTime};
use testbed::api::Api;
use testbed::cmd::Cmd;
use testbed::engine::Engine;
use testbed::schema::Schema;
use testbed::ui;

pub(crate) const CHECKS: &[Check] = &[Check {
    name: "dev-reset",
    promise: "`cargo xtask dev-reset` makes a fresh stack of compose.dev.yaml that its printed login opens, and `down \
              --volumes` leaves nothing of it.",
    needs: Need::Nothing,
    run: |case| Box::pin(dev_reset(case)),
}];

/// What `dev-reset --json` prints; what is not looked at here is not named.
#[derive(Debug, Deserialize)]
struct Report {
    url: String,
    email: String,
    password: String,
    seconds: f64,
    boot_seconds: f64,
    phases: Vec<Done>,
    project: String,
    image: String,
}

#[derive(Debug, Deserialize)]
struct Done {
    phase: String,
    ms: u64,
}

async fn dev_reset(case: &mut Case) -> anyhow::Result<()> {
    let engine = case.setting.engine.clone();
    // The run removes what carries its id as a compose project, if this does not get to the end.
    let (project, image) = (case.setting.run.id().to_owned(), case.setting.subject.image.clone());
    let result = xtask(&["dev-reset", "--no-image", "--tag", &image, "--json", "--project", &project]).read().await?;
    let report: Report = serde_json::from_str(&result).with_context(|| format!("stdout is no JSON line: {result}"))?;
    ensure!(report.project == project && report.image == image, "another stack than asked for: {report:?}");
    let phases: Vec<&str> = report.phases.iter().map(|done| done.phase.as_str()).collect();
    ensure!(phases == Phase::ALL.map(Phase::name), "the boot's phases were {phases:?}");
    case.figure("dev-reset", format!("{:.1} s, of which {:.1} s booting", report.seconds, report.boot_seconds));
    let phases =
        report.phases.iter().map(|done| PhaseTime { phase: done.phase.clone(), ms: done.ms, message: String::new() });
    case.evidence.boots.push(BootTimeline { name: "dev-reset".to_owned(), phases: phases.collect(), ready_ms: None });

    let api = Api::login(report.url.clone(), &report.email, &report.password).await?;
    let differences = Schema::snapshot()?.differences(&Schema::live(&api).await?);
    ensure!(differences.is_empty(), "not as in the snapshot: {}", differences.join("; "));
    case.figure("login", format!("{} at {}", report.email, report.url));
    let made = left(&engine, &project).await?;
    ensure!(made["containers"] == 2, "the stack has {} containers, not 2", made["containers"]);

    let began = Instant::now();
    xtask(&["down", "--volumes", "--project", &project]).read().await?;
    case.figure("down --volumes", ui::seconds(began.elapsed()));
    let left = left(&engine, &project).await?;
    let rest: Vec<String> =
        left.iter().filter(|(_, count)| **count > 0).map(|(what, n)| format!("{n} {what}")).collect();
    ensure!(rest.is_empty(), "`down --volumes` leaves {}", rest.join(", "));
    let words = |counts: &BTreeMap<&str, usize>| {
        counts.iter().map(|(what, count)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
    };
    case.figure("of the stack", format!("{} before; {} after", words(&made), words(&left)));
    Ok(())
}

/// The tool, as a developer calls it. Ports that a developer has set are those of the developer's stack: an empty value leaves the choice
/// to the tool.
fn xtask(arguments: &[&str]) -> Cmd {
    Cmd::cargo().arg("xtask").args(arguments).env("PORT_ON_HOST", "").env("DB_PORT_ON_HOST", "")
}

/// How much the engine has of a compose project.
async fn left(engine: &Engine, project: &str) -> anyhow::Result<BTreeMap<&'static str, usize>> {
    let label = format!("com.docker.compose.project={project}");
    Ok(BTreeMap::from([
        ("containers", engine.containers_with(&label).await?.len()),
        ("networks", engine.networks_with(&label).await?.len()),
        ("volumes", engine.volumes_with(&label).await?.len()),
    ]))
}
