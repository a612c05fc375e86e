//! Bounded waits for locks, the sessions that block a migration, and the progress of a long one.
//!
//! A statement that needs a lock queues behind the session that holds it, and later sessions queue behind the statement:
//! an unbounded wait stops the whole application. So each try is short, the queue drains in the pause between two tries,
//! and the log names the blocker.

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;

use crate::config::DatabaseConfig;
use crate::database::Session;
use crate::log::Log;

/// Limits on waiting for locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockPatience {
    /// The limit for one lock.
    pub timeout: Duration,
    /// The maximum number of tries for one file.
    pub tries: u32,
}

/// Interval between two queries for blockers.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Time limit for one such query, and for its connection.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval at which the same blocker is logged again.
const REPEAT_INTERVAL: Duration = Duration::from_secs(5);
/// Interval at which the progress of a long file is logged.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// A session that holds a lock which the migration needs. Without its query, which may contain secrets.
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

/// Looks for the sessions that block a file, over its own connection, and logs them.
pub(super) struct BlockerMonitor<'a> {
    pub(super) filename: &'a str,
    /// The server process that applies the file.
    pub(super) pid: i32,
    pub(super) database: &'a DatabaseConfig,
    pub(super) patience: LockPatience,
    pub(super) log: &'a Log,
    /// The blockers that were seen last.
    pub(super) blockers: RefCell<Vec<Blocker>>,
}

impl BlockerMonitor<'_> {
    /// Runs until it is dropped.
    pub(super) async fn run(&self) {
        let began = Instant::now();
        let mut session: Option<Session> = None;
        let mut logged: Option<(Vec<i32>, Instant)> = None;
        let mut next_progress = PROGRESS_INTERVAL;
        loop {
            sleep(POLL_INTERVAL.min(self.patience.timeout / 2)).await;
            if began.elapsed() >= next_progress {
                self.log.note(format!("{}: {} s so far", self.filename, began.elapsed().as_secs()));
                next_progress += PROGRESS_INTERVAL;
            }
            // Errors are ignored: a server without free connections or answers must not fail the migration.
            if session.is_none() {
                session = timeout(QUERY_TIMEOUT, Session::connect(self.database)).await.ok().and_then(Result::ok);
            }
            let Some(connected) = &session else { continue };
            let Ok(Ok(found)) = timeout(QUERY_TIMEOUT, blockers(&connected.client, self.pid)).await else {
                session = None;
                continue;
            };
            if found.is_empty() {
                continue;
            }
            let pids: Vec<i32> = found.iter().map(|blocker| blocker.pid).collect();
            if logged.as_ref().is_none_or(|(before, when)| *before != pids || when.elapsed() >= REPEAT_INTERVAL) {
                self.log.note(format!("{} waits for {}", self.filename, list(&found)));
                logged = Some((pids, Instant::now()));
            }
            self.blockers.replace(found);
        }
    }

    /// Describes the blockers that were seen last.
    pub(super) fn blocker(&self) -> String {
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
