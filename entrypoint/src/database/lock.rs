//! Phase 3: one boot at a time works on a database.
//!
//! A session-level advisory lock, polled outside any transaction: a waiter that blocks in `pg_advisory_lock` deadlocks
//! with `CREATE INDEX CONCURRENTLY`, which Directus' own migrations use (golang-migrate 960, flyway 1654).

use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use crate::contract::LOCK_KEY;
use crate::log::Log;

/// Pause between tries; what a replica waits at most for nothing.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the holder is named in the log.
const MENTION: Duration = Duration::from_secs(5);

/// Who holds the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The server process.
    pub pid: i32,
    /// `boot of <host>`, see [`crate::config`].
    pub application: String,
    /// Since when it has been connected, in whole seconds.
    pub seconds: i64,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {}, connected for {} s)", self.application, self.pid, self.seconds)
    }
}

/// Why the lock is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else held it until the deadline.
    #[error(
        "another boot still works on this database after {} s: {holder}; see what it does, or raise BOOT_LOCK_TIMEOUT",
        waited.as_secs()
    )]
    Held {
        /// Who, or `nobody that this role may see`.
        holder: String,
        /// The deadline that passed.
        waited: Duration,
    },
    /// The question itself failed.
    #[error(transparent)]
    Query(#[from] tokio_postgres::Error),
}

/// Takes the boot lock for this session. Returns how long it was waited for.
///
/// # Errors
/// [`LockError::Held`] after `deadline`.
pub async fn acquire(client: &Client, deadline: Duration, log: &Log) -> Result<Duration, LockError> {
    let began = Instant::now();
    let mut said: Option<Instant> = None;
    loop {
        let row = client.query_one("select pg_try_advisory_lock($1)", &[&LOCK_KEY]).await?;
        if row.get(0) {
            return Ok(began.elapsed());
        }
        if began.elapsed() >= deadline {
            return Err(LockError::Held { holder: describe_holder(client).await?, waited: deadline });
        }
        if said.is_none_or(|when| when.elapsed() >= MENTION) {
            let holder = describe_holder(client).await?;
            log.note(format!("waiting for {holder}, {} s", began.elapsed().as_secs()));
            said = Some(Instant::now());
        }
        sleep(PAUSE).await;
    }
}

async fn describe_holder(client: &Client) -> Result<String, tokio_postgres::Error> {
    let holder = holder(client).await?;
    Ok(holder.map_or_else(|| "a boot that has just ended".to_owned(), |holder| holder.to_string()))
}

/// Who holds the boot lock of this database at the moment.
///
/// # Errors
/// The driver's.
pub async fn holder(client: &Client) -> Result<Option<Holder>, tokio_postgres::Error> {
    // A 64-bit key shows as its two halves, with objsubid 1.
    let row = client
        .query_opt(
            "select a.pid, coalesce(nullif(a.application_name, ''), 'an unnamed client'),
                    coalesce(extract(epoch from now() - a.backend_start)::bigint, 0)
             from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a using (pid)
             where l.locktype = 'advisory' and l.granted and l.objsubid = 1
               and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
               and (l.classid::bigint << 32) | l.objid::bigint = $1
             limit 1",
            &[&LOCK_KEY],
        )
        .await?;
    Ok(row.map(|row| Holder { pid: row.get(0), application: row.get(1), seconds: row.get(2) }))
}
