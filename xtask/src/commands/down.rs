//! `down`: stops a development stack.

use std::process::ExitCode;

use anyhow::Context as _;
use xshell::{Shell, cmd};

use crate::workspace;

/// Runs `down`.
pub(crate) fn run(flags: &grammar::DownFlags) -> anyhow::Result<ExitCode> {
    let shell = Shell::new().context("failed to read the current folder")?;
    shell.change_dir(workspace::root());
    let project = &flags.project.name;
    // A database that is discarded need not shut down cleanly.
    let volumes: &[&str] = if flags.volumes { &["--volumes", "--timeout", "0"] } else { &[] };
    cmd!(
        shell,
        "docker compose --progress quiet --file compose.dev.yaml --project-name {project} down --remove-orphans {volumes...}"
    )
    .run()
    .context("the stack is not removed; `cargo xtask doctor` examines engine and compose")?;
    Ok(ExitCode::SUCCESS)
}
