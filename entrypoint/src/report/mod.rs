//! `plan`, `compat` and `status`: the work of a boot that is still to do, what it means for servers that run, and the work
//! that was done. They only read.
//!
//! The report goes to standard output, as text or as one JSON object; the log goes to standard error.

mod compat;
mod plan;
mod status;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::boot::rehearse::rehearse;
use crate::boot::{DesiredState, connect, read_desired_state, with_root_cause};
use crate::config::Env;
use crate::database::Session;
use crate::error::BootError;
use crate::log::Log;
use contract::ExitCode;

pub use self::compat::{CompatItem, CompatReport, CompatVerdict};
pub use self::plan::{MigrationsReport, PlanReport, PlanVerdict, SchemaReport, SchemaState};
pub use self::status::{AppliedMigration, DirectusReport, StatusReport};

/// The reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportKind {
    /// See [`PlanReport`].
    Plan,
    /// See [`StatusReport`].
    Status,
    /// See [`CompatReport`].
    Compat,
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
    fn new(desired: &DesiredState, session: &Session) -> Heading {
        Heading {
            image: ImageReport {
                name: desired.config.image.clone(),
                directus: desired.directus.version.clone(),
                snapshot: desired.snapshot.digest.clone(),
            },
            database: DatabaseReport {
                target: desired.config.database.target.clone(),
                server: session.server_version.clone(),
            },
        }
    }
}

/// Makes a report. Nothing is changed: all connections, those of Directus included, are read-only.
///
/// # Errors
/// Those of a boot, up to the point where it would begin to change something.
pub async fn report(kind: ReportKind, format: Format, env: &Env, log: &Log) -> Result<Report, BootError> {
    let desired = read_desired_state(env, log)?;
    let session = connect(&desired, log).await?;
    let report = with_root_cause(rendered(kind, format, &desired, &session, log).await, &desired, &session).await?;
    session.close().await;
    Ok(report)
}

async fn rendered(
    kind: ReportKind,
    format: Format,
    desired: &DesiredState,
    session: &Session,
    log: &Log,
) -> Result<Report, BootError> {
    session.client.batch_execute("set default_transaction_read_only = on").await?;
    match kind {
        ReportKind::Plan => {
            let report = PlanReport::make(desired, session, log).await?;
            Ok(Report { text: format.render(&report), exit: report.verdict.exit() })
        }
        ReportKind::Compat => {
            let report = CompatReport::make(desired, session, log).await?;
            Ok(Report { text: format.render(&report), exit: report.verdict.exit() })
        }
        ReportKind::Status => {
            let report = StatusReport::make(desired, session).await?;
            Ok(Report { text: format.render(&report), exit: ExitCode::Ok })
        }
    }
}

/// Rehearses a boot within a time limit: exit 0 if it would succeed, 43 if it would be refused, 44 if it would diverge.
///
/// # Errors
/// See [`rehearse`].
pub async fn rehearsal(format: Format, env: &Env, limit: Duration, log: &Log) -> Result<Report, BootError> {
    let desired = read_desired_state(env, log)?;
    let session = connect(&desired, log).await?;
    let result = rehearse(&desired, &session, limit, log).await;
    let rehearsal = with_root_cause(result, &desired, &session).await?;
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
