//! A development stack that runs: its schema, and the schema that it began with.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use camino::Utf8PathBuf;
use entrypoint::quote::identifier;
use serde_json::json;
use tokio_postgres::NoTls;

use testbed::api::{self, Api};
use testbed::compose::{self, Compose};
use testbed::engine::{ContainerState, Engine};
use testbed::schema_diff::SchemaChange;
use testbed::schema_export;
use testbed::snapshot_text::SnapshotText;
use testbed::{ports, postgres, ui, workspace};

/// Time for an export; the slow way takes 3 seconds on an idle machine.
const EXPORT_DEADLINE: Duration = Duration::from_secs(60);
/// Time until a stack is healthy.
const START_DEADLINE: Duration = Duration::from_secs(90);
/// The milliseconds that counting the rows of one table may take.
const COUNT_TIMEOUT: &str = "-c statement_timeout=2000";

/// A stack whose container of Directus runs.
pub(crate) struct Stack {
    engine: Engine,
    compose: Compose,
    /// The id of the container.
    directus: String,
    /// Of the container, with secrets.
    variables: BTreeMap<String, String>,
}

impl Stack {
    /// Finds the stack of a project. One that has ended is started again without applying the snapshot of its image,
    /// because the boot of a schema that was edited and not saved refuses to delete the edits.
    ///
    /// # Errors
    /// There is no such stack, or it does not start.
    pub(crate) async fn find(project: &str) -> anyhow::Result<Stack> {
        let engine = Engine::connect().await?;
        let mut compose = Compose::new(project);
        let Some(mut directus) = compose.container(&engine, compose::DIRECTUS).await? else {
            bail!("there is no stack {project}; `cargo xtask dev-reset` creates one");
        };
        match engine.state(&directus).await? {
            ContainerState::Exited(code) => {
                let start = format!("{project} without applying its snapshot, because Directus has ended with {code}");
                ui::status("Starting", &start);
                let started = restart(&engine, &mut compose, &directus).await;
                directus = started.with_context(|| format!("failed to start {start}"))?;
            }
            // A boot may still change the schema.
            ContainerState::Starting => engine.wait_healthy(&directus, START_DEADLINE).await?,
            ContainerState::Healthy | ContainerState::Unhealthy => {}
        }
        let variables = engine.variables(&directus).await?;
        Ok(Stack { engine, compose, directus, variables })
    }

    /// The compose project.
    pub(crate) fn project(&self) -> &str {
        self.compose.project()
    }

    /// Returns true while the same container of Directus runs.
    pub(crate) async fn is_running(&self) -> bool {
        matches!(self.engine.state(&self.directus).await, Ok(state) if !matches!(state, ContainerState::Exited(_)))
    }

    fn variable(&self, name: &str) -> anyhow::Result<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .with_context(|| format!("the stack's Directus has no variable {name}"))
    }

    /// Logs in at the server as the administrator that the boot created.
    pub(crate) async fn log_in(&self) -> anyhow::Result<Api> {
        let port = self.engine.published_port(&self.directus, 8055).await?;
        ensure!(api::ping(port).await, "the server does not answer");
        let (email, password) = (self.variable("ADMIN_EMAIL")?, self.variable("ADMIN_PASSWORD")?);
        Api::login(format!("http://127.0.0.1:{port}"), email, password).await
    }

    /// Exports the schema in the order of the names, and warns of entries that belong to nothing.
    pub(crate) async fn export(&self) -> anyhow::Result<SnapshotText> {
        let text = tokio::time::timeout(EXPORT_DEADLINE, self.directus_export()).await;
        let seconds = EXPORT_DEADLINE.as_secs();
        let text =
            text.with_context(|| format!("{} did not export its schema within {seconds} s", self.project()))??;
        let (export, orphans) = schema_export::ordered(&text)?;
        warn_of_orphans(&orphans);
        Ok(export)
    }

    /// Returns the text of Directus' own export: from the server, which takes a tenth of the time, or, if that fails (the
    /// administrator has another password), from its command line.
    async fn directus_export(&self) -> anyhow::Result<String> {
        match self.export_by_server().await {
            Ok(text) => Ok(text),
            Err(error) => {
                ui::status("Starting", &format!("Directus' command line, which takes longer, because {error:#}"));
                schema_export::by_command_line(&self.engine, &self.directus).await
            }
        }
    }

    async fn export_by_server(&self) -> anyhow::Result<String> {
        let api = self.log_in().await?;
        // The server remembers columns and foreign keys, and does not notice changes by SQL.
        api.post("/utils/cache/clear?system", json!({})).await?;
        schema_export::by_server(&api).await
    }

    /// Returns the snapshot of the stack's image, which its schema began with.
    pub(crate) async fn image_snapshot(&self) -> anyhow::Result<String> {
        schema_export::read(&self.engine, &self.directus, contract::SNAPSHOT_FILE).await
    }

    /// Returns the last export of this stack that was saved in a file.
    pub(crate) fn saved(&self) -> Option<String> {
        let record = std::fs::read_to_string(self.record()).ok()?;
        let (id, text) = record.split_once('\n')?;
        (id.trim_start_matches("# ") == self.directus).then(|| text.to_owned())
    }

    /// Records that this export was saved in a file.
    pub(crate) fn record_saved(&self, text: &str) -> anyhow::Result<()> {
        let path = self.record();
        std::fs::create_dir_all(path.parent().context("the record has no folder")?)?;
        std::fs::write(&path, format!("# {}\n{text}", self.directus)).with_context(|| format!("failed to write {path}"))
    }

    fn record(&self) -> Utf8PathBuf {
        workspace::target_dir().join("snapshot").join(format!("{}.yaml", self.project()))
    }

    /// Counts the rows of added and removed tables, and the values of such columns, that are in the database.
    pub(crate) async fn count(&self, changes: &mut [SchemaChange]) -> anyhow::Result<()> {
        if changes.iter().all(|change| change.stored().is_none()) {
            return Ok(());
        }
        let database =
            self.compose.container(&self.engine, compose::DATABASE).await?.context("the stack has no database")?;
        let port = self.engine.published_port(&database, 5432).await?;
        let [user, password, name] = ["DB_USER", "DB_PASSWORD", "DB_DATABASE"].map(|name| self.variable(name));
        let mut config = postgres::config(port, user?, password?, name?);
        config.options(COUNT_TIMEOUT).connect_timeout(Duration::from_secs(5));
        let (client, connection) = config.connect(NoTls).await.context("failed to connect to the stack's database")?;
        tokio::spawn(connection);
        for change in changes {
            let Some((table, column)) = change.stored() else { continue };
            let column = column.map_or_else(|| "*".to_owned(), identifier);
            // A table that is gone, or that is too large to count in time, has no count.
            let row = client.query_one(&format!("select count({column}) from {}", identifier(table)), &[]).await;
            change.count = row.ok().map(|row| row.get(0));
        }
        Ok(())
    }
}

/// Starts the services of a stack that has ended, and returns the id of the new container of Directus.
async fn restart(engine: &Engine, compose: &mut Compose, ended: &str) -> anyhow::Result<String> {
    let database = compose.container(engine, compose::DATABASE).await?.context("the stack has no database")?;
    engine.start(&database).await?;
    engine.wait_healthy(&database, START_DEADLINE).await?;
    compose.set("SCHEMA_APPLY_MODE", "skip");
    compose.set("IMAGE", engine.image_of(ended).await?);
    compose.set("PGOPTIONS", engine.variables(ended).await?.remove("PGOPTIONS").unwrap_or_default());
    compose.set("PORT_ON_HOST", ports::choose_free(engine, "PORT_ON_HOST", 8055).await?.to_string());
    compose.up(&[compose::DIRECTUS]).await?;
    let directus =
        compose.container(engine, compose::DIRECTUS).await?.context("compose started no container for Directus")?;
    engine.wait_healthy(&directus, START_DEADLINE).await?;
    Ok(directus)
}

/// Warns of entries that [`schema_export::ordered`] removed.
pub(crate) fn warn_of_orphans(orphans: &[String]) {
    for orphan in orphans {
        ui::warning(&format!("the {orphan} is not exported: it belongs to no collection that Directus tracks"));
    }
}
