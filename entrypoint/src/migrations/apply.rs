//! Applies one migration: its SQL and its ledger row in one transaction, or, with `-- no-transaction`, statement by
//! statement.

use std::time::Instant;

use tokio_postgres::Client;

use super::MigrationFile;
use super::failure::{ApplyError, FileFailure, PartialProgress, SqlRefusal, sql_error};
use super::indexes::{Built, Index, concurrent_index, drop_invalid, invalid};
use super::ledger::{LedgerRow, record};
use super::locate_error::marked;
use super::source_location::SourceLocation;
use crate::attic::{self, Insertion, Stash};
use crate::config::DatabaseConfig;
use crate::database::lock_retry::{BlockerMonitor, LockRetry, milliseconds};
use crate::database::{BootLock, Session, VerifyError, describe, settings};
use crate::listing::Listing;
use crate::log::Log;
use crate::quote::literal;
use crate::witness::loss::count;
use crate::witness::measure::{AffectedRows, data_first};
use crate::witness::watch::{MAX_ATTEMPTS, add_suspicions, has_statistics};
use crate::witness::{Announcement, LastCatalog, Link, LinkError, Loss, OfFile, Outcome, Witness};
use contract::sqlstate::Remedy;
use contract::{Phase, failure};

/// Runs the statements inside the server, so that one message is enough for any number of them. Inside a DO block
/// PostgreSQL refuses every command that would end the transaction, and each statement sees the effects of earlier ones.
const RUN: &str = "do $boot$ declare s text; begin
    foreach s in array array(select json_array_elements_text(current_setting('boot.migration')::json))
    loop execute s; end loop; end $boot$";

/// The context that files are applied in.
#[derive(Clone, Copy, Debug)]
pub struct ApplyContext<'a> {
    /// The phase of the files.
    pub phase: Phase,
    /// The origin of each ledger row.
    pub image: &'a str,
    /// Configuration of the second connection, which looks for blockers.
    pub database: &'a DatabaseConfig,
    /// The boot lock, which must be held at every COMMIT.
    pub lock: &'a BootLock,
    /// The catalog that the last transaction left.
    pub last: &'a LastCatalog,
    /// Servers of other images run: structure counts as a loss, too, unless the file has a directive about it.
    pub only_adds: bool,
    /// Limits on waiting for locks.
    pub lock_retry: LockRetry,
    /// The log for progress, notices and error excerpts.
    pub log: &'a Log,
}

/// Applies the file and logs its notices. On an SQL error the line with a caret under it is logged, too.
///
/// # Errors
/// See [`ApplyError`].
pub async fn apply(session: &mut Session, file: &MigrationFile, context: &ApplyContext<'_>) -> Result<(), ApplyError> {
    let log = context.log;
    let result = apply_with_monitor(session, file, context).await;
    for notice in session.take_notices() {
        let text = format!("{}: {}", file.filename, notice.message);
        if notice.is_warning() { log.warn(text) } else { log.note(text) }
    }
    result.map_err(|failure| match failure {
        FileFailure::Refused(refusal) => sql_error(session, file, refusal, log),
        FileFailure::Named(error) => error,
    })
}

/// Applies the file while a monitor looks for its blockers.
async fn apply_with_monitor(
    session: &mut Session,
    file: &MigrationFile,
    context: &ApplyContext<'_>,
) -> Result<(), FileFailure> {
    let ApplyContext { database, lock_retry, log, .. } = *context;
    let client = &mut session.client;
    let monitor = BlockerMonitor::new(&file.filename, database, lock_retry, log);
    monitor.watch(client.query_one("select pg_backend_pid()", &[]).await.map_err(SqlRefusal::whole)?.get(0));
    let apply = async {
        if file.directives.no_transaction {
            statement_by_statement(client, file, context, &monitor).await
        } else {
            in_transactions(client, file, context, &monitor).await
        }
    };
    monitor.during(apply).await
}

/// Repeats the file's transaction until it commits or cannot succeed.
async fn in_transactions(
    client: &mut Client,
    file: &MigrationFile,
    context: &ApplyContext<'_>,
    monitor: &BlockerMonitor<'_>,
) -> Result<(), FileFailure> {
    let mut suspicions = Vec::new();
    let mut attempts = 0;
    let mut may_move = true;
    loop {
        match in_transaction(client, file, context, &suspicions, may_move).await {
            Err(AttemptError::NeedsCopy) => may_move = false,
            Ok(FileAttempt::Committed(lines)) => {
                report(lines, file, context.log);
                return Ok(());
            }
            Ok(FileAttempt::Suspected(new)) if attempts < MAX_ATTEMPTS => {
                attempts += 1;
                add_suspicions(&mut suspicions, new);
            }
            Ok(FileAttempt::Suspected(losses)) => {
                return Err(undeclared_loss(file, losses.into_iter().map(|loss| (loss, None))));
            }
            Ok(FileAttempt::Lost(losses)) => return Err(undeclared_loss(file, losses)),
            Err(AttemptError::Sql(error)) => {
                let refusal = SqlRefusal::whole(error);
                if !refusal.is_blocked {
                    return Err(refusal.into());
                }
                wait_for_retry(file, refusal, monitor).await?;
            }
            Err(AttemptError::Lock(error)) => {
                return Err(ApplyError::LockLost { filename: file.filename.clone(), error }.into());
            }
            Err(AttemptError::Refused(reason)) => {
                let (place, kept) = (file.filename.clone(), PartialProgress::Nothing);
                return Err(
                    ApplyError::Sql { place, reason, kept, remedy: Remedy::author(failure::STATEMENT.remedy) }.into()
                );
            }
        }
    }
}

/// Waits before the next try after one that failed on a lock.
async fn wait_for_retry(
    file: &MigrationFile,
    refusal: SqlRefusal,
    monitor: &BlockerMonitor<'_>,
) -> Result<(), ApplyError> {
    let SqlRefusal { error, kept, .. } = refusal;
    let paused = monitor.pause(&describe(&error)).await;
    paused.map_err(|blocked| ApplyError::Blocked { filename: file.filename.clone(), blocked, kept })
}

/// Sets the timeouts of a file, for the transaction if `is_local`, otherwise for the session.
async fn set_timeouts(
    client: &impl tokio_postgres::GenericClient,
    file: &MigrationFile,
    lock_retry: LockRetry,
    is_local: bool,
) -> Result<(), tokio_postgres::Error> {
    let statement = file.directives.statement_timeout.map(milliseconds);
    client
        .execute(
            "select set_config('lock_timeout', $1, $3),
                    set_config('statement_timeout', coalesce($2, current_setting('statement_timeout')), $3)",
            &[&lock_retry.lock_timeout(), &statement, &is_local],
        )
        .await?;
    Ok(())
}

/// The result of one attempt at a file's transaction.
enum FileAttempt {
    Committed(LogLines),
    /// Rolled back: these losses must be measured first.
    Suspected(Vec<Loss>),
    /// Rolled back: these losses have no directive.
    Lost(Vec<(Loss, Option<u64>)>),
}

/// Lines of the log about a file that was applied.
#[derive(Default)]
struct LogLines {
    notes: Vec<String>,
    warnings: Vec<String>,
}

/// The cause of a failed attempt, which was rolled back.
enum AttemptError {
    Sql(tokio_postgres::Error),
    Lock(VerifyError),
    /// Refused by the boot, not by PostgreSQL.
    Refused(String),
    /// A table was changed before the statement that drops it, so it must be copied before the file runs.
    NeedsCopy,
}

impl From<tokio_postgres::Error> for AttemptError {
    fn from(error: tokio_postgres::Error) -> Self {
        let needs_copy = error.code().is_some_and(|code| code.code() == attic::NEEDS_COPY);
        if needs_copy { AttemptError::NeedsCopy } else { AttemptError::Sql(error) }
    }
}

impl From<LinkError> for AttemptError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Sql(error) => AttemptError::from(error),
            LinkError::Malformed(_) => AttemptError::Refused(error.to_string()),
            LinkError::Directus(_) => unreachable!("a SQL file runs on the boot's own session"),
        }
    }
}

impl From<VerifyError> for AttemptError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Query(error) => error.into(),
            lost => AttemptError::Lock(lost),
        }
    }
}

/// Runs one observed transaction: catalog before, copies for the attic, the file, catalog after, ledger row. It commits
/// only if the file destroyed nothing that it does not declare.
async fn in_transaction(
    client: &mut Client,
    file: &MigrationFile,
    context: &ApplyContext<'_>,
    suspicions: &[Loss],
    may_move: bool,
) -> Result<FileAttempt, AttemptError> {
    let began = Instant::now();
    let transaction = client.transaction().await?;
    set_timeouts(&transaction, file, context.lock_retry, true).await?;
    let mut link = Link::Session(transaction.client());
    let witness = Witness::begin(&mut link, context.last, suspicions).await?;
    let (stashes, insertions) = Stash::of_file(&mut link, witness.before(), file, may_move, context.image).await?;
    // Passed as a parameter, so that no part of the file is read as anything but text.
    let statements = with_insertions(file, &insertions);
    transaction.execute("select set_config('boot.migration', $1, true)", &[&statements]).await?;
    transaction.batch_execute(RUN).await?;
    if !has_statistics(&mut link).await? {
        transaction.rollback().await?;
        return Err(AttemptError::Refused(
            "it switches off track_counts, which the boot needs: remove that statement".to_owned(),
        ));
    }
    transaction.batch_execute(&settings::reset(&context.database.given_settings)).await?;
    for stash in &stashes {
        stash.end_work(&mut link).await?;
    }
    let destroys = file.directives.destroys.as_slice();
    let only_adds = context.only_adds && !file.directives.breaks_older_images;
    let (announced, updated) = match witness.end(&mut link, &OfFile { destroys, only_adds }).await? {
        Outcome::PartialProgress { announced, updated } => (announced, updated),
        Outcome::Suspected(losses) => return rolled_back(transaction, FileAttempt::Suspected(losses)).await,
        Outcome::Lost { losses, .. } => return rolled_back(transaction, FileAttempt::Lost(losses)).await,
    };
    let mut lines = LogLines::default();
    for stash in &stashes {
        if !stash.is_complete(&mut link, &announced).await? {
            transaction.rollback().await?;
            context.last.forget();
            return Err(AttemptError::NeedsCopy);
        }
    }
    if !destroys.is_empty() {
        lines.warnings = unused_announcements(destroys, &announced);
        context.last.forget();
        lines.notes = attic::reconcile_ledger(&mut link, stashes, &announced).await?;
        if let Some(reason) = attic::dangling(&mut link).await? {
            transaction.rollback().await?;
            return Err(AttemptError::Refused(reason));
        }
    }
    let updates = updated.iter().filter(|(table, _)| table.schema != "boot");
    lines.notes.extend(updates.map(|(table, rows)| format!("updated {} of {table}", count(*rows, "row"))));
    context.lock.verify(&mut link).await?;
    record(&transaction, context.phase, &LedgerRow::of(file, context.image), began.elapsed()).await?;
    transaction.commit().await?;
    Ok(FileAttempt::Committed(lines))
}

async fn rolled_back(
    transaction: tokio_postgres::Transaction<'_>,
    attempt: FileAttempt,
) -> Result<FileAttempt, AttemptError> {
    transaction.rollback().await?;
    Ok(attempt)
}

/// Returns the statements of a file as a JSON array; its own ones are marked, the insertions are not.
fn with_insertions(file: &MigrationFile, insertions: &[Insertion]) -> String {
    let mut statements = Vec::with_capacity(file.statements.len() + insertions.len());
    for (index, range) in file.statements.iter().enumerate() {
        statements.extend(insertions.iter().filter(|one| one.before == index).map(|one| one.sql.clone()));
        statements.push(marked(&file.sql[range.clone()], index));
    }
    serde_json::json!(statements).to_string()
}

/// Returns SQL that runs the file in a transaction of the caller, without the ledger row.
pub(crate) fn as_statements(file: &MigrationFile) -> String {
    format!("select set_config('boot.migration',{}, true); {RUN}", literal(&with_insertions(file, &[])))
}

/// Returns a warning for each announced loss that did not happen.
fn unused_announcements(destroys: &[Announcement], announced: &[Loss]) -> Vec<String> {
    let unused = destroys.iter().filter(|item| !announced.iter().any(|loss| item.covers(loss)));
    unused.map(|item| format!("it declares `-- destroys: {item}`, but there was nothing to destroy")).collect()
}

fn report(lines: LogLines, file: &MigrationFile, log: &Log) {
    for note in lines.notes {
        log.note(format!("{}: {note}", file.filename));
    }
    for warning in lines.warnings {
        log.warn(format!("{}: {warning}", file.filename));
    }
}

fn undeclared_loss(file: &MigrationFile, losses: impl IntoIterator<Item = (Loss, Option<u64>)>) -> FileFailure {
    let counted: Vec<_> = losses
        .into_iter()
        .map(|(loss, amount)| {
            let amount = amount.map(|number| AffectedRows::counted(number, &loss));
            (loss, amount)
        })
        .collect();
    let are_data = counted.iter().all(|(loss, _)| loss.may_concern_data());
    let (directives, losses): (Vec<String>, _) =
        data_first(counted).map(|(loss, sentence)| (loss.directive(), sentence)).unzip();
    let directives = are_data.then(|| directives.join(", "));
    let losses = Listing::new(losses);
    FileFailure::Named(ApplyError::Destroys { filename: file.filename.clone(), losses, directives })
}

/// Runs each statement in its own transaction and adds the ledger row after the last one.
async fn statement_by_statement(
    client: &Client,
    file: &MigrationFile,
    context: &ApplyContext<'_>,
    monitor: &BlockerMonitor<'_>,
) -> Result<(), FileFailure> {
    let began = Instant::now();
    // The rows that the file writes are not observed.
    context.last.forget();
    let result = each_statement(client, file, context, monitor).await;
    // Also after an error: the settings of the file must not delay the end of the boot.
    let reset = client.batch_execute(&settings::reset(&context.database.given_settings)).await;
    result?;
    reset.map_err(|error| SqlRefusal::at_end(error, file))?;
    let row = LedgerRow::of(file, context.image);
    let recorded = record(client, context.phase, &row, began.elapsed()).await;
    Ok(recorded.map_err(|error| SqlRefusal::at_end(error, file))?)
}

async fn each_statement(
    client: &Client,
    file: &MigrationFile,
    context: &ApplyContext<'_>,
    monitor: &BlockerMonitor<'_>,
) -> Result<(), FileFailure> {
    set_timeouts(client, file, context.lock_retry, false).await.map_err(SqlRefusal::whole)?;
    let mut indexes = Vec::new();
    for (number, range) in file.statements.iter().enumerate() {
        let statement = &file.sql[range.clone()];
        let index = match concurrent_index(statement) {
            Some(Built::Named(index)) => Some(index),
            _ => None,
        };
        monitor.start_over();
        while let Err(error) = run_statement(client, file, statement, index.as_ref(), context.log).await {
            let refusal = SqlRefusal { sent: Some(number), ..SqlRefusal::after(error, file, number) };
            if !refusal.is_blocked {
                return Err(refusal.into());
            }
            wait_for_retry(file, refusal, monitor).await?;
        }
        indexes.extend(index.map(|index| (number, index)));
    }
    for (number, index) in indexes {
        let invalid = invalid(client, &index, true).await.map_err(|error| SqlRefusal::at_end(error, file))?;
        if let Some(name) = invalid.first() {
            let SourceLocation { line, column, .. } = SourceLocation::at(&file.sql, file.statements[number].start);
            return Err(FileFailure::Named(ApplyError::Sql {
                place: format!("{}:{line}:{column}", file.filename),
                reason: format!("{name} is INVALID: another session's attempt to build it failed or is still running"),
                kept: PartialProgress::after(file, file.statements.len()),
                remedy: Remedy::author(failure::STATEMENT.remedy),
            }));
        }
    }
    Ok(())
}

/// Runs one statement in autocommit. Before it builds an index, the INVALID one of an earlier attempt is dropped.
async fn run_statement(
    client: &Client,
    file: &MigrationFile,
    statement: &str,
    index: Option<&Index>,
    log: &Log,
) -> Result<(), tokio_postgres::Error> {
    if let Some(index) = index {
        drop_invalid(client, &file.filename, index, log).await?;
    }
    client.batch_execute(statement).await
}
