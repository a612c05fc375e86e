//! Phase 3: finds out if there is work, and takes the boot lock for it.
//!
//! Any number of boots may wait. A waiting boot looks at the lock, closes its connection and pauses, so it holds no
//! connection for most of the time, and never one while it waits for a second one.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::config::DesiredState;
use super::database::with_root_cause;
use super::nothing::nothing_to_do;
use crate::config::Config;
use crate::database::{self as postgres, BootLock, LockWait, Session, WaitError};
use crate::error::BootError;
use crate::log::Log;
use crate::network::{self, FailedAttempt};
use crate::reconcile::{UpToDate, is_up_to_date};

/// Time limit for the query that finds out if there is work. Another boot's transaction may have locked the tables that it
/// reads.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);
/// The reason for a pause after that, in the log.
const LOCKED_TABLES: &str = "a session that has locked Directus' tables (see pg_locks)";

/// Waits until there is nothing to do, which it logs, or the lock is taken: on a separate connection, where no SQL file can
/// release it. Each pause ends the session; the returned one is the last.
///
/// # Errors
/// Those of phase 3.
pub(super) async fn take_turn(
    desired: &DesiredState,
    session: Session,
    log: &Log,
) -> Result<Option<(Session, BootLock)>, BootError> {
    let Config { database, timeouts, .. } = &desired.config;
    let wait = LockWait::new(timeouts.lock, log);
    let mut waiter =
        Waiter { desired, session, wait, began: Instant::now(), no_connection_since: None, is_first: true, log };
    loop {
        let mut found = Look::Wait(Duration::ZERO);
        let look = async {
            found = waiter.look().await?;
            Ok(())
        };
        let result = watched(desired, Box::pin(look)).await;
        with_root_cause(result, desired, &waiter.session).await?;
        let Waiter { session, is_first, .. } = waiter;
        match found {
            Look::NothingToDo(current) => {
                session.close().await;
                log.done(if is_first {
                    "not needed, everything is in place"
                } else {
                    "not needed, another boot did the work"
                });
                nothing_to_do(desired, current, log);
                return Ok(None);
            }
            Look::Locked(lock) => {
                log.done(if is_first { "free" } else { "free now" });
                return Ok(Some((session, lock)));
            }
            Look::Wait(pause) => {
                session.close().await;
                sleep(pause).await;
            }
        }
        waiter.is_first = false;
        waiter.began = Instant::now();
        waiter.session = postgres::wait(database, timeouts.database, log).await?;
    }
}

/// Runs work until it ends, or the server no longer answers.
pub(super) async fn watched(
    desired: &DesiredState,
    work: Pin<Box<dyn Future<Output = Result<(), BootError>> + '_>>,
) -> Result<(), BootError> {
    let config = &desired.config;
    tokio::select! {
        result = work => result,
        lost = postgres::watchdog(&config.database, config.timeouts.database) => Err(BootError::Lost(lost)),
    }
}

/// The result of a look at the database.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
enum Look {
    NothingToDo(UpToDate),
    Locked(BootLock),
    /// Another boot is working, or the server has no second connection.
    Wait(Duration),
}

/// A boot that waits for its turn.
struct Waiter<'a> {
    desired: &'a DesiredState,
    session: Session,
    wait: LockWait<'a>,
    /// The time before the session was opened.
    began: Instant,
    /// The first of several looks in a row for which the server had no second connection.
    no_connection_since: Option<Instant>,
    is_first: bool,
    log: &'a Log,
}

impl Waiter<'_> {
    /// Looks at the database once.
    async fn look(&mut self) -> Result<Look, BootError> {
        let desired = self.desired;
        let Config { database, timeouts, .. } = &desired.config;
        // An older image may serve while a newer one works, so the first time the query comes before the lock.
        if self.is_first || postgres::is_lock_free(&self.session.client).await? {
            match timeout(QUERY_TIMEOUT, is_up_to_date(&self.session.client, desired)).await {
                Ok(Ok(None)) => {}
                Ok(Ok(Some(current))) => return Ok(Look::NothingToDo(current)),
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => {
                    return Ok(Look::Wait(self.wait.pause_without_holder(LOCKED_TABLES, Duration::ZERO)?));
                }
            }
            if !self.is_first || postgres::is_lock_free(&self.session.client).await? {
                postgres::wait_until_writable(&mut self.session, database, timeouts.database, self.log).await?;
                self.session.ready(database).await?;
                let other = match postgres::attempt(database, network::ATTEMPT, timeouts.database).await {
                    Ok(other) => other,
                    Err(FailedAttempt::Final(error)) => return Err(error.into()),
                    Err(FailedAttempt::Transient { reason, error }) => return self.no_connection(&reason, error),
                };
                postgres::detect_pooler(&self.session, &other, database).await?;
                if let Some(lock) = BootLock::try_acquire(other).await? {
                    // Another boot may have finished the work since the query.
                    return match is_up_to_date(&self.session.client, desired).await? {
                        Some(current) => {
                            lock.release().await;
                            Ok(Look::NothingToDo(current))
                        }
                        None => Ok(Look::Locked(lock)),
                    };
                }
            }
        }
        self.no_connection_since = None;
        Ok(Look::Wait(self.wait.pause(&self.session.client, self.took()).await?))
    }

    /// The time that the look took; zero for the first one, which does more than the others.
    fn took(&self) -> Duration {
        if self.is_first { Duration::ZERO } else { self.began.elapsed() }
    }

    /// The server has no second connection: the first one is given up, too, because other boots may need it.
    fn no_connection(&mut self, reason: &str, error: WaitError) -> Result<Look, BootError> {
        let Config { database, timeouts, .. } = &self.desired.config;
        if self.no_connection_since.get_or_insert(self.began).elapsed() >= timeouts.database {
            return Err(error.into());
        }
        let subject = format!("a second connection to {} ({reason})", database.target);
        Ok(Look::Wait(self.wait.pause_without_holder(&subject, self.took())?))
    }
}
