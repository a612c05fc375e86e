//! The code that phases 4 to 7 share.

use super::config::DesiredState;
use super::node::{Node, bounded, start_node};
use crate::config::Config;
use crate::database::lock_retry::BlockerMonitor;
use crate::database::servers::in_words;
use crate::database::{BootLock, ImageServers, Session};
use crate::directus::{Bridge, BridgeError};
use crate::error::BootError;
use crate::listing::Listing;
use crate::log::Log;
use crate::quote::literal;
use crate::witness::measure::{AffectedRows, count_affected_rows, data_first};
use crate::witness::{LastCatalog, Link, Loss};

/// A boot that has work to do and holds the boot lock.
#[derive(Clone, Copy)]
pub(super) struct Boot<'a> {
    pub(super) desired: &'a DesiredState,
    pub(super) lock: &'a BootLock,
    pub(super) last: &'a LastCatalog,
    /// The servers of other images that run on the database; what removes or narrows waits for their end.
    pub(super) others: &'a [ImageServers],
    pub(super) log: &'a Log,
}

impl Boot<'_> {
    /// See [`bounded`].
    pub(super) async fn bounded<T>(self, session: &Session, work: impl Future<Output = T>) -> Result<T, BootError> {
        bounded(self.desired, session, self.log, work).await
    }

    /// Runs a transaction on Directus' connection; repeats it when it failed on a lock. `attempt` ends the transaction
    /// unless it fails. `subject` is the step in the log, and `failed` makes an error of a bridge's.
    pub(super) async fn with_lock_retry<T>(
        self,
        subject: &str,
        bridge: &mut Bridge,
        failed: fn(BridgeError) -> BootError,
        attempt: impl AsyncFn(&mut Bridge) -> Result<T, BootError>,
    ) -> Result<T, BootError> {
        let Config { database, lock_retry, .. } = &self.desired.config;
        let monitor = BlockerMonitor::new(subject, database, *lock_retry, self.log);
        let tries = async {
            loop {
                bridge.begin().await.map_err(failed)?;
                let limit = literal(&lock_retry.lock_timeout());
                let settings = format!("select pg_backend_pid(), set_config('lock_timeout', {limit}, true)");
                let rows = bridge.query(&settings).await.map_err(failed)?;
                if let Some(pid) = rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok()) {
                    monitor.watch(pid);
                }
                let result = attempt(bridge).await;
                let Some(reason) = result.as_ref().err().and_then(BootError::lock_failure) else { return result };
                bridge.rollback().await.map_err(failed)?;
                monitor.pause(&reason).await?;
            }
        };
        monitor.during(tries).await
    }

    /// Warns that this work cannot wait, although servers of other images run.
    pub(super) fn warn_of_breaking(self, work: &str, reason: &str) {
        let servers = in_words(self.others);
        self.log.warn(format!("{work} {reason}: it is applied next to {servers}, which may fail from now on"));
    }

    /// Returns Directus' process; starts it if it is not running yet.
    pub(super) async fn ensure_node<'n>(
        self,
        session: &Session,
        node: &'n mut Option<Node>,
    ) -> Result<&'n mut Node, BootError> {
        if node.is_none() {
            let phase = self.log.phase();
            *node = Some(start_node(self.desired, session, self.log, false).await?);
            self.log.resume(phase);
        }
        Ok(node.as_mut().expect("started above"))
    }
}

/// Losses of a transaction that was rolled back, each with its number of rows or values: `table laps (12 rows)`. Those with
/// data come first.
pub(super) async fn with_amounts(session: &Session, losses: &[(Loss, Option<u64>)]) -> Result<Listing, BootError> {
    let mut counted = Vec::with_capacity(losses.len());
    for (loss, measured) in losses {
        let amount = match measured {
            Some(number) => Some(AffectedRows::counted(*number, loss)),
            None => count_affected_rows(&mut Link::Session(&session.client), loss).await?,
        };
        counted.push((loss, amount));
    }
    Ok(Listing::new(data_first(counted).map(|(_, sentence)| sentence).collect()))
}
