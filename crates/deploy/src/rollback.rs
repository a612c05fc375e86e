//! `deploy rollback`: goes back to the service before the last update, if its image may roll.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use grammar::DeployRollbackFlags;
use testbed::cmd::Cmd;
use testbed::ui;

use crate::compat::{self, Order};
use crate::ending;
use crate::follow::{self, Deployment};
use crate::outcome::Goal;
use crate::swarm::{self, Swarm};
use crate::update::WAY_OUT;

/// Runs `deploy rollback`.
pub(crate) async fn run(flags: &DeployRollbackFlags) -> anyhow::Result<ExitCode> {
    let swarm = Swarm::connect(&flags.stack.name).await?;
    let service = swarm.directus().await?;
    let name = service.name();
    let previous = swarm.engine.previous(&service).await?;
    let previous =
        previous.with_context(|| {
        format!(
            "there is nothing to roll {name} back to: it was never updated, or the swarm has rolled its last update back already"
        )
    })?;
    let image = &previous.image;
    let replicas = compat::wanted_replicas(&swarm, &service).await?;
    let order = match compat::ask(&swarm, &service, image, &flags.compat).await? {
        Ok(order) => order,
        Err(refusal) => {
            ui::error(&refusal.message);
            return Ok(ExitCode::from(refusal.exit));
        }
    };
    let before = swarm.task_ids().await?;
    // The swarm goes back to the number of replicas, too, which is 0 after an update that stopped them first.
    let goal = if order == Order::Rolling && previous.replicas == Some(replicas) {
        swarm::run(Cmd::new("docker").args(["service", "rollback", "--detach", name])).await?;
        Goal::Back
    } else {
        if order == Order::StopFirst {
            swarm.stop_all(&service).await?;
        }
        swarm.set_image(&service, image, replicas).await?;
        Goal::Forward
    };
    let deadline = Duration::from_secs(flags.deadline.seconds);
    let deployment = Deployment { services: vec![name.to_owned()], goal, image, before };
    let followed = follow::follow(&swarm, deployment, deadline).await?;
    Ok(ending::report(&followed, &format!("{name} runs {image} on {replicas} replicas again"), WAY_OUT))
}
