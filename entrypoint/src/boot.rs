//! The boot: the phases in order, each ending in one line of the log.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;

use crate::config::{Config, Env, SchemaMode};
use crate::contract::Phase;
use crate::database::{self, Lost, Pooled, Session, state};
use crate::directus::{
    Admin, Bridge, BridgeError, Release, Ruling, Snapshot, SnapshotFile, fingerprint, guard, inventory, rule,
};
use crate::error::{BootError, ConnectionLoss};
use crate::log::Log;
use crate::migrations::file::hex_sha256;
use crate::migrations::{self, Conditions, Migrations};
use crate::standing::{Bootstrap, Current, Schema, Standing, is_current};

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
    let snapshot = SnapshotFile::read(&config.paths.snapshot)?;
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
    database::refuse_pooler(session, database, timeouts.database, log).await?;
    let waited = database::acquire(&session.client, timeouts.lock, log).await?;
    log.done(if waited < Duration::from_millis(100) { "free" } else { "free now" });
    // Another boot may have done it all while this one waited.
    match is_current(&session.client, prepared).await? {
        Some(current) => nothing_to_do(prepared, current, log),
        None => Boot { prepared, log }.locked_phases(session).await?,
    }
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

/// A boot that has something to do.
#[derive(Clone, Copy)]
pub(crate) struct Boot<'a> {
    pub(crate) prepared: &'a Prepared,
    pub(crate) log: &'a Log,
}

impl Boot<'_> {
    /// Phases 4 to 7, with the lock held.
    async fn locked_phases(self, session: &mut Session) -> Result<(), BootError> {
        let Boot { prepared, log } = self;
        let files = prepared.migrations.files()?;
        let standing = Standing::read(&session.client, files).await?;
        let work = standing.work(prepared, files).map_err(|refusal| refusal.told(log))?;
        // Whatever is wrong with the image's own parts is found before the first of them changes anything. And Node
        // imports Directus while the SQL runs.
        let mut node = if work.needs_directus() { Some(self.start_node(session, false).await?) } else { None };

        log.begin(Phase::DbInit);
        state::ensure(&session.client).await?;
        let plans = [(Phase::DbInit, &work.db_init), (Phase::PostSchema, &work.post_schema)];
        let acceptance = prepared.config.migration_accept.as_ref();
        migrations::settle(&mut session.client, &standing.ledger, &plans, acceptance, log).await?;
        self.migrate(session, Phase::DbInit, &work.db_init).await?;
        log.done(work.db_init.summary());
        about_timescaledb(prepared, inventory::has_extension(&session.client, "timescaledb").await?, log);

        self.bootstrap(session, &work.bootstrap, &standing, node.as_mut()).await?;
        let verified = self.schema(session, &work.schema, &mut node).await?;

        self.migrate(session, Phase::PostSchema, &work.post_schema).await?;
        if let Some(verified) = verified {
            self.seal(session, &verified, &mut node).await?;
        }
        log.done(work.post_schema.summary());
        if let Some(node) = node {
            node.bridge.finish().await;
        }
        Ok(())
    }

    /// Starts Directus' process, and has it read the snapshot. For a report it may only read, and its log makes way.
    pub(crate) async fn start_node(self, session: &Session, report: bool) -> Result<Node, BootError> {
        let Prepared { config, migrations, snapshot: file, .. } = self.prepared;
        self.log.begin(Phase::Schema);
        let variables = config.bridge_variables(migrations.owned_tables());
        let mut bridge =
            Bridge::start(&config.paths.scripts, &file.path, &variables, report).map_err(BootError::Schema)?;
        let snapshot = match self.bounded(session, bridge.read_snapshot()).await? {
            Ok(snapshot) => snapshot,
            Err(BridgeError::Failed(failure)) => return Err(file.invalid(failure.to_string()).into()),
            Err(error) => return Err(BootError::Schema(error)),
        };
        match migrations.owned_tables().find(|owned| snapshot.tables.iter().any(|table| table == owned)) {
            Some(table) => {
                let reason = format!("holds the table {table}, which db-init owns (-- owns-table: {table})");
                Err(file.invalid(reason).into())
            }
            None => Ok(Node { bridge, snapshot }),
        }
    }

    /// Bounds what Node does: by its time, and by the lock, without which nothing may go on. Whoever stops waiting for
    /// Node ends it.
    pub(crate) async fn bounded<T>(self, session: &Session, work: impl Future<Output = T>) -> Result<T, BootError> {
        let after = self.prepared.config.timeouts.directus;
        tokio::select! {
            done = timeout(after, work) => {
                done.map_err(|_| BootError::DirectusTimeout { phase: self.log.phase(), after })
            }
            lost = session.lost() => Err(BootError::Lost(lost)),
        }
    }

    /// The files of phases 4 and 7.
    async fn migrate(self, session: &mut Session, phase: Phase, plan: &migrations::Plan<'_>) -> Result<(), BootError> {
        self.log.begin(phase);
        if !plan.newer.is_empty() {
            self.log.warn(format!("this image is older than the database: it lacks {}", plan.newer.join(", ")));
        }
        let Config { image, database, migration_locks, .. } = &self.prepared.config;
        let conditions = Conditions { phase, image, database, patience: *migration_locks, log: self.log };
        for file in &plan.apply {
            migrations::apply(session, file, &conditions).await?;
        }
        Ok(())
    }

    /// Phase 5.
    async fn bootstrap(
        self,
        session: &Session,
        work: &Bootstrap,
        standing: &Standing,
        node: Option<&mut Node>,
    ) -> Result<(), BootError> {
        let Boot { prepared, log } = self;
        log.begin(Phase::Bootstrap);
        let Some(Node { bridge, .. }) = node.filter(|_| !work.is_empty()) else {
            about_administrators(standing.administrator == Some(true), log);
            log.done("nothing to do");
            return Ok(());
        };
        let client = &session.client;
        let email = prepared.config.admin_email.as_deref();
        let done = self.bounded(session, bridge.bootstrap(email.is_some())).await?.map_err(BootError::Bootstrap)?;
        let missing = prepared.directus.pending(&inventory::applied_migrations(client).await?);
        if !missing.is_empty() {
            return Err(BootError::BootstrapIncomplete(format!("its migrations {} are not in", missing.join(", "))));
        }
        let admin = match (done.admin, email) {
            (Admin::Made, email) => format!(", administrator {} made", email.unwrap_or_default()),
            (Admin::Present, _) => String::new(),
            (Admin::None, Some(email)) => {
                return Err(BootError::BootstrapIncomplete(format!("there is no administrator {email}")));
            }
            (Admin::None, None) => {
                about_administrators(false, log);
                String::new()
            }
        };
        log.done(match (done.installed, done.migrated) {
            (true, migrated) => format!("installed, {migrated} of Directus' migrations applied{admin}"),
            (false, 0) => format!("nothing to do{admin}"),
            (false, migrated) => format!("{migrated} of Directus' migrations applied{admin}"),
        });
        Ok(())
    }

    /// Phase 6. The fingerprint of the schema, where it was seen to be what the snapshot says.
    async fn schema(
        self,
        session: &Session,
        work: &Schema,
        node: &mut Option<Node>,
    ) -> Result<Option<String>, BootError> {
        let Boot { prepared, log } = self;
        log.begin(Phase::Schema);
        match work {
            Schema::Skip => {
                log.warn("SCHEMA_APPLY_MODE=skip: nobody looks whether the database is what the snapshot says");
                log.done("skipped");
                Ok(None)
            }
            Schema::Older(newest) => {
                log.warn(format!(
                    "this image is older than the database, which {} brought to snapshot {} on {} UTC",
                    newest.image,
                    newest.short_digest(),
                    newest.applied_at,
                ));
                log.done("older image, nothing applied");
                Ok(None)
            }
            // What db-init has just done may have touched the schema.
            Schema::InPlace { seal } => {
                let now = fingerprint(&session.client).await?;
                if prepared.seal(&now) == *seal {
                    log.done("no changes");
                    Ok(Some(now))
                } else {
                    self.compare_and_apply(session, node).await
                }
            }
            Schema::Compare => self.compare_and_apply(session, node).await,
        }
    }

    async fn compare_and_apply(self, session: &Session, node: &mut Option<Node>) -> Result<Option<String>, BootError> {
        let Boot { prepared: Prepared { config, snapshot: file, .. }, log } = self;
        let Node { bridge, snapshot } = self.running(session, node).await?;
        let plan = self.bounded(session, bridge.plan()).await?.map_err(BootError::Schema)?;
        if plan.directus != snapshot.directus {
            log.warn(format!(
                "the snapshot was saved by Directus {}, this is {}: save it again",
                snapshot.directus, plan.directus
            ));
        }
        let ruling = rule(&plan.changes, config.allow_destructive.as_deref());
        if config.schema_mode == SchemaMode::Plan && ruling != Ruling::Empty {
            for sentence in guard::sentences(&plan.changes) {
                log.note(sentence);
            }
            log.warn("SCHEMA_APPLY_MODE=plan: nothing of it was applied, the database is not what the snapshot says");
            log.done(format!("not applied: {}", guard::summary(&plan.changes)));
            return Ok(None);
        }
        match &ruling {
            Ruling::Refused { losses, digest } => {
                let losses = inventory::weigh(&session.client, losses).await?;
                return Err(BootError::Refused { losses, digest: digest.clone() });
            }
            Ruling::Allowed(losses) => {
                let losses = inventory::weigh(&session.client, losses).await?;
                log.warn(format!("allowed by SCHEMA_ALLOW_DESTRUCTIVE: {}", losses.join("; ")));
            }
            Ruling::Harmless | Ruling::Empty => {}
        }
        if ruling != Ruling::Empty {
            self.bounded(session, bridge.apply()).await?.map_err(BootError::Schema)?;
            // Re-applying is not always convergent (directus 20439, 24192), and its exit code proves nothing.
            let rest = self.bounded(session, bridge.plan()).await?.map_err(BootError::Schema)?;
            if !rest.changes.is_empty() {
                let rest = guard::names(&rest.changes).join(", ");
                return Err(BootError::Diverged(format!("a new plan still has {rest}")));
            }
        }
        let missing = inventory::missing_from(&session.client, snapshot).await?;
        if !missing.is_empty() {
            return Err(BootError::Diverged(format!("the database has no {}", missing.join(", no "))));
        }
        state::record_snapshot(&session.client, &file.digest, &plan.directus, &config.image).await?;
        let verified = fingerprint(&session.client).await?;
        log.done(match ruling {
            Ruling::Empty => "no changes".to_owned(),
            _ => format!("applied {}", guard::summary(&plan.changes)),
        });
        Ok(Some(verified))
    }

    /// The end of phase 7: notes what the schema now is, so that a boot that finds it so has nothing to do.
    async fn seal(self, session: &Session, verified: &str, node: &mut Option<Node>) -> Result<(), BootError> {
        let now = fingerprint(&session.client).await?;
        if now != verified {
            // The SQL after the schema touched what the snapshot describes: most of it adds what Directus does not see.
            let Node { bridge, .. } = self.running(session, node).await?;
            let plan = self.bounded(session, bridge.plan()).await?.map_err(BootError::Schema)?;
            if !plan.changes.is_empty() {
                let changes = guard::names(&plan.changes).join(", ");
                return Err(BootError::Diverged(format!("the SQL after the schema changed {changes}")));
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
            *node = Some(self.start_node(session, false).await?);
            self.log.resume(phase);
        }
        Ok(node.as_mut().expect("started above"))
    }
}
