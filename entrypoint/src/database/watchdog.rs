//! Phases 3 to 7: the watchdog for a PostgreSQL that no longer answers.
//!
//! A frozen server does not close connections, so a query to it waits forever. A migration may run for any time, so the
//! limit is not on its answer: a second connection probes the server at intervals.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{Lost, Session};
use crate::config::DatabaseConfig;

/// Pause between probes and time limit for one; a shorter deadline reduces both.
const INTERVAL: Duration = Duration::from_secs(5);

/// Returns once the server has not answered for the duration of `deadline`.
pub async fn watchdog(config: &DatabaseConfig, deadline: Duration) -> Lost {
    let mut answered = Instant::now();
    loop {
        sleep(INTERVAL.min(deadline / 2)).await;
        // A refusal is an answer, too: a stopped server ends the boot's own connection, whose error is more precise.
        if let Ok(result) = timeout(INTERVAL.min(deadline), Session::connect(config)).await {
            answered = Instant::now();
            if let Ok(session) = result {
                session.close().await;
            }
        }
        if answered.elapsed() >= deadline {
            return Lost(format!("no answer for {} s", deadline.as_secs()));
        }
    }
}
