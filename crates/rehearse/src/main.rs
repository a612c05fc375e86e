//! The rehearsal of an upgrade: boots the start on a fresh database, fills it, boots the candidate on a copy, compares, and
//! tries to roll back.
//!
//! [`images`] obtains the two images, [`stage`] runs them, [`rehearsal`] has the order: [`before`], [`upgrade`],
//! [`rollback`]. [`rows`], [`catalog`], [`answers`], [`role`] and [`license`] compare, [`report`] is the result as data,
//! [`render`] its text, and [`pin`] writes the new pin.

mod answers;
mod before;
mod catalog;
mod images;
mod license;
mod live_model;
mod pin;
mod rehearsal;
mod render;
mod report;
mod role;
mod rollback;
mod rows;
mod stage;
mod supported;
mod upgrade;

use std::process::ExitCode;

use grammar::{RehearseFlags, XtaskCommand};
use testbed::engine::Engine;
use testbed::{program, ui};

use self::images::WantedImages;

fn main() -> ExitCode {
    program::main(async |command| match command {
        XtaskCommand::Rehearse(flags) => Some(run(&flags).await),
        _ => None,
    })
}

/// Runs `rehearse`. Exit code 0: safe; 2: differences to look at; 1: the upgrade fails, or cannot be rehearsed.
async fn run(flags: &RehearseFlags) -> anyhow::Result<ExitCode> {
    let wanted = WantedImages::of(flags)?;
    if flags.write {
        pin::ensure_committed().await?;
    }
    let engine = Engine::connect().await?;
    let (report, snapshot) = rehearsal::rehearse(&engine, wanted).await?;
    if flags.json {
        ui::json_result(&report)?;
    } else {
        ui::result(&render::text(&report));
    }
    if let (true, Some(version)) = (flags.write, flags.to) {
        pin::ensure_allowed(report.verdict, &report.digest, flags.accept.as_deref())?;
        pin::write(version, snapshot.as_deref())?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(report.verdict.exit())
}
