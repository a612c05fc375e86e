//! The start: booted on an empty database, filled, and recorded.

use acceptance::data_integrity;
use acceptance::database::TestDatabase;
use anyhow::{Context as _, bail};
use testbed::ui;

use crate::answers::SampleAnswers;
use crate::catalog::SchemaLines;
use crate::live_model::LiveModel;
use crate::report::{BootTime, RehearsedImage};
use crate::role::{self, RoleAccess};
use crate::rows::DatabaseContent;
use crate::stage::{RehearsalStage, Serving, Started};

/// The database before the upgrade, and what its server answers.
pub(crate) struct StartRecord {
    pub(crate) database: TestDatabase,
    pub(crate) model: LiveModel,
    pub(crate) answers: SampleAnswers,
    pub(crate) role: RoleAccess,
    pub(crate) content: DatabaseContent,
    pub(crate) schema: SchemaLines,
    pub(crate) migrations: Vec<String>,
    pub(crate) boots: Vec<BootTime>,
    /// The log of the last boot.
    pub(crate) log: Vec<String>,
}

/// Boots the start on an empty database, fills every table, and records everything that the upgrade is compared with.
pub(crate) async fn prepare(stage: &RehearsalStage, from: &RehearsedImage) -> anyhow::Result<StartRecord> {
    ui::status("Booting", &format!("{} on an empty database", from.image));
    let database = stage.empty_database("start").await?;
    let suite = &stage.from;
    let started = stage.start(suite, stage.spec(suite, "start", &database), "cold").await?;
    let cold = serving(started, &from.image)?;
    let mut boots = vec![cold.time.clone()];
    ui::status("Filling", "every table, and adding a role");
    data_integrity::fill(&database).await?;
    let api = cold.container.api().await?;
    let model = LiveModel::read(&api).await?;
    let role = role::create(&api, &cold.container.url().await?, &model).await?;

    let warm = serving(stage.restart(suite, cold, "warm").await?, &from.image)?;
    boots.push(warm.time.clone());
    ui::status("Sampling", "answers of REST and GraphQL");
    let answers = SampleAnswers::sample(&warm.container.api().await?, &model).await?;
    stage.remove(warm.container).await?;

    let content = DatabaseContent::read(&database, &model.own_fields).await?;
    let schema = SchemaLines::read(&database).await?;
    let migrations = migrations(&database).await?;
    database.become_template().await?;
    Ok(StartRecord { database, model, answers, role, content, schema, migrations, boots, log: warm.log })
}

fn serving(started: Started, image: &str) -> anyhow::Result<Serving> {
    match started {
        Started::Serving(serving) => Ok(*serving),
        Started::Ended(ended) => bail!("{image} does not serve (exit {}): {}", ended.code, ended.last_line()),
    }
}

/// Directus' applied migrations: version and name.
pub(crate) async fn migrations(database: &TestDatabase) -> anyhow::Result<Vec<String>> {
    let client = database.connect().await?;
    let query = "select version || ' ' || name from directus_migrations order by version";
    let rows = client.query(query, &[]).await.context("failed to read directus_migrations")?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
