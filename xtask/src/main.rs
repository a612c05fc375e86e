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
use grammar::{Xtask, XtaskCommand};

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

fn run(command: &XtaskCommand) -> anyhow::Result<ExitCode> {
    match command {
        XtaskCommand::Down(flags) => commands::down::run(flags),
        XtaskCommand::Ci(flags) => commands::ci::run(flags),
        XtaskCommand::Docs(flags) => commands::docs::run(flags),
        XtaskCommand::Language(flags) => commands::language::run(flags),
        XtaskCommand::Completions(flags) => commands::completions::run(flags),
        XtaskCommand::Setup(_)
        | XtaskCommand::Doctor(_)
        | XtaskCommand::DevReset(_)
        | XtaskCommand::Image(_)
        | XtaskCommand::InspectUser(_)
        | XtaskCommand::Test(_)
        | XtaskCommand::Seed(_)
        | XtaskCommand::Snapshot(_) => Tool::Devtools.exec(),
        XtaskCommand::Verify(_) | XtaskCommand::Sweep(_) | XtaskCommand::Search(_) => Tool::Acceptance.exec(),
        XtaskCommand::Migration(_) => Tool::Migration.exec(),
        XtaskCommand::Bench(_) => Tool::Bench.exec(),
        XtaskCommand::Rehearse(_) => Tool::Rehearse.exec(),
        XtaskCommand::Deploy(_) => Tool::Deploy.exec(),
    }
}
