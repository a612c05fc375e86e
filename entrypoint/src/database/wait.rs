//! Phase 2: waits until PostgreSQL answers a query.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::classify::remedy;
use super::{Pooled, Session, Verdict, describe, judge, trace_of_pooler};
use crate::config::DatabaseConfig;
use crate::log::Log;

/// Time limit for one attempt; bounds a frozen server and a black-holed address.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Pause between attempts.
const PAUSE: Duration = Duration::from_millis(200);
/// Interval at which the same reason is logged again.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// An error of connecting.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The server did not answer in time.
    #[error(
        "no answer from {target} within {} s: {last}; check DB_HOST, DB_PORT and that PostgreSQL runs",
        waited.as_secs()
    )]
    Unreachable {
        /// `host:port`.
        target: String,
        /// The deadline that passed.
        waited: Duration,
        /// The error of the last attempt.
        last: String,
    },
    /// The server refused the connection.
    #[error("{target} refuses the connection: {reason}; {remedy}")]
    Refused {
        /// `host:port`.
        target: String,
        /// The error, see [`describe`].
        reason: String,
        /// The remedy.
        remedy: &'static str,
    },
    /// A pooler answered.
    #[error(transparent)]
    Pooled(#[from] Pooled),
}

/// Connects, and retries errors that are transient.
///
/// # Errors
/// [`WaitError::Refused`] at once, [`WaitError::Unreachable`] after `deadline`.
pub async fn wait(config: &DatabaseConfig, deadline: Duration, log: &Log) -> Result<Session, WaitError> {
    let began = Instant::now();
    let mut logged: Option<(String, Instant)> = None;
    loop {
        // The last attempt may exceed the deadline only by `PAUSE`.
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
        if logged.as_ref().is_none_or(|(before, when)| *before != reason || when.elapsed() >= LOG_INTERVAL) {
            log.note(format!("waiting for {} ({reason}), {} s", config.target, began.elapsed().as_secs()));
            logged = Some((reason, Instant::now()));
        }
        sleep(PAUSE).await;
    }
}
