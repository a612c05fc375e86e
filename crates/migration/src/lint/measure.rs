//! The real effects of the new files on a database: locks and losses, measured in a transaction that is rolled back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use entrypoint::migrations::MigrationFile;
use entrypoint::witness::{Loss, TableName};
use tokio_postgres::{Client, Transaction};

use super::catalog::{Tables, locks};
use super::finding::place;
use super::lint_file::LintFile;
use crate::database;

/// Limit for each wait for a lock, because others may be using the database.
const LOCK_TIMEOUT: &str = "2s";

/// The results of running the new files, by their path in the workspace.
#[derive(Debug, Default)]
pub struct Measured {
    /// One for each new file.
    pub files: BTreeMap<String, FileRun>,
}

/// The result of running a file.
#[derive(Debug)]
pub enum FileRun {
    /// It ran, and was rolled back.
    Ran(FileEffects),
    /// It was not run, for this reason.
    Skipped(String),
}

/// The effects of a file.
#[derive(Debug, Default)]
pub struct FileEffects {
    pub(super) took: Duration,
    pub(super) locks: Vec<MeasuredLock>,
    pub(super) losses: Vec<MeasuredLoss>,
    /// The tables with rows before the file.
    pub(super) filled: Vec<TableName>,
}

/// A lock that blocks others, on a table that existed before the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MeasuredLock {
    /// The index of the statement in the file.
    pub(super) statement: usize,
    pub(super) table: TableName,
    /// PostgreSQL's name: `ShareLock`.
    pub(super) mode: String,
    pub(super) rows: i64,
    /// Until the end of the file, because PostgreSQL releases locks with the transaction.
    pub(super) held: Duration,
}

#[derive(Debug)]
pub(super) struct MeasuredLoss {
    pub(super) statement: usize,
    pub(super) loss: Loss,
    pub(super) amount: u64,
}

/// Runs the files that the database does not have, each after the other, and rolls everything back.
///
/// # Errors
/// Fails if the database does not answer.
pub async fn run(client: &mut Client, files: &[LintFile]) -> anyhow::Result<Measured> {
    let applied = database::ledger(client).await?;
    let mut transaction = client.transaction().await.context("failed to begin a transaction")?;
    let mut measured = Measured::default();
    for LintFile { path, phase, file } in files {
        let is_applied = applied.iter().any(|applied| applied.phase == *phase && applied.filename == file.filename);
        let run = if is_applied {
            FileRun::Skipped("the database has it already".to_owned())
        } else if file.directives.no_transaction {
            FileRun::Skipped("its statements cannot run in a transaction".to_owned())
        } else {
            run_file(&mut transaction, file).await?
        };
        measured.files.insert(path.clone(), run);
    }
    transaction.rollback().await.context("failed to roll the transaction back")?;
    Ok(measured)
}

/// Runs a file after the ones before it. If a statement fails, the file is rolled back and the others go on without it.
async fn run_file(transaction: &mut Transaction<'_>, file: &MigrationFile) -> anyhow::Result<FileRun> {
    // A setting or role of one file does not reach the next one, as in a boot.
    let settings = format!("reset session authorization; reset all; set local lock_timeout = '{LOCK_TIMEOUT}'");
    transaction.batch_execute(&settings).await.context("failed to reset the settings of the session")?;
    let savepoint = transaction.transaction().await.context("failed to set a savepoint")?;
    let before = Tables::read(&savepoint).await?;
    let rows = before.count_rows(&savepoint).await?;
    let mut effects = FileEffects { filled: before.with_rows(&rows), ..FileEffects::default() };
    let began = Instant::now();
    let (mut state, mut locked) = (before, locks(&savepoint).await?);
    let mut starts = Vec::new();
    for (statement, range) in file.statements.iter().enumerate() {
        let start = Instant::now();
        if let Err(error) = savepoint.batch_execute(&file.sql[range.clone()]).await {
            let (line, _) = place(&file.sql, range.start);
            savepoint.rollback().await.context("failed to roll a file back")?;
            return Ok(FileRun::Skipped(format!("the statement of line {line} failed: {}", message(&error))));
        }
        let (now, held) = (Tables::read(&savepoint).await?, locks(&savepoint).await?);
        for (oid, mode) in held.iter().filter(|lock| !locked.contains(lock)) {
            // A table that the file creates has no rows to wait for. The partitions of a table are locked with it.
            let Some((root, table)) = state.root(*oid) else { continue };
            let Some(rows) = rows.get(&root).copied() else { continue };
            let lock = MeasuredLock { statement, table: table.clone(), mode: mode.clone(), rows, held: Duration::ZERO };
            if !effects.locks.contains(&lock) {
                effects.locks.push(lock);
                starts.push(start);
            }
        }
        let lost = state.losses(&now, &rows, &savepoint).await?.into_iter();
        effects.losses.extend(lost.map(|(loss, amount)| MeasuredLoss { statement, loss, amount }));
        (state, locked) = (now, held);
    }
    let end = Instant::now();
    for (lock, start) in effects.locks.iter_mut().zip(starts) {
        lock.held = end - start;
    }
    effects.took = end - began;
    savepoint.commit().await.context("failed to release a savepoint")?;
    Ok(FileRun::Ran(effects))
}

/// PostgreSQL's message with its code; of other errors, their own.
fn message(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), |error| format!("{} ({})", error.message(), error.code().code()))
}
