//! The development stack of `cargo xtask dev-reset`.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use contract::Phase;
use serde::Deserialize;

use super::stack_schema::{StackSchema, xtask};
use crate::check::{Check, Need};
use crate::model::{BootTimeline, PhaseTime};
use crate::test_context::TestContext;
use testbed::api::Api;
use testbed::compose::{self, Compose};
use testbed::engine::Engine;
use testbed::schema::DataModel;
use testbed::ui;

pub(crate) const CHECKS: &[Check] = &[Check {
    name: "dev-reset",
    promise: "`cargo xtask dev-reset` creates a new development stack and prints a valid login; edits of its schema are \
              saved by `snapshot` and are not lost without a question; and `down --volumes` removes it completely.",
    needs: Need::Nothing,
    run: |test| Box::pin(dev_reset(test)),
}];

/// The output of `dev-reset --json`, as far as it is checked.
#[derive(Debug, Deserialize)]
struct StackReport {
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

async fn dev_reset(test: &mut TestContext) -> anyhow::Result<()> {
    let engine = test.suite.engine.clone();
    // If this check does not finish, the run removes the compose project that has its id.
    let (project, image) = (test.suite.session.id().to_owned(), test.suite.subject.image.clone());
    let reset = xtask(&["dev-reset", "--no-image", "--tag", &image, "--json", "--project", &project]);
    // The database of this run, which may be another than that of the compose file.
    let result = reset.env("POSTGRES_IMAGE", test.suite.subject.database.as_str()).read().await?;
    let report: StackReport =
        serde_json::from_str(&result).with_context(|| format!("stdout is not a JSON line: {result}"))?;
    ensure!(report.project == project && report.image == image, "not the requested stack: {report:?}");
    let phases: Vec<&str> = report.phases.iter().map(|done| done.phase.as_str()).collect();
    ensure!(phases == Phase::ALL.map(Phase::name), "the boot's phases were {phases:?}");
    test.figure("dev-reset", format!("{:.1} s, of which {:.1} s booting", report.seconds, report.boot_seconds));
    let phases =
        report.phases.iter().map(|done| PhaseTime { phase: done.phase.clone(), ms: done.ms, message: String::new() });
    test.evidence.boots.push(BootTimeline { name: "dev-reset".to_owned(), phases: phases.collect(), ready_ms: None });

    let api = Api::login(report.url.clone(), &report.email, &report.password).await?;
    let differences = DataModel::snapshot()?.differences(&DataModel::live(&api).await?);
    ensure!(differences.is_empty(), "the schema differs from the snapshot: {}", differences.join("; "));
    let owner = api.get("/settings?fields=project_owner").await?;
    ensure!(owner["project_owner"].is_string(), "a dialog asks for the owner of the project: {owner}");
    test.figure("login", format!("{} at {}", report.email, report.url));
    let before = resources(&engine, &project).await?;
    ensure!(before["containers"] == 2, "the stack has {} containers, not 2", before["containers"]);

    let directus =
        Compose::new(&project).container(&engine, compose::DIRECTUS).await?.context("no container of Directus")?;
    let schema = StackSchema { engine: &engine, api: &api, project: &project, image: &image, directus };
    test.figure("snapshot --check", schema.check().await?);

    let began = Instant::now();
    xtask(&["down", "--volumes", "--project", &project]).read().await?;
    test.figure("down --volumes", ui::seconds(began.elapsed()));
    let after = resources(&engine, &project).await?;
    ensure!(after.values().all(|count| *count == 0), "`down --volumes` leaves {}", list(&after));
    test.figure("stack", format!("{} before; {} after", list(&before), list(&after)));
    Ok(())
}

fn list(counts: &BTreeMap<&str, usize>) -> String {
    counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

/// Number of a compose project's containers, networks and volumes.
async fn resources(engine: &Engine, project: &str) -> anyhow::Result<BTreeMap<&'static str, usize>> {
    let label = format!("com.docker.compose.project={project}");
    Ok(BTreeMap::from([
        ("containers", engine.containers_with(&label).await?.len()),
        ("networks", engine.networks_with(&label).await?.len()),
        ("volumes", engine.volumes_with(&label).await?.len()),
    ]))
}
