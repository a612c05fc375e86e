//! The commands for developers that are too large for `cargo xtask` itself, which starts this program.

mod dev_reset;
mod doctor;
mod image;
mod inspect_user;
mod seed;
mod setup;
mod snapshot;
mod stack;
mod test;
mod unsaved;

use std::process::ExitCode;

use grammar::XtaskCommand;
use testbed::program;

fn main() -> ExitCode {
    program::main(run)
}

async fn run(command: XtaskCommand) -> Option<anyhow::Result<ExitCode>> {
    Some(match command {
        XtaskCommand::Setup(flags) => setup::run(&flags).await,
        XtaskCommand::Doctor(flags) => doctor::run(&flags).await,
        XtaskCommand::DevReset(flags) => dev_reset::run(&flags).await,
        XtaskCommand::Image(flags) => image::run(&flags).await,
        XtaskCommand::InspectUser(flags) => inspect_user::run(&flags).await,
        XtaskCommand::Test(flags) => test::run(&flags).await,
        XtaskCommand::Seed(flags) => seed::run(&flags).await,
        XtaskCommand::Snapshot(flags) => snapshot::run(&flags).await,
        _ => return None,
    })
}
