//! The commands for SQL files that are too large for `cargo xtask` itself, which starts this program.

use std::process::ExitCode;

use grammar::{MigrationCommand, XtaskCommand};
use migration::{lint, list, new_file};
use testbed::program;

fn main() -> ExitCode {
    program::main(run)
}

async fn run(command: XtaskCommand) -> Option<anyhow::Result<ExitCode>> {
    let XtaskCommand::Migration(flags) = command else { return None };
    Some(match flags.command {
        MigrationCommand::New(flags) => new_file::run(&flags),
        MigrationCommand::List(flags) => list::run(&flags).await,
        MigrationCommand::Lint(flags) => lint::command::run(&flags).await,
    })
}
