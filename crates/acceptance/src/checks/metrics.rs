//! The metrics of a boot, in the file that its server finds.

use anyhow::{Context as _, ensure};
use contract::metrics::{BootMetric, EXIT_CODE, PHASE_DURATION, SCHEMA_CHANGES, SQL_FILES, SYSTEM_MIGRATIONS};
use contract::{Event, Phase};

use crate::check::{Check, Need};
use crate::container::EndedContainer;
use crate::test_context::TestContext;

pub(crate) const CHECKS: &[Check] = &[Check {
    name: "metrics",
    promise: "A boot leaves its durations, counts and exit code as Prometheus text, and they are those of its log.",
    needs: Need::Nothing,
    run: |test| Box::pin(metrics(test)),
}];

const FILE: &str = "/tmp/boot.prom";

async fn metrics(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.empty_database("metrics").await?;
    // The server prints the file.
    let spec = test.boot("first", &database).command(["start", "--", "cat", FILE]);
    let ended = test.run(spec.variable("BOOT_METRICS_FILE", FILE)).await?;
    ended.expect_success("first")?;
    let exit = value(&ended, &EXIT_CODE, "phase=\"exec\"")?;
    ensure!(exit == 0.0, "{} is {exit}", EXIT_CODE.name);
    for phase in Phase::ALL {
        let line = ended.done(phase).with_context(|| format!("{phase} has no last line"))?;
        let Event::Done(took) = line.event else { continue };
        let seconds = value(&ended, &PHASE_DURATION, &format!("phase=\"{phase}\""))?;
        test.figure(format!("seconds of {phase}"), seconds.to_string());
        // The file is written within the last phase.
        let is_same = phase == Phase::Exec || (0.0..0.001).contains(&(seconds - took.as_secs_f64()));
        ensure!(is_same, "{phase} took {seconds} s by its metric, and {took:?} in the log");
    }
    for phase in [Phase::DbInit, Phase::PostSchema] {
        let applied = numbers(&ended, phase).next();
        same(&ended, &SQL_FILES, &format!("phase=\"{phase}\",result=\"applied\""), applied.unwrap_or_default())?;
    }
    same(&ended, &SYSTEM_MIGRATIONS, "", numbers(&ended, Phase::Bootstrap).next().unwrap_or_default())?;
    let changes = numbers(&ended, Phase::Schema).sum();
    ensure!(changes > 0, "the first boot changed no part of the schema");
    same(&ended, &SCHEMA_CHANGES, "", changes)
}

/// Compares a metric with the log.
fn same(ended: &EndedContainer, metric: &BootMetric, labels: &str, logged: u32) -> anyhow::Result<()> {
    let value = value(ended, metric, labels)?;
    ensure!(value == f64::from(logged), "{} is {value}, and in the log {logged}", metric.name);
    Ok(())
}

/// The whole numbers in the last line of a phase.
fn numbers(ended: &EndedContainer, phase: Phase) -> impl Iterator<Item = u32> {
    let message = ended.done(phase).map(|line| line.message).unwrap_or_default();
    let words: Vec<u32> = message.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    words.into_iter()
}

/// The value of a metric with these labels in the file that the server printed.
fn value(ended: &EndedContainer, metric: &BootMetric, labels: &str) -> anyhow::Result<f64> {
    let begin = format!("{}{{{labels}", metric.name);
    let line = ended.lines.iter().find(|line| line.starts_with(&begin));
    let value = line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok());
    value.with_context(|| format!("the server found no {begin}"))
}
