//! Actions that install a missing part of a machine.

use anyhow::bail;

use super::machine::SetupMachine;
use crate::base_images::BaseImage;
use crate::cmd::Cmd;
use crate::engine::{Engine, Pull};
use crate::registry::Registry;
use crate::ui;

/// The finding of a step.
#[derive(Debug)]
pub(super) enum SetupProbe {
    /// The part is present; with its version, path or name.
    Ok(String),
    Missing {
        /// The reason why it counts as missing.
        found: String,
        plan: SetupPlan,
    },
}

/// An action that installs a missing part.
#[derive(Debug)]
pub(super) enum SetupPlan {
    /// Run commands, one after the other.
    Run(Vec<Cmd>),
    /// Pull an image, or build its stand-in if no registry answers.
    Image(BaseImage),
    /// Rebuild an image's stand-in, because its recipe has changed.
    StandIn(BaseImage),
    /// Start a local registry, and push the base images into it.
    Registry(Registry),
    /// Advise the user of an action that xtask cannot take.
    Advise(String),
}

impl SetupPlan {
    /// Describes the action in one line.
    pub(super) fn describe(&self) -> String {
        match self {
            SetupPlan::Run(commands) => {
                let commands: Vec<String> = commands.iter().map(|command| format!("`{command}`")).collect();
                format!("run {}", commands.join(", then "))
            }
            SetupPlan::Image(image) => {
                format!("pull {}, or build {} if no registry answers", image.name, image.stand_in())
            }
            SetupPlan::StandIn(image) => format!("rebuild {}, because its recipe has changed", image.stand_in()),
            SetupPlan::Registry(registry) => format!("start it at {}, and push the base images", registry.host()),
            SetupPlan::Advise(text) => text.clone(),
        }
    }

    /// Returns true if only the user can act.
    pub(super) fn is_advice(&self) -> bool {
        matches!(self, SetupPlan::Advise(_))
    }

    pub(super) async fn execute(self) -> anyhow::Result<()> {
        match self {
            SetupPlan::Run(commands) => {
                for command in commands {
                    command.run().await?;
                }
                Ok(())
            }
            SetupPlan::Image(image) => obtain(&image).await,
            SetupPlan::StandIn(image) => build_stand_in(&image).await,
            SetupPlan::Registry(registry) => registry.fill().await,
            SetupPlan::Advise(text) => bail!("{text}"),
        }
    }
}

/// Pulls an image, or builds its stand-in when its registry cannot be reached.
pub async fn obtain(image: &BaseImage) -> anyhow::Result<()> {
    match image.pull(&Engine::connect().await?).await? {
        Pull::Done => Ok(()),
        Pull::Refused(reason) => {
            bail!("the registry refused {}: {reason}; if it asks for a login, `docker login` first", image.name)
        }
        Pull::Unreachable(reason) => {
            ui::warning(&format!("the registry of {} cannot be reached: {reason}", image.name));
            build_stand_in(image).await
        }
    }
}

/// Builds an image's stand-in on a machine where its recipe can run.
async fn build_stand_in(image: &BaseImage) -> anyhow::Result<()> {
    let machine = SetupMachine::detect();
    if !(machine.debian && machine.root) {
        bail!(
            "a stand-in for {0} can only be built on Debian or Ubuntu, as root: `docker pull {0}` where its registry answers",
            image.name
        );
    }
    ui::status("Building", &format!("{}, a stand-in for {}", image.stand_in(), image.name));
    image.stand_in_command()?.run().await
}
