//! The commands that work on real containers: `verify`, `sweep` and `search`; `cargo xtask` starts this program.

use std::process::ExitCode;

use acceptance::commands::{search, sweep, verify};
use grammar::XtaskCommand;
use testbed::program;

fn main() -> ExitCode {
    program::main(run)
}

async fn run(command: XtaskCommand) -> Option<anyhow::Result<ExitCode>> {
    Some(match command {
        XtaskCommand::Verify(flags) => verify::run(&flags).await,
        XtaskCommand::Sweep(flags) => sweep::run(&flags).await,
        XtaskCommand::Search(flags) => search::run(&flags).await,
        _ => return None,
    })
}
