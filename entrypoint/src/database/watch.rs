//! Phases 3 to 7: whether PostgreSQL still answers.
//!
//! A server that is frozen breaks no connection: whoever waits for its answer waits for ever. A migration may take as
//! long as it likes, so it is not the answer that is bounded but the server's silence: every now and then another
//! connection asks whether it is there.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{Lost, Session};
use crate::config::DatabaseConfig;

/// Pause between questions, and how long one may take; a deadline that is shorter shortens both.
const EVERY: Duration = Duration::from_secs(5);

/// Ends once the server has answered nobody for that long, and says so.
pub async fn silence(config: &DatabaseConfig, deadline: Duration) -> Lost {
    let mut answered = Instant::now();
    loop {
        sleep(EVERY.min(deadline / 2)).await;
        // A refusal is an answer, too; and a server that is gone ends the boot's own connection, which tells more.
        if let Ok(answer) = timeout(EVERY.min(deadline), Session::connect(config)).await {
            answered = Instant::now();
            if let Ok(session) = answer {
                session.close().await;
            }
        }
        if answered.elapsed() >= deadline {
            return Lost(format!("no answer for {} s", deadline.as_secs()));
        }
    }
}
