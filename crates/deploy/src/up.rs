//! `deploy up`: deploys a stack that does not exist yet.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use grammar::DeployUpFlags;

use crate::ending;
use crate::follow::{self, Deployment};
use crate::outcome::Goal;
use crate::stack_file::StackFile;
use crate::swarm::Swarm;

/// Runs `deploy up`.
pub(crate) async fn run(flags: &DeployUpFlags) -> anyhow::Result<ExitCode> {
    let swarm = Swarm::connect(&flags.stack.name).await?;
    let stack = &swarm.stack;
    ensure!(
        swarm.services().await?.is_empty(),
        "the stack {stack} exists already: `cargo xtask deploy update` rolls it to another image, `cargo xtask deploy down` \
         removes it and keeps its data"
    );
    let file = StackFile::read(&flags.files, &flags.image).await?;
    file.ensure_secrets(&swarm, &flags.secrets).await?;
    file.deploy(stack).await?;
    let image = &flags.image.name;
    let services = swarm.services().await?.iter().map(|service| service.name().to_owned()).collect();
    let deployment = Deployment { services, goal: Goal::Forward, image, before: BTreeSet::new() };
    let followed = follow::follow(&swarm, deployment, Duration::from_secs(flags.deadline.seconds)).await?;
    let wanted = format!("the stack {stack} runs {image}");
    let way_out = "the stack stays, and the swarm starts its replicas again: correct the cause and wait, `cargo xtask deploy \
                   update` to another image, or `cargo xtask deploy down`";
    Ok(ending::report(&followed, &wanted, way_out))
}
