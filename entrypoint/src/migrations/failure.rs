//! Why a migration was not applied: what PostgreSQL said, where in the file, and what is left of it.

use std::fmt;

use tokio_postgres::error::ErrorPosition;

use super::MigrationFile;
use super::locate::{Said, locate};
use super::patience::LockPatience;
use super::place::Place;
use crate::database::{Session, VerifyError, describe};
use crate::log::Log;

/// What is left of a file that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Its transaction was rolled back.
    Nothing,
    /// It has none.
    Statements {
        /// How many statements were done.
        done: usize,
        /// How many the file has.
        of: usize,
        /// The last line of what was done.
        line: usize,
    },
}

impl Kept {
    /// What a file without a transaction leaves after so many of its statements.
    pub(super) fn after(file: &MigrationFile, done: usize) -> Kept {
        let end = file.statements[..done].last().map_or(0, |range| range.end);
        Kept::Statements { done, of: file.statements.len(), line: Place::at(&file.sql, end).line }
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kept::Nothing => f.write_str("nothing of it was kept"),
            Kept::Statements { done: 0, .. } => f.write_str("none of its statements was kept"),
            Kept::Statements { done, of, line } => write!(
                f,
                "what it did ({done} of {of} statements, to line {line}) was kept, and the next boot runs it again from \
                 the first one, so that each must be repeatable (IF NOT EXISTS)"
            ),
        }
    }
}

/// Why a migration was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The server refused a statement.
    #[error("{place}: {reason}; {kept}: correct the file and build a new image")]
    Sql {
        /// `001_a.sql:3:7`, or the file alone if the transaction failed as a whole.
        place: String,
        /// The server's message, SQLSTATE, detail and hint.
        reason: String,
        /// What is left of it.
        kept: Kept,
    },
    /// Somebody else did not let go of a lock.
    #[error(
        "{filename}: no lock within {} s, {} times; in the way: {blocker}; {kept}: end that session or raise \
         MIGRATION_LOCK_TIMEOUT, then start again",
        patience.timeout.as_secs(),
        patience.tries
    )]
    Blocked {
        /// The file.
        filename: String,
        /// How long and how often it waited.
        patience: LockPatience,
        /// Who holds the lock.
        blocker: String,
        /// What is left of the file.
        kept: Kept,
    },
    /// It destroys data and does not declare that.
    #[error(
        "{filename} would destroy {}; it was rolled back: correct the file, or declare it in the file's first lines with \
         `-- destroys: {directives}`, and build a new image",
        losses.join("; ")
    )]
    Destroys {
        /// The file.
        filename: String,
        /// The losses, each with its amount.
        losses: Vec<String>,
        /// The value of the directive that declares it.
        directives: String,
    },
    /// The boot lock was not held any more right before COMMIT.
    #[error("{error}; {filename} was rolled back: start again, the boot goes on where it stopped")]
    LockLost {
        /// The file.
        filename: String,
        /// How that was found.
        error: VerifyError,
    },
    /// The connection failed in the middle.
    #[error("{filename}: {}", describe(source))]
    Connection {
        /// The file that was being applied.
        filename: String,
        /// The driver's error.
        source: tokio_postgres::Error,
    },
}

/// What PostgreSQL refused.
pub(super) struct Refusal {
    pub(super) error: tokio_postgres::Error,
    /// The statement that was sent by itself, if one was.
    pub(super) sent: Option<usize>,
    pub(super) kept: Kept,
    /// Whether somebody else's lock was the cause.
    pub(super) is_blocked: bool,
}

impl Refusal {
    /// Of a transaction, or before anything was done.
    pub(super) fn whole(error: tokio_postgres::Error) -> Refusal {
        Refusal { is_blocked: waits_in_vain(&error), error, sent: None, kept: Kept::Nothing }
    }

    /// After so many statements without a transaction.
    pub(super) fn after(error: tokio_postgres::Error, file: &MigrationFile, done: usize) -> Refusal {
        Refusal { kept: Kept::after(file, done), ..Refusal::whole(error) }
    }
}

/// A failure whose place is yet to be found, or one that has none.
pub(super) enum Failure {
    Refused(Refusal),
    Named(ApplyError),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::Refused(refusal)
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        Failure::Named(error)
    }
}

/// Whether a lock was not to be had: `lock_not_available`, or a deadlock that PostgreSQL broke at our cost.
fn waits_in_vain(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|state| matches!(state.code(), "55P03" | "40P01"))
}

/// Finds the place of what PostgreSQL refused, and shows it in the log.
pub(super) fn sql_error(session: &Session, file: &MigrationFile, refusal: Refusal, log: &Log) -> ApplyError {
    let Refusal { error, sent, kept, .. } = refusal;
    let filename = file.filename.clone();
    let db = match error.as_db_error() {
        // A server that is shut down under us says so with an error of its own.
        Some(db) if !session.client.is_closed() && !db.code().code().starts_with("57P") => db,
        _ => return ApplyError::Connection { filename, source: error },
    };
    let said = match db.position() {
        Some(ErrorPosition::Original(position)) => Said { position: Some(*position), ..Said::default() },
        Some(ErrorPosition::Internal { position, query }) => {
            Said { internal: Some((*position, query)), ..Said::default() }
        }
        None => Said::default(),
    };
    let said = Said { context: db.where_().unwrap_or_default(), ..said };
    let place = match locate(&file.sql, &file.statements, sent, said) {
        Some(byte) => {
            let place = Place::at(&file.sql, byte);
            for line in place.excerpt(&filename, &file.sql, db.message()) {
                log.note(line);
            }
            format!("{filename}:{}:{}", place.line, place.column)
        }
        None => filename,
    };
    let mut reason = describe(&error);
    // 2D000: a procedure commits.
    if matches!(db.code().code(), "25001" | "2D000") && sent.is_none() {
        reason.push_str("; move it into a file with the directive `-- no-transaction`, where it runs alone");
    }
    ApplyError::Sql { place, reason, kept }
}
