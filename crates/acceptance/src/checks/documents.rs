//! The documented objects of the SQL files.

use anyhow::{Context as _, ensure};
use schema_docs::{OBJECTS, OBJECTS_QUERY, RecordedObjects};
use testbed::workspace;

use crate::check::{Check, Need, NotRun};
use crate::test_context::TestContext;

pub(crate) const CHECKS: &[Check] = &[Check {
    name: "documented-objects",
    promise: "The page of the data model lists the tables, constraints, indexes and triggers that a boot creates from the SQL files.",
    needs: Need::Nothing,
    run: |test| Box::pin(documented_objects(test)),
}];

/// The command that records the objects.
const RECORD: &str = "`cargo xtask docs --record=model`";

async fn documented_objects(test: &mut TestContext) -> anyhow::Result<()> {
    let path = workspace::path(OBJECTS);
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}: {RECORD} writes it"))?;
    let documented = RecordedObjects::parse(&text)?;
    let changed = documented.changed_files(test.suite.migrations.files());
    if !changed.is_empty() {
        let changed = changed.join(", ");
        return Err(NotRun(format!("{OBJECTS} is of other SQL files ({changed}): {RECORD} records it")).into());
    }

    let database = test.booted_database("documented").await?;
    test.boot_once("warm", &database).await?.expect_success("the boot")?;
    let rows = database.connect().await?.query(OBJECTS_QUERY, &[]).await.context("failed to read the objects")?;
    let rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let actual = RecordedObjects::parse(&rows.join("\n"))?;
    let differences = documented.differences(&actual);
    ensure!(differences.is_empty(), "{RECORD} records other objects: {}", differences.join("; "));
    test.figure("documented objects", actual.objects.len().to_string());
    Ok(())
}
