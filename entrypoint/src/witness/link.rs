//! The connection of the observed transaction: the boot's own, or Directus' connection through the bridge.

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::directus::{Bridge, BridgeError};

/// Rows of a result, each value in PostgreSQL's text form.
pub type Rows = Vec<Vec<Option<String>>>;

/// A connection with an open transaction.
#[derive(Debug)]
pub enum Link<'a> {
    /// The boot's own session.
    Session(&'a Client),
    /// Directus' connection.
    Directus(&'a mut Bridge),
}

/// A failed query.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// On the boot's own session.
    #[error(transparent)]
    Sql(#[from] tokio_postgres::Error),
    /// On Directus' connection.
    #[error(transparent)]
    Directus(#[from] BridgeError),
    /// The result does not have the form that the query returns.
    #[error("the catalog cannot be read: {0}")]
    Malformed(String),
}

impl LinkError {
    /// The SQLSTATE, if PostgreSQL returned one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            LinkError::Sql(error) => error.code().map(tokio_postgres::error::SqlState::code),
            LinkError::Directus(BridgeError::Failed(failure)) => failure.code.as_deref(),
            LinkError::Directus(_) | LinkError::Malformed(_) => None,
        }
    }
}

impl Link<'_> {
    /// Runs one or more statements and returns the rows of the last one. They are not prepared, so that the same text
    /// works on both kinds of connection.
    ///
    /// # Errors
    /// Fails if a statement or the connection fails; the transaction is then aborted.
    pub async fn rows(&mut self, sql: &str) -> Result<Rows, LinkError> {
        match self {
            Link::Session(client) => Ok(last_result(&client.simple_query(sql).await?)),
            Link::Directus(bridge) => Ok(bridge.query(sql).await?),
        }
    }

    /// Returns the first value of a query's result.
    ///
    /// # Errors
    /// See [`Link::rows`]; [`LinkError::Malformed`] if there is no value.
    pub async fn text(&mut self, sql: &str) -> Result<String, LinkError> {
        let text = self.rows(sql).await?.into_iter().flatten().flatten().next();
        text.ok_or_else(|| LinkError::Malformed("no row".to_owned()))
    }

    /// Returns the first value of the first row as a number; 0 if there is none.
    ///
    /// # Errors
    /// See [`Link::rows`].
    pub async fn number(&mut self, sql: &str) -> Result<u64, LinkError> {
        let rows = self.rows(sql).await?;
        let value = rows.first().and_then(|row| row.first()).and_then(Option::as_deref);
        Ok(value.and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    /// Runs statements in a savepoint. Returns `None` if PostgreSQL refused them.
    ///
    /// # Errors
    /// Fails if the connection is lost or a lock was not available.
    pub async fn attempt(&mut self, sql: &str) -> Result<Option<Rows>, LinkError> {
        self.rows("savepoint witness").await?;
        match self.rows(sql).await {
            Ok(rows) => {
                self.rows("release savepoint witness").await?;
                Ok(Some(rows))
            }
            Err(error) if error.code().is_some_and(|code| !code.starts_with("57P") && code != "55P03") => {
                self.rows("rollback to savepoint witness; release savepoint witness").await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// The rows of the last statement in a simple query's answer.
fn last_result(messages: &[SimpleQueryMessage]) -> Rows {
    let mut rows = Rows::new();
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(_) => rows.clear(),
            SimpleQueryMessage::Row(row) => {
                rows.push((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect());
            }
            _ => {}
        }
    }
    rows
}
