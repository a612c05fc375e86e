//! The boot: the phases in order. Each one ends with one line in the log.

mod bootstrap;
mod config;
mod database;
mod db_init;
pub mod exec;
mod locked;
mod node;
mod nothing;
mod post_schema;
pub mod rehearse;
mod roles;
mod schema;
mod turn;

use tokio::time::timeout;

use self::database::{CAUSE_TIMEOUT, require_redis};
use self::locked::Boot;
use self::node::Node;
use self::roles::RoleCheck;
use self::turn::{take_turn, watched};
use crate::database::{self as postgres, BootLock, Session, VerifyError};
use crate::error::BootError;
use crate::log::Log;
use crate::metrics::Awaited;
use crate::reconcile::{ObservedState, Waiting};
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
pub async fn boot(desired: &DesiredState, log: &Log) -> Result<Waiting, BootError> {
    let session = connect(desired, log).await?;
    require_redis(desired, log).await?;
    log.begin(Phase::Lock);
    let mut waiting = Waiting::default();
    let wait = log.tally().wait_for(Awaited::Lock);
    let Some((mut session, lock)) = take_turn(desired, session, log).await? else { return Ok(waiting) };
    drop(wait);
    let work = async {
        waiting = locked(desired, &mut session, &lock, log).await?;
        Ok(())
    };
    let result = watched(desired, Box::pin(work)).await;
    with_root_cause(result, desired, &session).await?;
    lock.release().await;
    session.close().await;
    Ok(waiting)
}

/// Phases 4 to 7, until the lock is lost.
async fn locked(
    desired: &DesiredState,
    session: &mut Session,
    lock: &BootLock,
    log: &Log,
) -> Result<Waiting, BootError> {
    let last = LastCatalog::default();
    let mut servers = postgres::servers(&session.client).await?;
    servers.retain(|servers| servers.id != desired.id());
    let work = {
        let boot = Boot { desired, lock, last: &last, others: &servers, log };
        let mut phases = std::pin::pin!(boot.locked_phases(session));
        tokio::select! {
            done = &mut phases => done?,
            // If the whole server went down, prefer the phase's own error, which names the file. Without the lock,
            // nothing is committed. Dropping the phases ends Directus' process, and thereby its transaction.
            lost = lock.lost() => match timeout(CAUSE_TIMEOUT, &mut phases).await {
                Ok(done) => done?,
                Err(_) => return Err(VerifyError::Lost(lost).into()),
            },
        }
    };
    log.tally().waiting_changes.set(work.len());
    Ok(Waiting { work, servers })
}

impl Boot<'_> {
    /// Phases 4 to 7, with the lock held. Returns the work that waits.
    async fn locked_phases(self, session: &mut Session) -> Result<Vec<String>, BootError> {
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

        if !self.others.is_empty() {
            for (work, reason) in boot_plan.cannot_wait() {
                self.warn_of_breaking(&work, reason);
            }
        }
        self.db_init(session, &observed, &boot_plan).await?;
        self.bootstrap(session, &boot_plan.bootstrap, &observed, node.as_mut()).await?;
        let outcome = self.schema(session, &boot_plan.schema, &mut node).await?;
        let waiting = self.post_schema(session, &boot_plan, &observed, outcome, &mut node).await?;
        session.client.batch_execute(&format!("notify {}", contract::CHANNEL)).await?;
        if let Some(node) = node {
            node.bridge.finish().await;
        }
        Ok(waiting)
    }
}
