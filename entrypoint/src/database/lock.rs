//! Phase 3: only one boot at a time works on a database.
//!
//! The lock is a session-level advisory lock, polled outside any transaction: a waiter that blocks in `pg_advisory_lock`
//! deadlocks with `CREATE INDEX CONCURRENTLY`, which Directus' own migrations use (golang-migrate 960, flyway 1654).

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;

use super::{Lost, Session};
use crate::log::Log;
use crate::witness::{Link, LinkError};
use contract::{LOCK_KEY, failure};

/// Pause between tries; the longest time that a replica waits for a free lock.
const PAUSE: Duration = Duration::from_millis(100);
/// Interval at which the holder is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// The session that holds the lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// The server process.
    pub pid: i32,
    /// `boot of <host>`, see [`crate::config`].
    pub application: String,
    /// The age of its connection in whole seconds.
    pub seconds: i64,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {}, connected for {} s)", self.application, self.pid, self.seconds)
    }
}

/// An error of acquiring the lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another session held the lock until the deadline.
    #[error(
        "another boot is still working on this database after {} s: {holder}; {}",
        waited.as_secs(),
        failure::LOCK.ending()
    )]
    Held {
        /// A description of the holder.
        holder: String,
        /// The deadline that passed.
        waited: Duration,
    },
    /// The query failed.
    #[error(transparent)]
    Query(#[from] tokio_postgres::Error),
}

/// The boot lock, held on a separate connection: no SQL file and no code of Directus can release it.
#[derive(Debug)]
pub struct BootLock {
    session: Session,
    /// The server process that holds the lock.
    pid: i32,
}

/// The reason why a transaction must not be committed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The lock's connection was lost.
    #[error("the connection to PostgreSQL was lost: {0} (the one that holds the boot lock)")]
    Lost(Lost),
    /// The lock's session is connected but no longer holds the lock.
    #[error("the boot lock is no longer held, although its session (pid {pid}) is connected")]
    Released {
        /// The server process.
        pid: i32,
    },
    /// The query failed.
    #[error(transparent)]
    Query(#[from] LinkError),
}

impl BootLock {
    /// Takes the boot lock on this session and owns it from then on. Returns the time that it waited, too.
    ///
    /// # Errors
    /// [`LockError::Held`] after `deadline`.
    pub async fn acquire(session: Session, deadline: Duration, log: &Log) -> Result<(BootLock, Duration), LockError> {
        let waited = acquire(&session.client, deadline, log).await?;
        let pid = session.client.query_one("select pg_backend_pid()", &[]).await?.get(0);
        Ok((BootLock { session, pid }, waited))
    }

    /// Verifies that the lock is still held. Call it in a transaction right before its COMMIT.
    ///
    /// # Errors
    /// [`VerifyError`]; the caller must roll back.
    pub async fn verify(&self, link: &mut Link<'_>) -> Result<(), VerifyError> {
        let Self { pid, .. } = self;
        if link.number(&format!("select count(*) from {} and l.pid = {pid}", held())).await? == 1 {
            return Ok(());
        }
        Err(match timeout(LOST_TIMEOUT, self.lost()).await {
            Ok(lost) => VerifyError::Lost(lost),
            Err(_) => VerifyError::Released { pid: *pid },
        })
    }

    /// Waits until the connection is lost, and the lock with it.
    pub async fn lost(&self) -> Lost {
        self.session.lost().await
    }

    /// Releases the lock by closing its connection.
    pub async fn release(self) {
        self.session.close().await;
    }
}

/// Time within which the driver notices the end of a connection.
const LOST_TIMEOUT: Duration = Duration::from_secs(1);

/// A SQL clause that selects the lock `l`. PostgreSQL shows a 64-bit key as its two halves, with objsubid 1.
fn held() -> String {
    format!(
        "pg_catalog.pg_locks l where l.locktype = 'advisory' and l.granted and l.objsubid = 1
         and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
         and (l.classid::bigint << 32) | l.objid::bigint = {LOCK_KEY}"
    )
}

/// Takes the boot lock for this session. Returns the time that it waited.
async fn acquire(client: &Client, deadline: Duration, log: &Log) -> Result<Duration, LockError> {
    let began = Instant::now();
    let mut logged: Option<Instant> = None;
    loop {
        let row = client.query_one("select pg_try_advisory_lock($1)", &[&LOCK_KEY]).await?;
        if row.get(0) {
            return Ok(began.elapsed());
        }
        if began.elapsed() >= deadline {
            return Err(LockError::Held { holder: describe_holder(client).await?, waited: deadline });
        }
        if logged.is_none_or(|when| when.elapsed() >= LOG_INTERVAL) {
            let holder = describe_holder(client).await?;
            log.note(format!("waiting for {holder}, {} s", began.elapsed().as_secs()));
            logged = Some(Instant::now());
        }
        sleep(PAUSE).await;
    }
}

async fn describe_holder(client: &Client) -> Result<String, tokio_postgres::Error> {
    let holder = holder(client).await?;
    Ok(holder.map_or_else(|| "a boot that has just ended".to_owned(), |holder| holder.to_string()))
}

/// Returns the present holder of this database's boot lock.
///
/// # Errors
/// The driver's.
pub async fn holder(client: &Client) -> Result<Option<Holder>, tokio_postgres::Error> {
    let statement = format!(
        "select a.pid, coalesce(nullif(a.application_name, ''), 'an unnamed client'),
                coalesce(extract(epoch from now() - a.backend_start)::bigint, 0)
         from pg_catalog.pg_stat_activity a where a.pid in (select l.pid from {}) limit 1",
        held()
    );
    let row = client.query_opt(&statement, &[]).await?;
    Ok(row.map(|row| Holder { pid: row.get(0), application: row.get(1), seconds: row.get(2) }))
}
