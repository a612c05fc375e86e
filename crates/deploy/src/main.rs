//! Deployments of the image on the swarm of the current docker context.
//!
//! [`up`], [`update`], [`rollback`], [`status`] and [`down`] are the commands. [`stack_file`] reads the file, [`swarm`] has
//! the engine and the stack, [`compat`] asks an image if it may roll, [`follow`] watches a deployment, and
//! [`ending`] is its last sentence. The decisions are pure: [`outcome`] judges a deployment by services and tasks,
//! [`replica`] describes a task, [`failure`] explains the end of one.

mod compat;
mod down;
mod ending;
mod failure;
mod follow;
mod outcome;
#[cfg(test)]
mod recorded;
mod replica;
mod rollback;
mod stack_file;
mod status;
mod swarm;
mod up;
mod update;

use std::process::ExitCode;

use grammar::{DeployCommand, XtaskCommand};
use testbed::program;

fn main() -> ExitCode {
    program::main(async |command| match command {
        XtaskCommand::Deploy(flags) => Some(match flags.command {
            DeployCommand::Up(flags) => up::run(&flags).await,
            DeployCommand::Update(flags) => update::run(&flags).await,
            DeployCommand::Rollback(flags) => rollback::run(&flags).await,
            DeployCommand::Status(flags) => status::run(&flags).await,
            DeployCommand::Down(flags) => down::run(&flags).await,
        }),
        _ => None,
    })
}
