//! Phase 2: the connection to PostgreSQL, and errors that its loss explains.

use std::time::Duration;

use tokio::time::timeout;

use super::config::DesiredState;
use crate::database::{self, Lost, PoolerDetected, Session};
use crate::error::{BootError, ConnectionLoss};
use crate::log::Log;
use crate::redis;
use contract::Phase;

/// The time to wait after a failure for the loss of the connection, which may be the cause of the failure.
pub(super) const CAUSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Phase 2.
///
/// # Errors
/// [`BootError::Wait`].
pub async fn connect(desired: &DesiredState, log: &Log) -> Result<Session, BootError> {
    let config = &desired.config;
    log.begin(Phase::Database);
    let session = database::wait(&config.database, config.timeouts.database, log).await?;
    let tls = match &session.node_reason {
        Some(reason) => format!(", encrypted by Node, because for the boot's own TLS {reason}"),
        None => String::new(),
    };
    log.done(format!("PostgreSQL {} at {}{tls}", session.server_version, config.database.target));
    Ok(session)
}

/// Waits until Redis answers, if the variables name one.
pub(super) async fn require_redis(desired: &DesiredState, log: &Log) -> Result<(), BootError> {
    let config = &desired.config;
    if let Some(redis) = &config.redis {
        redis::wait(redis, config.timeouts.database, log).await?;
        log.note(format!("Redis at {} answers", redis.address));
    }
    Ok(())
}

/// Replaces an error by its root cause if that is a pooler, a lost connection or a missing privilege.
pub(crate) async fn with_root_cause<T>(
    result: Result<T, BootError>,
    desired: &DesiredState,
    session: &Session,
) -> Result<T, BootError> {
    match result {
        Ok(done) => Ok(done),
        Err(error) => Err(root_cause(error, desired, session).await),
    }
}

async fn root_cause(error: BootError, desired: &DesiredState, session: &Session) -> BootError {
    if let Some(evidence) = error.trace_of_pooler() {
        return PoolerDetected { target: desired.config.database.target.clone(), evidence }.into();
    }
    match lost_connection(&error, session).await {
        Some(lost) => BootError::Lost(lost),
        None => error.for_role(&session.role),
    }
}

/// The loss of a connection that explains the error; `None` if the error has another cause.
async fn lost_connection(error: &BootError, session: &Session) -> Option<Lost> {
    let ConnectionLoss { context, server_message, error } = error.connection_loss()?;
    let lost = match server_message {
        Some(message) => Lost(message),
        None => match timeout(CAUSE_TIMEOUT, session.lost()).await {
            Ok(lost) => lost,
            Err(_) => Lost(error?),
        },
    };
    Some(match context {
        Some(filename) => Lost(format!("in {filename}: {lost}")),
        None => lost,
    })
}
