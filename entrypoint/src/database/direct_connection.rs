//! Phase 3: detects a pooler in transaction or statement mode between the boot and PostgreSQL.
//!
//! Such a pooler gives each transaction any free connection. A session's advisory lock is then taken on one connection and
//! released, or not, on another: two boots would run at once, or none ever again. The same applies to `set`, and to the
//! locks of Directus' own migrations.

use std::time::Duration;

use tokio_postgres::{Client, SimpleQueryMessage};

use super::{PoolerDetected, Session, WaitError, wait};
use crate::config::DatabaseConfig;
use crate::log::Log;

/// Number of rounds: in a single round, connections that other clients hold may hide the pooler.
const ROUNDS: u32 = 3;

/// An error of the pooler detection.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// A pooler was detected.
    #[error(transparent)]
    PoolerDetected(#[from] PoolerDetected),
    /// The second connection failed.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// A query failed.
    #[error(transparent)]
    Query(#[from] tokio_postgres::Error),
}

/// Opens a second session, and verifies with it that both have their own server process, see [`detect_pooler`].
///
/// # Errors
/// [`PoolError::PoolerDetected`], or the error of a connection or query.
pub async fn require_direct_connection(
    session: &Session,
    config: &DatabaseConfig,
    deadline: Duration,
    log: &Log,
) -> Result<Session, PoolError> {
    let other = wait(config, deadline, log).await?;
    detect_pooler(session, &other, config).await?;
    Ok(other)
}

/// Verifies that a session has its own server process: while a second one holds one in a transaction, the first must keep
/// the same other process.
///
/// # Errors
/// [`PoolError::PoolerDetected`], or the error of a query.
pub async fn detect_pooler(session: &Session, other: &Session, config: &DatabaseConfig) -> Result<(), PoolError> {
    for _ in 0..ROUNDS {
        if let Some(evidence) = find_evidence(&session.client, &other.client).await? {
            return Err(PoolerDetected { target: config.target.clone(), evidence }.into());
        }
    }
    Ok(())
}

/// Returns the evidence of a pooler that one round of queries gives.
async fn find_evidence(client: &Client, other: &Client) -> Result<Option<String>, PoolError> {
    let before = query(client, "select pg_backend_pid()").await?;
    let others = query(other, "begin; select pg_backend_pid()").await?;
    if before == others {
        return Ok(Some(format!("two sessions share the server process {before}")));
    }
    let after = query(client, "select pg_backend_pid()").await?;
    // The released connection is the next one that a pooler assigns.
    query(other, "rollback; select pg_backend_pid()").await?;
    let last = query(client, "select pg_backend_pid()").await?;
    let moved = [after, last].into_iter().find(|pid| *pid != before);
    Ok(moved.map(|moved| format!("the session moved from the server process {before} to {moved}")))
}

/// Returns the first value of the result. Uses no prepared statement, because a pooler would lose it.
async fn query(client: &Client, sql: &str) -> Result<String, PoolError> {
    let messages = client.simple_query(sql).await?;
    let value = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(value.unwrap_or_default())
}
