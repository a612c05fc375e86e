//! `setup`: reports missing parts of this machine, and installs them.

use std::process::ExitCode;
use std::time::Instant;

use serde::Serialize;

use testbed::registry::Registry;
use testbed::setup::{self, PartState, SetupOptions, SetupOutcome};
use testbed::ui;

#[derive(Serialize)]
struct SetupReport<'a> {
    ok: bool,
    seconds: f64,
    steps: &'a [SetupOutcome],
}

/// Runs `setup`.
pub(crate) async fn run(flags: &grammar::SetupFlags) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let outcomes = setup::run(SetupOptions {
        install: flags.yes,
        tests: true,
        browser: flags.browser,
        registry: flags.registry.map(Registry::at),
    })
    .await?;
    let missing = outcomes.iter().filter(|outcome| outcome.state == PartState::Missing).count();
    if flags.json {
        ui::json_result(&SetupReport {
            ok: missing == 0,
            seconds: ui::json_seconds(began.elapsed()),
            steps: &outcomes,
        })?;
    } else if missing == 0 {
        ui::result(&format!("nothing is missing ({})", ui::seconds(began.elapsed())));
    } else {
        ui::result(&format!(
            "{missing} of {} parts missing; `cargo xtask setup --yes` installs those that it can",
            outcomes.len()
        ));
    }
    Ok(if missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
