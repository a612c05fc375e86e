//! Phase 2: waits until PostgreSQL answers a query.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{ConnectError, PoolerDetected, Session, trace_of_pooler};
use crate::config::DatabaseConfig;
use crate::log::Log;
use crate::network::{FailedAttempt, until_reached};
use contract::failure;
use contract::sqlstate::Retryability;

/// Pause between two looks at a read-only server.
const READ_ONLY_PAUSE: Duration = Duration::from_secs(1);

/// An error of connecting.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The server did not answer in time.
    #[error("no connection to {target} within {} s: {last}; {ending}", waited.as_secs())]
    Unreachable {
        /// `host:port`.
        target: String,
        /// The deadline that passed.
        waited: Duration,
        /// The error of the last attempt.
        last: String,
        /// The state of the database, and the remedy for that error.
        ending: String,
    },
    /// The server refused the connection.
    #[error("{target} refuses the connection: {reason}; {ending}")]
    Refused {
        /// `host:port`.
        target: String,
        /// The error, see [`ConnectError::describe`].
        reason: String,
        /// The state of the database, and the remedy.
        ending: String,
    },
    /// The server or the role is read-only, and there is work to do.
    #[error(
        "{target} is read-only ({}), and there is work to do; {}",
        if *is_standby { "a standby" } else { "default_transaction_read_only is on for this role or database" },
        if *is_standby { failure::STANDBY.ending() } else { failure::READ_ONLY.ending() }
    )]
    ReadOnly {
        /// `host:port`.
        target: String,
        /// The server is in recovery.
        is_standby: bool,
    },
    /// A pooler answered.
    #[error(transparent)]
    PoolerDetected(#[from] PoolerDetected),
}

/// Connects, and retries errors that are transient.
///
/// # Errors
/// [`WaitError::Refused`] at once, [`WaitError::Unreachable`] after `deadline`.
pub async fn wait(config: &DatabaseConfig, deadline: Duration, log: &Log) -> Result<Session, WaitError> {
    until_reached(&config.target, deadline, log, async |limit| attempt(config, limit, deadline).await).await
}

/// Connects once, within `limit`. `deadline` is that of the whole wait, for the error.
///
/// # Errors
/// A transient one is [`WaitError::Unreachable`].
pub async fn attempt(
    config: &DatabaseConfig,
    limit: Duration,
    deadline: Duration,
) -> Result<Session, FailedAttempt<WaitError>> {
    let target = config.target.clone();
    let (reason, ending) = match timeout(limit, Session::connect(config)).await {
        Ok(Ok(session)) => return Ok(session),
        Ok(Err(error)) => {
            if let ConnectError::Postgres(error) = &error
                && let Some(evidence) = trace_of_pooler(error)
            {
                return Err(FailedAttempt::Final(PoolerDetected { target, evidence }.into()));
            }
            let (reason, ending) = (error.describe(), error.ending());
            if error.retryability() == Retryability::Final {
                return Err(FailedAttempt::Final(WaitError::Refused { target, reason, ending }));
            }
            (reason, ending)
        }
        Err(_) => (format!("no answer for {} s", limit.as_secs_f32().ceil()), failure::SILENCE.ending()),
    };
    let error = WaitError::Unreachable { target, waited: deadline, last: reason.clone(), ending };
    Err(FailedAttempt::Transient { reason, error })
}

/// Waits until the server accepts writes, because a failover may be under way. Connects again for each look: the name may
/// lead to another server.
///
/// # Errors
/// [`WaitError::ReadOnly`] after `deadline`, or the error of a connection.
pub async fn wait_until_writable(
    session: &mut Session,
    config: &DatabaseConfig,
    deadline: Duration,
    log: &Log,
) -> Result<(), WaitError> {
    let began = Instant::now();
    while let Some(is_standby) = read_only(session).await {
        let target = config.target.clone();
        // A role's setting does not end by itself.
        if !is_standby || began.elapsed() >= deadline {
            return Err(WaitError::ReadOnly { target, is_standby });
        }
        log.note(format!("waiting for {target} (read-only), {} s", began.elapsed().as_secs()));
        sleep(READ_ONLY_PAUSE).await;
        *session = wait(config, deadline, log).await?;
    }
    Ok(())
}

/// Returns `None` if the server accepts writes, otherwise whether it is a standby. An error is left to the next statement.
async fn read_only(session: &Session) -> Option<bool> {
    let query = "select current_setting('transaction_read_only')::boolean, pg_catalog.pg_is_in_recovery()";
    let row = session.client.query_one(query, &[]).await.ok()?;
    row.get::<_, bool>(0).then(|| row.get(1))
}
