//! `deploy update`: rolls a stack to another image, if that image may roll.

use std::process::ExitCode;
use std::time::Duration;

use grammar::DeployUpdateFlags;
use testbed::ui;

use crate::compat::{self, Order};
use crate::ending;
use crate::follow::{self, Deployment};
use crate::outcome::{DeployOutcome, Goal};
use crate::stack_file::StackFile;
use crate::swarm::Swarm;

/// The way out of a failed update that the swarm does not roll back.
pub(crate) const WAY_OUT: &str = "`cargo xtask deploy status` has the state; correct the cause and update again, or go back with `cargo xtask \
     deploy rollback`";

/// Runs `deploy update`.
pub(crate) async fn run(flags: &DeployUpdateFlags) -> anyhow::Result<ExitCode> {
    let swarm = Swarm::connect(&flags.stack.name).await?;
    let service = swarm.directus().await?;
    let image = &flags.image.name;
    let replicas = compat::wanted_replicas(&swarm, &service).await?;
    // Before the image is asked: a wrong file is a mistake in any case.
    let file = if flags.files.is_empty() { None } else { Some(StackFile::read(&flags.files, &flags.image).await?) };
    let order = match compat::ask(&swarm, &service, image, &flags.compat).await? {
        Ok(order) => order,
        Err(refusal) => {
            ui::error(&refusal.message);
            return Ok(ExitCode::from(refusal.exit));
        }
    };
    if let Some(file) = &file {
        file.ensure_secrets(&swarm, &flags.secrets).await?;
    }
    let before = swarm.task_ids().await?;
    if order == Order::StopFirst {
        swarm.stop_all(&service).await?;
    }
    let services = match &file {
        Some(file) => {
            file.deploy(&swarm.stack).await?;
            swarm.services().await?.iter().map(|service| service.name().to_owned()).collect()
        }
        None => {
            swarm.set_image(&service, image, replicas).await?;
            vec![service.name().to_owned()]
        }
    };
    let deadline = Duration::from_secs(flags.deadline.seconds);
    let deployment = Deployment { services, goal: Goal::Forward, image, before };
    let followed = follow::follow(&swarm, deployment, deadline).await?;
    let service = swarm.directus().await?;
    if followed.outcome == Some(DeployOutcome::Converged) && !flags.keep_contract {
        compat::contract(&swarm, &service, image, deadline).await;
    }
    Ok(ending::report(&followed, &format!("{} runs {image} on {replicas} replicas", service.name()), WAY_OUT))
}
