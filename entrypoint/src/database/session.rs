//! One connection to PostgreSQL, with its notices and the reason of its end.

use std::fmt;
use std::future::poll_fn;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, SimpleQueryMessage};

use super::connect::{ConnectError, Connected, Driven, connect};
use super::describe;
use super::settings::{self, SettingError};
use super::tls::explain;
use super::tunnel::Tunnel;
use crate::config::DatabaseConfig;
use crate::quote::literal;

/// Time limit for closing a connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

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
    /// The role of the session; another one than DB_USER if the role has the setting `role`.
    pub role: String,
    /// The reason why Node makes the connection, if it does.
    pub node_reason: Option<String>,
    notices: mpsc::UnboundedReceiver<Notice>,
    ended: watch::Receiver<Option<Lost>>,
    driver: AbortHandle,
}

impl Session {
    /// Connects, fixes the session's settings, and asks for the version, because a server that accepts connections may
    /// not answer yet. Has no time limit.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(config: &DatabaseConfig) -> Result<Session, ConnectError> {
        let Connected { client, driven, tunnel } = connect(config).await?;
        let node_reason = tunnel.as_ref().map(|(_, reason)| explain(reason).0);
        let mut session = Session::drive(client, driven, tunnel.map(|(tunnel, _)| tunnel), node_reason);
        // Without prepared statements, which a pooler may lose before they are used.
        let who = "select current_setting('server_version'), current_user";
        for message in session.client.simple_query(&format!("{}; {who}", settings::fix(&config.given_settings))).await?
        {
            // The last row is the one of the last statement.
            if let SimpleQueryMessage::Row(row) = message {
                let version = row.get(0).unwrap_or_default();
                version.split(' ').next().unwrap_or(version).clone_into(&mut session.server_version);
                row.get(row.len() - 1).unwrap_or_default().clone_into(&mut session.role);
            }
        }
        Ok(session)
    }

    /// Prepares the session for work: settings that only a superuser may change must have their usual values, and new
    /// tables must be created where Directus looks for them.
    ///
    /// # Errors
    /// [`SettingError`].
    pub async fn ready(&self, config: &DatabaseConfig) -> Result<(), SettingError> {
        let place = "select current_schema()::text, current_setting('search_path')";
        let row = self.client.query_one(place, &[]).await?;
        let schema: Option<String> = row.get(0);
        if !config.has_search_path && schema.as_deref() != Some("public") {
            return Err(SettingError::SearchPath { schema, search_path: row.get(1) });
        }
        for message in self.client.simple_query(&settings::unusual()).await? {
            let SimpleQueryMessage::Row(row) = message else { continue };
            let [name, present, wanted] = [0, 1, 2].map(|index| row.get(index).unwrap_or_default().to_owned());
            let set = format!("set {name} = {}", literal(&wanted));
            match self.client.batch_execute(&set).await {
                Ok(()) => {}
                Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                    return Err(SettingError::Unusual { name, present, wanted });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Runs the connection in the background. `tunnel` lives as long as it does.
    fn drive(client: Client, mut connection: Driven, tunnel: Option<Tunnel>, node_reason: Option<String>) -> Session {
        let (notice, notices) = mpsc::unbounded_channel();
        let (end, ended) = watch::channel(None);
        let driver = tokio::spawn(async move {
            let _tunnel = tunnel;
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
        let driver = driver.abort_handle();
        Session { client, server_version: String::new(), role: String::new(), node_reason, notices, ended, driver }
    }

    /// Ends the connection in an orderly way, and its locks with it.
    pub async fn close(self) {
        let Session { client, mut ended, driver, .. } = self;
        drop(client);
        // A server that does not read the Terminate message must not delay the boot. The driver sends it only after the
        // answer to the last statement.
        if timeout(CLOSE_TIMEOUT, ended.wait_for(Option::is_some)).await.is_err() {
            driver.abort();
        }
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
