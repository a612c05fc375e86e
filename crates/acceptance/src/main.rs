//! The commands that work on real containers: `verify`, `sweep` and `search`; `cargo xtask` starts this program.

use std::process::ExitCode;

use acceptance::commands::{search, sweep, verify};
use grammar::Command;
use testbed::program;

fn main() -> ExitCode {
    program::main(run)
}

async fn run(command: Command) -> Option<anyhow::Result<ExitCode>> {
    Some(match command {
        Command::Verify(flags) => verify::run(&flags).await,
        Command::Sweep(flags) => sweep::run(&flags).await,
        Command::Search(flags) => search::run(&flags).await,
        _ => return None,
    })
}
