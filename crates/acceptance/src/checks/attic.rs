//! The attic: data that an allowed plan or a declared SQL file removed can be restored.

use anyhow::{Context as _, ensure};
use contract::{BINARY, ExitCode, Phase};
use serde_json::{Value, json};

use crate::check::{Check, Need};
use crate::container::{BootSpec, Container, EndedContainer};
use crate::data_integrity;
use crate::database::TestDatabase;
use crate::sample::{self, Sample};
use crate::suite_context::PATIENCE;
use crate::test_context::TestContext;

pub(crate) const CHECKS: &[Check] = &[Check {
    name: "attic",
    promise: "Data that an allowed plan or SQL file removes is hidden from Directus, and can be restored until purged.",
    needs: Need::Nothing,
    run: |test| Box::pin(restores_and_purges(test)),
}];

async fn restores_and_purges(test: &mut TestContext) -> anyhow::Result<()> {
    let plan = booted(test, "plan").await?;
    let sample = Sample::new()?.snapshot(without_laps()?);
    removed_by_a_plan(test, &plan, &sample).await?;
    let file = booted(test, "file").await?;
    removed_by_a_file(test, &file).await
}

/// Boots the sample on an empty database, and inserts its rows.
async fn booted(test: &mut TestContext, name: &str) -> anyhow::Result<TestDatabase> {
    let database = test.empty_database(name).await?;
    boot(test, Sample::new()?.boot(test, &format!("{name}-first"), &database)).await?;
    database.execute(sample::ROWS).await?;
    Ok(database)
}

/// The sample's snapshot without the collection `laps` and the field `notes` of `cars`.
fn without_laps() -> anyhow::Result<Value> {
    let mut snapshot = sample::snapshot()?;
    for list in ["collections", "fields", "relations"] {
        let entries = snapshot[list].as_array_mut().with_context(|| format!("the snapshot has no {list}"))?;
        entries.retain(|entry| entry["collection"] != "laps" && entry["field"] != "laps" && entry["field"] != "notes");
    }
    Ok(snapshot)
}

async fn removed_by_a_plan(test: &mut TestContext, database: &TestDatabase, sample: &Sample) -> anyhow::Result<()> {
    let laps = data_integrity::fingerprints(database).await?.remove("laps").context("there is no table laps")?;
    let notes = database.value(NOTES).await?;
    let refused = test.run(sample.boot(test, "refused", database)).await?;
    let words = ["delete collection laps (12 rows)", "delete field cars.notes (3 values)"];
    refused.expect_failure(Phase::Schema, ExitCode::SchemaRefused, &words)?;
    let spec = sample.boot(test, "allowed", database).variable("SCHEMA_ALLOW_DESTRUCTIVE", refused.digest()?);
    let allowed = boot(test, spec).await?;
    for words in ["removed table laps; `attic restore ", "removed column cars.notes; `attic restore "] {
        test.line_with(&allowed.lines, words)?;
    }
    ensure!(database.value("select to_regclass('laps')").await?.is_empty(), "the allowed plan left the table laps");

    let server = test.start(sample.container(test, "directus", database)).await?;
    server.serving().await?;
    let api = server.api().await?;
    let snapshot = api.get("/schema/snapshot").await?;
    let collections = api.get("/collections").await?;
    let fields = api.get("/fields").await?;
    for (path, answer) in [("/schema/snapshot", &snapshot), ("/collections", &collections), ("/fields", &fields)] {
        ensure!(!answer.to_string().contains("\"laps_"), "{path} exposes the attic: {answer}");
    }

    let entries = entries(&server).await?;
    ensure!(
        subjects(&entries) == ["column cars.notes: 3 rows", "table laps: 12 rows"],
        "the attic holds {}",
        json!(entries)
    );
    for entry in &entries {
        test.line(run(&server, &["restore", &entry["id"].to_string()]).await?);
    }
    let restored =
        data_integrity::fingerprints(database).await?.remove("laps").context("the table laps was not restored")?;
    ensure!(restored == laps, "the restored rows of laps differ: {restored:?} instead of {laps:?}");
    ensure!(database.value(NOTES).await? == notes, "the restored values of cars.notes differ");
    let key = "select count(*) from pg_constraint where conname = 'laps_car_foreign' and conrelid = 'laps'::regclass";
    ensure!(database.value(key).await? == "1", "the table was restored without its foreign key");
    server.stop().await?;

    let next = boot(test, sample.boot(test, "next", database)).await?;
    let left = data_integrity::fingerprints(database).await?.remove("laps");
    ensure!(left.as_ref() == Some(&laps), "the next boot destroyed the restored table: {}", next.last_line());
    test.figure("removed by a plan and restored", "a table with 12 rows and its foreign key, a column with 3 values");
    Ok(())
}

/// The values of the column that the plan removes, by key.
const NOTES: &str = "select string_agg(format('%s %s', id, notes), E'\\n' order by id) from cars";

async fn removed_by_a_file(test: &mut TestContext, database: &TestDatabase) -> anyhow::Result<()> {
    const NAMES: &str = "select string_agg(format('%s %s', id, name), E'\\n' order by id) from sponsors";
    let (mut before, names) = (data_integrity::fingerprints(database).await?, database.value(NAMES).await?);
    let sample = Sample::new()?
        .file("002_column.sql", "-- destroys: column sponsors.name\nalter table sponsors drop column name")
        .file("003_rows.sql", "-- destroys: rows of visits\ndelete from visits where sponsor > 3")
        .file("004_table.sql", "-- destroys: table empty\ndrop table empty");
    boot(test, sample.boot(test, "destroys", database)).await?;
    let idle = test.start(sample.container(test, "idle", database).command(["sleep", "600"])).await?;
    let held = entries(&idle).await?;
    ensure!(
        subjects(&held) == ["column sponsors.name: 7 rows", "rows visits: 2 rows", "table empty: 1 rows"],
        "the attic holds {}",
        json!(held)
    );
    for entry in &held {
        test.line(run(&idle, &["restore", &entry["id"].to_string()]).await?);
    }
    let mut after = data_integrity::fingerprints(database).await?;
    // The restored column is the last one now, which changes the fingerprint; its values are compared separately.
    before.remove("sponsors");
    after.remove("sponsors");
    data_integrity::unchanged(&before, &after).context("after the restore")?;
    ensure!(database.value(NAMES).await? == names, "the restored values of sponsors.name differ");
    let (code, output) = idle.exec(&[BINARY, "attic", "restore", "999"]).await?;
    ensure!(code == i64::from(ExitCode::Usage.code()), "restoring a missing entry exits with {code}: {output}");

    // Retention: only a boot with changes purges, and only older entries.
    let sample = sample.file("005_more.sql", "-- destroys: rows of sponsors\ndelete from sponsors where id = 7");
    boot(test, sample.boot(test, "more", database)).await?;
    let count = entries(&idle).await?.len();
    ensure!(count >= 2, "a boot with the default retention has purged the attic to {count} entries");
    boot(test, sample.boot(test, "no-work", database).variable("BOOT_ATTIC_DAYS", "0")).await?;
    ensure!(entries(&idle).await?.len() == count, "a boot without changes has purged the attic");
    let sample = sample.file("006_work.sql", "select 1");
    boot(test, sample.boot(test, "work", database).variable("BOOT_ATTIC_DAYS", "0")).await?;
    let left = entries(&idle).await?;
    ensure!(left.is_empty(), "BOOT_ATTIC_DAYS=0, and the attic still holds {}", json!(left));
    expect_empty_schema(database).await?;

    let sample = sample.file("007_rows.sql", "-- destroys: rows of sponsors\ndelete from sponsors where id = 6");
    boot(test, sample.boot(test, "purged", database)).await?;
    let held = entries(&idle).await?;
    ensure!(subjects(&held) == ["rows sponsors: 1 rows"], "the attic holds {}", json!(held));
    test.line(run(&idle, &["purge", &held[0]["id"].to_string()]).await?);
    ensure!(entries(&idle).await?.is_empty(), "a purged entry is still listed");
    expect_empty_schema(database).await?;
    test.figure("removed by files and restored", "a table, a column, deleted rows");
    test.figure("purged", "by BOOT_ATTIC_DAYS=0 in a boot with changes, and by `attic purge`");
    Ok(())
}

async fn expect_empty_schema(database: &TestDatabase) -> anyhow::Result<()> {
    let tables = database.value("select string_agg(tablename, ', ') from pg_tables where schemaname = 'attic'").await?;
    ensure!(tables.is_empty(), "the attic is empty, but its schema has {tables}");
    Ok(())
}

/// The entries that `attic --json` lists.
async fn entries(container: &Container) -> anyhow::Result<Vec<Value>> {
    let (code, document) = container.json(&["attic", "--json"]).await?;
    ensure!(code == 0, "attic --json ended with {code}: {document}");
    document["entries"].as_array().cloned().with_context(|| format!("the list has no entries: {document}"))
}

/// Descriptions of the entries, sorted: `column cars.notes: 3 rows`.
fn subjects(entries: &[Value]) -> Vec<String> {
    let mut subjects: Vec<String> = entries.iter().map(subject).collect();
    subjects.sort();
    subjects
}

fn subject(entry: &Value) -> String {
    let [kind, table, column] = ["kind", "table", "column"].map(|name| entry[name].as_str().unwrap_or_default());
    let dot = if column.is_empty() { "" } else { "." };
    format!("{kind} {table}{dot}{column}: {} rows", entry["rows"])
}

/// Runs `attic` to exit code 0 and returns its output.
async fn run(container: &Container, arguments: &[&str]) -> anyhow::Result<String> {
    let (code, output) = container.exec(&[&[BINARY, "attic"], arguments].concat()).await?;
    ensure!(code == 0, "attic {} ended with {code}: {output}", arguments.join(" "));
    Ok(output.trim().to_owned())
}

/// Boots; the exit code must be 0.
async fn boot(test: &mut TestContext, spec: BootSpec) -> anyhow::Result<EndedContainer> {
    let container = test.start(spec).await?;
    let ended = container.ended(PATIENCE).await?;
    ended.expect_success(&container.name)?;
    Ok(ended)
}
