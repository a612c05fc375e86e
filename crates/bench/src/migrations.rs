//! Applying a thousand small migrations: with a ledger, and with psql alone.

use anyhow::{Context as _, ensure};
use contract::{DB_INIT_DIR, Event, LogLine, Phase};

use super::baseline::Contender;
use super::harness::Harness;
use super::model::{Figures, Subject};
use super::timestamp::Timestamp;
use acceptance::container::Container;
use grammar::BenchPart;

use super::metrics;

const COUNT: usize = 1_000;

/// Creates the table of the migrations, in a separate schema that Directus ignores.
const TABLE: &str = "create schema if not exists bench;
    create table if not exists bench.small (number integer not null);
    truncate bench.small";

/// Returns paths and contents of small migrations, which sort after the image's own.
pub(crate) fn files(numbers: std::ops::RangeInclusive<usize>) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for number in numbers {
        let name = format!("{DB_INIT_DIR}/{}_small.sql", 1_000_000 + number);
        files.push((name, format!("insert into bench.small values ({number});\n").into_bytes()));
    }
    files
}

/// Creates or empties the table of the migrations.
pub(crate) async fn make_table(database: &acceptance::database::TestDatabase) -> anyhow::Result<()> {
    database.execute(TABLE).await
}

/// Measures all subjects in turns.
pub(crate) async fn measure(harness: &Harness, figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    let database = harness.booted(Contender::Shell).await?;
    make_table(&database).await?;
    let idle = harness.idle(Contender::Shell, &database).await?;
    harness.suite.engine.upload(&idle.id, &files(1..=COUNT)).await?;
    let each =
        format!("for file in {DB_INIT_DIR}/1*_small.sql; do psql -qX -v ON_ERROR_STOP=1 -f \"$file\" || exit; done");
    let one = format!("cat {DB_INIT_DIR}/1*_small.sql | psql -qX -v ON_ERROR_STOP=1");

    for _ in 0..runs {
        figures.seconds(BenchPart::Migrations, metrics::APPLY, Subject::Ours, ours(harness).await?);
        for (subject, script) in [(Subject::Psql, &each), (Subject::OnePsql, &one)] {
            make_table(&database).await?;
            for seconds in harness.clock(&idle, 1, &["bash", "-c", script]).await?.seconds {
                figures.seconds(BenchPart::Migrations, metrics::APPLY, subject, seconds);
            }
            let rows = database.value("select count(*) from bench.small").await?;
            ensure!(rows == COUNT.to_string(), "{subject:?} applied {rows} migrations");
        }
        figures.seconds(BenchPart::Migrations, metrics::APPLY, Subject::Shell, shell(harness).await?);
    }
    harness.remove(&idle).await?;
    harness.drop_database(&database).await
}

/// Returns the seconds that the db-init phase reports in its log line.
async fn ours(harness: &Harness) -> anyhow::Result<f64> {
    let database = harness.booted(Contender::Ours).await?;
    make_table(&database).await?;
    let spec = files(1..=COUNT)
        .into_iter()
        .fold(harness.boot_only(Contender::Ours, &database), |spec, (path, content)| spec.file(&path, content));
    let container = harness.start(spec).await?;
    let ended = harness.ended(&container).await?;
    ensure!(ended.code == 0, "the boot ended with {}: {}", ended.code, ended.last_line());
    let LogLine { event, message, .. } = ended.done(Phase::DbInit).context("db-init did not log its end")?;
    ensure!(message.starts_with(&format!("{COUNT} applied")), "db-init did not apply {COUNT} files: {message}");
    let Event::Done(took) = event else { unreachable!("`done` returns only lines with this event") };
    harness.remove(&container).await?;
    harness.drop_database(&database).await?;
    Ok(took.as_secs_f64())
}

/// Returns the seconds between the shell's lines before and after the first folder.
async fn shell(harness: &Harness) -> anyhow::Result<f64> {
    let database = harness.booted(Contender::Shell).await?;
    make_table(&database).await?;
    let spec = files(1..=COUNT)
        .into_iter()
        .fold(harness.boot_only(Contender::Shell, &database), |spec, (path, content)| spec.file(&path, content));
    let container = harness.start(spec).await?;
    let before = time_of(harness, &container, "[entrypoint.sh] db-init").await?;
    let after = time_of(harness, &container, "[entrypoint.sh] bootstrap").await?;
    harness.remove(&container).await?;
    harness.drop_database(&database).await?;
    Ok(after.seconds_since(before))
}

async fn time_of(harness: &Harness, container: &Container, text: &str) -> anyhow::Result<Timestamp> {
    let time = harness.wait_for_line(container, |line| line == text).await?;
    time.with_context(|| format!("the shell ended without the line `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::files;

    #[test]
    fn small_migrations_sort_after_the_images_own() {
        let files = files(10..=11);
        assert_eq!(files[0].0, "/directus/db-init/1000010_small.sql");
        let own = testbed::migrations::CheckoutMigrations::read().unwrap();
        let last = own.files().of(contract::Phase::DbInit).last().unwrap();
        assert!(files[0].0 > format!("/directus/db-init/{}", last.filename));
        assert_eq!(files[1].1, b"insert into bench.small values (11);\n");
    }
}
