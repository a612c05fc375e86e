//! What an error of a connection attempt means: try again, or give up at once.

use std::error::Error as _;
use std::io;

use tokio_postgres::error::SqlState;

use super::tls;

/// Whether waiting can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The server is not there yet, or too busy.
    Transient,
    /// The server answered and said no; it will say so again.
    Final,
}

/// Judges an error by its SQLSTATE or I/O kind, never by its text (which is translated).
#[must_use]
pub fn judge(error: &tokio_postgres::Error) -> Verdict {
    match error.code() {
        Some(state) => judge_state(state),
        // Comes as an I/O error, and will come again.
        None if tls_error(error).is_some() => Verdict::Final,
        None if io_error(error).is_some() => Verdict::Transient,
        // Neither the server nor the network: TLS, or a password that is needed and not set. A server that closes the
        // connection while it starts or stops is neither.
        None if error.is_closed() => Verdict::Transient,
        None => Verdict::Final,
    }
}

fn judge_state(state: &SqlState) -> Verdict {
    match *state {
        // Starting up, shutting down, in recovery; out of connections; killed by an administrator.
        SqlState::CANNOT_CONNECT_NOW
        | SqlState::TOO_MANY_CONNECTIONS
        | SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN => Verdict::Transient,
        // A failing host, or one that is being promoted.
        ref other if other.code().starts_with("08") || other.code().starts_with("58") => Verdict::Transient,
        _ => Verdict::Final,
    }
}

/// The error in a few words for an operator: the server's message with its SQLSTATE, or the network's complaint.
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

/// What to do about an error that is final.
pub(super) fn remedy(error: &tokio_postgres::Error) -> &'static str {
    if let Some(error) = tls_error(error) {
        return tls::explain(error).1;
    }
    match error.code().map(SqlState::code) {
        Some("28P01") => "correct DB_USER or DB_PASSWORD",
        Some("28000") => "the role may not log in from here: correct DB_USER, or the server's pg_hba.conf, or DB_SSL",
        Some("3D000") => "create the database or correct DB_DATABASE",
        Some("42501") => "grant the role CONNECT on the database",
        // The driver tells these two apart by words alone.
        None if error.to_string().contains("TLS") => "switch ssl on in the server's configuration, or unset DB_SSL",
        None if describe(error).contains("password missing") => "set DB_PASSWORD",
        _ => "correct the DB_* variables or the server's configuration",
    }
}

/// What the TLS handshake, or a later record, failed of.
fn tls_error(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    io_error(error)?.get_ref()?.downcast_ref()
}

fn io_error(error: &tokio_postgres::Error) -> Option<&io::Error> {
    error.source()?.downcast_ref()
}

/// The remedy; ends every message.
const REMEDY: &str = "let the boot go past it with BOOT_DB_HOST and BOOT_DB_PORT, or BOOT_DB_CONNECTION_STRING (the \
                      server keeps its own DB_*), or set the pooler's pool_mode=session";

/// A pooler is there, and nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error("a pooler at {target} shares PostgreSQL's connections ({evidence}), so no lock would hold: {REMEDY}")]
pub struct Pooled {
    /// `host:port`.
    pub target: String,
    /// The evidence.
    pub evidence: String,
}

/// The trace of a pooler in an error: a prepared statement that is on another connection now, a startup
/// parameter that PostgreSQL knows and the pooler does not, a transaction that statement mode does not allow.
#[must_use]
pub fn trace_of_pooler(error: &tokio_postgres::Error) -> Option<String> {
    let error = error.as_db_error()?;
    let of_pooler = match *error.code() {
        SqlState::INVALID_SQL_STATEMENT_NAME | SqlState::DUPLICATE_PSTATEMENT => true,
        // PgBouncer's code for everything. It does not translate.
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
    fn a_server_that_starts_is_worth_waiting_for() {
        for state in [SqlState::CANNOT_CONNECT_NOW, SqlState::TOO_MANY_CONNECTIONS, SqlState::ADMIN_SHUTDOWN] {
            assert_eq!(judge_state(&state), Verdict::Transient, "{state:?}");
        }
        assert_eq!(judge_state(&SqlState::from_code("08006")), Verdict::Transient);
    }

    #[test]
    fn a_server_that_says_no_is_not() {
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
