//! One connection to PostgreSQL, whose end is noticed and whose notices are kept.

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

/// How long the end of a connection may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Brings every setting of a session back to what the connection began with: a `set search_path` or `set role` in one
/// migration must reach neither the ledger nor the next.
///
/// A boot that was killed holds its lock until its statement ends; with the check interval the server notices within
/// half a second. Servers before 14 do not have it.
pub const RESET: &str = "reset session authorization;
     reset all;
     select set_config(name, '500', false) from pg_catalog.pg_settings where name = 'client_connection_check_interval'";

/// A message that PostgreSQL sent beside an answer (`RAISE WARNING`, `NOTICE: … already exists`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// `WARNING`, `NOTICE`, …, untranslated.
    pub severity: String,
    /// Its text.
    pub message: String,
}

impl Notice {
    /// Whether somebody should look at it.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        self.severity == "WARNING"
    }
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost(pub String);

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One connection. The boot holds one from phase 2 to 7; its advisory lock lives and dies with it.
#[derive(Debug)]
pub struct Session {
    /// What queries go through.
    pub client: Client,
    /// `16.6`, as the server says it.
    pub server_version: String,
    notices: mpsc::UnboundedReceiver<Notice>,
    ended: watch::Receiver<Option<Lost>>,
}

impl Session {
    /// Connects and asks a real question: a server that takes connections may not answer yet.
    ///
    /// # Errors
    /// The driver's. Does not bound the time it takes.
    pub async fn connect(config: &DatabaseConfig) -> Result<Session, tokio_postgres::Error> {
        let mut driver = config.driver.clone();
        // Directus does not fall back from one to the other either.
        driver.ssl_mode(if config.tls.is_some() { SslMode::Require } else { SslMode::Disable });
        // A plain connection goes by the same type: the driver's code for another would be in the binary once more.
        let connector = match &config.tls {
            Some(tls) => tls.connector(),
            None => TlsClient::unused().connector(),
        };
        let (client, connection) = driver.connect(connector).await?;
        let mut session = Session::drive(client, connection);
        // Without a prepared statement: a pooler may have lost it before it is used.
        for message in session.client.simple_query("show server_version").await? {
            if let SimpleQueryMessage::Row(row) = message {
                let version = row.get(0).unwrap_or_default();
                version.split(' ').next().unwrap_or(version).clone_into(&mut session.server_version);
            }
        }
        Ok(session)
    }

    /// Readies the session for work: its settings, and that the server looks whether we are still there.
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
                        // Nobody listens any more: the session is being dropped.
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

    /// Ends the connection in good order, and with it the lock.
    pub async fn close(self) {
        let Session { client, ended, .. } = self;
        drop(client);
        let mut ended = ended;
        // A server that does not read our goodbye is no reason to wait for it.
        drop(timeout(GOODBYE, ended.wait_for(Option::is_some)).await);
    }

    /// The notices that came since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::iter::from_fn(|| self.notices.try_recv().ok()).collect()
    }

    /// Waits until the connection ends, and says why. A statement's own error is often just "closed": the cause is
    /// here.
    pub async fn lost(&self) -> Lost {
        let mut ended = self.ended.clone();
        let lost = match ended.wait_for(Option::is_some).await {
            Ok(lost) => lost.clone(),
            Err(_) => None,
        };
        lost.unwrap_or_else(|| Lost("the connection was closed".to_owned()))
    }
}
