//! Bounded waits for locks, the sessions that block a transaction, and the progress of a long one.
//!
//! A statement that needs a lock queues behind the session that holds it, and later sessions queue behind the statement:
//! an unbounded wait stops the whole application. So each try is short, the queue drains in the pause between two tries,
//! and the log names the blocker. SQL files, Directus' migrations and the schema apply all wait like this.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;

use super::Session;
use crate::config::DatabaseConfig;
use crate::log::Log;

/// Limits on waiting for locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockRetry {
    /// The limit for one lock.
    pub timeout: Duration,
    /// The maximum number of tries for one transaction.
    pub tries: u32,
}

impl LockRetry {
    /// The value of `lock_timeout`.
    #[must_use]
    pub fn lock_timeout(self) -> String {
        milliseconds(self.timeout)
    }
}

/// A duration as the value of a timeout. PostgreSQL keeps milliseconds in 31 bits.
pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{}ms", duration.as_millis().min(i32::MAX as u128))
}

/// The last try failed on a lock too.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no lock within {} s, {} times; blocked by {blocker}", limits.timeout.as_secs(), limits.tries)]
pub struct Blocked {
    /// The limits that were exhausted.
    pub limits: LockRetry,
    /// The sessions that hold the lock.
    pub blocker: String,
}

/// Returns true if a lock was not available within `lock_timeout`, or PostgreSQL ended a deadlock at the cost of this
/// transaction.
#[must_use]
pub fn is_lock_failure(sqlstate: &str) -> bool {
    matches!(sqlstate, "55P03" | "40P01")
}

/// The sessions that queued behind a transaction get their locks in this pause between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Interval between two queries for blockers.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Time limit for one such query, and for its connection.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval at which the same blocker is logged again.
const REPEAT_INTERVAL: Duration = Duration::from_secs(5);
/// Interval at which the progress of a long file is logged.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// The times at which a long transaction is mentioned in the log.
#[derive(Default)]
struct Progress {
    mentioned: u32,
}

impl Progress {
    /// Returns the elapsed seconds if an interval has passed since the last mention.
    fn due(&mut self, elapsed: Duration) -> Option<u64> {
        let is_due = elapsed >= PROGRESS_INTERVAL * (self.mentioned + 1);
        self.mentioned += u32::from(is_due);
        is_due.then_some(elapsed.as_secs())
    }
}

/// A session that holds a lock which the boot needs. Without its query, which may contain secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// The server process; 0 for a prepared transaction.
    pub pid: i32,
    /// Its `application_name`; `None` if it is empty or this role may not see it.
    pub application: Option<String>,
    /// `idle in transaction`, `active`, …; `None` if this role may not see it.
    pub state: Option<String>,
    /// Seconds in that state; for an active session, seconds since its query began.
    pub for_seconds: i64,
    /// The age of its transaction in seconds.
    pub transaction_seconds: i64,
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Blocker { pid, for_seconds, transaction_seconds, .. } = self;
        let application = self.application.as_deref().unwrap_or("without a name");
        match &self.state {
            _ if *pid == 0 => f.write_str("a prepared transaction (see pg_prepared_xacts)"),
            Some(state) => write!(
                f,
                "pid {pid} ({application}, {state} for {for_seconds} s, its transaction is {transaction_seconds} s old)"
            ),
            None => write!(f, "pid {pid} (its details are hidden from this role)"),
        }
    }
}

/// Looks for the sessions that block a transaction, over its own connection, logs them, and counts the tries.
pub(crate) struct BlockerMonitor<'a> {
    /// The file or the step, for the log.
    subject: &'a str,
    database: &'a DatabaseConfig,
    limits: LockRetry,
    log: &'a Log,
    /// The server process that runs the transaction, once it is known.
    pid: Cell<Option<i32>>,
    /// The present try, from 1.
    present: Cell<u32>,
    /// The blockers that were seen last.
    blockers: RefCell<Vec<Blocker>>,
}

impl<'a> BlockerMonitor<'a> {
    pub(crate) fn new(subject: &'a str, database: &'a DatabaseConfig, limits: LockRetry, log: &'a Log) -> Self {
        BlockerMonitor {
            subject,
            database,
            limits,
            log,
            pid: Cell::new(None),
            present: Cell::new(1),
            blockers: RefCell::default(),
        }
    }

    /// Looks for the sessions that block this server process from now on.
    pub(crate) fn watch(&self, pid: i32) {
        self.pid.set(Some(pid));
    }

    /// Begins to count tries anew, for another statement.
    pub(crate) fn start_over(&self) {
        self.present.set(1);
    }

    /// Runs a transaction's tries while it looks for blockers.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            result = work => result,
            () = self.run() => unreachable!("the monitor runs until it is dropped"),
        }
    }

    /// Counts a try that failed on a lock and waits before the next one.
    ///
    /// # Errors
    /// [`Blocked`] after the last try.
    pub(crate) async fn pause(&self, reason: &str) -> Result<(), Blocked> {
        let (present, limits) = (self.present.get(), self.limits);
        if present >= limits.tries {
            return Err(Blocked { limits, blocker: self.blocker() });
        }
        self.log.note(format!("{}: {reason}; try {present} of {}", self.subject, limits.tries));
        self.present.set(present + 1);
        let retries = &self.log.tally().lock_retries;
        retries.set(retries.get() + 1);
        sleep(PAUSE).await;
        Ok(())
    }

    /// Runs until it is dropped.
    async fn run(&self) {
        let began = Instant::now();
        let mut session: Option<Session> = None;
        let mut logged: Option<(Vec<i32>, Instant)> = None;
        let mut progress = Progress::default();
        loop {
            sleep(POLL_INTERVAL.min(self.limits.timeout / 2)).await;
            if let Some(seconds) = progress.due(began.elapsed()) {
                self.log.note(format!("{}: {seconds} s so far", self.subject));
            }
            // Errors are ignored: a server without free connections or answers must not fail the migration.
            if session.is_none() {
                session = timeout(QUERY_TIMEOUT, Session::connect(self.database)).await.ok().and_then(Result::ok);
            }
            let (Some(connected), Some(pid)) = (&session, self.pid.get()) else { continue };
            let Ok(Ok(found)) = timeout(QUERY_TIMEOUT, blockers(&connected.client, pid)).await else {
                session = None;
                continue;
            };
            if found.is_empty() {
                continue;
            }
            let pids: Vec<i32> = found.iter().map(|blocker| blocker.pid).collect();
            if logged.as_ref().is_none_or(|(before, when)| *before != pids || when.elapsed() >= REPEAT_INTERVAL) {
                self.log.note(format!("{} waits for {}", self.subject, list(&found)));
                logged = Some((pids, Instant::now()));
            }
            self.blockers.replace(found);
        }
    }

    /// Describes the blockers that were seen last.
    fn blocker(&self) -> String {
        let blockers = self.blockers.borrow();
        if blockers.is_empty() {
            "a session that released the lock before it was seen".to_owned()
        } else {
            list(&blockers)
        }
    }
}

fn list(blockers: &[Blocker]) -> String {
    let some: Vec<String> = blockers.iter().take(3).map(Blocker::to_string).collect();
    let more = match blockers.len().saturating_sub(3) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", some.join(" and "))
}

async fn blockers(client: &Client, pid: i32) -> Result<Vec<Blocker>, tokio_postgres::Error> {
    let rows = client
        .query(
            "select b.pid, nullif(a.application_name, ''), a.state,
                    coalesce(extract(epoch from clock_timestamp()
                        - case a.state when 'active' then a.query_start else a.state_change end)::bigint, 0),
                    coalesce(extract(epoch from clock_timestamp() - a.xact_start)::bigint, 0)
             from (select distinct unnest(pg_catalog.pg_blocking_pids($1)) as pid) b
             left join pg_catalog.pg_stat_activity a using (pid) order by 1",
            &[&pid],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| Blocker {
            pid: row.get(0),
            application: row.get(1),
            state: row.get(2),
            for_seconds: row.get(3),
            transaction_seconds: row.get(4),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_transactions_are_mentioned_every_ten_seconds() {
        let mut progress = Progress::default();
        let due: Vec<_> = (1..=31).filter_map(|second| progress.due(Duration::from_secs(second))).collect();
        assert_eq!(due, [10, 20, 30]);
    }

    #[test]
    fn a_blocker_is_described_by_the_details_that_this_role_may_see() {
        let seen = Blocker {
            pid: 123,
            application: Some("psql".to_owned()),
            state: Some("idle in transaction".to_owned()),
            for_seconds: 40,
            transaction_seconds: 60,
        };
        assert_eq!(seen.to_string(), "pid 123 (psql, idle in transaction for 40 s, its transaction is 60 s old)");
        let hidden = Blocker { application: None, state: None, ..seen.clone() };
        assert_eq!(hidden.to_string(), "pid 123 (its details are hidden from this role)");
        let prepared = Blocker { pid: 0, ..hidden.clone() };
        assert!(prepared.to_string().contains("pg_prepared_xacts"));
        assert!(list(&[seen, hidden.clone(), hidden.clone(), hidden]).ends_with(" and 1 more"));
    }
}
