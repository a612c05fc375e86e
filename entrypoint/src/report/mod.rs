//! `plan` and `status`: the work of a boot that is still to do, and the work that was done. Both only read.
//!
//! The report goes to standard output, as text or as one JSON object; the log goes to standard error.

mod plan;
mod status;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::boot::rehearse::rehearse;
use crate::boot::{Prepared, connect, explained, prepare};
use crate::config::Env;
use crate::database::Session;
use crate::error::BootError;
use crate::log::Log;
use contract::ExitCode;

pub use self::plan::{BootstrapReport, MigrationsReport, PlanReport, SchemaReport, SchemaState, Verdict};
pub use self::status::{AppliedMigration, AppliedSnapshot, DirectusReport, LockHolder, StatusReport};

/// The two reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// See [`PlanReport`].
    Plan,
    /// See [`StatusReport`].
    Status,
}

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines for a reader.
    Text,
    /// One JSON object.
    Json,
}

impl Format {
    fn render(self, report: &(impl Serialize + fmt::Display)) -> String {
        match self {
            Format::Json => serde_json::to_string(report).expect("plain data"),
            Format::Text => report.to_string().trim_end().to_owned(),
        }
    }
}

/// A rendered report, and the exit code of the process.
#[derive(Debug)]
pub struct Report {
    /// The text for standard output, without the last line break.
    pub text: String,
    /// The verdict.
    pub exit: ExitCode,
}

/// The image that makes a report.
#[derive(Clone, Debug, Serialize)]
pub struct ImageReport {
    /// Version and revision.
    pub name: String,
    /// The version of its Directus.
    pub directus: String,
    /// SHA-256 of its snapshot.
    pub snapshot: String,
}

/// The database of a report.
#[derive(Clone, Debug, Serialize)]
pub struct DatabaseReport {
    /// `host:port`.
    pub target: String,
    /// The version of PostgreSQL.
    pub server: String,
}

/// The subjects of both reports.
#[derive(Clone, Debug, Serialize)]
pub struct Heading {
    /// The image.
    pub image: ImageReport,
    /// The database.
    pub database: DatabaseReport,
}

impl Heading {
    fn new(prepared: &Prepared, session: &Session) -> Heading {
        Heading {
            image: ImageReport {
                name: prepared.config.image.clone(),
                directus: prepared.directus.version.clone(),
                snapshot: prepared.snapshot.digest.clone(),
            },
            database: DatabaseReport {
                target: prepared.config.database.target.clone(),
                server: session.server_version.clone(),
            },
        }
    }
}

/// Makes a report. Nothing is changed: all connections, those of Directus included, are read-only.
///
/// # Errors
/// Those of a boot, up to the point where it would begin to change something.
pub async fn report(kind: Kind, format: Format, env: &Env, log: &Log) -> Result<Report, BootError> {
    let prepared = prepare(env, log)?;
    let session = connect(&prepared, log).await?;
    let report = explained(rendered(kind, format, &prepared, &session, log).await, &prepared, &session).await?;
    session.close().await;
    Ok(report)
}

async fn rendered(
    kind: Kind,
    format: Format,
    prepared: &Prepared,
    session: &Session,
    log: &Log,
) -> Result<Report, BootError> {
    session.client.batch_execute("set default_transaction_read_only = on").await?;
    match kind {
        Kind::Plan => {
            let report = PlanReport::make(prepared, session, log).await?;
            Ok(Report { text: format.render(&report), exit: report.verdict.exit() })
        }
        Kind::Status => {
            let report = StatusReport::make(prepared, session).await?;
            Ok(Report { text: format.render(&report), exit: ExitCode::Ok })
        }
    }
}

/// Rehearses a boot within a time limit: exit 0 if it would succeed, 43 if it would be refused, 44 if it would diverge.
///
/// # Errors
/// See [`rehearse`].
pub async fn rehearsal(format: Format, env: &Env, limit: Duration, log: &Log) -> Result<Report, BootError> {
    let prepared = prepare(env, log)?;
    let session = connect(&prepared, log).await?;
    let result = rehearse(&prepared, &session, limit, log).await;
    let rehearsal = explained(result, &prepared, &session).await?;
    session.close().await;
    let exit = match (rehearsal.unannounced.is_empty(), rehearsal.diverged.is_empty()) {
        (true, true) => ExitCode::Ok,
        (false, _) => ExitCode::SchemaRefused,
        (true, false) => ExitCode::SchemaDiverged,
    };
    Ok(Report { text: format.render(&rehearsal), exit })
}

/// Writes a name, padded, before the first of the lines, and the other lines under it.
fn write_paragraph(f: &mut fmt::Formatter<'_>, name: &str, lines: &[String]) -> fmt::Result {
    for (index, line) in lines.iter().enumerate() {
        writeln!(f, "{:<12} {line}", if index == 0 { name } else { "" })?;
    }
    Ok(())
}
