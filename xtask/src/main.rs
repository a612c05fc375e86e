//! `cargo xtask`: the commands of this repository.
//!
//! A command that needs more than the command lines of cargo and docker is in a separate program ([`tool`]), so that
//! `cargo xtask --help` builds in seconds on a fresh clone.

mod commands;
mod foreground;
mod tool;
mod workspace;

use std::process::ExitCode;

use clap::Parser as _;
use grammar::{Command, Xtask};

use self::tool::Tool;

fn main() -> ExitCode {
    match run(&Xtask::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Down(flags) => commands::down::run(flags),
        Command::Ci(flags) => commands::ci::run(flags),
        Command::Docs(flags) => commands::docs::run(flags),
        Command::Language(flags) => commands::language::run(flags),
        Command::Setup(_)
        | Command::DevReset(_)
        | Command::Image(_)
        | Command::InspectUser(_)
        | Command::Test(_)
        | Command::Snapshot(_) => Tool::Devtools.exec(),
        Command::Verify(_) | Command::Sweep(_) | Command::Search(_) => Tool::Acceptance.exec(),
        Command::Bench(_) => Tool::Bench.exec(),
    }
}
