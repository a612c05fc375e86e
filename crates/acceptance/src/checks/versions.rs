//! Snapshots that other versions of Directus saved. `scripts/versions` saved them, with the real packages and one rich data
//! model.

use anyhow::{Context as _, ensure};
use contract::Phase;

use crate::case::Case;
use crate::check::{Check, Need};
use crate::container::Ended;
use crate::database::Database;
use crate::rows;
use crate::sample::Sample;
use crate::setting::PATIENCE;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "versions",
        promise: "Snapshots of Directus 10.13 to 12.4 boot on an empty database, and the second boot has no changes.",
        needs: Need::Nothing,
        run: |case| Box::pin(on_empty_databases(case)),
    },
    Check {
        name: "versions-with-rows",
        promise: "Snapshots of Directus 10.13 to 12.4 boot on a database with rows in every table, and every row stays.",
        needs: Need::Nothing,
        run: |case| Box::pin(on_databases_with_rows(case)),
    },
];

/// The version that the image has comes first: the others boot on its database, too.
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
/// Two rows and more for every table of the model.
const ROWS: &str = include_str!("../versions/rows.sql");

async fn on_empty_databases(case: &mut Case) -> anyhow::Result<()> {
    for (version, snapshot) in VERSIONS {
        let database = case.empty_database_of(version).await?;
        let ended = boots_twice(case, version, snapshot, &database).await?;
        case.line(format!("{version}: {}", message(&ended)));
        database.execute(ROWS).await.with_context(|| format!("{version}: the model is not complete"))?;
        database.remove().await?;
    }
    case.figure("versions", VERSIONS.len().to_string());
    Ok(())
}

async fn on_databases_with_rows(case: &mut Case) -> anyhow::Result<()> {
    let [(own, snapshot), others @ ..] = VERSIONS else { unreachable!("there are several") };
    let source = case.empty_database_of(own).await?;
    boots_twice(case, own, snapshot, &source).await?;
    source.execute(ROWS).await?;
    let before = rows::fingerprints(&source).await?;
    for (version, snapshot) in others {
        let database = source.copy(&format!("rows-{version}")).await?;
        let ended = boots_twice(case, version, snapshot, &database).await?;
        case.line(format!("{version}: {}", message(&ended)));
        rows::unchanged(&before, &rows::fingerprints(&database).await?).with_context(|| (*version).to_owned())?;
        database.remove().await?;
    }
    case.figure("kept", rows::describe(&before));
    Ok(())
}

/// Boots with exit code 0, and again without changes.
async fn boots_twice(case: &mut Case, version: &str, snapshot: &str, database: &Database) -> anyhow::Result<Ended> {
    let first = boot(case, version, snapshot, database).await?;
    let again = boot(case, &format!("{version}-again"), snapshot, database).await?;
    again.expect(Phase::Schema, "no changes").with_context(|| format!("{version}, second boot"))?;
    Ok(first)
}

async fn boot(case: &mut Case, name: &str, snapshot: &str, database: &Database) -> anyhow::Result<Ended> {
    let spec = Sample::new()?.snapshot(snapshot).boot(case, name, database);
    let ended = case.start(spec).await?.ended(PATIENCE).await?;
    ensure!(ended.code == 0, "{name} ended with {}: {}", ended.code, ended.last_line());
    Ok(ended)
}

fn message(ended: &Ended) -> String {
    ended.done(Phase::Schema).map_or_else(|| ended.last_line().to_owned(), |line| line.message)
}
