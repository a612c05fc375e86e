//! The boot: the phases in order, each ending in one line of the log.

mod bootstrap;
pub mod rehearse;
mod schema;

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;

use crate::attic;
use crate::config::{Config, Env, SchemaMode};
use crate::database::{self, BootLock, Lost, Pooled, Session, VerifyError, state};
use crate::directus::{Bridge, BridgeError, Release, Snapshot, SnapshotFile, changes, fingerprint, inventory};
use crate::error::{BootError, ConnectionLoss};
use crate::log::Log;
use crate::migrations::file::hex_sha256;
use crate::migrations::{self, Conditions, Migrations};
use crate::standing::{Current, Standing, is_current};
use crate::witness::{self, LastCatalog, Link, Loss, measure};
use contract::Phase;

pub use schema::SchemaOutcome;
pub(crate) use schema::weighed_words;

/// How long a failure waits for the news that the connection is gone, which would be its cause.
const CAUSE: Duration = Duration::from_secs(1);

/// What phase 1 found: the configuration and the image's own parts, read and checked.
#[derive(Debug)]
pub struct Prepared {
    /// The variables.
    pub config: Config,
    /// The SQL files.
    pub migrations: Migrations,
    /// The snapshot.
    pub snapshot: SnapshotFile,
    /// Directus.
    pub directus: Release,
}

impl Prepared {
    /// A schema's fingerprint, together with what else decides what Directus sees of the schema: which tables are
    /// hidden from it.
    #[must_use]
    pub fn seal(&self, fingerprint: &str) -> String {
        let hidden = self.config.excluded_tables(self.migrations.owned_tables()).join(",");
        format!("{fingerprint} {}", &hex_sha256(hidden.as_bytes())[..12])
    }
}

/// Phase 1. Needs nothing but the environment and the image.
///
/// # Errors
/// [`BootError::Config`], [`BootError::Migrations`], [`BootError::Snapshot`] or [`BootError::NoDirectus`].
pub fn prepare(env: &Env, log: &Log) -> Result<Prepared, BootError> {
    log.begin(Phase::Config);
    let config = Config::from_env(env)?;
    for warning in &config.warnings {
        log.warn(warning);
    }
    let migrations = Migrations::open(&config.paths.db_init)?;
    let snapshot = match SnapshotFile::read(&config.paths.snapshot) {
        // It is not needed.
        Err(invalid) if config.schema_mode == SchemaMode::Skip => {
            log.warn(format!("{invalid}; SCHEMA_APPLY_MODE=skip, so it is not needed"));
            SnapshotFile::unread(&config.paths.snapshot)
        }
        read => read?,
    };
    let directus = Release::read(&config.paths.directus)?;
    log.done(format!(
        "{} + {} migrations, snapshot {}, Directus {}",
        migrations.manifest().of_phase(Phase::DbInit).files,
        migrations.manifest().of_phase(Phase::PostSchema).files,
        snapshot.short_digest(),
        directus.version,
    ));
    Ok(Prepared { config, migrations, snapshot, directus })
}

/// Phase 2.
///
/// # Errors
/// [`BootError::Wait`].
pub async fn connect(prepared: &Prepared, log: &Log) -> Result<Session, BootError> {
    let config = &prepared.config;
    log.begin(Phase::Database);
    let session = database::wait(&config.database, config.timeouts.database, log).await?;
    log.done(format!("PostgreSQL {} at {}", session.server_version, config.database.target));
    Ok(session)
}

/// Phases 2 to 7.
///
/// # Errors
/// The first failure; the log's phase says where.
pub async fn boot(prepared: &Prepared, log: &Log) -> Result<(), BootError> {
    let config = &prepared.config;
    let mut session = connect(prepared, log).await?;
    let result = tokio::select! {
        result = phases(prepared, &mut session, log) => result,
        lost = database::silence(&config.database, config.timeouts.database) => Err(BootError::Lost(lost)),
    };
    explained(result, prepared, &session).await?;
    session.close().await;
    Ok(())
}

/// An error that is only the shadow of something else (a pooler, a lost connection) is replaced by that.
pub(crate) async fn explained<T>(
    result: Result<T, BootError>,
    prepared: &Prepared,
    session: &Session,
) -> Result<T, BootError> {
    let error = match result {
        Ok(done) => return Ok(done),
        Err(error) => error,
    };
    if let Some(evidence) = error.trace_of_pooler() {
        return Err(Pooled { target: prepared.config.database.target.clone(), evidence }.into());
    }
    Err(match lost_connection(&error, session).await {
        Some(lost) => BootError::Lost(lost),
        None => error,
    })
}

/// Whether an error is only the shadow of a lost connection, and if so why that was lost.
async fn lost_connection(error: &BootError, session: &Session) -> Option<Lost> {
    let ConnectionLoss { context, said, seen } = error.connection_loss()?;
    let lost = match said {
        Some(words) => Lost(words),
        None => match timeout(CAUSE, session.lost()).await {
            Ok(lost) => lost,
            Err(_) => Lost(seen?),
        },
    };
    Some(match context {
        Some(filename) => Lost(format!("in {filename}: {lost}")),
        None => lost,
    })
}

/// Phases 3 to 7.
async fn phases(prepared: &Prepared, session: &mut Session, log: &Log) -> Result<(), BootError> {
    log.begin(Phase::Lock);
    if let Some(current) = is_current(&session.client, prepared).await? {
        log.done("not needed, everything is in place");
        nothing_to_do(prepared, current, log);
        return Ok(());
    }
    session.ready().await?;
    let Config { database, timeouts, .. } = &prepared.config;
    // The lock is on a connection of its own, where no SQL file can release it.
    let other = database::refuse_pooler(session, database, timeouts.database, log).await?;
    let last = LastCatalog::default();
    let (lock, waited) = BootLock::acquire(other, timeouts.lock, log).await?;
    log.done(if waited < Duration::from_millis(100) { "free" } else { "free now" });
    // Another boot may have done it all while this one waited.
    match is_current(&session.client, prepared).await? {
        Some(current) => nothing_to_do(prepared, current, log),
        None => {
            let mut phases = std::pin::pin!(Boot { prepared, lock: &lock, last: &last, log }.locked_phases(session));
            tokio::select! {
                done = &mut phases => done?,
                // Where the whole server went down, the phase's own error names the file. Without the lock nothing is
                // committed, and dropping the phases ends Directus' process, and that its transaction.
                lost = lock.lost() => match timeout(CAUSE, &mut phases).await {
                    Ok(done) => done?,
                    Err(_) => return Err(VerifyError::Lost(lost).into()),
                },
            }
        }
    }
    lock.release().await;
    Ok(())
}

/// Phases 4 to 7 of a boot that finds everything in place.
fn nothing_to_do(prepared: &Prepared, current: Current, log: &Log) {
    let skipped = |phase: Phase| format!("0 applied, {} skipped", prepared.migrations.manifest().of_phase(phase).files);
    log.begin(Phase::DbInit);
    if let Some(acceptance) = &prepared.config.migration_accept {
        log.warn(acceptance.idle());
    }
    log.done(skipped(Phase::DbInit));
    about_timescaledb(prepared, current.timescaledb, log);
    log.begin(Phase::Bootstrap);
    about_administrators(current.administrator, log);
    log.done("nothing to do");
    log.begin(Phase::Schema);
    log.done("no changes");
    log.begin(Phase::PostSchema);
    log.done(skipped(Phase::PostSchema));
}

fn about_timescaledb(prepared: &Prepared, installed: bool, log: &Log) {
    if prepared.config.database.timescaledb_optional && !installed {
        log.warn("this server has no TimescaleDB and PGOPTIONS says that it may: positions is a plain table");
    }
}

fn about_administrators(there_is_one: bool, log: &Log) {
    if !there_is_one {
        log.warn(
            "there is no administrator: whoever opens the app first becomes it; set ADMIN_EMAIL and ADMIN_PASSWORD",
        );
    }
}

/// Directus' process, and the snapshot as it read it.
pub(crate) struct Node {
    pub(crate) bridge: Bridge,
    pub(crate) snapshot: Snapshot,
}

/// A boot that has something to do, with the boot lock held.
#[derive(Clone, Copy)]
struct Boot<'a> {
    prepared: &'a Prepared,
    lock: &'a BootLock,
    last: &'a LastCatalog,
    log: &'a Log,
}

impl Boot<'_> {
    /// Phases 4 to 7, with the lock held.
    async fn locked_phases(self, session: &mut Session) -> Result<(), BootError> {
        let Boot { prepared, log, .. } = self;
        let files = prepared.migrations.files()?;
        let standing = Standing::read(&session.client, files).await?;
        let work = standing.work(prepared, files).map_err(|refusal| refusal.told(log))?;
        // Whatever is wrong with the image's own parts is found before the first of them changes anything. And Node
        // imports Directus while the SQL runs.
        let mut node =
            if work.needs_directus() { Some(start_node(prepared, session, log, false).await?) } else { None };

        log.begin(Phase::DbInit);
        state::ensure(&session.client).await?;
        let plans = [(Phase::DbInit, &work.db_init), (Phase::PostSchema, &work.post_schema)];
        let acceptance = prepared.config.migration_accept.as_ref();
        migrations::settle(&mut session.client, &standing.ledger, &plans, acceptance, log).await?;
        self.migrate(session, Phase::DbInit, &work.db_init).await?;
        log.done(work.db_init.summary());
        about_timescaledb(prepared, inventory::has_extension(&session.client, "timescaledb").await?, log);

        self.bootstrap(session, &work.bootstrap, &standing, node.as_mut()).await?;
        let outcome = self.schema(session, &work.schema, &mut node).await?;

        self.migrate(session, Phase::PostSchema, &work.post_schema).await?;
        attic::purge(&session.client, prepared.config.attic_days, log).await?;
        if let SchemaOutcome::InSync { fingerprint } = outcome {
            self.seal(session, &fingerprint, &mut node).await?;
        }
        log.done(work.post_schema.summary());
        if let Some(node) = node {
            node.bridge.finish().await;
        }
        Ok(())
    }

    /// Bounds the work of Directus' process.
    async fn bounded<T>(self, session: &Session, work: impl Future<Output = T>) -> Result<T, BootError> {
        bounded(self.prepared, session, self.log, work).await
    }

    /// The files of phases 4 and 7.
    async fn migrate(self, session: &mut Session, phase: Phase, plan: &migrations::Plan<'_>) -> Result<(), BootError> {
        self.log.begin(phase);
        if !plan.newer.is_empty() {
            self.log.warn(format!("this image is older than the database: it lacks {}", plan.newer.join(", ")));
        }
        let Config { image, database, migration_locks, .. } = &self.prepared.config;
        let conditions = Conditions {
            phase,
            image,
            database,
            lock: self.lock,
            last: self.last,
            patience: *migration_locks,
            log: self.log,
        };
        for file in &plan.apply {
            migrations::apply(session, file, &conditions).await?;
        }
        Ok(())
    }

    /// The end of phase 7: notes what the schema now is, so that a boot that finds it so has nothing to do.
    async fn seal(self, session: &Session, verified: &str, node: &mut Option<Node>) -> Result<(), BootError> {
        let now = fingerprint(&session.client).await?;
        if now != verified {
            // The SQL after the schema touched what the snapshot describes: most of it adds what Directus does not see.
            let Node { bridge, .. } = self.running(session, node).await?;
            let plan = self.bounded(session, bridge.plan()).await?.map_err(BootError::Schema)?;
            if !plan.changes.is_empty() {
                let changes = changes::names(&plan.changes).join(", ");
                return Err(BootError::ChangedBySql(changes));
            }
        }
        let Prepared { migrations, directus, .. } = self.prepared;
        state::seal(&session.client, &directus.version, &self.prepared.seal(&now), migrations.manifest()).await?;
        Ok(())
    }

    /// Directus' process, started now if it does not run yet.
    async fn running<'n>(self, session: &Session, node: &'n mut Option<Node>) -> Result<&'n mut Node, BootError> {
        if node.is_none() {
            let phase = self.log.phase();
            *node = Some(start_node(self.prepared, session, self.log, false).await?);
            self.log.resume(phase);
        }
        Ok(node.as_mut().expect("started above"))
    }
}

/// Starts Directus' process, and has it read the snapshot. For a report its sessions are read-only, and its log goes to
/// standard error.
pub(crate) async fn start_node(
    prepared: &Prepared,
    session: &Session,
    log: &Log,
    report: bool,
) -> Result<Node, BootError> {
    let Prepared { config, migrations, snapshot: file, .. } = prepared;
    log.begin(Phase::Schema);
    let variables = config.bridge_variables(migrations.owned_tables());
    let mut bridge = Bridge::start(&config.paths.scripts, &file.path, &variables, report).map_err(BootError::Schema)?;
    let snapshot = match bounded(prepared, session, log, bridge.read_snapshot()).await? {
        Ok(snapshot) => snapshot,
        Err(BridgeError::Failed(failure)) if config.schema_mode == SchemaMode::Skip => {
            log.warn(format!("{} {failure}; SCHEMA_APPLY_MODE=skip, so it is not needed", file.path.display()));
            Snapshot::default()
        }
        Err(BridgeError::Failed(failure)) => return Err(file.invalid(failure.to_string()).into()),
        Err(error) => return Err(BootError::Schema(error)),
    };
    for warning in &snapshot.warnings {
        log.warn(warning);
    }
    match migrations.owned_tables().find(|owned| snapshot.tables.iter().any(|table| table == owned)) {
        Some(table) => {
            let reason = format!("holds the table {table}, which db-init owns (-- owns-table: {table})");
            Err(file.invalid(reason).into())
        }
        None => Ok(Node { bridge, snapshot }),
    }
}

/// Bounds the work of Directus' process by its time and by the boot's connection.
pub(crate) async fn bounded<T>(
    prepared: &Prepared,
    session: &Session,
    log: &Log,
    work: impl Future<Output = T>,
) -> Result<T, BootError> {
    let after = prepared.config.timeouts.directus;
    tokio::select! {
        done = timeout(after, work) => {
            done.map_err(|_| BootError::DirectusTimeout { phase: log.phase(), after })
        }
        lost = session.lost() => Err(BootError::Lost(lost)),
    }
}

/// Losses of a transaction that was rolled back, each with the number of rows or values that are there: `table laps (12
/// rows)`.
async fn weighed(session: &Session, losses: &[(Loss, Option<u64>)]) -> Result<Vec<String>, BootError> {
    let mut weighed = Vec::with_capacity(losses.len());
    for (loss, measured) in losses {
        weighed.push(match measured {
            Some(number) => witness::watch::with_amount(loss, Some(*number)),
            None => match measure::weigh(&mut Link::Session(&session.client), loss).await? {
                Some(amount) => format!("{loss} ({amount})"),
                None => loss.to_string(),
            },
        });
    }
    Ok(weighed)
}
