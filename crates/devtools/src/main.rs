//! The commands for developers that are too large for `cargo xtask` itself, which starts this program.

mod boot_view;
mod dev_reset;
mod image;
mod inspect_user;
mod setup;
mod snapshot;
mod test;

use std::process::ExitCode;

use grammar::Command;
use testbed::program;

fn main() -> ExitCode {
    program::main(run)
}

async fn run(command: Command) -> Option<anyhow::Result<ExitCode>> {
    Some(match command {
        Command::Setup(flags) => setup::run(&flags).await,
        Command::DevReset(flags) => dev_reset::run(&flags).await,
        Command::Image(flags) => image::run(&flags).await,
        Command::InspectUser(flags) => inspect_user::run(&flags).await,
        Command::Test(flags) => test::run(&flags).await,
        Command::Snapshot(flags) => snapshot::run(&flags).await,
        _ => return None,
    })
}
