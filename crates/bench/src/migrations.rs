//! Applying a thousand small migrations: with a ledger, and as fast as psql can.

use anyhow::{Context as _, ensure};
use contract::{DB_INIT_DIR, Event, LogLine, Phase};

use super::baseline::Contender;
use super::lab::Lab;
use super::model::{By, Figures};
use grammar::Part;

use super::names;

/// How many.
const COUNT: usize = 1_000;

/// What migrations need before the first of them. In a schema of its own, where Directus does not look.
const TABLE: &str = "create schema if not exists bench;
    create table if not exists bench.small (number integer not null);
    truncate bench.small";

/// Small migrations with these numbers, after the image's own.
pub(crate) fn files(numbers: std::ops::RangeInclusive<usize>) -> Vec<(String, Vec<u8>)> {
    let file = |number| {
        let name = format!("{DB_INIT_DIR}/{}_small.sql", 1_000_000 + number);
        (name, format!("insert into bench.small values ({number});\n").into_bytes())
    };
    numbers.map(file).collect()
}

/// Makes the table that they write to.
pub(crate) async fn make_table(database: &acceptance::database::Database) -> anyhow::Result<()> {
    database.execute(TABLE).await
}

/// Measures all in turns.
pub(crate) async fn measure(lab: &Lab, figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    let database = lab.booted(Contender::Shell).await?;
    make_table(&database).await?;
    let idle = lab.idle(Contender::Shell, &database).await?;
    lab.setting.engine.upload(&idle.id, &files(1..=COUNT)).await?;
    let each =
        format!("for file in {DB_INIT_DIR}/1*_small.sql; do psql -qX -v ON_ERROR_STOP=1 -f \"$file\" || exit; done");
    let one = format!("cat {DB_INIT_DIR}/1*_small.sql | psql -qX -v ON_ERROR_STOP=1");

    for _ in 0..runs {
        figures.seconds(Part::Migrations, names::APPLY, By::Ours, ours(lab).await?);
        for (by, script) in [(By::Psql, &each), (By::OnePsql, &one)] {
            make_table(&database).await?;
            for seconds in lab.clock(&idle, 1, &["bash", "-c", script]).await?.seconds {
                figures.seconds(Part::Migrations, names::APPLY, by, seconds);
            }
            let rows = database.value("select count(*) from bench.small").await?;
            ensure!(rows == COUNT.to_string(), "{by:?} applied {rows} migrations");
        }
        figures.seconds(Part::Migrations, names::APPLY, By::Shell, shell(lab).await?);
    }
    lab.remove(&idle).await?;
    lab.drop_database(&database).await
}

/// What phase 4 says that it took.
async fn ours(lab: &Lab) -> anyhow::Result<f64> {
    let database = lab.booted(Contender::Ours).await?;
    make_table(&database).await?;
    let spec = files(1..=COUNT)
        .into_iter()
        .fold(lab.boot_only(Contender::Ours, &database), |spec, (path, content)| spec.file(&path, content));
    let container = lab.start(spec).await?;
    let ended = lab.ended(&container).await?;
    ensure!(ended.code == 0, "the boot ended with {}: {}", ended.code, ended.last_line());
    let LogLine { event, message, .. } = ended.done(Phase::DbInit).context("phase 4 said nothing")?;
    ensure!(message.starts_with(&format!("{COUNT} applied")), "phase 4 says: {message}");
    let Event::Done(took) = event else { unreachable!("a line of a phase that is done") };
    lab.remove(&container).await?;
    lab.drop_database(&database).await?;
    Ok(took.as_secs_f64())
}

/// From the line before its first folder to the one after it.
async fn shell(lab: &Lab) -> anyhow::Result<f64> {
    let database = lab.booted(Contender::Shell).await?;
    make_table(&database).await?;
    let spec = files(1..=COUNT)
        .into_iter()
        .fold(lab.boot_only(Contender::Shell, &database), |spec, (path, content)| spec.file(&path, content));
    let container = lab.start(spec).await?;
    let said = async |text: &str| {
        let moment = lab.said(&container, |line| line == format!("[entrypoint.sh] {text}")).await?;
        moment.with_context(|| format!("it ended without saying {text}"))
    };
    let (before, after) = (said("db-init").await?, said("bootstrap").await?);
    lab.remove(&container).await?;
    lab.drop_database(&database).await?;
    Ok(after.seconds_since(before))
}

#[cfg(test)]
mod tests {
    use super::files;

    #[test]
    fn small_migrations_come_after_the_images_own_in_every_order() {
        let files = files(10..=11);
        assert_eq!(files[0].0, "/directus/db-init/1000010_small.sql");
        let own = testbed::migrations::Migrations::read().unwrap();
        let last = own.files().of(contract::Phase::DbInit).last().unwrap();
        assert!(files[0].0 > format!("/directus/db-init/{}", last.filename));
        assert_eq!(files[1].1, b"insert into bench.small values (11);\n");
    }
}
