//! Tries a case: copies the filled database, boots the image, and boots again as the exit code requires.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use anyhow::{Context as _, bail, ensure};
use contract::{BINARY, ExitCode, LogLine, Phase};
use serde_json::Value;

use super::case::{File, SearchCase};
use super::judge::{BootVerdict, Judge, directives, verdict};
use super::model::{BASE_POST_SQL, BASE_SQL, Model, fill};
use super::permits::Permits;
use super::state::DatabaseState;
use crate::container::{BootSpec, Container, EndedContainer};
use crate::database::TestDatabase;
use crate::servers::Servers;
use crate::suite_context::{PATIENCE, SuiteContext};

/// Folder in the container with one folder per boot.
const FOLDER: &str = "/search";
/// Maximum number of further boots, each with the digest or directive that the one before it offered.
const MOST_OFFERS: usize = 4;

/// The result of one case.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    /// Exit code of the first boot; `None` if PostgreSQL rejects the edits.
    pub(super) code: Option<i64>,
    /// Message of the first boot, if it failed.
    pub(super) message: String,
    pub(super) boots: usize,
    pub(super) failure: Option<String>,
    pub(super) log: Vec<String>,
}

/// The filled database that every case copies, and a container of the image that boots the copies.
pub(crate) struct SearchHarness {
    suite: Rc<SuiteContext>,
    pub(super) model: Model,
    template: TestDatabase,
    container: Container,
    name: String,
    /// Number of cases tried so far; names the folder and the database of the next one.
    tried: Cell<usize>,
}

impl SearchHarness {
    /// Boots the model once, and fills its database.
    pub(crate) async fn prepare(
        suite: &Rc<SuiteContext>,
        servers: &Servers,
        network: &str,
        name: &str,
    ) -> anyhow::Result<SearchHarness> {
        let model = Model::new()?;
        let template = servers.empty(network, name).await?;
        // The root file system must be writable for the files of the cases.
        let spec = BootSpec::new(suite, name, &template).with(|spec| {
            spec.hardened = false;
            spec.command = Some(["sleep", "86400"].map(str::to_owned).to_vec());
        });
        let container = spec.start(suite, Some(network.to_owned())).await?;
        let harness = SearchHarness {
            suite: Rc::clone(suite),
            model,
            template,
            container,
            name: name.to_owned(),
            tried: Cell::default(),
        };
        let ended = harness.boot("base", &harness.template, &harness.model.snapshot, &[], None).await?;
        ensure!(ended.code == 0, "the boot of the model ended with {}:\n{}", ended.code, ended.lines.join("\n"));
        fill(&harness.template, &harness.model).await?;
        harness.template.become_template().await?;
        Ok(harness)
    }

    /// Returns the container; the caller removes it.
    pub(crate) fn container(&self) -> Container {
        self.container.clone()
    }

    /// Tries a case.
    pub(super) async fn try_case(&self, case: &SearchCase) -> Tried {
        let mut tried = Tried { code: None, message: String::new(), boots: 0, failure: None, log: Vec::new() };
        self.tried.set(self.tried.get() + 1);
        let name = format!("{}-{}", self.name, self.tried.get());
        let result = self.try_on(case, &name, &mut tried).await;
        tried.failure = result.err().map(|error| format!("{error:#}"));
        tried
    }

    async fn try_on(&self, case: &SearchCase, name: &str, tried: &mut Tried) -> anyhow::Result<()> {
        let Some(database) = self.copy(case, name).await? else { return Ok(()) };
        let steps = self.plain(case, &format!("{name}-plain")).await;
        let result = match steps {
            Ok(steps) => self.boots(case, name, &database, &steps, tried).await,
            Err(error) => Err(error),
        };
        database.remove().await?;
        result
    }

    /// Copies the database and applies the case's live edits; `None` if PostgreSQL rejects them.
    async fn copy(&self, case: &SearchCase, name: &str) -> anyhow::Result<Option<TestDatabase>> {
        let database = self.template.copy(name).await?;
        for sql in case.live() {
            if database.execute(sql).await.is_err() {
                database.remove().await?;
                return Ok(None);
            }
        }
        Ok(Some(database))
    }

    /// Returns the state after each SQL file when PostgreSQL alone runs it.
    async fn plain(&self, case: &SearchCase, name: &str) -> anyhow::Result<Vec<Result<DatabaseState, String>>> {
        let files = case.files();
        let mut steps = Vec::new();
        if files.is_empty() {
            return Ok(steps);
        }
        let Some(database) = self.copy(case, name).await? else { return Ok(steps) };
        for file in files {
            let step = run(&database, &file).await;
            let state = match step {
                Ok(()) => Ok(DatabaseState::of(&database).await?),
                Err(error) => Err(error),
            };
            steps.push(state);
            if steps.last().is_some_and(Result::is_err) {
                break;
            }
        }
        database.remove().await?;
        Ok(steps)
    }

    async fn boots(
        &self,
        case: &SearchCase,
        name: &str,
        database: &TestDatabase,
        steps: &[Result<DatabaseState, String>],
        tried: &mut Tried,
    ) -> anyhow::Result<()> {
        let snapshot = case.snapshot(&self.model.snapshot)?;
        let before = DatabaseState::of(database).await?;
        let mut files = case.files();
        let mut permits = Permits::of(case);
        let mut digest: Option<String> = None;
        let mut offered = BTreeSet::new();
        for round in 0..=MOST_OFFERS {
            let ended = self.boot(&format!("{name}-{round}"), database, &snapshot, &files, digest.as_deref()).await?;
            tried.log.push(format!(
                "# boot {}{}",
                round + 1,
                digest.as_ref().map_or_else(String::new, |digest| format!(" with SCHEMA_ALLOW_DESTRUCTIVE={digest}"))
            ));
            tried.log.extend(ended.lines.iter().cloned());
            tried.boots += 1;
            let verdict = verdict(&ended);
            if round == 0 {
                tried.code = Some(ended.code);
                tried.message = verdict.as_ref().map_or_else(|_| String::new(), |verdict| verdict.message.clone());
            }
            let (verdict, after) = (verdict?, DatabaseState::of(database).await?);
            let judge = Judge { case, snapshot: &snapshot, files: &files, before: &before, steps };
            match (verdict.exit, verdict.phase) {
                (ExitCode::Ok, _) => {
                    judge.succeeded(&ended, &after, &permits)?;
                    return self.once_more(name, database, &snapshot, &files, tried).await.context("the next boot");
                }
                (ExitCode::SchemaRefused, Phase::Schema) => {
                    judge.unchanged(&verdict, &after, &permits)?;
                    digest = Some(accept(&verdict, &mut permits, (&snapshot, &after), &mut offered)?);
                }
                (ExitCode::SchemaRefused, Phase::DbInit | Phase::PostSchema) => {
                    judge.unchanged(&verdict, &after, &permits)?;
                    judge.file_failed(&verdict, &after)?;
                    let index = judge.applied(&after)?;
                    declare(&mut files[index], &verdict)?;
                }
                (_, phase) => {
                    judge.unchanged(&verdict, &after, &permits)?;
                    if phase == Phase::DbInit || phase == Phase::PostSchema && verdict.exit == ExitCode::MigrationFailed
                    {
                        judge.file_failed(&verdict, &after)?;
                    }
                    let is_allowed = digest.is_some() && verdict.exit == ExitCode::SchemaDiverged;
                    ensure!(!is_allowed, "the boot with the offered digest ended with 44: {}", verdict.message);
                    return Ok(());
                }
            }
        }
        bail!("the boot refused {} times, each time with another offer", MOST_OFFERS + 1)
    }

    /// Boots again after exit code 0; this boot must not change anything.
    async fn once_more(
        &self,
        name: &str,
        database: &TestDatabase,
        snapshot: &Value,
        files: &[File],
        tried: &mut Tried,
    ) -> anyhow::Result<()> {
        let ended = self.boot(&format!("{name}-more"), database, snapshot, files, None).await?;
        tried.log.push("# the next boot".to_owned());
        tried.log.extend(ended.lines.iter().cloned());
        tried.boots += 1;
        ensure!(ended.code == 0, "it ended with {}: {}", ended.code, ended.last_line());
        for (phase, wanted) in
            [(Phase::DbInit, "0 applied"), (Phase::Schema, "no changes"), (Phase::PostSchema, "0 applied")]
        {
            ended.expect(phase, wanted)?;
        }
        Ok(())
    }

    async fn boot(
        &self,
        folder: &str,
        database: &TestDatabase,
        snapshot: &Value,
        files: &[File],
        digest: Option<&str>,
    ) -> anyhow::Result<EndedContainer> {
        let folder = format!("{FOLDER}/{folder}");
        let (sql, schema) = (format!("{folder}/db-init"), format!("{folder}/schema.json"));
        let mut content = vec![
            (schema.clone(), serde_json::to_vec(snapshot)?),
            (format!("{sql}/001_base.sql"), BASE_SQL.into()),
            (format!("{sql}/post-schema/001_base.sql"), BASE_POST_SQL.into()),
        ];
        content.extend(files.iter().map(|file| (format!("{sql}/{}", file.path), file.text.clone().into_bytes())));
        self.suite.engine.upload(&self.container.id, &content).await?;
        let mut variables =
            vec![("DB_DATABASE", database.name.as_str()), ("BOOT_DB_INIT_DIR", &sql), ("BOOT_SNAPSHOT_FILE", &schema)];
        variables.extend(digest.map(|digest| ("SCHEMA_ALLOW_DESTRUCTIVE", digest)));
        let boot = self.suite.engine.exec_with(&self.container.id, &variables, &[BINARY, "boot"]);
        let (code, output) = tokio::time::timeout(PATIENCE, boot).await.context("the boot did not end in time")??;
        Ok(EndedContainer { code, lines: output.lines().map(str::to_owned).collect() })
    }
}

/// Runs a file as `psql --single-transaction` would.
async fn run(database: &TestDatabase, file: &File) -> Result<(), String> {
    let client = database.connect().await.map_err(|error| format!("{error:#}"))?;
    if file.text.contains("-- no-transaction") {
        // Statements run one by one; a block of PL/pgSQL is one statement.
        let text = file.text.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
        let statements = if text.contains("$$") { vec![text.as_str()] } else { text.split(';').collect() };
        for statement in statements.into_iter().filter(|statement| !statement.trim().is_empty()) {
            client.batch_execute(statement).await.map_err(describe)?;
        }
        return Ok(());
    }
    client.batch_execute(&format!("begin;\n{}\n;commit", file.text)).await.map_err(describe)
}

/// Returns PostgreSQL's message without its severity and position.
fn describe(error: tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

/// Returns the digest that a refusal offers. Its list of losses must not contradict the snapshot.
fn accept(
    verdict: &BootVerdict,
    permits: &mut Permits,
    (snapshot, state): (&Value, &DatabaseState),
    offered: &mut BTreeSet<String>,
) -> anyhow::Result<String> {
    let message = &verdict.message;
    let digest =
        message.split_once("SCHEMA_ALLOW_DESTRUCTIVE=").map(|(_, rest)| rest.split_whitespace().next().unwrap_or(""));
    let digest = digest.with_context(|| format!("the refusal offers no digest: {message}"))?.to_owned();
    ensure!(offered.insert(digest.clone()), "the boot refuses the digest that it offered: {message}");
    ensure!(permits.announce(message, &verdict.notes) > 0, "the refusal names no loss: {message}");
    let snapshot = snapshot.get("data").unwrap_or(snapshot);
    let contradictions = permits.contradictions(snapshot, state);
    ensure!(contradictions.is_empty(), "{}", contradictions.join("; "));
    Ok(digest)
}

/// Adds the directives that a refusal offers to a file.
fn declare(file: &mut File, verdict: &BootVerdict) -> anyhow::Result<()> {
    let message = &verdict.message;
    let offer = message.split_once("`-- destroys: ").and_then(|(_, rest)| rest.split_once('`'));
    let (offer, _) = offer.with_context(|| format!("the refusal offers no directive: {message}"))?;
    let known = directives(&file.text);
    let is_new = offer.split(',').any(|item| !known.contains(&item.trim().to_owned()));
    ensure!(is_new, "the boot refuses the directive that it offered: {message}");
    file.text = format!("-- destroys: {offer}\n{}", file.text);
    Ok(())
}

/// Returns the boot's own lines of a log.
pub(super) fn own_lines(log: &[String]) -> Vec<String> {
    log.iter().filter(|line| line.starts_with('#') || LogLine::parse(line).is_some()).cloned().collect()
}
