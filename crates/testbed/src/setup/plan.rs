//! Ways to get something that is missing on a machine.

use anyhow::bail;

use super::machine::Machine;
use crate::base_images::BaseImage;
use crate::cmd::Cmd;
use crate::engine::{Engine, Pull};
use crate::ui;

/// The finding of a step.
#[derive(Debug)]
pub(super) enum Probe {
    /// All is well, and this is what was found.
    Ok(String),
    /// Something is missing.
    Missing {
        /// The finding instead.
        found: String,
        /// The way to get it.
        plan: Plan,
    },
}

/// A way to get something that is missing.
#[derive(Debug)]
pub(super) enum Plan {
    /// Commands, one after the other.
    Run(Vec<Cmd>),
    /// Get an image: from its registry, or else as a stand-in.
    Image(BaseImage),
    /// Build an image's stand-in again, from its changed recipe.
    StandIn(BaseImage),
    /// Nothing that xtask can do: the user is told what they can.
    Tell(String),
}

impl Plan {
    /// In one line.
    pub(super) fn describe(&self) -> String {
        match self {
            Plan::Run(commands) => {
                let commands: Vec<String> = commands.iter().map(|command| format!("`{command}`")).collect();
                format!("run {}", commands.join(", then "))
            }
            Plan::Image(image) => format!("pull {}, or build {} if no registry answers", image.name, image.stand_in()),
            Plan::StandIn(image) => format!("build {} again, its recipe has changed", image.stand_in()),
            Plan::Tell(text) => text.clone(),
        }
    }

    pub(super) async fn execute(self) -> anyhow::Result<()> {
        match self {
            Plan::Run(commands) => {
                for command in commands {
                    command.run().await?;
                }
                Ok(())
            }
            Plan::Image(image) => obtain(&image).await,
            Plan::StandIn(image) => build_stand_in(&image).await,
            Plan::Tell(text) => bail!("{text}"),
        }
    }
}

/// Gets an image from its registry, or builds its stand-in when that cannot be reached.
pub async fn obtain(image: &BaseImage) -> anyhow::Result<()> {
    match image.pull(&Engine::connect().await?).await? {
        Pull::Done => Ok(()),
        Pull::Refused(reason) => bail!("the registry refused {}: {reason}", image.name),
        Pull::Unreachable(reason) => {
            ui::warning(&format!("the registry of {} cannot be reached: {reason}", image.name));
            build_stand_in(image).await
        }
    }
}

/// Builds an image's stand-in, where its recipe can run.
async fn build_stand_in(image: &BaseImage) -> anyhow::Result<()> {
    let machine = Machine::detect();
    if !(machine.debian && machine.root) {
        bail!("a stand-in for {} can only be built on Debian or Ubuntu, as root", image.name);
    }
    ui::status("Building", &format!("{}, a stand-in for {}", image.stand_in(), image.name));
    image.stand_in_command()?.run().await
}
