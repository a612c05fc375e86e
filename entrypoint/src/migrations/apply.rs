//! Applies one migration: its SQL and its ledger row in one transaction.

use std::time::Instant;

use tokio_postgres::error::{DbError, ErrorPosition};

use super::MigrationFile;
use super::caret::{excerpt, place};
use crate::contract::Phase;
use crate::database::state::{LedgerRow, record_migration};
use crate::database::{RESET, Session, describe};
use crate::log::Log;

/// Why a migration was not applied. Nothing of it was kept.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The server refused a statement.
    #[error("{place}: {reason}; nothing of it was kept: correct the file and build a new image")]
    Sql {
        /// `001_a.sql:3:7`, or the file alone where PostgreSQL gives no position.
        place: String,
        /// The server's message, SQLSTATE, detail and hint.
        reason: String,
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

/// Applies the file and says so in the log. On an SQL error the log gets the line with a caret under it.
///
/// # Errors
/// See [`ApplyError`].
pub async fn apply(
    session: &mut Session,
    phase: Phase,
    file: &MigrationFile,
    image: &str,
    log: &Log,
) -> Result<(), ApplyError> {
    let result = in_transaction(session, phase, file, image).await;
    for notice in session.take_notices() {
        let text = format!("{}: {}", file.filename, notice.message);
        if notice.is_warning() { log.warn(text) } else { log.note(text) }
    }
    result.map_err(|error| match error.as_db_error() {
        // A server that is shut down under us says so with an error of its own.
        Some(db) if !session.client.is_closed() && !db.code().code().starts_with("57P") => {
            sql_error(file, db, &error, log)
        }
        _ => ApplyError::Connection { filename: file.filename.clone(), source: error },
    })
}

async fn in_transaction(
    session: &mut Session,
    phase: Phase,
    file: &MigrationFile,
    image: &str,
) -> Result<(), tokio_postgres::Error> {
    let began = Instant::now();
    let transaction = session.client.transaction().await?;
    // The file goes in as a parameter and is run by EXECUTE: every COMMIT, ROLLBACK and COPY FROM STDIN in it fails
    // with 0A000 instead of ending our transaction, and an error's position counts from the file's first character.
    transaction.execute("select set_config('boot.migration', $1, true)", &[&file.sql]).await?;
    transaction.batch_execute("do $boot$ begin execute current_setting('boot.migration'); end $boot$").await?;
    transaction.batch_execute(RESET).await?;
    let row = LedgerRow { filename: file.filename.clone(), checksum: file.checksum.clone() };
    record_migration(&transaction, phase, &row, began.elapsed(), image).await?;
    transaction.commit().await
}

fn sql_error(file: &MigrationFile, db: &DbError, error: &tokio_postgres::Error, log: &Log) -> ApplyError {
    let position = match db.position() {
        Some(ErrorPosition::Internal { position, query }) if *query == file.sql => place(&file.sql, *position),
        _ => None,
    };
    let place = match position {
        Some(place) => {
            for line in excerpt(&file.filename, &file.sql, place, db.message()) {
                log.note(line);
            }
            format!("{}:{}:{}", file.filename, place.line, place.column)
        }
        None => file.filename.clone(),
    };
    ApplyError::Sql { place, reason: describe(error) }
}
