//! The `main` of a tool that `cargo xtask` starts.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Parser as _;
use grammar::{Xtask, XtaskCommand};

use crate::{signals, ui};

/// Parses the command line, and runs the command until it finishes or a signal arrives. Progress goes to stderr, results
/// to stdout. `run` returns `None` for the commands of other tools.
pub fn main(run: impl AsyncFnOnce(XtaskCommand) -> Option<anyhow::Result<ExitCode>>) -> ExitCode {
    match until_signal(Xtask::parse().command, run) {
        Ok(code) => code,
        Err(error) => {
            ui::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn until_signal(
    command: XtaskCommand,
    run: impl AsyncFnOnce(XtaskCommand) -> Option<anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    // One thread: the tools mostly wait for other processes.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the async runtime")?;
    runtime.block_on(async {
        // The first to finish drops the other. A dropped command drops its guards, which end children and containers.
        tokio::select! {
            // A command that handles signals itself comes first.
            biased;
            result = run(command) => match result {
                Some(result) => result,
                None => bail!("this command belongs to another tool: run it with `cargo xtask`"),
            },
            signal = signals::termination() => {
                let signal = signal.context("failed to listen for signals")?;
                ui::error(&format!("ended by {}", signal.name()));
                Ok(ExitCode::from(signal.exit_code()))
            }
        }
    })
}
