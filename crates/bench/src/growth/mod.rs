//! Boots of a generated data model of several sizes: how the durations grow with the model.

mod data_model;
pub(crate) mod picture;

use anyhow::{Context as _, ensure};
use contract::{BINARY, DB_INIT_DIR, EXTENSIONS_DIR, Event, LogLine, Phase, SNAPSHOT_FILE};

use acceptance::container::{Container, expect_done};

use super::baseline::Contender;
use super::harness::Harness;
use super::metrics;
use super::model::{Figures, Subject};
use data_model::GeneratedModel;
use grammar::BenchPart;

/// The largest number of turns: boots of a large model take minutes.
const MOST_TURNS: usize = 3;
/// Measurements per turn of commands that change nothing.
const WARM_BOOTS: usize = 10;
const PLANS: usize = 3;

/// Measures all sizes in turns, each on an empty database: a first boot, boots without work, plans, and a boot of a
/// newer image.
pub(crate) async fn measure(harness: &Harness, figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    let (_, directus) = harness.base.name.rsplit_once(':').context("the base image has no tag")?;
    for _ in 0..runs.min(MOST_TURNS) {
        for tables in metrics::MODEL_SIZES {
            let model = GeneratedModel::new(tables, directus);
            let database = harness.empty().await?;
            let container = harness.idle(Contender::Ours, &database).await?;
            let boots = ModelBoots { harness, container: &container, model: &model, tables };
            boots.measure(figures).await.with_context(|| format!("failed with {tables} tables"))?;
            harness.remove(&container).await?;
            harness.drop_database(&database).await?;
        }
    }
    Ok(())
}

/// The boots of one model in an idle container.
struct ModelBoots<'a> {
    harness: &'a Harness,
    container: &'a Container,
    model: &'a GeneratedModel,
    tables: usize,
}

impl ModelBoots<'_> {
    async fn measure(&self, figures: &mut Figures) -> anyhow::Result<()> {
        let files = self.model.files_per_phase();
        self.as_root(&["rm", "-r", DB_INIT_DIR, SNAPSHOT_FILE, EXTENSIONS_DIR]).await?;
        self.install(&self.model.files()).await?;
        let log = self.boot().await?;
        for phase in [Phase::DbInit, Phase::PostSchema] {
            expect_done(&log, phase, &format!("{files} applied"))?;
        }
        self.add(figures, metrics::COLD_BOOT, total(&log)?);
        for phase in [Phase::DbInit, Phase::Bootstrap, Phase::Schema, Phase::PostSchema] {
            let LogLine { event, .. } = expect_done(&log, phase, "")?;
            let Event::Done(took) = event else { unreachable!("`expect_done` returns only lines with this event") };
            self.add(figures, &metrics::phase_of(metrics::COLD_BOOT, phase), took.as_secs_f64());
        }
        // Not recorded: fills the caches, and shows that there is nothing to do.
        expect_done(&self.boot().await?, Phase::Lock, "everything is in place")?;
        for (what, times, command) in
            [(metrics::WARM_MODEL_BOOT, WARM_BOOTS, [BINARY, "boot"]), (metrics::PLAN, PLANS, [BINARY, "plan"])]
        {
            for seconds in self.harness.clock(self.container, times, &command).await?.seconds {
                self.add(figures, what, seconds);
            }
        }
        self.install(&self.model.upgrade()).await?;
        let log = self.boot().await?;
        expect_done(&log, Phase::Schema, "1 field")?;
        expect_done(&log, Phase::PostSchema, &format!("1 applied, {files} skipped"))?;
        self.add(figures, metrics::UPGRADE_BOOT, total(&log)?);
        Ok(())
    }

    fn add(&self, figures: &mut Figures, what: &str, seconds: f64) {
        figures.seconds(BenchPart::Growth, &metrics::with_tables(what, self.tables), Subject::Ours, seconds);
    }

    /// Writes files into the image's folders, and the manifest, as the build of an image does.
    async fn install(&self, files: &[(String, Vec<u8>)]) -> anyhow::Result<()> {
        self.harness.suite.engine.upload(&self.container.id, files).await?;
        self.as_root(&[BINARY, "manifest"]).await
    }

    /// Runs a command as root, to whom the image's folders belong.
    async fn as_root(&self, command: &[&str]) -> anyhow::Result<()> {
        let (code, output) = self.harness.suite.engine.exec_as(&self.container.id, Some("root"), command).await?;
        ensure!(code == 0, "{} failed: {output}", command.join(" "));
        Ok(())
    }

    /// Boots, and returns the log.
    async fn boot(&self) -> anyhow::Result<Vec<String>> {
        let (code, output) = self.container.exec(&[BINARY, "boot"]).await?;
        ensure!(code == 0, "a boot ended with {code}: {output}");
        Ok(output.lines().map(str::to_owned).collect())
    }
}

/// Returns the seconds that the last line of a boot reports.
fn total(log: &[String]) -> anyhow::Result<f64> {
    let LogLine { message, .. } = expect_done(log, Phase::Exec, "booted in ")?;
    let number = message.strip_prefix("booted in ").and_then(|rest| rest.split_once(" ms"));
    let milliseconds = number.and_then(|(number, _)| number.parse::<f64>().ok());
    Ok(milliseconds.with_context(|| format!("no duration in `{message}`"))? / 1e3)
}

#[cfg(test)]
mod tests {
    use super::total;

    #[test]
    fn the_duration_of_a_boot_is_in_its_last_line() {
        let line = |text: &str| vec![format!("[entrypoint] 8/8 exec: {text} (0 ms)")];
        assert_eq!(total(&line("booted in 6304 ms, exiting")).unwrap(), 6.304);
        assert!(total(&line("becoming pm2-runtime")).is_err());
    }
}
