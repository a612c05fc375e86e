//! `deploy down`: removes a stack, and its volumes only if the operator confirms it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use grammar::DeployDownFlags;
use testbed::cmd::Cmd;
use testbed::engine::STACK_LABEL;
use testbed::ui;

use crate::swarm::{self, Swarm};

/// Time for the replicas to stop, beyond the grace period of each.
const DEADLINE: Duration = Duration::from_secs(300);
/// The exit code if nothing was removed, because the operator did not confirm it.
const KEPT: u8 = 2;

/// Runs `deploy down`.
pub(crate) async fn run(flags: &DeployDownFlags) -> anyhow::Result<ExitCode> {
    let swarm = Swarm::connect(&flags.stack.name).await?;
    let stack = &swarm.stack;
    let label = format!("{STACK_LABEL}={stack}");
    let services = swarm.services().await?;
    let mut volumes: Vec<String> =
        swarm.engine.volumes_with(&label).await?.into_iter().map(|volume| volume.id).collect();
    volumes.sort();
    if services.is_empty() && (volumes.is_empty() || !flags.volumes) {
        bail!("the swarm has no stack {stack}: `docker stack ls` lists the stacks");
    }
    if flags.volumes && !volumes.is_empty() && !flags.yes && !confirm(&volumes).await? {
        ui::error("nothing was removed: --yes removes the volumes without a question, and without --volumes they stay");
        return Ok(ExitCode::from(KEPT));
    }
    let mut secrets: Vec<&str> = services.iter().flat_map(|service| service.secrets()).collect();
    secrets.sort_unstable();
    secrets.dedup();
    let elsewhere = nodes_elsewhere(&swarm).await?;
    if !services.is_empty() {
        swarm::run(Cmd::new("docker").args(["stack", "rm", stack])).await?;
        wait_until_gone(&swarm, &label).await?;
        ui::status("Removed", &format!("the stack {stack}"));
    }
    if flags.volumes {
        for volume in &volumes {
            swarm.engine.remove_volume(volume).await?;
            ui::status("Removed", &format!("volume {volume}"));
        }
    } else if !volumes.is_empty() {
        ui::status("Kept", &format!("the volumes {}", volumes.join(", ")));
    }
    if !elsewhere.is_empty() {
        ui::status("Kept", &format!("the volumes of other nodes: {}", elsewhere.join(", ")));
    }
    if !secrets.is_empty() {
        ui::status("Kept", &format!("the secrets {}", secrets.join(", ")));
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks on the terminal; without one the answer is no.
async fn confirm(volumes: &[String]) -> anyhow::Result<bool> {
    ui::warning(&format!(
        "the volumes {} and all data in them are removed, which cannot be undone",
        volumes.join(", ")
    ));
    Ok(ui::choose("remove them?", ["remove them", "cancel"]).await? == Some("remove them"))
}

/// Returns the names of the other nodes on which the stack had tasks. An engine removes its own volumes only.
async fn nodes_elsewhere(swarm: &Swarm) -> anyhow::Result<Vec<String>> {
    let own = swarm.engine.node_id().await?;
    let names = swarm.engine.node_names().await?;
    let tasks = swarm.engine.tasks_of(&swarm.services().await?).await?;
    let mut elsewhere: Vec<String> = tasks
        .iter()
        .filter_map(|task| task.node())
        .filter(|id| *id != own)
        .filter_map(|id| names.get(id).cloned())
        .collect();
    elsewhere.sort();
    elsewhere.dedup();
    Ok(elsewhere)
}

/// Waits until the containers of this node and the networks are gone, which the command of docker does not.
async fn wait_until_gone(swarm: &Swarm, label: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    let spinner = ui::Spinner::start();
    spinner.restart("waiting for the end of the replicas");
    loop {
        let containers = swarm.engine.containers_with(label).await?;
        if containers.is_empty() && swarm.engine.networks_with(label).await?.is_empty() {
            return Ok(());
        }
        ensure!(
            began.elapsed() < DEADLINE,
            "{} containers of the stack have not ended after {} s: `docker ps --filter label={label}` lists them",
            containers.len(),
            DEADLINE.as_secs()
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
