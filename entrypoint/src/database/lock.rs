//! Phase 3: only one boot at a time works on a database.
//!
//! The lock is a session-level advisory lock, polled outside any transaction: a waiter that blocks in `pg_advisory_lock`
//! deadlocks with `CREATE INDEX CONCURRENTLY`, which Directus' own migrations use (golang-migrate 960, flyway 1654).
//!
//! A boot that waits looks at the lock in shared mode, for the duration of one statement: looks do not conflict with each
//! other, and the boots that find the lock free and the work done go on without taking it.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{Lost, Session};
use crate::backoff;
use crate::log::Log;
use crate::witness::{Link, LinkError};
use contract::{LOCK_KEY, failure};

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
    /// Takes the boot lock on this session and owns it from then on; closes the session if another one holds the lock.
    ///
    /// # Errors
    /// The driver's.
    pub async fn try_acquire(session: Session) -> Result<Option<BootLock>, tokio_postgres::Error> {
        if try_lock(&session.client).await? {
            return BootLock::acquired(session).await.map(Some);
        }
        session.close().await;
        Ok(None)
    }

    /// The same, and waits for the lock with the session open. For a command that an operator runs; boots, of which many
    /// may wait at once, close their sessions.
    ///
    /// # Errors
    /// [`LockError::Held`] after `deadline`.
    pub async fn acquire(session: Session, deadline: Duration, log: &Log) -> Result<BootLock, LockError> {
        let mut wait = LockWait::new(deadline, log);
        while !try_lock(&session.client).await? {
            sleep(wait.pause(&session.client, Duration::ZERO).await?).await;
        }
        Ok(BootLock::acquired(session).await?)
    }

    async fn acquired(session: Session) -> Result<BootLock, tokio_postgres::Error> {
        let pid = session.client.query_one("select pg_backend_pid()", &[]).await?.get(0);
        Ok(BootLock { session, pid })
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

/// A SQL clause that selects the lock `l`, but not the looks of waiting boots. PostgreSQL shows a 64-bit key as its two
/// halves, with objsubid 1.
fn held() -> String {
    format!(
        "pg_catalog.pg_locks l where l.locktype = 'advisory' and l.granted and l.objsubid = 1
         and l.mode = 'ExclusiveLock'
         and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
         and (l.classid::bigint << 32) | l.objid::bigint = {LOCK_KEY}"
    )
}

/// Takes the boot lock for this session, unless another one holds it.
async fn try_lock(client: &Client) -> Result<bool, tokio_postgres::Error> {
    is_true(client, &format!("select pg_try_advisory_lock({LOCK_KEY})")).await
}

/// Returns true if no session holds the boot lock.
///
/// # Errors
/// The driver's.
pub async fn is_lock_free(client: &Client) -> Result<bool, tokio_postgres::Error> {
    is_true(client, &format!("select pg_try_advisory_xact_lock_shared({LOCK_KEY})")).await
}

/// Runs a query with one value, in one round trip.
async fn is_true(client: &Client, query: &str) -> Result<bool, tokio_postgres::Error> {
    let messages = client.simple_query(query).await?;
    Ok(messages.iter().any(|message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("t"))))
}

/// A wait for the boot lock: its deadline, its pauses, and the holder in the log.
#[derive(Debug)]
pub struct LockWait<'a> {
    deadline: Duration,
    log: &'a Log,
    began: Instant,
    logged: Option<Instant>,
}

impl<'a> LockWait<'a> {
    /// Begins to wait.
    #[must_use]
    pub fn new(deadline: Duration, log: &'a Log) -> Self {
        LockWait { deadline, log, began: Instant::now(), logged: None }
    }

    /// Returns the pause before the next look, after one that took `took` and found the lock held. Logs the holder, unless
    /// the next look comes early enough for that.
    ///
    /// # Errors
    /// [`LockError::Held`] after the deadline.
    pub async fn pause(&mut self, client: &Client, took: Duration) -> Result<Duration, LockError> {
        let pause = self.next_pause(took);
        if pause.is_zero() || self.is_log_due(pause) {
            let holder = describe_holder(client).await?;
            return self.pause_for(&holder, pause);
        }
        Ok(pause)
    }

    /// The same after a look that failed for another reason, which is logged like a holder.
    ///
    /// # Errors
    /// [`LockError::Held`] after the deadline.
    pub fn pause_without_holder(&mut self, reason: &str, took: Duration) -> Result<Duration, LockError> {
        self.pause_for(reason, self.next_pause(took))
    }

    fn pause_for(&mut self, holder: &str, pause: Duration) -> Result<Duration, LockError> {
        if pause.is_zero() {
            return Err(LockError::Held { holder: holder.to_owned(), waited: self.deadline });
        }
        if self.is_log_due(pause) {
            self.log.note(format!("waiting for {holder}, {} s", self.began.elapsed().as_secs()));
            self.logged = Some(Instant::now());
        }
        Ok(pause)
    }

    /// Zero after the deadline.
    fn next_pause(&self, took: Duration) -> Duration {
        let waited = self.began.elapsed();
        backoff::pause(waited, took).min(self.deadline.saturating_sub(waited))
    }

    fn is_log_due(&self, pause: Duration) -> bool {
        self.logged.is_none_or(|when| when.elapsed() + pause > backoff::LONGEST)
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
