//! `cargo xtask`: builds the image, runs the development stack and proves what the README promises.
//!
//! Here the command line is parsed, the command is run until it ends or a signal does, and its error becomes an exit
//! code. Progress goes to stderr; stdout carries results: text for people, or one JSON line with `--json`.

mod base_images;
mod bench;
mod boot_view;
mod build_progress;
mod cmd;
mod commands;
mod compose;
mod dockerfile;
mod dotenv;
mod engine;
mod flags;
mod http;
mod inspection;
mod ownership;
mod ports;
mod postgres;
mod run;
mod setup;
mod signals;
mod size;
mod tidy;
mod ui;
mod upstream;
mod variant;
mod verify;
mod workspace;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

fn main() -> ExitCode {
    let flags = flags::Xtask::parse();
    match run(flags) {
        Ok(code) => code,
        Err(error) => {
            ui::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(flags: flags::Xtask) -> anyhow::Result<ExitCode> {
    // One thread: xtask waits for others most of the time.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the async runtime")?;
    runtime.block_on(async {
        // Whichever ends first drops the other. A dropped command drops its guards: children and containers go with it.
        tokio::select! {
            result = commands::run(flags.command) => result,
            signal = signals::termination() => {
                let signal = signal.context("failed to listen for signals")?;
                ui::error(&format!("ended by {}", signal.name()));
                Ok(ExitCode::from(signal.exit_code()))
            }
        }
    })
}
