//! Classifies errors of a connection attempt: retry, or give up at once; and describes errors without their values.

use std::error::Error as _;
use std::io;

use tokio_postgres::error::SqlState;

use super::connect::ConnectError;
use super::tls;
use crate::network;
use contract::failure;
use contract::sqlstate::{self, Retryability};

impl ConnectError {
    /// Classifies the error by its kind or SQLSTATE, never by its text (which is translated).
    #[must_use]
    pub fn retryability(&self) -> Retryability {
        match self {
            // A name server may be starting; a name that does not exist today may exist in a second.
            ConnectError::Name(_) | ConnectError::Network(_) => Retryability::Transient,
            ConnectError::NotEncrypted | ConnectError::Tls(_) => Retryability::Final,
            ConnectError::Postgres(error) => match error.code() {
                Some(state) => sqlstate::retryability(state.code()),
                // A server that starts or stops closes the connection.
                None if error.is_closed() || io_error(error).is_some() => Retryability::Transient,
                // The driver's own error: a required password is not set.
                None => Retryability::Final,
            },
        }
    }

    /// Describes the error for the operator.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            ConnectError::Name(_) | ConnectError::NotEncrypted => self.to_string(),
            ConnectError::Network(error) => network::describe(error),
            ConnectError::Tls(error) => tls::explain(error).0,
            ConnectError::Postgres(error) => describe(error),
        }
    }

    /// Returns the second half of the last line, for this cause: the state of the database and the remedy.
    #[must_use]
    pub fn ending(&self) -> String {
        match self {
            ConnectError::Name(_) => failure::NAME.ending(),
            ConnectError::Network(_) => failure::NETWORK.ending(),
            ConnectError::NotEncrypted => failure::NO_TLS.ending(),
            ConnectError::Tls(error) => failure::TLS.ending_with(tls::explain(error).1),
            ConnectError::Postgres(error) => match error.code() {
                Some(state) => {
                    let of_code = sqlstate::remedy(state.code()).unwrap_or("correct the DB_* variables or the server");
                    let of_extension = error.as_db_error().and_then(|db| sqlstate::remedy_of_extension(db.message()));
                    failure::CONNECTION.ending_with(of_extension.as_deref().unwrap_or(of_code))
                }
                None if describe(error).contains("password missing") => failure::NO_PASSWORD.ending(),
                None => failure::NOT_POSTGRESQL.ending(),
            },
        }
    }
}

/// Describes the error for the operator: the server's message with its SQLSTATE, or the network's error. Without the
/// content of a row: see [`sqlstate::safe_detail`].
#[must_use]
pub fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        let code = db.code().code();
        let mut text = format!("{} ({code})", sqlstate::without_values(code, db.message()));
        let detail = db.detail().and_then(|detail| sqlstate::safe_detail(code, detail));
        for part in [detail, db.hint().map(str::to_owned)].into_iter().flatten() {
            text.push_str(": ");
            text.push_str(first_line(&part).trim_end_matches('.'));
        }
        return text;
    }
    if let Some(io) = io_error(error) {
        return match io.kind() {
            // The driver's words for bytes that are not a message of PostgreSQL, or not all of one.
            io::ErrorKind::Other | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
                if io.raw_os_error().is_none() =>
            {
                format!("the server does not answer as PostgreSQL does: {io}")
            }
            _ => network::describe(io),
        };
    }
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// The first line of a text, with the number of the others. PostgreSQL lists the objects that depend on another one.
fn first_line(text: &str) -> String {
    match text.split_once('\n') {
        None => text.to_owned(),
        Some((first, rest)) => format!("{first} (and {} more)", rest.lines().count()),
    }
}

fn io_error(error: &tokio_postgres::Error) -> Option<&io::Error> {
    error.source()?.downcast_ref()
}

/// A pooler was detected; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error("a pooler at {target} shares PostgreSQL's connections ({evidence}), so no lock would hold; {}", failure::POOLER.ending())]
pub struct PoolerDetected {
    /// `host:port`.
    pub target: String,
    /// The observation that gives the pooler away, for the message.
    pub evidence: String,
}

/// Returns the evidence of a pooler in an error: a prepared statement that is missing from the assigned connection, a
/// startup parameter that the pooler does not know, or a transaction that statement mode does not allow.
#[must_use]
pub fn trace_of_pooler(error: &tokio_postgres::Error) -> Option<String> {
    let error = error.as_db_error()?;
    let of_pooler = match *error.code() {
        SqlState::INVALID_SQL_STATEMENT_NAME | SqlState::DUPLICATE_PSTATEMENT => true,
        // PgBouncer uses this code for all its errors, and does not translate them.
        SqlState::PROTOCOL_VIOLATION => {
            ["startup parameter", "pooling mode"].iter().any(|words| error.message().contains(words))
        }
        _ => false,
    };
    of_pooler.then(|| format!("{} ({})", error.message(), error.code().code()))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio_postgres::{Config, NoTls};

    use super::*;

    #[tokio::test]
    async fn a_server_of_another_kind_is_called_one() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        theirs.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await.expect("a buffer");
        theirs.shutdown().await.expect("a buffer");
        let connected = Config::new().user("directus").connect_raw(ours, NoTls).await;
        let text = describe(&connected.err().expect("it is not PostgreSQL"));
        assert!(text.starts_with("the server does not answer as PostgreSQL does: "), "{text}");
    }
}
