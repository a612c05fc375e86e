//! Phase 2: the connection to PostgreSQL, and what its loss explains.

use std::time::Duration;

use tokio::time::timeout;

use super::config::Prepared;
use crate::database::{self, Lost, Pooled, Session};
use crate::error::{BootError, ConnectionLoss};
use crate::log::Log;
use contract::Phase;

/// Time that a failure waits for the news that the connection is gone, which would be its cause.
pub(super) const CAUSE: Duration = Duration::from_secs(1);

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

/// The loss of a connection that explains an error; `None` if the error stands for itself.
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
