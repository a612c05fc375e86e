//! Phase 3: no pooler in transaction or statement mode stands in between.
//!
//! Such a pooler gives each transaction whichever connection is free. A session's advisory lock is then taken on one of
//! them and let go of, or not, on another: two boots would work at once, or none ever again. The same for `set`, and
//! for the locks of Directus' own migrations.

use std::time::Duration;

use tokio_postgres::{Client, SimpleQueryMessage};

use super::{Pooled, Session, WaitError, wait};
use crate::config::DatabaseConfig;
use crate::log::Log;

/// How often is asked: connections that others hold at the moment may hide the pooler from one question.
const ROUNDS: u32 = 3;
/// Why the way to PostgreSQL will not do, or is not known to.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// A pooler is there.
    #[error(transparent)]
    Pooled(#[from] Pooled),
    /// There was no second connection.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// A question failed.
    #[error(transparent)]
    Query(#[from] tokio_postgres::Error),
}

/// Makes sure that the session has a server process of its own: while another session holds one in a transaction, ours
/// stays where it was, and that is not the other's. Returns the other session.
///
/// # Errors
/// [`PoolError::Pooled`], or why it could not be found out.
pub async fn refuse_pooler(
    session: &Session,
    config: &DatabaseConfig,
    deadline: Duration,
    log: &Log,
) -> Result<Session, PoolError> {
    let other = wait(config, deadline, log).await?;
    let pooled = |evidence: String| PoolError::Pooled(Pooled { target: config.target.clone(), evidence });
    for _ in 0..ROUNDS {
        let before = ask(&session.client, "select pg_backend_pid()").await?;
        let others = ask(&other.client, "begin; select pg_backend_pid()").await?;
        if before == others {
            return Err(pooled(format!("two sessions share the server process {before}")));
        }
        let after = ask(&session.client, "select pg_backend_pid()").await?;
        // Given back, that connection is the next that a pooler gives away.
        ask(&other.client, "rollback; select pg_backend_pid()").await?;
        let last = ask(&session.client, "select pg_backend_pid()").await?;
        if let Some(moved) = [after, last].into_iter().find(|pid| *pid != before) {
            return Err(pooled(format!("the session moved from the server process {before} to {moved}")));
        }
    }
    Ok(other)
}

/// The first value of the answer. Asked without a prepared statement, which would not outlast the first question.
async fn ask(client: &Client, question: &str) -> Result<String, PoolError> {
    let answer = client.simple_query(question).await?;
    let value = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(value.unwrap_or_default())
}
