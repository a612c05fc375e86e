//! Classifies errors of a connection attempt: retry, or give up at once.

use std::error::Error as _;
use std::io;

use tokio_postgres::error::SqlState;

use super::tls;

/// The class of a connection error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The server is not ready or too busy: a retry may succeed.
    Transient,
    /// The server refused, and will refuse again.
    Final,
}

/// Classifies an error by its SQLSTATE or I/O kind, never by its text (which is translated).
#[must_use]
pub fn judge(error: &tokio_postgres::Error) -> Verdict {
    match error.code() {
        Some(state) => judge_state(state),
        // Wrapped in an I/O error, but a retry fails, too.
        None if tls_error(error).is_some() => Verdict::Final,
        None if io_error(error).is_some() => Verdict::Transient,
        // A server that starts or stops closes the connection.
        None if error.is_closed() => Verdict::Transient,
        // The driver's own errors: the server has no TLS, or a required password is not set.
        None => Verdict::Final,
    }
}

fn judge_state(state: &SqlState) -> Verdict {
    match *state {
        // Starting up, shutting down, in recovery; out of connections; terminated by an administrator.
        SqlState::CANNOT_CONNECT_NOW
        | SqlState::TOO_MANY_CONNECTIONS
        | SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN => Verdict::Transient,
        // A failing host, or a standby that is being promoted.
        ref other if other.code().starts_with("08") || other.code().starts_with("58") => Verdict::Transient,
        _ => Verdict::Final,
    }
}

/// Describes the error for the operator: the server's message with its SQLSTATE, or the network or TLS error.
#[must_use]
pub fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        let mut text = format!("{} ({})", db.message(), db.code().code());
        for part in [db.detail(), db.hint()].into_iter().flatten() {
            text.push_str(": ");
            text.push_str(part);
        }
        return text;
    }
    if let Some(error) = tls_error(error) {
        return tls::explain(error).0;
    }
    if let Some(io) = io_error(error) {
        return match io.kind() {
            io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
                "the connection was closed".to_owned()
            }
            _ => io.to_string(),
        };
    }
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Returns the remedy for a final error.
pub(super) fn remedy(error: &tokio_postgres::Error) -> &'static str {
    if let Some(error) = tls_error(error) {
        return tls::explain(error).1;
    }
    match error.code().map(SqlState::code) {
        Some("28P01") => "correct DB_USER or DB_PASSWORD",
        Some("28000") => "the role may not log in from here: correct DB_USER, the server's pg_hba.conf, or DB_SSL",
        Some("3D000") => "create the database or correct DB_DATABASE",
        Some("42501") => "grant the role CONNECT on the database",
        // The driver distinguishes these two only by their text.
        None if error.to_string().contains("TLS") => "enable ssl in the server's configuration, or unset DB_SSL",
        None if describe(error).contains("password missing") => "set DB_PASSWORD",
        _ => "correct the DB_* variables or the server's configuration",
    }
}

/// The error of the TLS handshake or of a later record.
fn tls_error(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    io_error(error)?.get_ref()?.downcast_ref()
}

fn io_error(error: &tokio_postgres::Error) -> Option<&io::Error> {
    error.source()?.downcast_ref()
}

/// The remedy at the end of the message.
const REMEDY: &str = "let the boot bypass it with BOOT_DB_HOST and BOOT_DB_PORT, or BOOT_DB_CONNECTION_STRING (the \
                      server keeps its own DB_*), or set the pooler's pool_mode=session";

/// A pooler was detected; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error("a pooler at {target} shares PostgreSQL's connections ({evidence}), so no lock would hold: {REMEDY}")]
pub struct Pooled {
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
    use super::*;

    #[test]
    fn errors_of_a_starting_server_are_transient() {
        for state in [SqlState::CANNOT_CONNECT_NOW, SqlState::TOO_MANY_CONNECTIONS, SqlState::ADMIN_SHUTDOWN] {
            assert_eq!(judge_state(&state), Verdict::Transient, "{state:?}");
        }
        assert_eq!(judge_state(&SqlState::from_code("08006")), Verdict::Transient);
    }

    #[test]
    fn refusals_are_final() {
        for state in [
            SqlState::INVALID_PASSWORD,
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            SqlState::INVALID_CATALOG_NAME,
            SqlState::INSUFFICIENT_PRIVILEGE,
            SqlState::from_code("XX000"),
        ] {
            assert_eq!(judge_state(&state), Verdict::Final, "{state:?}");
        }
    }
}
