//! The witness: reads the catalog before and after each transaction of a cold boot, without the transactions
//! themselves.

use anyhow::{Context as _, ensure};

use super::baseline::Contender;
use super::harness::{Harness, PROBE, Timings};
use super::model::{Figures, Subject};
use grammar::BenchPart;

use super::metrics;
use acceptance::database::TestDatabase;

/// Number of transactions in a cold boot of this image: five SQL files, Directus' installation, and the schema apply.
const TRANSACTIONS: &str = "7";
/// Tables of the large model, with 30 columns each.
const TABLES: usize = 500;
/// Partitions of one table of the large model, created in portions.
const PARTITIONS: usize = 10_000;
const PORTION: usize = 500;

/// Measures both models in turns.
pub(crate) async fn measure(harness: &Harness, figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    let (own, large) = (harness.booted(Contender::Ours).await?, harness.booted(Contender::Ours).await?);
    enlarge(&large).await?;
    let models = [(metrics::WITNESS, &own), (metrics::WITNESS_LARGE, &large)];
    let mut containers = Vec::new();
    for (name, database) in models {
        containers.push((name, harness.idle(Contender::Ours, database).await?));
    }
    for _ in 0..runs {
        for (name, container) in &containers {
            let (code, output) = container.exec(&[PROBE, "witness", TRANSACTIONS]).await?;
            ensure!(code == 0, "the probe failed: {output}");
            for seconds in Timings::read(&output).context("failed to read the output of the probe")?.seconds {
                figures.seconds(BenchPart::Witness, name, Subject::Ours, seconds);
            }
        }
    }
    for ((_, container), (_, database)) in containers.iter().zip(models) {
        harness.remove(container).await?;
        harness.drop_database(database).await?;
    }
    Ok(())
}

/// Adds the tables and partitions of the large model, in a separate schema.
async fn enlarge(database: &TestDatabase) -> anyhow::Result<()> {
    database
        .execute(&format!(
            "create schema large;
             do $$ begin
                 for i in 1..{TABLES} loop
                     execute format('create table large.t%s (id uuid primary key, %s)', i,
                         (select string_agg(format('c%s text', n), ',') from generate_series(1, 29) n));
                 end loop;
             end $$;
             create table large.parted (day int not null, a int, b real, c text) partition by range (day)"
        ))
        .await?;
    for from in (0..PARTITIONS).step_by(PORTION) {
        let to = from + PORTION - 1;
        database
            .execute(&format!(
                "do $$ begin
                     for i in {from}..{to} loop
                         execute format('create table large.p%s partition of large.parted for values from (%s) to (%s)',
                             i, i, i + 1);
                     end loop;
                 end $$"
            ))
            .await?;
    }
    database.execute("analyze").await
}
