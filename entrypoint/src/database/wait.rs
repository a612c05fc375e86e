//! Phase 2: PostgreSQL answers a query, or the reason why not.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::classify::remedy;
use super::{Pooled, Session, Verdict, describe, judge, trace_of_pooler};
use crate::config::DatabaseConfig;
use crate::log::Log;

/// How long one attempt may take; bounds a frozen server and a black-holed address.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Pause between attempts.
const PAUSE: Duration = Duration::from_millis(200);
/// How often a wait is mentioned in the log.
const MENTION: Duration = Duration::from_secs(5);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// Nothing answered in time.
    #[error(
        "no answer from {target} within {} s: {last}; check DB_HOST, DB_PORT and that PostgreSQL runs",
        waited.as_secs()
    )]
    Unreachable {
        /// `host:port`.
        target: String,
        /// The deadline that passed.
        waited: Duration,
        /// What the last attempt met.
        last: String,
    },
    /// The server said no.
    #[error("{target} refuses: {reason}; {remedy}")]
    Refused {
        /// `host:port`.
        target: String,
        /// What it said.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A pooler answered.
    #[error(transparent)]
    Pooled(#[from] Pooled),
}

/// Connects, trying again while that can help.
///
/// # Errors
/// [`WaitError::Refused`] at once, [`WaitError::Unreachable`] after `deadline`.
pub async fn wait(config: &DatabaseConfig, deadline: Duration, log: &Log) -> Result<Session, WaitError> {
    let began = Instant::now();
    let mut last_said: Option<(String, Instant)> = None;
    loop {
        // The last attempt may not outlast the deadline by more than a moment.
        let left = deadline.saturating_sub(began.elapsed()).max(PAUSE);
        let reason = match timeout(ATTEMPT.min(left), Session::connect(config)).await {
            Ok(Ok(session)) => return Ok(session),
            Ok(Err(error)) => {
                if let Some(evidence) = trace_of_pooler(&error) {
                    return Err(Pooled { target: config.target.clone(), evidence }.into());
                }
                if judge(&error) == Verdict::Final {
                    return Err(WaitError::Refused {
                        target: config.target.clone(),
                        reason: describe(&error),
                        remedy: remedy(&error),
                    });
                }
                describe(&error)
            }
            Err(_) => format!("no answer for {} s", ATTEMPT.min(left).as_secs_f32().ceil()),
        };
        if began.elapsed() >= deadline {
            return Err(WaitError::Unreachable { target: config.target.clone(), waited: deadline, last: reason });
        }
        if last_said.as_ref().is_none_or(|(said, when)| *said != reason || when.elapsed() >= MENTION) {
            log.note(format!("waiting for {} ({reason}), {} s", config.target, began.elapsed().as_secs()));
            last_said = Some((reason, Instant::now()));
        }
        sleep(PAUSE).await;
    }
}
