//! One connection to PostgreSQL, with its notices and the reason of its end.

use std::fmt;
use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, Connection, SimpleQueryMessage};

use super::{TlsClient, describe};
use crate::config::DatabaseConfig;

/// Time limit for closing a connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Resets all settings of a session: a `set search_path` or `set role` in one migration must affect neither the ledger nor
/// the next migration.
///
/// A killed boot holds its lock until its statement ends; with the check interval the server notices the closed connection
/// within half a second. Servers before 14 do not have that setting.
pub const RESET: &str = "reset session authorization;
     reset all;
     select set_config(name, '500', false) from pg_catalog.pg_settings where name = 'client_connection_check_interval'";

/// A message that PostgreSQL sent in addition to a result (`RAISE WARNING`, `NOTICE: … already exists`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// `WARNING`, `NOTICE`, …, untranslated.
    pub severity: String,
    /// The text, possibly translated.
    pub message: String,
}

impl Notice {
    /// Returns true if the operator should read it.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        self.severity == "WARNING"
    }
}

/// The reason why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost(pub String);

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One connection. An advisory lock that it takes ends with it.
#[derive(Debug)]
pub struct Session {
    /// The driver's client, for queries.
    pub client: Client,
    /// The server's version number, such as `16.6`.
    pub server_version: String,
    notices: mpsc::UnboundedReceiver<Notice>,
    ended: watch::Receiver<Option<Lost>>,
}

impl Session {
    /// Connects and runs a query, because a server that accepts connections may not answer yet. Has no time limit.
    ///
    /// # Errors
    /// The driver's.
    pub async fn connect(config: &DatabaseConfig) -> Result<Session, tokio_postgres::Error> {
        let mut driver = config.driver.clone();
        // Without a fallback to the other mode, like Directus.
        driver.ssl_mode(if config.tls.is_some() { SslMode::Require } else { SslMode::Disable });
        // A plain connection uses the same type, because a second one would duplicate the driver's code in the binary.
        let connector = match &config.tls {
            Some(tls) => tls.connector(),
            None => TlsClient::unused().connector(),
        };
        let (client, connection) = driver.connect(connector).await?;
        let mut session = Session::drive(client, connection);
        // Without a prepared statement, which a pooler may lose before it is used.
        for message in session.client.simple_query("show server_version").await? {
            if let SimpleQueryMessage::Row(row) = message {
                let version = row.get(0).unwrap_or_default();
                version.split(' ').next().unwrap_or(version).clone_into(&mut session.server_version);
            }
        }
        Ok(session)
    }

    /// Prepares the session for work: default settings, and the server's check for a closed connection.
    ///
    /// # Errors
    /// The driver's.
    pub async fn ready(&self) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(RESET).await
    }

    fn drive<S, T>(client: Client, mut connection: Connection<S, T>) -> Session
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (notice, notices) = mpsc::unbounded_channel();
        let (end, ended) = watch::channel(None);
        tokio::spawn(async move {
            let lost = loop {
                match poll_fn(|context| connection.poll_message(context)).await {
                    Some(Ok(AsyncMessage::Notice(message))) => {
                        let notice_sent = notice.send(Notice {
                            severity: message.severity().to_owned(),
                            message: message.message().to_owned(),
                        });
                        // The receiver is gone: the session is being dropped.
                        drop(notice_sent);
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break Lost(describe(&error)),
                    None => break Lost("the connection was closed".to_owned()),
                }
            };
            end.send_replace(Some(lost));
        });
        Session { client, server_version: String::new(), notices, ended }
    }

    /// Ends the connection in an orderly way, and its locks with it.
    pub async fn close(self) {
        let Session { client, mut ended, .. } = self;
        drop(client);
        // A server that does not read the Terminate message must not delay the boot.
        drop(timeout(CLOSE_TIMEOUT, ended.wait_for(Option::is_some)).await);
    }

    /// Returns the notices that arrived since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::iter::from_fn(|| self.notices.try_recv().ok()).collect()
    }

    /// Waits until the connection ends and returns the reason. The error of a statement is often just "closed".
    pub async fn lost(&self) -> Lost {
        let mut ended = self.ended.clone();
        let lost = match ended.wait_for(Option::is_some).await {
            Ok(lost) => lost.clone(),
            Err(_) => None,
        };
        lost.unwrap_or_else(|| Lost("the connection was closed".to_owned()))
    }
}
