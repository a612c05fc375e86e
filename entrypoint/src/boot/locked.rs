//! The code that phases 4 to 7 share.

use super::config::Prepared;
use super::node::{Node, bounded, start_node};
use crate::database::{BootLock, Session};
use crate::error::BootError;
use crate::log::Log;
use crate::witness::{self, LastCatalog, Link, Loss, measure};

/// A boot that has work to do and holds the boot lock.
#[derive(Clone, Copy)]
pub(super) struct Boot<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) lock: &'a BootLock,
    pub(super) last: &'a LastCatalog,
    pub(super) log: &'a Log,
}

impl Boot<'_> {
    /// See [`bounded`].
    pub(super) async fn bounded<T>(self, session: &Session, work: impl Future<Output = T>) -> Result<T, BootError> {
        bounded(self.prepared, session, self.log, work).await
    }

    /// Returns Directus' process; starts it if it is not running yet.
    pub(super) async fn ensure_node<'n>(
        self,
        session: &Session,
        node: &'n mut Option<Node>,
    ) -> Result<&'n mut Node, BootError> {
        if node.is_none() {
            let phase = self.log.phase();
            *node = Some(start_node(self.prepared, session, self.log, false).await?);
            self.log.resume(phase);
        }
        Ok(node.as_mut().expect("started above"))
    }
}

/// Losses of a transaction that was rolled back, each with its number of rows or values: `table laps (12 rows)`.
pub(super) async fn with_amounts(session: &Session, losses: &[(Loss, Option<u64>)]) -> Result<Vec<String>, BootError> {
    let mut sentences = Vec::with_capacity(losses.len());
    for (loss, measured) in losses {
        sentences.push(match measured {
            Some(number) => witness::watch::with_amount(loss, Some(*number)),
            None => match measure::count_affected_rows(&mut Link::Session(&session.client), loss).await? {
                Some(amount) => format!("{loss} ({amount})"),
                None => loss.to_string(),
            },
        });
    }
    Ok(sentences)
}
