//! `plan` and `status`: what a boot would do, and what was done. Both read only.
//!
//! The report goes to standard output, as text or as one JSON object; the log goes to standard error.

mod plan;
mod status;

use std::time::Duration;

use serde_json::{Value, json};

use crate::boot::rehearse::rehearse;
use crate::boot::{Prepared, connect, explained, prepare};
use crate::config::Env;
use crate::database::Session;
use crate::error::BootError;
use crate::log::Log;
use contract::ExitCode;

/// Which report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What a boot would do.
    Plan,
    /// What was done.
    Status,
}

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One object.
    Json,
}

/// A report, and what the process exits with.
#[derive(Debug)]
pub struct Report {
    /// What goes to standard output, without the last line break.
    pub text: String,
    /// The verdict.
    pub exit: ExitCode,
}

/// Makes a report. Nothing is changed: the connections, also those of Directus, are read-only.
///
/// # Errors
/// As a boot's, up to the point where that would begin to change something.
pub async fn report(kind: Kind, format: Format, env: &Env, log: &Log) -> Result<Report, BootError> {
    let prepared = prepare(env, log)?;
    let session = connect(&prepared, log).await?;
    let result = async {
        session.client.batch_execute("set default_transaction_read_only = on").await?;
        match kind {
            Kind::Plan => plan::make(&prepared, &session, log).await,
            Kind::Status => status::make(&prepared, &session).await,
        }
    }
    .await;
    let (document, text, exit) = explained(result, &prepared, &session).await?;
    session.close().await;
    let text = match format {
        Format::Json => document.to_string(),
        Format::Text => text,
    };
    Ok(Report { text, exit })
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
    let text = match format {
        Format::Json => serde_json::to_string(&rehearsal).expect("plain data"),
        Format::Text => rehearsal.to_string(),
    };
    Ok(Report { text, exit })
}

/// What both reports begin with.
fn heading(prepared: &Prepared, session: &Session) -> (Value, Value) {
    let image = json!({
        "name": prepared.config.image,
        "directus": prepared.directus.version,
        "snapshot": prepared.snapshot.digest,
    });
    let database = json!({ "target": prepared.config.database.target, "server": session.server_version });
    (image, database)
}

/// `name` padded, then the first of the lines, the others under it.
fn paragraph(name: &str, lines: &[String]) -> String {
    lines
        .iter()
        .enumerate()
        .map(|(index, line)| format!("{:<12} {line}\n", if index == 0 { name } else { "" }))
        .collect()
}
