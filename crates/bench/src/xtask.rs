//! Startup of xtask, which delays every command of a developer.

use std::time::Instant;

use testbed::cmd::Cmd;
use testbed::workspace;

use super::model::{Figures, Subject};
use grammar::BenchPart;

use super::metrics;

/// Measurements per turn.
const TIMES: usize = 3;

/// Measures the program with and without cargo.
pub(crate) async fn measure(figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    let program = workspace::target_dir().join("debug/xtask");
    for turn in 0..=runs * TIMES {
        for what in [metrics::CARGO_XTASK, metrics::BARE_XTASK] {
            let cmd = if what == metrics::BARE_XTASK {
                Cmd::new(program.as_std_path()).arg("--help")
            } else {
                // Alias of .cargo/config.toml.
                Cmd::cargo().args(["xtask", "--help"])
            };
            let began = Instant::now();
            cmd.read().await?;
            // Not recorded: the first run may build.
            if turn > 0 {
                figures.seconds(BenchPart::Xtask, what, Subject::Ours, began.elapsed().as_secs_f64());
            }
        }
    }
    Ok(())
}
