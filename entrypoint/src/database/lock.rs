//! Phase 3: one boot at a time works on a database.
//!
//! A session-level advisory lock, polled outside any transaction: a waiter that blocks in `pg_advisory_lock` deadlocks
//! with `CREATE INDEX CONCURRENTLY`, which Directus' own migrations use (golang-migrate 960, flyway 1654).

use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;

use super::{Lost, Session};
use crate::log::Log;
use crate::witness::{Link, LinkError};
use contract::LOCK_KEY;

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

/// The boot lock, held on a connection that nothing else uses: no SQL file and no code of Directus can release it.
#[derive(Debug)]
pub struct BootLock {
    session: Session,
    /// The server process that holds it.
    pid: i32,
}

/// Why a transaction must not be committed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Its connection was lost.
    #[error("the connection to PostgreSQL was lost: {0} (the one that holds the boot lock)")]
    Lost(Lost),
    /// Its session is there, and does not hold it any more.
    #[error("the boot lock was released under the boot by its own session (pid {pid})")]
    Released {
        /// The server process.
        pid: i32,
    },
    /// The question failed.
    #[error(transparent)]
    Query(#[from] LinkError),
}

impl BootLock {
    /// Takes the boot lock on this session, which from now on belongs to it. Returns how long it was waited for.
    ///
    /// # Errors
    /// [`LockError::Held`] after `deadline`.
    pub async fn acquire(session: Session, deadline: Duration, log: &Log) -> Result<(BootLock, Duration), LockError> {
        session.ready().await?;
        // It idles while the boot works.
        session.client.batch_execute(NEVER_IDLE).await?;
        let waited = acquire(&session.client, deadline, log).await?;
        let pid = session.client.query_one("select pg_backend_pid()", &[]).await?.get(0);
        Ok((BootLock { session, pid }, waited))
    }

    /// Makes sure that the lock is still held. To be called in a transaction right before its COMMIT.
    ///
    /// # Errors
    /// [`VerifyError`]: roll back.
    pub async fn verify(&self, link: &mut Link<'_>) -> Result<(), VerifyError> {
        let Self { pid, .. } = self;
        if link.number(&format!("select count(*) from {} and l.pid = {pid}", held())).await? == 1 {
            return Ok(());
        }
        Err(match timeout(CAUSE, self.lost()).await {
            Ok(lost) => VerifyError::Lost(lost),
            Err(_) => VerifyError::Released { pid: *pid },
        })
    }

    /// Waits until its connection is lost, and with it the lock.
    pub async fn lost(&self) -> Lost {
        self.session.lost().await
    }

    /// Releases it.
    pub async fn release(self) {
        self.session.close().await;
    }
}

/// How long the end of a connection may take to become known.
const CAUSE: Duration = Duration::from_secs(1);
/// Keeps the server from ending a session that idles; versions before 14 have no such setting.
const NEVER_IDLE: &str =
    "select set_config(name, '0', false) from pg_catalog.pg_settings where name = 'idle_session_timeout'";

/// The lock among those of the server. A 64-bit key shows as its two halves, with objsubid 1.
fn held() -> String {
    format!(
        "pg_catalog.pg_locks l where l.locktype = 'advisory' and l.granted and l.objsubid = 1
         and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
         and (l.classid::bigint << 32) | l.objid::bigint = {LOCK_KEY}"
    )
}

/// Takes the boot lock for this session. Returns how long it was waited for.
async fn acquire(client: &Client, deadline: Duration, log: &Log) -> Result<Duration, LockError> {
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
