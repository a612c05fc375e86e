//! The errors of applying a migration: PostgreSQL's message, its place in the file, and the partial progress.

use std::fmt;

use tokio_postgres::error::ErrorPosition;

use super::MigrationFile;
use super::locate_error::{PgErrorContext, locate_error};
use super::source_location::SourceLocation;
use crate::database::lock_retry::{Blocked, is_lock_failure};
use crate::database::{Session, VerifyError, describe};
use crate::listing::Listing;
use crate::log::Log;
use contract::failure::{self, RemainingState};
use contract::sqlstate::{Remedy, without_values};

/// The part of a failed file that stays applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartialProgress {
    /// Nothing: the file's transaction was rolled back.
    Nothing,
    /// The first statements of a file without a transaction.
    Statements {
        /// The number of statements that were applied.
        done: usize,
        /// The number of statements in the file.
        of: usize,
        /// The last line of the applied statements.
        line: usize,
    },
}

impl PartialProgress {
    /// Returns the progress of a file without a transaction after its first `done` statements.
    pub(super) fn after(file: &MigrationFile, done: usize) -> PartialProgress {
        let end = file.statements[..done].last().map_or(0, |range| range.end);
        PartialProgress::Statements { done, of: file.statements.len(), line: SourceLocation::at(&file.sql, end).line }
    }
}

impl fmt::Display for PartialProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PartialProgress::Nothing => f.write_str(RemainingState::FileRolledBack.words()),
            PartialProgress::Statements { done: 0, .. } => f.write_str("none of its statements was applied"),
            PartialProgress::Statements { done, of, line } => write!(
                f,
                "{done} of its {of} statements (to line {line}) stay applied, and the next boot runs the file again from \
                 the first one, so each must be repeatable (IF NOT EXISTS)"
            ),
        }
    }
}

/// An error of applying a migration.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The server refused a statement.
    #[error("{place}: {reason}; {kept}: {remedy}")]
    Sql {
        /// `001_a.sql:3:7`, or the file alone if the transaction failed as a whole.
        place: String,
        /// The server's message, SQLSTATE, detail and hint.
        reason: String,
        /// The part of the file that stays applied.
        kept: PartialProgress,
        /// The remedy for the cause.
        remedy: Remedy,
    },
    /// Another session did not release a lock.
    #[error("{filename}: {blocked}; {kept}: {}", failure::FILE_BLOCKED.remedy)]
    Blocked {
        /// The file.
        filename: String,
        /// The limits and the sessions that hold the lock.
        blocked: Blocked,
        /// The part of the file that stays applied.
        kept: PartialProgress,
    },
    /// The file destroys data without declaring it.
    #[error(
        "{filename} would destroy {losses}; {}",
        ending(directives.as_deref())
    )]
    Destroys {
        /// The file.
        filename: String,
        /// The losses, each with its amount.
        losses: Listing,
        /// The value of `-- destroys:` that declares them; none if they are no data, but used by other servers.
        directives: Option<String>,
    },
    /// The boot lock was no longer held right before COMMIT.
    #[error("{error}, in {filename}; {}", failure::LOCK_LOST.ending())]
    LockLost {
        /// The file.
        filename: String,
        /// The result of the check.
        error: VerifyError,
    },
    /// The connection was lost while the file was applied.
    #[error("{filename}: {}", describe(source))]
    Connection {
        /// The file that was being applied.
        filename: String,
        /// The driver's error.
        source: tokio_postgres::Error,
    },
}

/// An error of PostgreSQL, not yet located in the file.
pub(super) struct SqlRefusal {
    pub(super) error: tokio_postgres::Error,
    /// The index of the statement, if it was sent on its own.
    pub(super) sent: Option<usize>,
    pub(super) kept: PartialProgress,
    /// Another session's lock was the cause.
    pub(super) is_blocked: bool,
}

impl SqlRefusal {
    /// The error of a whole transaction, or one before the first statement.
    pub(super) fn whole(error: tokio_postgres::Error) -> SqlRefusal {
        SqlRefusal {
            is_blocked: error.code().is_some_and(|state| is_lock_failure(state.code())),
            error,
            sent: None,
            kept: PartialProgress::Nothing,
        }
    }

    /// The error of a file without a transaction after its first `done` statements.
    pub(super) fn after(error: tokio_postgres::Error, file: &MigrationFile, done: usize) -> SqlRefusal {
        SqlRefusal { kept: PartialProgress::after(file, done), ..SqlRefusal::whole(error) }
    }

    /// The error of a file without a transaction after all of its statements.
    pub(super) fn at_end(error: tokio_postgres::Error, file: &MigrationFile) -> SqlRefusal {
        SqlRefusal::after(error, file, file.statements.len())
    }
}

/// A failure that is not yet located, or one that needs no place.
pub(super) enum FileFailure {
    Refused(SqlRefusal),
    Named(ApplyError),
}

impl From<SqlRefusal> for FileFailure {
    fn from(refusal: SqlRefusal) -> Self {
        FileFailure::Refused(refusal)
    }
}

impl From<ApplyError> for FileFailure {
    fn from(error: ApplyError) -> Self {
        FileFailure::Named(error)
    }
}

/// Locates the error in the file and logs the line with a caret under it.
pub(super) fn sql_error(session: &Session, file: &MigrationFile, refusal: SqlRefusal, log: &Log) -> ApplyError {
    let SqlRefusal { error, sent, kept, .. } = refusal;
    let filename = file.filename.clone();
    let db = match error.as_db_error() {
        // A server that is shutting down sends an error of class 57P first.
        Some(db) if !session.client.is_closed() && !db.code().code().starts_with("57P") => db,
        _ => return ApplyError::Connection { filename, source: error },
    };
    let (position, internal) = match db.position() {
        Some(ErrorPosition::Original(position)) => (Some(*position), None),
        Some(ErrorPosition::Internal { position, query }) => (None, Some((*position, query.as_str()))),
        None => (None, None),
    };
    let context = PgErrorContext { position, internal, context: db.where_().unwrap_or_default() };
    let place = match locate_error(&file.sql, &file.statements, sent, context) {
        Some(byte) => {
            let place = SourceLocation::at(&file.sql, byte);
            for line in place.excerpt(&filename, &file.sql, &without_values(db.code().code(), db.message())) {
                log.note(line);
            }
            format!("{filename}:{}:{}", place.line, place.column)
        }
        None => filename,
    };
    let code = db.code().code();
    // 2D000: a procedure commits.
    let is_about_transaction = matches!(code, "25001" | "2D000") && sent.is_none();
    let by_author = if is_about_transaction { failure::TRANSACTION_BLOCK } else { failure::STATEMENT }.remedy;
    let remedy = Remedy::of(code, db.message(), &session.role, by_author);
    ApplyError::Sql { place, reason: describe(&error), kept, remedy }
}

/// The state and the remedy of a file that destroys what it does not declare.
fn ending(directives: Option<&str>) -> String {
    directives.map_or_else(|| failure::FILE_BREAKS.ending(), |directives| failure::FILE_DESTROYS.ending_for(directives))
}
