//! `down`: the end of a development stack.

use std::process::ExitCode;

use anyhow::Context as _;
use xshell::{Shell, cmd};

use crate::workspace;

/// Runs `down`.
pub(crate) fn run(flags: &grammar::Down) -> anyhow::Result<ExitCode> {
    let shell = Shell::new().context("there is no current folder")?;
    shell.change_dir(workspace::root());
    let project = &flags.project.name;
    // A database that is thrown away need not end cleanly.
    let volumes: &[&str] = if flags.volumes { &["--volumes", "--timeout", "0"] } else { &[] };
    cmd!(
        shell,
        "docker compose --progress quiet --file compose.dev.yaml --project-name {project} down --remove-orphans {volumes...}"
    )
    .run()?;
    Ok(ExitCode::SUCCESS)
}
