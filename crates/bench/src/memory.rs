//! The most memory that a boot takes, of all its processes together.

use anyhow::{Context as _, ensure};

use testbed::ui;

use super::baseline::Contender;
use super::lab::{Clocked, Lab, PROBE};
use super::model::Figures;
use super::stats::Unit;
use grammar::Part;

/// Measures both in turns: on an empty database, then again on the same.
pub(crate) async fn measure(lab: &Lab, figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    for _ in 0..runs {
        for who in Contender::BOTH {
            let database = lab.empty().await?;
            for state in ["boot, cold", "boot, warm"] {
                let spec = lab.with_probe(lab.container(who, &database)).with(|spec| {
                    spec.entrypoint = Some([PROBE, "clock", "1", "--"].map(str::to_owned).to_vec());
                    spec.command = Some(who.boot_command().map(str::to_owned).to_vec());
                });
                let container = lab.start(spec).await?;
                let ended = lab.ended(&container).await?;
                ensure!(ended.code == 0, "the clock ended with {}: {}", ended.code, ended.last_line());
                let clocked = Clocked::read(ended.last_line()).context("failed to boot")?;
                lab.remove(&container).await?;
                let Some(peak) = clocked.peak_bytes else {
                    ui::warning("this kernel does not tell a container's peak memory: it is not measured");
                    return Ok(());
                };
                figures.add(Part::Memory, state, who.by(), Unit::Bytes, peak as f64);
            }
            lab.drop_database(&database).await?;
        }
    }
    Ok(())
}
