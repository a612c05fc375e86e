//! One file a command; each has a `run` that takes its flags.

mod bench;
mod ci;
mod dev_reset;
mod docs;
mod down;
mod image;
mod inspect_user;
mod search;
mod setup;
mod snapshot;
mod sweep;
mod test;
mod verify;

use std::process::ExitCode;

pub(crate) use self::image::{Binary, Built};
use crate::flags::Command;

/// Runs a command. `Ok` with a failing code is a command that worked and found something wrong.
pub(crate) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Setup(flags) => setup::run(&flags).await,
        Command::DevReset(flags) => dev_reset::run(&flags).await,
        Command::Down(flags) => down::run(&flags).await,
        Command::Image(flags) => image::run(&flags).await,
        Command::InspectUser(flags) => inspect_user::run(&flags).await,
        Command::Test(flags) => test::run(&flags).await,
        Command::Verify(flags) => verify::run(&flags).await,
        Command::Sweep(flags) => sweep::run(&flags).await,
        Command::Search(flags) => search::run(&flags).await,
        Command::Bench(flags) => bench::run(&flags).await,
        Command::Ci(flags) => ci::run(&flags).await,
        Command::Snapshot(flags) => snapshot::run(&flags).await,
        Command::Docs(flags) => docs::run(&flags),
    }
}
