//! The schema of the development stack: exported, compared, merged and watched as a developer does it.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use camino::Utf8PathBuf;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::suite_context::PATIENCE;
use testbed::api::Api;
use testbed::cmd::Cmd;
use testbed::engine::Engine;
use testbed::schema::DataModel;
use testbed::{schema_export, ui, workspace};

/// The name of a field and of an icon that the check adds.
const ADDED: &str = "added_by_the_gate";

/// The stack of the check.
pub(super) struct StackSchema<'a> {
    pub(super) engine: &'a Engine,
    pub(super) api: &'a Api,
    pub(super) project: &'a str,
    pub(super) image: &'a str,
    /// The id of the container of Directus.
    pub(super) directus: String,
}

impl StackSchema<'_> {
    /// Runs all steps, and returns the time of a comparison.
    pub(super) async fn check(&self) -> anyhow::Result<String> {
        let table = DataModel::snapshot()?.tables().first().map(|name| (*name).to_owned()).context("no table")?;
        let file = format!("target/{}.yaml", self.project);
        let path = workspace::path(&file);
        std::fs::copy(workspace::path(contract::in_tree(contract::SNAPSHOT_FILE)), &path)?;
        let result = self.steps(&table, &file, &path).await;
        // With the tool's record of its last export.
        for path in [path, workspace::target_dir().join("snapshot").join(format!("{}.yaml", self.project))] {
            drop(std::fs::remove_file(path));
        }
        result
    }

    async fn steps(&self, table: &str, file: &str, path: &Utf8PathBuf) -> anyhow::Result<String> {
        self.exports_are_equal().await?;
        let began = Instant::now();
        self.snapshot(&["--check", "--file", file], 0, "is up to date").await?;
        let took = ui::seconds(began.elapsed());

        let field = json!({ "field": ADDED, "type": "string", "meta": {}, "schema": {} });
        self.api.post(&format!("/fields/{table}"), field).await?;
        let added = format!("+ field {table}.{ADDED} (0 values, string(255))");
        self.snapshot(&["--check", "--file", file], 2, &added).await?;
        self.reset_is_refused(&added).await?;

        // One collection is changed in the file, and the other side has a new field.
        let text = std::fs::read_to_string(path)?;
        let icon = text.lines().find(|line| line.starts_with("      icon: ")).context("no icon")?;
        let edited = text.replacen(icon, &format!("      icon: {ADDED}"), 1);
        std::fs::write(path, &edited)?;
        self.snapshot(&["--file", file], 3, "changes that the stack never had").await?;
        ensure!(std::fs::read_to_string(path)? == edited, "{file} was written without an answer");
        self.snapshot(&["--file", file, "--merge"], 0, &added).await?;
        let merged = std::fs::read_to_string(path)?;
        ensure!(merged.contains(&format!("icon: {ADDED}")), "--merge undid the change of {file}");
        self.snapshot(&["--file", file, "--overwrite"], 0, &format!("icon: \"{ADDED}\" → ")).await?;

        self.watch(table, file, path).await?;

        self.engine.kill(&self.directus, "KILL").await?;
        self.snapshot(&["--check", "--file", file], 0, "is up to date").await?;
        Ok(took)
    }

    /// The server and Directus' command line export the same bytes.
    async fn exports_are_equal(&self) -> anyhow::Result<()> {
        let by_server = schema_export::by_server(self.api).await?;
        let by_command_line = schema_export::by_command_line(self.engine, &self.directus).await?;
        ensure!(by_server == by_command_line, "the server's export is not that of `directus schema snapshot`");
        Ok(())
    }

    /// `dev-reset` keeps a stack whose schema is not saved.
    async fn reset_is_refused(&self, lost: &str) -> anyhow::Result<()> {
        let cmd = xtask(&["dev-reset", "--no-image", "--tag", self.image, "--project", self.project]);
        let output = cmd.capture().await?;
        let code = output.status.code();
        ensure!(code == Some(2) && output.stderr.contains(lost), "dev-reset ended with {code:?}: {}", output.stderr);
        self.engine.state(&self.directus).await.context("dev-reset removed the stack")?;
        Ok(())
    }

    /// `--watch` writes a field after its relation, and not before.
    async fn watch(&self, table: &str, file: &str, path: &Utf8PathBuf) -> anyhow::Result<()> {
        let arguments = ["xtask", "snapshot", "--watch", "--file", file, "--project", self.project];
        let mut command = Command::new(child::cargo());
        for name in child::variables_of_our_package() {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(workspace::root()).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).kill_on_drop(true).spawn().context("failed to run cargo")?;
        let mut lines = BufReader::new(child.stderr.take().context("stderr is piped")?).lines();
        let mut wait_for = async |words: &str| {
            while let Some(line) = lines.next_line().await? {
                if line.contains(words) {
                    return Ok(());
                }
            }
            anyhow::bail!("`snapshot --watch` ended without a line with `{words}`")
        };
        let steps = async {
            wait_for("Watching").await?;
            let name = format!("{ADDED}_key");
            let field = json!({ "field": name, "type": "uuid", "meta": { "special": ["m2o"] }, "schema": {} });
            self.api.post(&format!("/fields/{table}"), field).await?;
            wait_for(&format!("the field {table}.{name} has no relation")).await?;
            ensure!(!std::fs::read_to_string(path)?.contains(&name), "half an edit was written");
            let relation = json!({ "collection": table, "field": name, "related_collection": "directus_users" });
            self.api.post("/relations", relation).await?;
            while !std::fs::read_to_string(path)?.contains(&name) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, steps).await.context("`snapshot --watch` did not follow an edit in time")??;
        let id = child.id().context("`snapshot --watch` has ended")?;
        let interrupted = Command::new("kill").args(["-INT", &id.to_string()]).status().await?;
        ensure!(interrupted.success(), "failed to interrupt `snapshot --watch`");
        let status = tokio::time::timeout(PATIENCE, child.wait()).await.context("Ctrl-C does not end it")??;
        ensure!(status.success(), "`snapshot --watch` ended with {status}");
        Ok(())
    }

    /// Runs `snapshot` without a terminal, and expects an exit code and words of its output.
    async fn snapshot(&self, arguments: &[&str], code: i32, words: &str) -> anyhow::Result<()> {
        let cmd = xtask(&["snapshot", "--project", self.project]).args(arguments);
        let output = cmd.capture().await?;
        let text = format!("{}\n{}", output.stdout, output.stderr);
        let ended = output.status.code();
        ensure!(ended == Some(code), "`{cmd}` ended with {ended:?} instead of {code}: {text}");
        ensure!(text.contains(words), "the output of `{cmd}` does not contain `{words}`: {text}");
        Ok(())
    }
}

/// Runs the tool like a developer. An empty variable lets the tool choose a port, because ports in the environment
/// belong to the developer's own stack.
pub(super) fn xtask(arguments: &[&str]) -> Cmd {
    Cmd::cargo().arg("xtask").args(arguments).env("PORT_ON_HOST", "").env("DB_PORT_ON_HOST", "")
}
