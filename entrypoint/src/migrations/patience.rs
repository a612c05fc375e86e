//! Who a migration waits for, and what a long one says of itself.
//!
//! A statement that wants a lock queues up behind whoever holds it, and everybody else queues up behind the statement:
//! waiting without end stops the whole application. So each try is short, the pause between two lets the queue go, and
//! the log names who is in the way.

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;

use crate::config::DatabaseConfig;
use crate::database::Session;
use crate::log::Log;

/// How long a migration waits for locks, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockPatience {
    /// For one lock.
    pub timeout: Duration,
    /// How often a file is tried.
    pub tries: u32,
}

/// How long a file may be silent before somebody asks what it waits for.
const LOOK: Duration = Duration::from_secs(1);
/// How long one question may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How often the same blocker is named.
const MENTION: Duration = Duration::from_secs(5);
/// How often a long file says that it still runs.
const PROGRESS: Duration = Duration::from_secs(10);

/// A session that holds what a migration wants. Its query is not in it: that may hold secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// The server process; 0 for a prepared transaction.
    pub pid: i32,
    /// What it calls itself; `None` if this role may not see it, or it has no name.
    pub application: Option<String>,
    /// `idle in transaction`, `active`, …; `None` if this role may not see it.
    pub state: Option<String>,
    /// For how many seconds it has been in that state; an active one: how long its query has taken.
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
            None => write!(f, "pid {pid} (which this role may not look at)"),
        }
    }
}

/// Looks at a file that is being applied, over a connection of its own.
pub(super) struct Watch<'a> {
    pub(super) filename: &'a str,
    /// The server process that applies it.
    pub(super) pid: i32,
    pub(super) database: &'a DatabaseConfig,
    pub(super) patience: LockPatience,
    pub(super) log: &'a Log,
    /// Who was in the way when last looked.
    pub(super) blockers: RefCell<Vec<Blocker>>,
}

impl Watch<'_> {
    /// Looks until it is dropped.
    pub(super) async fn run(&self) {
        let began = Instant::now();
        let mut session: Option<Session> = None;
        let mut said: Option<(Vec<i32>, Instant)> = None;
        let mut progress = PROGRESS;
        loop {
            sleep(LOOK.min(self.patience.timeout / 2)).await;
            if began.elapsed() >= progress {
                self.log.note(format!("{}: {} s so far", self.filename, began.elapsed().as_secs()));
                progress += PROGRESS;
            }
            // A server that has no connection left, or no answer, is not this look's business.
            if session.is_none() {
                session = timeout(ANSWER, Session::connect(self.database)).await.ok().and_then(Result::ok);
            }
            let Some(asked) = &session else { continue };
            let Ok(Ok(found)) = timeout(ANSWER, blockers(&asked.client, self.pid)).await else {
                session = None;
                continue;
            };
            if found.is_empty() {
                continue;
            }
            let pids: Vec<i32> = found.iter().map(|blocker| blocker.pid).collect();
            let news = said.as_ref().is_none_or(|(before, when)| *before != pids || when.elapsed() >= MENTION);
            if news {
                self.log.note(format!("{} waits for {}", self.filename, list(&found)));
                said = Some((pids, Instant::now()));
            }
            self.blockers.replace(found);
        }
    }

    /// Who was in the way, in words.
    pub(super) fn blocker(&self) -> String {
        let blockers = self.blockers.borrow();
        if blockers.is_empty() { "a session that had let go when asked for".to_owned() } else { list(&blockers) }
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
    fn a_blocker_is_named_by_what_this_role_may_see() {
        let seen = Blocker {
            pid: 123,
            application: Some("psql".to_owned()),
            state: Some("idle in transaction".to_owned()),
            for_seconds: 40,
            transaction_seconds: 60,
        };
        assert_eq!(seen.to_string(), "pid 123 (psql, idle in transaction for 40 s, its transaction is 60 s old)");
        let hidden = Blocker { application: None, state: None, ..seen.clone() };
        assert_eq!(hidden.to_string(), "pid 123 (which this role may not look at)");
        let prepared = Blocker { pid: 0, ..hidden.clone() };
        assert!(prepared.to_string().contains("pg_prepared_xacts"));
        assert!(list(&[seen, hidden.clone(), hidden.clone(), hidden]).ends_with(" and 1 more"));
    }
}
