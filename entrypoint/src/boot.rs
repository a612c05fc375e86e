//! The boot: the phases in order, each ending in one line of the log.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::config::{Config, Env};
use crate::contract::Phase;
use crate::database::{self, Lost, Session, state};
use crate::directus::{Bridge, BridgeError, InvalidSnapshot, Ruling, Snapshot, SnapshotFile, guard, inventory, rule};
use crate::error::{BootError, ConnectionLoss};
use crate::log::Log;
use crate::migrations::{self, Conditions, Ledger, MigrationSet};

/// How long a failure waits for the news that the connection is gone, which would be its cause.
const CAUSE: Duration = Duration::from_secs(1);

/// What phase 1 found: the configuration and the image's own parts, read and checked.
#[derive(Debug)]
pub struct Prepared {
    /// The variables.
    pub config: Config,
    /// The SQL files.
    pub migrations: MigrationSet,
    /// The snapshot.
    pub snapshot: SnapshotFile,
}

/// Phase 1. Needs nothing but the environment and the image.
///
/// # Errors
/// [`BootError::Config`], [`BootError::Migrations`] or [`BootError::Snapshot`].
pub fn prepare(env: &Env, log: &Log) -> Result<Prepared, BootError> {
    log.begin(Phase::Config);
    let config = Config::from_env(env)?;
    let migrations = MigrationSet::read(&config.paths.db_init)?;
    let snapshot = SnapshotFile::read(&config.paths.snapshot)?;
    log.done(format!(
        "{} + {} migrations, snapshot {}",
        migrations.db_init.len(),
        migrations.post_schema.len(),
        snapshot.short_digest(),
    ));
    Ok(Prepared { config, migrations, snapshot })
}

/// Phases 2 to 7.
///
/// # Errors
/// The first failure; the log's phase says where.
pub async fn boot(prepared: &Prepared, log: &Log) -> Result<(), BootError> {
    let config = &prepared.config;
    log.begin(Phase::Database);
    let mut session = database::wait(&config.database, config.timeouts.database, log).await?;
    log.done(format!("PostgreSQL {} at {}", session.server_version, config.database.target));

    let result = tokio::select! {
        result = locked_phases(prepared, &mut session, log) => result,
        lost = database::silence(&config.database, config.timeouts.database) => Err(BootError::Lost(lost)),
    };
    if let Err(error) = &result
        && let Some(lost) = lost_connection(error, &session).await
    {
        return Err(BootError::Lost(lost));
    }
    session.close().await;
    result
}

/// Whether an error is only the shadow of a lost connection, and if so why that was lost.
async fn lost_connection(error: &BootError, session: &Session) -> Option<Lost> {
    let ConnectionLoss { context, said } = error.connection_loss()?;
    let lost = match said {
        Some(words) => Lost(words),
        None => timeout(CAUSE, session.lost()).await.ok()?,
    };
    Some(match context {
        Some(filename) => Lost(format!("in {filename}: {lost}")),
        None => lost,
    })
}

/// Phases 3 to 7: all that happens under the lock.
async fn locked_phases(prepared: &Prepared, session: &mut Session, log: &Log) -> Result<(), BootError> {
    let Prepared { config, migrations, .. } = prepared;
    log.begin(Phase::Lock);
    let waited = database::acquire(&session.client, config.timeouts.lock, log).await?;
    log.done(if waited < Duration::from_millis(100) { "free".to_owned() } else { "free now".to_owned() });

    // Whatever is wrong with the image's own parts is found before the first of them changes anything.
    log.begin(Phase::Schema);
    let (mut bridge, snapshot) = start_bridge(prepared).await?;
    log.begin(Phase::DbInit);
    state::ensure(&session.client).await?;
    let ledger = Ledger::read(&session.client, migrations).await?;
    let db_init = plan(prepared, &ledger, Phase::DbInit, log)?;
    // Nobody else writes the ledger while the lock is held: what is planned here still holds in phase 7.
    let post_schema = plan(prepared, &ledger, Phase::PostSchema, log)?;
    log.begin(Phase::DbInit);
    let plans = [(Phase::DbInit, &db_init), (Phase::PostSchema, &post_schema)];
    migrations::settle(&mut session.client, &ledger, &plans, config.migration_accept.as_ref(), log).await?;

    migrate(prepared, session, Phase::DbInit, &db_init, log).await?;
    if config.database.timescaledb_optional && !inventory::has_extension(&session.client, "timescaledb").await? {
        log.warn("this server has no TimescaleDB and PGOPTIONS says that it may: positions is a plain table");
    }

    // Directus' migrations run outside transactions: one that was cut in half fails for ever. In a database that was
    // empty before, the way out is to begin again.
    log.begin(Phase::Bootstrap);
    if state::installation_was_cut_off(&session.client).await? {
        let tables = state::undo_installation(&mut session.client).await?;
        log.warn(format!("an earlier installation was cut off: its {tables} system tables are made anew"));
    }

    // While Node works, the lock connection is watched: without the lock nothing may go on.
    let timed_out = async {
        sleep(config.timeouts.directus).await;
        BootError::DirectusTimeout { phase: log.phase(), after: config.timeouts.directus }
    };
    let directus_phases = async {
        log.begin(Phase::Bootstrap);
        bootstrap(prepared, session, &mut bridge, log).await?;
        log.begin(Phase::Schema);
        apply_schema(prepared, &snapshot, session, &mut bridge, log).await
    };
    tokio::select! {
        result = directus_phases => result?,
        lost = session.lost() => return Err(BootError::Lost(lost)),
        error = timed_out => return Err(error),
    }
    bridge.finish().await;

    migrate(prepared, session, Phase::PostSchema, &post_schema, log).await
}

/// Starts the Node process, which imports Directus while the SQL runs, and has it read the snapshot.
async fn start_bridge(prepared: &Prepared) -> Result<(Bridge, Snapshot), BootError> {
    let Prepared { config, migrations, snapshot } = prepared;
    let variables = config.directus_variables(migrations.owned_tables());
    let mut bridge = Bridge::start(&config.paths.scripts, &snapshot.path, &variables).map_err(BootError::Schema)?;
    match bridge.read_snapshot().await {
        Ok(snapshot) => Ok((bridge, snapshot)),
        Err(BridgeError::Failed(failure)) => {
            let path = snapshot.path.display().to_string();
            Err(InvalidSnapshot { path, reason: failure.to_string() }.into())
        }
        Err(error) => Err(BootError::Schema(error)),
    }
}

/// What a phase's files will do to this database; a contradiction is that phase's failure.
fn plan<'a>(
    prepared: &'a Prepared,
    ledger: &Ledger,
    phase: Phase,
    log: &Log,
) -> Result<migrations::Plan<'a>, BootError> {
    log.begin(phase);
    let files = prepared.migrations.of(phase);
    Ok(migrations::plan(files, ledger.of(phase), prepared.config.migration_accept.as_ref())?)
}

/// Phases 4 and 7.
async fn migrate(
    prepared: &Prepared,
    session: &mut Session,
    phase: Phase,
    plan: &migrations::Plan<'_>,
    log: &Log,
) -> Result<(), BootError> {
    log.begin(phase);
    if !plan.newer.is_empty() {
        log.warn(format!("this image is older than the database: it lacks {}", plan.newer.join(", ")));
    }
    let Config { image, database, migration_locks, .. } = &prepared.config;
    let conditions = Conditions { phase, image, database, patience: *migration_locks, log };
    for file in &plan.apply {
        migrations::apply(session, file, &conditions).await?;
    }
    log.done(format!("{} applied, {} skipped", plan.apply.len(), plan.skipped + plan.accepted.len()));
    Ok(())
}

/// Phase 5.
async fn bootstrap(prepared: &Prepared, session: &Session, bridge: &mut Bridge, log: &Log) -> Result<(), BootError> {
    let client = &session.client;
    if !inventory::is_installed(client).await? {
        state::begin_installation(client, &prepared.config.image).await?;
    }
    let done = bridge.bootstrap().await.map_err(BootError::Bootstrap)?;
    let missing = inventory::missing_migrations(client, &done.versions).await?;
    if !missing.is_empty() {
        return Err(BootError::BootstrapIncomplete(format!("its migrations {} are not in", missing.join(", "))));
    }
    let admin = match (&prepared.config.admin_email, inventory::administrators(client).await?) {
        (_, 1..) => String::new(),
        (None, _) => {
            log.warn(
                "there is no administrator: whoever opens the app first becomes it; set ADMIN_EMAIL and ADMIN_PASSWORD",
            );
            String::new()
        }
        (Some(email), _) => {
            bridge.create_admin().await.map_err(BootError::Bootstrap)?;
            if inventory::administrators(client).await? == 0 {
                return Err(BootError::BootstrapIncomplete(format!("there is no administrator {email}")));
            }
            format!(", administrator {email} made")
        }
    };
    state::finish_installation(client).await?;
    log.done(match (done.installed, done.migrated) {
        (true, migrated) => format!("installed, {migrated} of Directus' migrations applied{admin}"),
        (false, 0) => format!("nothing to do{admin}"),
        (false, migrated) => format!("{migrated} of Directus' migrations applied{admin}"),
    });
    Ok(())
}

/// Phase 6.
async fn apply_schema(
    prepared: &Prepared,
    snapshot: &Snapshot,
    session: &Session,
    bridge: &mut Bridge,
    log: &Log,
) -> Result<(), BootError> {
    let Prepared { config, snapshot: file, .. } = prepared;
    let plan = bridge.plan().await.map_err(BootError::Schema)?;
    if plan.directus != snapshot.directus {
        log.warn(format!(
            "the snapshot was saved by Directus {}, this is {}: save it again",
            snapshot.directus, plan.directus
        ));
    }
    let ruling = rule(&plan.changes, config.allow_destructive.as_deref());
    if let Ruling::Refused { destructive, digest } = ruling {
        return Err(BootError::Refused { destructive, digest });
    }
    if let Ruling::Allowed(destructive) = &ruling {
        log.warn(format!("allowed by SCHEMA_ALLOW_DESTRUCTIVE: {}", destructive.join("; ")));
    }
    if ruling != Ruling::Empty {
        bridge.apply().await.map_err(BootError::Schema)?;
        // Re-applying is not always convergent (directus 20439, 24192), and its exit code proves nothing.
        let rest = bridge.plan().await.map_err(BootError::Schema)?;
        if !rest.changes.is_empty() {
            return Err(BootError::Diverged(format!(
                "a new plan still has {}",
                guard::names(&rest.changes).join(", ")
            )));
        }
    }
    let missing = inventory::missing_from(&session.client, snapshot).await?;
    if !missing.is_empty() {
        return Err(BootError::Diverged(format!("the database has no {}", missing.join(", no "))));
    }
    if state::last_snapshot(&session.client).await?.as_deref() != Some(file.digest.as_str()) {
        state::record_snapshot(&session.client, &file.digest, &plan.directus, &config.image).await?;
    }
    log.done(match ruling {
        Ruling::Empty => "no changes".to_owned(),
        _ => format!("applied {}", guard::summary(&plan.changes)),
    });
    Ok(())
}
