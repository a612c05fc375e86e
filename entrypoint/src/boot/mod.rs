//! The boot: the phases in order. Each one ends with one line in the log.

mod bootstrap;
mod config;
mod database;
mod db_init;
pub mod exec;
mod locked;
mod node;
mod post_schema;
pub mod rehearse;
mod roles;
mod schema;

use std::time::Duration;

use tokio::time::timeout;

use self::bootstrap::warn_without_administrator;
use self::database::{CAUSE_TIMEOUT, require_redis};
use self::locked::Boot;
use self::node::Node;
use self::roles::{RoleCheck, warn_about_excess};
use crate::config::Config;
use crate::database::{self as postgres, BootLock, Session, VerifyError};
use crate::error::BootError;
use crate::log::Log;
use crate::migrations::extension;
use crate::reconcile::{ObservedState, UpToDate, is_up_to_date};
use crate::witness::LastCatalog;
use contract::Phase;

pub use self::config::{DesiredState, read_desired_state};
pub use self::database::connect;
pub(crate) use self::database::with_root_cause;
pub(crate) use self::node::{bounded, start_node};
pub use self::schema::SchemaOutcome;
pub(crate) use self::schema::with_affected_rows;

/// Phases 2 to 7.
///
/// # Errors
/// The first failure; the log is then in the phase that failed.
pub async fn boot(desired: &DesiredState, log: &Log) -> Result<(), BootError> {
    let config = &desired.config;
    let mut session = connect(desired, log).await?;
    require_redis(desired, log).await?;
    let result = tokio::select! {
        result = phases(desired, &mut session, log) => result,
        lost = postgres::watchdog(&config.database, config.timeouts.database) => Err(BootError::Lost(lost)),
    };
    with_root_cause(result, desired, &session).await?;
    session.close().await;
    Ok(())
}

/// Phases 3 to 7.
async fn phases(desired: &DesiredState, session: &mut Session, log: &Log) -> Result<(), BootError> {
    log.begin(Phase::Lock);
    if let Some(current) = is_up_to_date(&session.client, desired).await? {
        log.done("not needed, everything is in place");
        nothing_to_do(desired, current, log);
        return Ok(());
    }
    let Config { database, timeouts, .. } = &desired.config;
    postgres::wait_until_writable(session, database, timeouts.database, log).await?;
    session.ready(database).await?;
    // The lock is held by a separate connection, where no SQL file can release it.
    let other = postgres::require_direct_connection(session, database, timeouts.database, log).await?;
    let last = LastCatalog::default();
    let (lock, waited) = BootLock::acquire(other, timeouts.lock, log).await?;
    log.done(if waited < Duration::from_millis(100) { "free" } else { "free now" });
    // Another boot may have finished the work while this one waited.
    match is_up_to_date(&session.client, desired).await? {
        Some(current) => nothing_to_do(desired, current, log),
        None => {
            let mut phases = std::pin::pin!(Boot { desired, lock: &lock, last: &last, log }.locked_phases(session));
            tokio::select! {
                done = &mut phases => done?,
                // If the whole server went down, prefer the phase's own error, which names the file. Without the lock,
                // nothing is committed. Dropping the phases ends Directus' process, and thereby its transaction.
                lost = lock.lost() => match timeout(CAUSE_TIMEOUT, &mut phases).await {
                    Ok(done) => done?,
                    Err(_) => return Err(VerifyError::Lost(lost).into()),
                },
            }
        }
    }
    lock.release().await;
    Ok(())
}

/// Phases 4 to 7 of a boot without work, for the log.
fn nothing_to_do(desired: &DesiredState, current: UpToDate, log: &Log) {
    log.begin(Phase::DbInit);
    if let Some(acceptance) = &desired.config.migration_accept {
        log.warn(acceptance.not_needed());
    }
    log.done(skipped(desired, Phase::DbInit));
    extension::warn(desired.migrations.manifest().required_extensions(), &current.missing_extensions, log);
    for drift in &current.drift {
        log.warn(drift.to_string());
    }
    log.begin(Phase::Bootstrap);
    warn_without_administrator(current.administrator, log);
    log.done("nothing to do");
    log.begin(Phase::Schema);
    log.done("no changes");
    log.begin(Phase::PostSchema);
    if let Some(server) = &desired.config.database.server_role {
        warn_about_excess(server, &current.roles, log);
    }
    log.done(skipped(desired, Phase::PostSchema));
}

fn skipped(desired: &DesiredState, phase: Phase) -> String {
    format!("0 applied, {} skipped", desired.migrations.manifest().of_phase(phase).files)
}

impl Boot<'_> {
    /// Phases 4 to 7, with the lock held.
    async fn locked_phases(self, session: &mut Session) -> Result<(), BootError> {
        let Boot { desired, log, .. } = self;
        let files = desired.migrations.files()?;
        let observed = ObservedState::read(&session.client, &desired.migrations, files).await?;
        let boot_plan = observed.plan(desired, files).map_err(|refusal| refusal.into_error(log))?;
        let is_installed = observed.directus.is_some();
        self.check_server_role(session, RoleCheck::Before { is_installed }).await?;
        // Starting Node now finds an invalid snapshot before anything is changed, and Node imports Directus while the
        // SQL runs.
        let mut node: Option<Node> =
            if boot_plan.needs_directus() { Some(start_node(desired, session, log, false).await?) } else { None };

        self.db_init(session, &observed, &boot_plan).await?;
        self.bootstrap(session, &boot_plan.bootstrap, &observed, node.as_mut()).await?;
        let outcome = self.schema(session, &boot_plan.schema, &mut node).await?;
        self.post_schema(session, &boot_plan, &observed, outcome, &mut node).await?;
        if let Some(node) = node {
            node.bridge.finish().await;
        }
        Ok(())
    }
}
