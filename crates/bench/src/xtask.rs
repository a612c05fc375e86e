//! xtask's own start: what a developer waits for at every command.

use std::time::Instant;

use testbed::cmd::Cmd;
use testbed::workspace;

use super::model::{By, Figures};
use grammar::Part;

use super::names;

/// How often in a turn.
const TIMES: usize = 3;

/// Measures cargo with the program, and the program alone.
pub(crate) async fn measure(figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    let program = workspace::target_dir().join("debug/xtask");
    for turn in 0..=runs * TIMES {
        for what in [names::CARGO_XTASK, names::BARE_XTASK] {
            let cmd = if what == names::BARE_XTASK {
                Cmd::new(program.as_std_path()).arg("--help")
            } else {
                // The alias of .cargo/config.toml.
                Cmd::cargo().args(["xtask", "--help"])
            };
            let began = Instant::now();
            cmd.read().await?;
            // The first is not counted: it may build.
            if turn > 0 {
                figures.seconds(Part::Xtask, what, By::Ours, began.elapsed().as_secs_f64());
            }
        }
    }
    Ok(())
}
