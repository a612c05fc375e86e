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
mod schema;

use std::time::Duration;

use tokio::time::timeout;

use self::bootstrap::warn_without_administrator;
use self::database::CAUSE_TIMEOUT;
use self::locked::Boot;
use self::node::Node;
use crate::config::Config;
use crate::database::{self as postgres, BootLock, Session, VerifyError};
use crate::error::BootError;
use crate::log::Log;
use crate::migrations::extension;
use crate::reconcile::{Current, Standing, is_current};
use crate::witness::LastCatalog;
use contract::Phase;

pub use self::config::{Prepared, prepare};
pub use self::database::connect;
pub(crate) use self::database::explained;
pub(crate) use self::node::{bounded, start_node};
pub use self::schema::SchemaOutcome;
pub(crate) use self::schema::weighed_words;

/// Phases 2 to 7.
///
/// # Errors
/// The first failure; the log is then in the phase that failed.
pub async fn boot(prepared: &Prepared, log: &Log) -> Result<(), BootError> {
    let config = &prepared.config;
    let mut session = connect(prepared, log).await?;
    let result = tokio::select! {
        result = phases(prepared, &mut session, log) => result,
        lost = postgres::silence(&config.database, config.timeouts.database) => Err(BootError::Lost(lost)),
    };
    explained(result, prepared, &session).await?;
    session.close().await;
    Ok(())
}

/// Phases 3 to 7.
async fn phases(prepared: &Prepared, session: &mut Session, log: &Log) -> Result<(), BootError> {
    log.begin(Phase::Lock);
    if let Some(current) = is_current(&session.client, prepared).await? {
        log.done("not needed, everything is in place");
        nothing_to_do(prepared, current, log);
        return Ok(());
    }
    let Config { database, timeouts, .. } = &prepared.config;
    postgres::wait_until_writable(session, database, timeouts.database, log).await?;
    session.ready().await?;
    // The lock is held by a separate connection, where no SQL file can release it.
    let other = postgres::refuse_pooler(session, database, timeouts.database, log).await?;
    let last = LastCatalog::default();
    let (lock, waited) = BootLock::acquire(other, timeouts.lock, log).await?;
    log.done(if waited < Duration::from_millis(100) { "free" } else { "free now" });
    // Another boot may have finished the work while this one waited.
    match is_current(&session.client, prepared).await? {
        Some(current) => nothing_to_do(prepared, current, log),
        None => {
            let mut phases = std::pin::pin!(Boot { prepared, lock: &lock, last: &last, log }.locked_phases(session));
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
fn nothing_to_do(prepared: &Prepared, current: Current, log: &Log) {
    log.begin(Phase::DbInit);
    if let Some(acceptance) = &prepared.config.migration_accept {
        log.warn(acceptance.not_needed());
    }
    log.done(skipped(prepared, Phase::DbInit));
    extension::warn(prepared.migrations.manifest().required_extensions(), &current.missing_extensions, log);
    log.begin(Phase::Bootstrap);
    warn_without_administrator(current.administrator, log);
    log.done("nothing to do");
    log.begin(Phase::Schema);
    log.done("no changes");
    log.begin(Phase::PostSchema);
    log.done(skipped(prepared, Phase::PostSchema));
}

fn skipped(prepared: &Prepared, phase: Phase) -> String {
    format!("0 applied, {} skipped", prepared.migrations.manifest().of_phase(phase).files)
}

impl Boot<'_> {
    /// Phases 4 to 7, with the lock held.
    async fn locked_phases(self, session: &mut Session) -> Result<(), BootError> {
        let Boot { prepared, log, .. } = self;
        let files = prepared.migrations.files()?;
        let standing = Standing::read(&session.client, files).await?;
        let work = standing.work(prepared, files).map_err(|refusal| refusal.told(log))?;
        // Starting Node now finds an invalid snapshot before anything is changed, and Node imports Directus while the
        // SQL runs.
        let mut node: Option<Node> =
            if work.needs_directus() { Some(start_node(prepared, session, log, false).await?) } else { None };

        self.db_init(session, &standing, &work).await?;
        self.bootstrap(session, &work.bootstrap, &standing, node.as_mut()).await?;
        let outcome = self.schema(session, &work.schema, &mut node).await?;
        self.post_schema(session, &work.post_schema, outcome, &mut node).await?;
        if let Some(node) = node {
            node.bridge.finish().await;
        }
        Ok(())
    }
}
