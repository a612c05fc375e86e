//! `status`: the work that was done to this database, and the work that is pending.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Heading, write_paragraph};
use crate::boot::DesiredState;
use crate::database::{self, Holder, ImageServers, Session, describe, state};
use crate::error::BootError;
use crate::reconcile::{
    BootPlan, HistoryEntry, HistoryPosition, ObservedState, Refusal, RoleFindings, RolesReport, Schema,
    snapshot_history,
};

/// Directus in this database.
#[derive(Clone, Debug, Serialize)]
pub struct DirectusReport {
    /// Its tables exist.
    pub installed: bool,
    /// Versions of its migrations that this image has and the database lacks.
    pub pending: Vec<String>,
    /// Versions of its migrations that the database has and this image lacks.
    pub newer: Vec<String>,
}

/// A row of the ledger.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AppliedMigration {
    /// `db-init` or `post-schema`.
    pub phase: String,
    /// Name of the file, without its folder.
    pub filename: String,
    /// Time in the format of PostgreSQL's JSON (ISO 8601).
    pub applied_at: String,
    /// Version and revision of the image that applied it.
    pub image: String,
    /// The other columns of `boot.migrations`.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// The state of a database.
#[derive(Clone, Debug, Serialize)]
pub struct StatusReport {
    /// Image and database.
    #[serde(flatten)]
    pub heading: Heading,
    /// Directus' own migrations.
    pub directus: DirectusReport,
    /// The roles of the boot and of the server.
    pub roles: RolesReport,
    /// An active administrator exists; none if Directus is not installed.
    pub administrator: Option<bool>,
    /// The ledger, by phase and name.
    pub migrations: Vec<AppliedMigration>,
    /// Names of the SQL files that the next boot applies.
    pub pending: Vec<String>,
    /// The snapshots, the newest last.
    pub snapshots: Vec<HistoryEntry>,
    /// The relation of the image's snapshot to the newest one.
    pub schema: &'static str,
    /// Digest of the live schema; none if Directus is not installed.
    pub fingerprint: Option<String>,
    /// Objects of the SQL files that were dropped or changed by hand since the last boot.
    pub owned_drift: Vec<String>,
    /// The running boot, if there is one.
    pub lock: Option<Holder>,
    /// The servers that run, by image.
    pub servers: Vec<ImageServers>,
    /// The work that the last boot left waiting for the end of servers of other images.
    pub waiting: Vec<String>,
    /// The phase and the reason of a boot that would be refused before its first change.
    pub refusal: Option<String>,
}

impl StatusReport {
    /// Reads the state.
    ///
    /// # Errors
    /// See [`super::report`].
    pub(super) async fn make(desired: &DesiredState, session: &Session) -> Result<StatusReport, BootError> {
        let client = &session.client;
        let files = desired.migrations.files()?;
        let observed = ObservedState::read(client, &desired.migrations, files).await?;
        let migrations = serde_json::from_value(state::ledger_as_json(client).await?).unwrap_or_default();
        let holder = database::holder(client).await?;
        let waiting = if observed.history.is_empty() { Vec::new() } else { state::waiting(client).await? };
        let boot_plan = observed.plan(desired, files);
        let schema = schema_state(desired, &observed, &boot_plan);
        let (pending, refusal) = match &boot_plan {
            Ok(BootPlan { db_init, post_schema, .. }) => {
                let files = db_init.apply.iter().chain(&post_schema.apply);
                (files.map(|file| file.filename.clone()).collect(), None)
            }
            Err(Refusal { phase, error }) => (Vec::new(), Some(format!("{phase}: {error}"))),
        };
        let owned_drift = observed.drift(&desired.migrations).iter().map(ToString::to_string).collect();
        let installed = observed.directus.as_deref().unwrap_or_default();
        Ok(StatusReport {
            heading: Heading::new(desired, session),
            directus: DirectusReport {
                installed: observed.directus.is_some(),
                pending: desired.directus.pending(installed),
                newer: desired.directus.newer(installed).into_iter().map(str::to_owned).collect(),
            },
            roles: read_roles(desired, session, observed.directus.is_some()).await,
            administrator: observed.administrator,
            migrations,
            pending,
            snapshots: observed.history,
            schema,
            fingerprint: observed.fingerprint,
            owned_drift,
            lock: holder,
            servers: database::servers(client).await?,
            waiting,
            refusal,
        })
    }
}

impl fmt::Display for StatusReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Heading { database, .. } = &self.heading;
        write_paragraph(f, "database", &[format!("PostgreSQL {} at {}", database.server, database.target)])?;
        write_paragraph(f, "directus", &[self.directus.to_string()])?;
        let administrator = match self.administrator {
            Some(true) => "exists",
            Some(false) => "missing",
            None => "unknown",
        };
        write_paragraph(f, "admin", &[administrator.to_owned()])?;
        write_paragraph(f, "roles", &self.roles.lines)?;
        let mut migrations = vec![format!("{} applied, {} pending", self.migrations.len(), self.pending.len())];
        migrations.extend(self.migrations.iter().map(|row| format!("  {row}")));
        migrations.extend(self.pending.iter().map(|name| format!("+ {name}")));
        write_paragraph(f, "migrations", &migrations)?;
        let mut snapshots = vec![format!("{}; {} applied so far", self.schema, self.snapshots.len())];
        snapshots.extend(self.snapshots.iter().map(|row| format!("  {row}")));
        write_paragraph(f, "snapshots", &snapshots)?;
        write_paragraph(f, "drift", &self.owned_drift)?;
        let lock = self.lock.as_ref().map_or_else(|| "free".to_owned(), |holder| format!("held by {holder}"));
        write_paragraph(f, "lock", &[lock])?;
        write_paragraph(f, "servers", &self.servers.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        write_paragraph(f, "waits", &self.waiting)?;
        write_paragraph(f, "refusal", self.refusal.as_slice())
    }
}

impl fmt::Display for DirectusReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.installed, self.pending.len()) {
            (false, _) => f.write_str("not installed"),
            (true, 0) => f.write_str("installed, none of its migrations is pending"),
            (true, pending) => write!(f, "installed, {pending} of its migrations are pending"),
        }
    }
}

impl fmt::Display for AppliedMigration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({}, by {})", self.phase, self.filename, self.applied_at, self.image)
    }
}

/// The roles and the findings about that of the server. A role that may not read the catalog is part of the report.
async fn read_roles(desired: &DesiredState, session: &Session, is_installed: bool) -> RolesReport {
    let server = desired.config.database.server_role.as_deref();
    let found = RoleFindings::read(&session.client, desired, is_installed).await;
    RolesReport::new(&session.role, server, found.map_err(|error| describe(&error)))
}

/// The relation of the image's snapshot to the newest one that was applied.
fn schema_state(
    desired: &DesiredState,
    observed: &ObservedState,
    boot_plan: &Result<BootPlan<'_>, Refusal>,
) -> &'static str {
    match (
        boot_plan.as_ref().map(|boot_plan| &boot_plan.schema),
        snapshot_history::position(&observed.history, &desired.snapshot.digest),
    ) {
        (Ok(Schema::InPlace { .. }), _) => "in place",
        (_, HistoryPosition::Newest(_)) => "applied, and edited since",
        (_, HistoryPosition::Older(_)) => "this image's is older than the newest",
        (_, HistoryPosition::New) => "this image's is new",
    }
}
