//! Snapshots of other versions of Directus, which `scripts/versions` saved with the real packages and one data model.

use anyhow::Context as _;
use contract::Phase;

use crate::check::{Check, Need};
use crate::container::EndedContainer;
use crate::data_integrity;
use crate::database::TestDatabase;
use crate::sample::Sample;
use crate::test_context::TestContext;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "versions",
        promise: "Snapshots of Directus 10.13 to 12.4 boot on an empty database, and the second boot has no changes.",
        needs: Need::Nothing,
        run: |test| Box::pin(on_empty_databases(test)),
    },
    Check {
        name: "versions-with-rows",
        promise: "Snapshots of Directus 10.13 to 12.4 boot on a database with rows in every table, and keep every row.",
        needs: Need::Nothing,
        run: |test| Box::pin(on_databases_with_rows(test)),
    },
];

/// Versions and their snapshots. The image's version comes first, because the others also boot on its database.
const VERSIONS: &[(&str, &str)] = &[
    ("11.17.4", include_str!("../versions/11.17.4.yaml")),
    ("11.16.1", include_str!("../versions/11.16.1.yaml")),
    ("11.13.4", include_str!("../versions/11.13.4.yaml")),
    ("11.9.2", include_str!("../versions/11.9.2.yaml")),
    ("11.6.1", include_str!("../versions/11.6.1.yaml")),
    ("11.4.1", include_str!("../versions/11.4.1.yaml")),
    ("11.1.2", include_str!("../versions/11.1.2.yaml")),
    ("10.13.4", include_str!("../versions/10.13.4.yaml")),
    ("12.4.1", include_str!("../versions/12.4.1.yaml")),
];
/// At least two rows for every table of the model.
const ROWS: &str = include_str!("../versions/rows.sql");

async fn on_empty_databases(test: &mut TestContext) -> anyhow::Result<()> {
    for (version, snapshot) in VERSIONS {
        let database = test.empty_database(version).await?;
        let ended = boots_twice(test, version, snapshot, &database).await?;
        test.line(format!("{version}: {}", ended.schema_message()));
        database.execute(ROWS).await.with_context(|| format!("{version}: the model is incomplete"))?;
        database.remove().await?;
    }
    test.figure("versions", VERSIONS.len().to_string());
    Ok(())
}

async fn on_databases_with_rows(test: &mut TestContext) -> anyhow::Result<()> {
    let [(own, snapshot), others @ ..] = VERSIONS else { unreachable!("there are several versions") };
    let source = test.empty_database(own).await?;
    boots_twice(test, own, snapshot, &source).await?;
    source.execute(ROWS).await?;
    let before = data_integrity::fingerprints(&source).await?;
    source.become_template().await?;
    for (version, snapshot) in others {
        let database = source.copy(&format!("rows-{version}")).await?;
        let ended = boots_twice(test, version, snapshot, &database).await?;
        test.line(format!("{version}: {}", ended.schema_message()));
        data_integrity::unchanged(&before, &data_integrity::fingerprints(&database).await?)
            .with_context(|| (*version).to_owned())?;
        database.remove().await?;
    }
    test.figure("kept", data_integrity::describe(&before));
    Ok(())
}

/// Boots twice; the second boot must have no changes. Returns the end of the first.
async fn boots_twice(
    test: &mut TestContext,
    version: &str,
    snapshot: &str,
    database: &TestDatabase,
) -> anyhow::Result<EndedContainer> {
    let first = boot(test, version, snapshot, database).await?;
    let again = boot(test, &format!("{version}-again"), snapshot, database).await?;
    again.expect(Phase::Schema, "no changes").with_context(|| format!("{version}, second boot"))?;
    Ok(first)
}

async fn boot(
    test: &mut TestContext,
    name: &str,
    snapshot: &str,
    database: &TestDatabase,
) -> anyhow::Result<EndedContainer> {
    let spec = Sample::new()?.snapshot(snapshot).boot(test, name, database);
    let ended = test.run(spec).await?;
    ended.expect_success(name)?;
    Ok(ended)
}
