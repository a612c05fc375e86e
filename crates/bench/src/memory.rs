//! Peak memory of a boot, summed over its processes.

use anyhow::{Context as _, ensure};

use testbed::ui;

use super::baseline::Contender;
use super::harness::{Harness, PROBE, Timings};
use super::model::Figures;
use super::stats::Unit;
use grammar::BenchPart;

/// Measures both in turns: on an empty database, then again on the same.
pub(crate) async fn measure(harness: &Harness, figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    for _ in 0..runs {
        for who in Contender::BOTH {
            let database = harness.empty().await?;
            for state in ["boot, cold", "boot, warm"] {
                let spec = harness.with_probe(harness.container(who, &database)).with(|spec| {
                    spec.entrypoint = Some([PROBE, "clock", "1", "--"].map(str::to_owned).to_vec());
                    spec.command = Some(who.boot_command().map(str::to_owned).to_vec());
                });
                let container = harness.start(spec).await?;
                let ended = harness.ended(&container).await?;
                ensure!(ended.code == 0, "the probe ended with {}: {}", ended.code, ended.last_line());
                let timings = Timings::read(ended.last_line()).context("failed to boot")?;
                harness.remove(&container).await?;
                let Some(peak) = timings.peak_bytes else {
                    ui::warning("this kernel does not report the peak memory of containers: not measured");
                    return Ok(());
                };
                figures.add(BenchPart::Memory, state, who.subject(), Unit::Bytes, peak as f64);
            }
            harness.drop_database(&database).await?;
        }
    }
    Ok(())
}
