//! What the new files really do to a database: their locks and losses, measured in a transaction that is rolled back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use entrypoint::migrations::MigrationFile;
use entrypoint::witness::loss::count;
use entrypoint::witness::{Loss, TableName};
use grammar::{LintRule, LintRuleKind, LintScope};
use tokio_postgres::{Client, GenericClient, Transaction};

use super::finding::Found;
use super::{LintFile, losses};
use crate::database;

/// Rows are counted up to here.
const MOST_ROWS: i64 = 1_000_000;
/// A lock that squawk does not report is a finding if the file holds it for longer than this.
const SLOW: Duration = Duration::from_millis(200);
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
    took: Duration,
    locks: Vec<MeasuredLock>,
    losses: Vec<MeasuredLoss>,
    /// The tables with rows before the file.
    filled: Vec<TableName>,
}

/// A lock that blocks others, on a table that existed before the file.
#[derive(Debug)]
struct MeasuredLock {
    /// The index of the statement in the file.
    statement: usize,
    table: TableName,
    /// PostgreSQL's name: `ShareLock`.
    mode: String,
    rows: i64,
    /// Until the end of the file, because PostgreSQL releases locks with the transaction.
    held: Duration,
}

#[derive(Debug)]
struct MeasuredLoss {
    statement: usize,
    loss: Loss,
    amount: u64,
}

/// Runs the files that the database does not have, each after the other, and rolls everything back.
///
/// # Errors
/// Fails if the database does not answer.
pub async fn run(client: &mut Client, files: &[LintFile]) -> anyhow::Result<Measured> {
    let applied = database::ledger(client).await?;
    let mut transaction = client.transaction().await.context("failed to begin a transaction")?;
    let settings = format!("set local lock_timeout = '{LOCK_TIMEOUT}'");
    transaction.batch_execute(&settings).await.context("failed to set the lock timeout")?;
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
    let savepoint = transaction.transaction().await.context("failed to set a savepoint")?;
    let before = Tables::read(&savepoint).await?;
    let rows = before.count_rows(&savepoint).await?;
    let mut effects = FileEffects {
        filled: before.0.values().filter(|table| rows[&table.oid] > 0).map(|table| table.name.clone()).collect(),
        ..FileEffects::default()
    };
    let began = Instant::now();
    let (mut state, mut locked) = (before, locks(&savepoint).await?);
    let mut starts = Vec::new();
    for (statement, range) in file.statements.iter().enumerate() {
        let start = Instant::now();
        if let Err(error) = savepoint.batch_execute(&file.sql[range.clone()]).await {
            let (line, _) = super::finding::place(&file.sql, range.start);
            savepoint.rollback().await.context("failed to roll a file back")?;
            return Ok(FileRun::Skipped(format!("the statement of line {line} failed: {}", message(&error))));
        }
        let (now, held) = (Tables::read(&savepoint).await?, locks(&savepoint).await?);
        for lock in held.iter().filter(|lock| !locked.contains(lock)) {
            if let Some((table, rows)) = state.0.get(&lock.0).zip(rows.get(&lock.0)) {
                let lock = MeasuredLock {
                    statement,
                    table: table.name.clone(),
                    mode: lock.1.clone(),
                    rows: *rows,
                    held: Duration::ZERO,
                };
                effects.locks.push(lock);
                starts.push(start);
            }
        }
        effects.losses.extend(state.losses(&now, &rows, statement));
        for table in state.rewritten(&now).filter(|table| rows.get(&table.oid).is_some_and(|rows| *rows > 0)) {
            let query = format!("select exists (select from {})", table.name.quoted());
            let row =
                savepoint.query_one(&query, &[]).await.with_context(|| format!("failed to read {}", table.name))?;
            if !row.get::<_, bool>(0) {
                let amount = rows[&table.oid].unsigned_abs();
                effects.losses.push(MeasuredLoss { statement, loss: Loss::Rows(table.name.clone(), amount), amount });
            }
        }
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

/// The tables of a database that are not PostgreSQL's own, by their number.
struct Tables(BTreeMap<u32, TableState>);

struct TableState {
    oid: u32,
    name: TableName,
    columns: BTreeMap<i16, String>,
    /// The file with its rows; TRUNCATE gives it another one.
    filenode: u32,
    /// Rows that this session has deleted.
    deleted: i64,
}

impl Tables {
    async fn read(client: &impl GenericClient) -> anyhow::Result<Tables> {
        let rows = client
            .query(
                "select c.oid, n.nspname::text, c.relname::text, c.relfilenode, coalesce(s.n_tup_del, 0),
                        array(select attnum from pg_catalog.pg_attribute a
                              where a.attrelid = c.oid and attnum > 0 and not attisdropped order by attnum),
                        array(select attname::text from pg_catalog.pg_attribute a
                              where a.attrelid = c.oid and attnum > 0 and not attisdropped order by attnum)
                 from pg_catalog.pg_class c
                 join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                 left join pg_catalog.pg_stat_xact_user_tables s on s.relid = c.oid
                 where c.relkind in ('r', 'p', 'm') and c.relpersistence <> 't'
                   and n.nspname <> 'information_schema' and n.nspname !~ '^(pg_|_timescaledb)'",
                &[],
            )
            .await
            .context("failed to read the tables of the database")?;
        let table = |row: &tokio_postgres::Row| {
            let columns = row.get::<_, Vec<i16>>(5).into_iter().zip(row.get::<_, Vec<String>>(6));
            TableState {
                oid: row.get(0),
                name: TableName { schema: row.get(1), name: row.get(2) },
                columns: columns.collect(),
                filenode: row.get(3),
                deleted: row.get(4),
            }
        };
        Ok(Tables(rows.iter().map(table).map(|table| (table.oid, table)).collect()))
    }

    async fn count_rows(&self, client: &impl GenericClient) -> anyhow::Result<BTreeMap<u32, i64>> {
        let mut counts = BTreeMap::new();
        for table in self.0.values() {
            let query = format!("select count(*) from (select from {} limit {MOST_ROWS}) rows", table.name.quoted());
            let row = client
                .query_one(&query, &[])
                .await
                .with_context(|| format!("failed to count the rows of {}", table.name))?;
            counts.insert(table.oid, row.get(0));
        }
        Ok(counts)
    }

    /// Returns the tables whose rows are in another file since: they were truncated, or rewritten by an ALTER.
    fn rewritten<'a>(&'a self, now: &'a Tables) -> impl Iterator<Item = &'a TableState> {
        let table = |(oid, table): (&u32, &TableState)| now.0.get(oid).filter(|now| now.filenode != table.filenode);
        self.0.iter().filter_map(table)
    }

    /// Returns what tables with rows have lost since; not by TRUNCATE.
    fn losses(&self, now: &Tables, rows: &BTreeMap<u32, i64>, statement: usize) -> Vec<MeasuredLoss> {
        let mut losses = Vec::new();
        for table in self.0.values() {
            let rows = rows.get(&table.oid).copied().unwrap_or_default().unsigned_abs();
            if rows == 0 {
                continue;
            }
            let mut lost = |loss, amount| losses.push(MeasuredLoss { statement, loss, amount });
            let Some(present) = now.0.get(&table.oid) else {
                lost(Loss::Table(table.name.clone()), rows);
                continue;
            };
            for (_, column) in table.columns.iter().filter(|(number, _)| !present.columns.contains_key(number)) {
                lost(Loss::Column(table.name.clone(), column.clone()), rows);
            }
            let deleted = (present.deleted - table.deleted).max(0).unsigned_abs();
            if deleted > 0 {
                lost(Loss::Rows(table.name.clone(), deleted), deleted);
            }
        }
        losses
    }
}

/// Returns the locks of this transaction that block others: the number of the table, and the mode.
async fn locks(client: &impl GenericClient) -> anyhow::Result<Vec<(u32, String)>> {
    let rows = client
        .query(
            "select relation, mode from pg_catalog.pg_locks
             where pid = pg_catalog.pg_backend_pid() and locktype = 'relation' and granted
               and mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')",
            &[],
        )
        .await
        .context("failed to read pg_locks")?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Replaces what the text of a file suggests by what the file did: locks of tables without rows are no finding, those of
/// others have their measurements, and losses are those that happened.
pub(super) fn correct(file: &MigrationFile, run: &FileRun, found: Vec<Found>) -> Vec<Found> {
    let FileRun::Ran(effects) = run else { return found };
    let mut corrected = Vec::new();
    let mut is_reported = vec![false; effects.locks.len()];
    for mut finding in found {
        let statement = file.statements.iter().position(|range| range.contains(&finding.at));
        let is_lock = matches!(
            LintRule::of(finding.rule).map(|rule| rule.kind),
            Some(LintRuleKind::Squawk { scope: LintScope::Locks, .. })
        );
        if is_lock {
            let locks = effects.locks.iter().enumerate();
            let relevant = locks.filter(|(_, lock)| Some(lock.statement) == statement && lock.rows > 0);
            let (mut facts, mut any) = (Vec::new(), false);
            for (index, lock) in relevant {
                (is_reported[index], any) = (true, true);
                facts.push(lock.words());
            }
            finding.is_exempt |= !any;
            finding.reason = format!("{} (measured: {})", finding.reason, facts.join("; "));
        }
        if finding.rule != "announces-nothing" {
            corrected.push(finding);
        }
    }
    let slow = effects
        .locks
        .iter()
        .zip(&is_reported)
        .filter(|(lock, is_reported)| !**is_reported && lock.rows > 0 && lock.held > SLOW);
    corrected.extend(slow.map(|(lock, _)| {
        let remedy = "split the file so that the slow part runs without the lock, or in batches in a file with `-- no-transaction`";
        Found::new(file.statements[lock.statement].start, "lock-on-rows", format!("it takes {}", lock.words()), remedy)
    }));
    let announced = &file.directives.destroys;
    for lost in &effects.losses {
        let at = file.statements[lost.statement].start;
        let mut finding = losses::undeclared(at, &lost.loss);
        let is_known = corrected.iter().any(|found| found.rule == finding.rule && found.remedy == finding.remedy);
        if !is_known && !announced.iter().any(|announcement| announcement.covers(&lost.loss)) {
            let amount = count(lost.amount, "row");
            finding.reason = format!(
                "in the database it destroys {} ({amount}): the boot would roll it back (exit code 43)",
                lost.loss
            );
            corrected.push(finding);
        }
    }
    for announcement in announced {
        let has_rows = effects.filled.iter().any(|table| {
            announcement.covers(&Loss::Rows(table.clone(), 1)) || {
                let (schema, name) = announcement.table();
                table.name == name && schema.is_none_or(|schema| schema == table.schema)
            }
        });
        if has_rows && !effects.losses.iter().any(|lost| announcement.covers(&lost.loss)) {
            corrected.push(losses::vain_announcement(
                file,
                announcement,
                "the file left this data alone in the database",
            ));
        }
    }
    corrected
}

impl MeasuredLock {
    /// `ShareLock on laps (3 rows) for 0.2 s, which blocks writes`.
    fn words(&self) -> String {
        let Self { table, mode, rows, held, .. } = self;
        let rows =
            if *rows >= MOST_ROWS { format!("at least {MOST_ROWS} rows") } else { count(rows.unsigned_abs(), "row") };
        let blocked = if mode == "AccessExclusiveLock" { "reads and writes" } else { "writes" };
        format!("{mode} on {table} ({rows}) for {:.3} s, which blocks {blocked}", held.as_secs_f64())
    }
}

impl Measured {
    /// Returns a line for each file, for the report.
    pub(super) fn notes(&self) -> Vec<String> {
        let note = |(path, run): (&String, &FileRun)| match run {
            FileRun::Skipped(reason) => format!("{path} was not run: {reason}; it was checked by its text alone"),
            FileRun::Ran(effects) => {
                let locks: Vec<String> = effects.locks.iter().map(MeasuredLock::words).collect();
                let locks = if locks.is_empty() { "no lock that blocks others".to_owned() } else { locks.join("; ") };
                format!("{path} ran in {:.3} s and was rolled back: {locks}", effects.took.as_secs_f64())
            }
        };
        self.files.iter().map(note).collect()
    }
}
