//! Applies one migration: its SQL and its ledger row in one transaction, or, where the file says so, statement by
//! statement.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_postgres::Client;

use super::MigrationFile;
use super::failure::{ApplyError, Failure, Kept, Refusal, sql_error};
use super::indexes::{Built, Index, concurrent_index, drop_invalid, invalid};
use super::ledger::{LedgerRow, record};
use super::locate::marked;
use super::patience::{LockPatience, Watch};
use super::place::Place;
use crate::attic::{self, Insertion, Stash};
use crate::config::DatabaseConfig;
use crate::database::{BootLock, RESET, Session, VerifyError, describe};
use crate::log::Log;
use crate::quote::literal;
use crate::witness::loss::count;
use crate::witness::watch::{MAX_ATTEMPTS, add_suspicions, has_statistics, with_amount};
use crate::witness::{Announcement, LastCatalog, Link, LinkError, Loss, Outcome, Witness};
use contract::Phase;

/// How long whoever queued up behind a migration has the lock to itself between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs the statements inside the server, so that one message does however many there are. In here PostgreSQL refuses
/// every command that would end the transaction, and each statement sees what the ones before it made.
const RUN: &str = "do $boot$ declare s text; begin
    foreach s in array array(select json_array_elements_text(current_setting('boot.migration')::json))
    loop execute s; end loop; end $boot$";

/// What files are applied under.
#[derive(Clone, Copy, Debug)]
pub struct Conditions<'a> {
    /// Which files they are.
    pub phase: Phase,
    /// What is written into the ledger as the origin of a row.
    pub image: &'a str,
    /// For the second connection, which looks at a file that takes long.
    pub database: &'a DatabaseConfig,
    /// The boot lock, which must be held at every COMMIT.
    pub lock: &'a BootLock,
    /// The catalog that the last transaction left.
    pub last: &'a LastCatalog,
    /// How long to wait for locks.
    pub patience: LockPatience,
    /// Where progress goes.
    pub log: &'a Log,
}

/// Applies the file and says so in the log. On an SQL error the log gets the line with a caret under it.
///
/// # Errors
/// See [`ApplyError`].
pub async fn apply(session: &mut Session, file: &MigrationFile, conditions: &Conditions<'_>) -> Result<(), ApplyError> {
    let log = conditions.log;
    let result = watched(session, file, conditions).await;
    for notice in session.take_notices() {
        let text = format!("{}: {}", file.filename, notice.message);
        if notice.is_warning() { log.warn(text) } else { log.note(text) }
    }
    result.map_err(|failure| match failure {
        Failure::Refused(refusal) => sql_error(session, file, refusal, log),
        Failure::Named(error) => error,
    })
}

/// Applies it while somebody looks what it waits for.
async fn watched(session: &mut Session, file: &MigrationFile, conditions: &Conditions<'_>) -> Result<(), Failure> {
    let Conditions { database, patience, log, .. } = *conditions;
    let pid = session.client.query_one("select pg_backend_pid()", &[]).await.map_err(Refusal::whole)?.get(0);
    let watch = Watch { filename: &file.filename, pid, database, patience, log, blockers: RefCell::default() };
    let apply = async {
        if file.headers.no_transaction {
            return statement_by_statement(&session.client, file, conditions, &watch).await;
        }
        let mut tries = 1;
        let mut suspicions = Vec::new();
        let mut attempts = 0;
        let mut may_move = true;
        loop {
            match in_transaction(&mut session.client, file, conditions, &suspicions, may_move).await {
                Err(AttemptError::NeedsCopy) => may_move = false,
                Ok(Attempt::Committed(sentences)) => {
                    report(sentences, file, log);
                    return Ok(());
                }
                Ok(Attempt::Suspected(new)) if attempts < MAX_ATTEMPTS => {
                    attempts += 1;
                    add_suspicions(&mut suspicions, new);
                }
                Ok(Attempt::Suspected(losses)) => {
                    return Err(destroys(file, losses.into_iter().map(|loss| (loss, None))));
                }
                Ok(Attempt::Lost(losses)) => return Err(destroys(file, losses)),
                Err(AttemptError::Sql(error)) => {
                    let refusal = Refusal::whole(error);
                    if !refusal.is_blocked {
                        return Err(refusal.into());
                    }
                    again(&mut tries, refusal, &watch).await?;
                }
                Err(AttemptError::Lock(error)) => {
                    return Err(ApplyError::LockLost { filename: file.filename.clone(), error }.into());
                }
                Err(AttemptError::Refused(reason)) => {
                    let (place, kept) = (file.filename.clone(), Kept::Nothing);
                    return Err(ApplyError::Sql { place, reason, kept }.into());
                }
            }
        }
    };
    tokio::select! {
        result = apply => result,
        () = watch.run() => unreachable!("it looks until it is dropped"),
    }
}

/// Counts a try that met a lock, and waits for the next one. After the last one it says who was in the way.
async fn again(tries: &mut u32, refusal: Refusal, watch: &Watch<'_>) -> Result<(), ApplyError> {
    let Watch { filename, patience, log, .. } = *watch;
    if *tries >= patience.tries {
        return Err(ApplyError::Blocked {
            filename: filename.to_owned(),
            patience,
            blocker: watch.blocker(),
            kept: refusal.kept,
        });
    }
    log.note(format!("{filename}: {}; try {tries} of {}", describe(&refusal.error), patience.tries));
    *tries += 1;
    sleep(PAUSE).await;
    Ok(())
}

/// The settings that hold while a file is applied, for the transaction or for the session.
async fn limit(
    client: &impl tokio_postgres::GenericClient,
    file: &MigrationFile,
    patience: LockPatience,
    is_local: bool,
) -> Result<(), tokio_postgres::Error> {
    // PostgreSQL keeps milliseconds in 31 bits.
    let ms = |duration: Duration| format!("{}ms", duration.as_millis().min(i32::MAX as u128));
    let statement = file.headers.statement_timeout.map(ms);
    client
        .execute(
            "select set_config('lock_timeout', $1, $3),
                    set_config('statement_timeout', coalesce($2, current_setting('statement_timeout')), $3)",
            &[&ms(patience.timeout), &statement, &is_local],
        )
        .await?;
    Ok(())
}

/// The result of one attempt at a file's transaction.
enum Attempt {
    /// Committed, with sentences for the log.
    Committed(Sentences),
    /// Rolled back, to measure these first.
    Suspected(Vec<Loss>),
    /// Rolled back: these were destroyed without a directive.
    Lost(Vec<(Loss, Option<u64>)>),
}

/// Lines of the log about a file that was applied.
#[derive(Default)]
struct Sentences {
    notes: Vec<String>,
    warnings: Vec<String>,
}

/// Why an attempt failed; it was rolled back.
enum AttemptError {
    Sql(tokio_postgres::Error),
    Lock(VerifyError),
    /// For a reason of the boot's own.
    Refused(String),
    /// A table was changed before the statement that drops it, so it has to be copied before the file runs.
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

/// One observed transaction: the catalog before, what is kept in the attic, the file, the catalog after, the ledger row,
/// and COMMIT only if nothing was destroyed but what the file declares.
async fn in_transaction(
    client: &mut Client,
    file: &MigrationFile,
    conditions: &Conditions<'_>,
    suspicions: &[Loss],
    may_move: bool,
) -> Result<Attempt, AttemptError> {
    let began = Instant::now();
    let transaction = client.transaction().await?;
    limit(&transaction, file, conditions.patience, true).await?;
    let mut link = Link::Session(transaction.client());
    let witness = Witness::begin(&mut link, conditions.last, suspicions).await?;
    let (stashes, insertions) = Stash::of_file(&mut link, witness.before(), file, may_move, conditions.image).await?;
    // As a parameter, so that nothing in the file can be taken for anything but its text.
    let statements = with_insertions(file, &insertions);
    transaction.execute("select set_config('boot.migration', $1, true)", &[&statements]).await?;
    transaction.batch_execute(RUN).await?;
    if !has_statistics(&mut link).await? {
        transaction.rollback().await?;
        return Err(AttemptError::Refused(
            "it switches track_counts off, which the boot needs: remove that".to_owned(),
        ));
    }
    transaction.batch_execute(RESET).await?;
    for stash in &stashes {
        stash.end_work(&mut link).await?;
    }
    let destroys = file.headers.destroys.as_slice();
    let (announced, updated) = match witness.end(&mut link, destroys).await? {
        Outcome::Kept { announced, updated } => (announced, updated),
        Outcome::Suspected(losses) => return rolled_back(transaction, Attempt::Suspected(losses)).await,
        Outcome::Lost { losses, .. } => return rolled_back(transaction, Attempt::Lost(losses)).await,
    };
    let mut sentences = Sentences::default();
    for stash in &stashes {
        if !stash.is_complete(&mut link, &announced).await? {
            transaction.rollback().await?;
            conditions.last.forget();
            return Err(AttemptError::NeedsCopy);
        }
    }
    if !destroys.is_empty() {
        sentences.warnings = not_destroyed(destroys, &announced);
        conditions.last.forget();
        sentences.notes = attic::settle(&mut link, stashes, &announced).await?;
        if let Some(reason) = attic::dangling(&mut link).await? {
            transaction.rollback().await?;
            return Err(AttemptError::Refused(reason));
        }
    }
    let updates = updated.iter().filter(|(table, _)| table.schema != "boot");
    sentences.notes.extend(updates.map(|(table, rows)| format!("updated {} of {table}", count(*rows, "row"))));
    conditions.lock.verify(&mut link).await?;
    record(&transaction, conditions.phase, &LedgerRow::of(file, conditions.image), began.elapsed()).await?;
    transaction.commit().await?;
    Ok(Attempt::Committed(sentences))
}

async fn rolled_back(transaction: tokio_postgres::Transaction<'_>, attempt: Attempt) -> Result<Attempt, AttemptError> {
    transaction.rollback().await?;
    Ok(attempt)
}

/// The statements of a file as a JSON array, with a mark on each of its own.
fn with_insertions(file: &MigrationFile, insertions: &[Insertion]) -> String {
    let mut statements = Vec::with_capacity(file.statements.len() + insertions.len());
    for (index, range) in file.statements.iter().enumerate() {
        statements.extend(insertions.iter().filter(|one| one.before == index).map(|one| one.sql.clone()));
        statements.push(marked(&file.sql[range.clone()], index));
    }
    serde_json::json!(statements).to_string()
}

/// The file as statements for a transaction that the caller has opened, without ledger row.
pub(crate) fn as_statements(file: &MigrationFile) -> String {
    format!("select set_config('boot.migration',{}, true); {RUN}", literal(&with_insertions(file, &[])))
}

/// Directives that announce what did not happen.
fn not_destroyed(destroys: &[Announcement], announced: &[Loss]) -> Vec<String> {
    let idle = destroys.iter().filter(|item| !announced.iter().any(|loss| item.covers(loss)));
    idle.map(|item| format!("it declares `-- destroys: {item}`, and nothing of that was there to destroy")).collect()
}

fn report(sentences: Sentences, file: &MigrationFile, log: &Log) {
    for note in sentences.notes {
        log.note(format!("{}: {note}", file.filename));
    }
    for warning in sentences.warnings {
        log.warn(format!("{}: {warning}", file.filename));
    }
}

fn destroys(file: &MigrationFile, losses: impl IntoIterator<Item = (Loss, Option<u64>)>) -> Failure {
    let losses: Vec<(Loss, Option<u64>)> = losses.into_iter().collect();
    let directives = losses.iter().map(|(loss, _)| loss.directive()).collect::<Vec<_>>().join(", ");
    let losses = losses.iter().map(|(loss, amount)| with_amount(loss, *amount)).collect();
    Failure::Named(ApplyError::Destroys { filename: file.filename.clone(), losses, directives })
}

/// Each statement in a transaction of its own, and the ledger row after the last one.
async fn statement_by_statement(
    client: &Client,
    file: &MigrationFile,
    conditions: &Conditions<'_>,
    watch: &Watch<'_>,
) -> Result<(), Failure> {
    let began = Instant::now();
    // Nothing is known of the rows that it writes.
    conditions.last.forget();
    let result = each_statement(client, file, conditions, watch).await;
    // Not only for what comes after: also a boot that ends here must not be held up by what the file has set.
    let reset = client.batch_execute(RESET).await;
    result?;
    let all_done = |error| Refusal::after(error, file, file.statements.len());
    reset.map_err(all_done)?;
    let row = LedgerRow::of(file, conditions.image);
    Ok(record(client, conditions.phase, &row, began.elapsed()).await.map_err(all_done)?)
}

async fn each_statement(
    client: &Client,
    file: &MigrationFile,
    conditions: &Conditions<'_>,
    watch: &Watch<'_>,
) -> Result<(), Failure> {
    limit(client, file, conditions.patience, false).await.map_err(Refusal::whole)?;
    let mut indexes = Vec::new();
    for (number, range) in file.statements.iter().enumerate() {
        let statement = &file.sql[range.clone()];
        let index = match concurrent_index(statement) {
            Some(Built::Named(index)) => Some(index),
            _ => None,
        };
        let mut tries = 1;
        while let Err(error) = alone(client, file, statement, index.as_ref(), conditions.log).await {
            let refusal = Refusal { sent: Some(number), ..Refusal::after(error, file, number) };
            if !refusal.is_blocked {
                return Err(refusal.into());
            }
            again(&mut tries, refusal, watch).await?;
        }
        indexes.extend(index.map(|index| (number, index)));
    }
    let all_done = |error| Refusal::after(error, file, file.statements.len());
    for (number, index) in indexes {
        if let Some(name) = invalid(client, &index, true).await.map_err(all_done)?.first() {
            let Place { line, column, .. } = Place::at(&file.sql, file.statements[number].start);
            return Err(Failure::Named(ApplyError::Sql {
                place: format!("{}:{line}:{column}", file.filename),
                reason: format!("{name} is INVALID: somebody else's attempt to build it failed or still runs"),
                kept: Kept::after(file, file.statements.len()),
            }));
        }
    }
    Ok(())
}

/// One statement in autocommit; before it builds an index, what an earlier attempt left of that goes.
async fn alone(
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
