//! `down`: the end of a development stack.

use std::process::ExitCode;

use crate::compose::Compose;
use crate::flags;

/// Runs `down`.
pub(crate) async fn run(flags: &flags::Down) -> anyhow::Result<ExitCode> {
    Compose::new(&flags.project.name).down(flags.volumes).await?;
    Ok(ExitCode::SUCCESS)
}
