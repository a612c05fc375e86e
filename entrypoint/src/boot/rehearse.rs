//! `plan --rehearse`: a boot in one transaction that is always rolled back. It reports the actual losses and locks of a
//! boot, but holds these locks itself: for copies of a database and quiet hours.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::time::timeout;

use super::config::DesiredState;
use super::node::{bounded, start_node};
use super::schema::{apply_until_empty, current_schema};
use crate::database::{self, BootLock, Session};
use crate::directus::{Bridge, Snapshot, installation};
use crate::error::BootError;
use crate::log::Log;
use crate::migrations::{self, MigrationFile};
use crate::reconcile::{Expectation, changes};
use crate::reconcile::{ObservedState, Schema};
use crate::witness::{Announced, DirectusMigrations, LastCatalog, Link, Loss, Outcome, Witness};

/// The result of a rehearsal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsal {
    /// Changes by Directus in phase 6, one line each.
    pub changes: Vec<String>,
    /// Announced losses that happened.
    pub losses: Vec<String>,
    /// Unannounced losses: a boot would end with exit code 43.
    pub unannounced: Vec<String>,
    /// Changes that remain in a second plan, and missing parts of the snapshot: a boot would end with exit code 44.
    pub diverged: Vec<String>,
    /// Locks that block writers or readers: `laps: AccessExclusiveLock`.
    pub locks: Vec<String>,
    /// Files that are not rehearsed, because they run without a transaction.
    pub skipped: Vec<String>,
    /// Duration of the transaction in milliseconds, and so the longest time that its locks would be held.
    pub milliseconds: u64,
}

impl Rehearsal {
    fn note(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::PartialProgress { announced, .. } => self.losses.extend(announced.iter().map(Loss::to_string)),
            Outcome::Suspected(losses) => {
                self.unannounced.extend(losses.iter().map(|loss| format!("{loss} (suspected, not counted)")));
            }
            Outcome::Lost { losses, .. } => self.unannounced.extend(losses.iter().map(|(loss, _)| loss.to_string())),
        }
    }
}

impl fmt::Display for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("changes", &self.changes),
            ("announced losses", &self.losses),
            ("unannounced losses", &self.unannounced),
            ("differences from the snapshot", &self.diverged),
            ("locks", &self.locks),
            ("not rehearsed", &self.skipped),
        ];
        for (name, lines) in parts {
            writeln!(f, "{name}: {}", lines.len())?;
            for line in lines {
                writeln!(f, "  {line}")?;
            }
        }
        write!(f, "rolled back after {} ms; nothing was changed", self.milliseconds)
    }
}

/// `lock_timeout` of a rehearsal; readers queue behind a waiting lock for as long.
const LOCK_TIMEOUT: &str = "1s";

/// Rehearses the boot and rolls it back, within `limit`.
///
/// # Errors
/// Those of a boot, and [`BootError::RehearsalTimeout`].
pub async fn rehearse(
    desired: &DesiredState,
    session: &Session,
    limit: Duration,
    log: &Log,
) -> Result<Rehearsal, BootError> {
    let config = &desired.config;
    session.ready(&config.database).await?;
    let other = database::require_direct_connection(session, &config.database, config.timeouts.database, log).await?;
    let lock = BootLock::acquire(other, config.timeouts.lock, log).await?;
    let files = desired.migrations.files()?;
    let observed = ObservedState::read(&session.client, &desired.migrations, files).await?;
    let boot_plan = observed.plan(desired, files).map_err(|refusal| refusal.into_error(log))?;
    let mut node = start_node(desired, session, log, false).await?;
    let began = Instant::now();
    // At the time limit, dropping the process ends its connection, and thereby its transaction.
    let boot_plan = async {
        let bridge = &mut node.bridge;
        bridge.begin().await.map_err(BootError::Schema)?;
        Link::Directus(bridge).rows(&format!("set local lock_timeout = '{LOCK_TIMEOUT}'")).await?;
        let mut rehearsal = Rehearsal::default();
        rehearse_files(bridge, &boot_plan.db_init.apply, &mut rehearsal).await?;
        if !boot_plan.bootstrap.is_empty() {
            let fresh = LastCatalog::default();
            let witness = Witness::begin(&mut Link::Directus(bridge), &fresh, &[]).await?;
            bridge.bootstrap(config.admin_email.is_some()).await.map_err(BootError::Bootstrap)?;
            rehearsal.note(witness.end(&mut Link::Directus(bridge), &DirectusMigrations).await?);
        }
        if !matches!(boot_plan.schema, Schema::Skip | Schema::Older(_)) {
            rehearse_schema(bridge, &node.snapshot, &mut rehearsal).await?;
        }
        rehearse_files(bridge, &boot_plan.post_schema.apply, &mut rehearsal).await?;
        rehearsal.locks = locks(bridge).await?;
        bridge.rollback().await.map_err(BootError::Schema)?;
        Ok::<_, BootError>(rehearsal)
    };
    let done = timeout(limit, bounded(desired, session, log, boot_plan)).await;
    let mut rehearsal = done.map_err(|_| BootError::RehearsalTimeout { after: limit })???;
    rehearsal.milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    node.bridge.finish().await;
    lock.release().await;
    Ok(rehearsal)
}

async fn rehearse_files(
    bridge: &mut Bridge,
    files: &[&MigrationFile],
    rehearsal: &mut Rehearsal,
) -> Result<(), BootError> {
    let mut link = Link::Directus(bridge);
    for file in files {
        if file.directives.no_transaction {
            rehearsal.skipped.push(file.filename.clone());
            continue;
        }
        let fresh = LastCatalog::default();
        let witness = Witness::begin(&mut link, &fresh, &[]).await?;
        let path = link.rows("select current_setting('search_path')").await?;
        link.rows(&migrations::apply::as_statements(file)).await?;
        // Directus' session continues with the same settings as before.
        let path = path.into_iter().flatten().flatten().next().unwrap_or_default();
        let reset = format!("reset role; select set_config('search_path',{}, true)", crate::quote::literal(&path));
        link.rows(&reset).await?;
        rehearsal.note(end(&witness, &mut link, file.directives.destroys.as_slice()).await?);
    }
    Ok(())
}

async fn end(
    witness: &Witness<'_>,
    link: &mut Link<'_>,
    announced: &(impl Announced + ?Sized),
) -> Result<Outcome, BootError> {
    Ok(witness.end(link, announced).await?)
}

async fn rehearse_schema(bridge: &mut Bridge, snapshot: &Snapshot, rehearsal: &mut Rehearsal) -> Result<(), BootError> {
    let fresh = LastCatalog::default();
    let witness = Witness::begin(&mut Link::Directus(bridge), &fresh, &[]).await?;
    let plan = bridge.plan().await.map_err(BootError::Schema)?;
    let schema = current_schema(bridge).await?;
    if plan.changes.is_empty() {
        return Ok(());
    }
    rehearsal.changes = changes::sentences(&plan.changes);
    let rounds = apply_until_empty(bridge, &plan.changes).await.map_err(BootError::Schema)?;
    rehearsal.diverged = changes::names(&rounds.rest);
    let mut link = Link::Directus(bridge);
    rehearsal.diverged.extend(installation::missing_from(&mut link, snapshot).await?);
    let all: Vec<_> = plan.changes.iter().chain(&rounds.later).cloned().collect();
    let expectation = Expectation::new(&all, witness.before(), &schema);
    rehearsal.note(end(&witness, &mut link, &expectation).await?);
    Ok(())
}

/// The locks of the open transaction that other sessions may have to wait for.
async fn locks(bridge: &mut Bridge) -> Result<Vec<String>, BootError> {
    let rows = Link::Directus(bridge)
        .rows(
            "select distinct l.relation::regclass::text, l.mode from pg_catalog.pg_locks l
             join pg_catalog.pg_class c on c.oid = l.relation
             where l.pid = pg_backend_pid() and c.relkind in ('r', 'p') and c.relnamespace <> 'pg_catalog'::regnamespace
               and l.mode not in ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')
             order by 1, 2",
        )
        .await?;
    Ok(rows.into_iter().map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(": ")).collect())
}
