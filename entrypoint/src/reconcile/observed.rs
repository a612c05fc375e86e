//! The state of a database in relation to the image, and the work that is left to do.
//!
//! [`is_up_to_date`] finds out in one query if there is nothing to do at all. Otherwise [`ObservedState::read`] reads
//! the state, and [`ObservedState::plan`] plans the work: a pure function, which the boot, `plan` and `status` share.

use std::fmt;

use serde::Serialize;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::boot::DesiredState;
use crate::config::SchemaMode;
use crate::database::state;
use crate::directus::fingerprint::{FINGERPRINT, fingerprint};
use crate::directus::installation::{self, HAS_ADMINISTRATOR};
use crate::error::BootError;
use crate::log::Log;
use crate::migrations::{self, LEDGER_STAMPS, Ledger, MigrationSet, Migrations, Plan, extension};
use crate::reconcile::owned::{EXTENSIONS_WORK, OWNED_STAMP};
use crate::reconcile::{
    HistoryEntry, HistoryPosition, OwnedDrift, OwnedObjects, OwnedRecord, RoleFindings, roles, snapshot_history,
    waiting,
};
use contract::Phase;
use contract::failure::{self, BootFailure};

/// Facts about an up-to-date database that the log reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpToDate {
    /// Extensions that the SQL files require and the database never had.
    pub missing_extensions: Vec<String>,
    /// Objects of the SQL files that were dropped or changed by hand.
    pub drift: Vec<OwnedDrift>,
    /// True if there is an active administrator.
    pub administrator: bool,
    /// Findings about the role of the server, if the boot has another one; nothing that it needs is missing.
    pub roles: RoleFindings,
}

/// Returns `Some` if the database is up to date: every migration was applied and is unchanged, Directus' migrations are
/// complete, the snapshot is the newest one, the schema was not edited since, there is an administrator if one is
/// configured, and the server's role has the privileges that it needs. One query; of the ledger it only counts rows and
/// adds up their stamps. Only if an object of the SQL files was changed by hand, two more queries find out which.
///
/// # Errors
/// Fails if the query does. A database that lacks one of the tables is not up to date, which is not an error.
pub async fn is_up_to_date(client: &Client, desired: &DesiredState) -> Result<Option<UpToDate>, tokio_postgres::Error> {
    let DesiredState { config, migrations, snapshot, directus } = desired;
    if config.schema_mode != SchemaMode::Auto {
        return Ok(None);
    }
    let query = format!(
        "select newest.fingerprint = {FINGERPRINT} || $1 and newest.ledger = {LEDGER_STAMPS} || ' ' || $2,
             array(select version::text from directus_migrations), {HAS_ADMINISTRATOR},
             {}, newest.owned = {OWNED_STAMP} and {EXTENSIONS_WORK}, {}
         from (select * from boot.snapshots order by id desc limit 1) newest
         where digest = $3 and directus_version = $4",
        extension::missing("$5"),
        config.database.server_role.as_ref().map_or("'[]'".to_owned(), |_| roles::findings("$7", "$6", true)),
    );
    let extensions = extension::names(migrations.manifest().required_extensions());
    let (salt, ledger) = (desired.stamp(""), migrations.manifest().ledger_digest());
    let tables: Vec<&str> = migrations.owned_tables().collect();
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 7] = [
        (&salt, Type::TEXT),
        (&ledger, Type::TEXT),
        (&snapshot.digest, Type::TEXT),
        (&directus.version, Type::TEXT),
        (&extensions, Type::TEXT_ARRAY),
        (&tables, Type::TEXT_ARRAY),
        (&config.database.server_role, Type::TEXT),
    ];
    let row = match client.query_typed(&query, &parameters).await {
        Ok(rows) => match rows.into_iter().next() {
            Some(row) => row,
            None => return Ok(None),
        },
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let untouched: Option<bool> = row.get(0);
    let applied: Vec<String> = row.get(1);
    let mut current = UpToDate {
        administrator: row.get(2),
        missing_extensions: row.get(3),
        drift: Vec::new(),
        roles: RoleFindings::parse(row.get(5)),
    };
    // None if no boot has recorded it.
    let Some(is_whole) = row.get::<_, Option<bool>>(4) else { return Ok(None) };
    let everything = untouched == Some(true)
        && directus.pending(&applied).is_empty()
        && directus.newer(&applied).is_empty()
        && (current.administrator || config.admin_email.is_none())
        && !current.roles.is_incomplete();
    if !everything {
        return Ok(None);
    }
    if !is_whole {
        let recorded = OwnedRecord::read(client).await?;
        let present = OwnedObjects::present(client, migrations, true).await?;
        current.drift = recorded.drift(&present, migrations);
        current.missing_extensions.retain(|name| !recorded.has_extension(name));
    }
    Ok(Some(current))
}

/// The versions in `directus_migrations`.
async fn installed_versions(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = client.query("select version::text from directus_migrations order by 1", &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Returns true if a schema, table or column of the query does not exist.
fn is_missing(error: &tokio_postgres::Error) -> bool {
    let missing = [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN, SqlState::INVALID_SCHEMA_NAME];
    error.code().is_some_and(|code| missing.contains(code))
}

/// The state of a database. Reading it changes nothing.
#[derive(Clone, Debug, Default)]
pub struct ObservedState {
    /// The versions in `directus_migrations`; `None` if Directus is not installed.
    pub directus: Option<Vec<String>>,
    /// The applied SQL files.
    pub ledger: Ledger,
    /// The applied snapshots, the newest last.
    pub history: Vec<HistoryEntry>,
    /// The PostgreSQL schema of another project, to which the history and the ledger belong.
    pub other_project: Option<String>,
    /// True if there is an active administrator; `None` if Directus is not installed, or older than 11.
    pub administrator: Option<bool>,
    /// The schema's fingerprint; `None` if Directus is not installed.
    pub fingerprint: Option<String>,
    /// The objects of the SQL files after the last boot; none if no boot has recorded them.
    pub recorded: OwnedRecord,
    /// The objects that exist.
    pub present: OwnedObjects,
}

impl ObservedState {
    /// Reads the state.
    ///
    /// # Errors
    /// Fails if a query does.
    pub async fn read(
        client: &Client,
        migrations: &Migrations,
        files: &MigrationSet,
    ) -> Result<ObservedState, tokio_postgres::Error> {
        let mut observed = ObservedState { ledger: Ledger::read(client, files).await?, ..ObservedState::default() };
        if state::exists(client).await? {
            observed.history = state::snapshot_history(client).await?;
            observed.recorded = match OwnedRecord::read(client).await {
                Err(error) if is_missing(&error) => OwnedRecord::default(),
                recorded => recorded?,
            };
            if let Some(newest) = observed.history.last() {
                observed.other_project = state::schema_of_other_project(client, newest).await?;
            }
        }
        if installation::is_installed(client).await? {
            observed.directus = Some(installed_versions(client).await?);
            observed.fingerprint = Some(fingerprint(client).await?);
            observed.administrator = match installation::has_administrator(client).await {
                Ok(has_administrator) => Some(has_administrator),
                Err(error) if is_missing(&error) => None,
                Err(error) => return Err(error),
            };
        }
        observed.present = OwnedObjects::present(client, migrations, observed.directus.is_some()).await?;
        Ok(observed)
    }

    /// The objects of the SQL files that were dropped or changed by hand since the last boot.
    #[must_use]
    pub fn drift(&self, migrations: &Migrations) -> Vec<OwnedDrift> {
        self.recorded.drift(&self.present, migrations)
    }

    /// Plans a boot of the image.
    ///
    /// # Errors
    /// The reason why the boot must not change anything, with its phase.
    pub fn plan<'a>(&self, desired: &DesiredState, files: &'a MigrationSet) -> Result<BootPlan<'a>, Refusal> {
        let DesiredState { config, snapshot, directus, .. } = desired;

        if let Some(schema) = &self.other_project {
            return Err(Refusal { phase: Phase::Lock, error: BootError::OtherProject { schema: schema.clone() } });
        }
        // Statements that change a table would fail, or end the session.
        if let Some(OwnedDrift { what, remedy, .. }) =
            self.drift(&desired.migrations).into_iter().find(|drift| drift.is_fatal)
        {
            return Err(Refusal { phase: Phase::DbInit, error: BootError::Extension { what, remedy } });
        }
        let applied = self.directus.as_deref().unwrap_or_default();
        let newer = directus.newer(applied);
        if !newer.is_empty() {
            let mut reason = format!(
                "the database has migrations of Directus that this image with Directus {} lacks: {}",
                directus.version,
                newer.join(", "),
            );
            let failure = match self.history.last() {
                Some(newest) if newest.directus != directus.version => {
                    let HistoryEntry { image, directus, .. } = newest;
                    reason += &format!("; the newest boot here was of image {image} with Directus {directus}");
                    &failure::NEWER_DIRECTUS
                }
                _ => &failure::UNKNOWN_MIGRATIONS,
            };
            return Err(Refusal::too_old(Phase::Bootstrap, reason, failure));
        }

        let db_init = self.plan_files(Phase::DbInit, desired, files)?;
        let post_schema = self.plan_files(Phase::PostSchema, desired, files)?;

        let pending = directus.pending(applied);
        let bootstrap = Bootstrap {
            install: self.directus.is_none(),
            admin: config.admin_email.is_some() && self.administrator != Some(true),
            migrations: pending,
        };
        let nothing_new = db_init.apply.is_empty() && post_schema.apply.is_empty() && bootstrap.migrations.is_empty();
        let position = snapshot_history::position(&self.history, &snapshot.digest);
        // SQL of a newer image together with a new snapshot: images of two branches share the database.
        if let (HistoryPosition::New, Some(name)) = (position, db_init.newer.iter().chain(&post_schema.newer).next()) {
            let reason = format!(
                "the database has {name} of a newer image, which this image lacks, while this image's snapshot {} was \
                 never applied here: the two come from different branches",
                snapshot.short_digest(),
            );
            return Err(Refusal::too_old(Phase::Schema, reason, &failure::OTHER_BRANCH));
        }
        let schema = match (config.schema_mode, position) {
            (SchemaMode::Skip, _) => Schema::Skip,
            // An operator who allows a plan intends to apply it, even if it leads back to an older snapshot.
            (_, HistoryPosition::Older(newest)) if nothing_new && config.allow_destructive.is_none() => {
                Schema::Older(newest.clone())
            }
            (_, HistoryPosition::Newest(row)) => self.in_place(row, desired).unwrap_or(Schema::Compare),
            _ => Schema::Compare,
        };
        Ok(BootPlan { db_init, bootstrap, schema, post_schema })
    }

    fn plan_files<'a>(
        &self,
        phase: Phase,
        desired: &DesiredState,
        files: &'a MigrationSet,
    ) -> Result<Plan<'a>, Refusal> {
        let rows = self.ledger.of(phase);
        let plan = migrations::plan(files.of(phase), rows, desired.config.migration_accept.as_ref())
            .map_err(|error| Refusal { phase, error: error.into() })?;
        let breaking = rows.iter().find(|row| row.breaks_older_images && plan.newer.contains(&row.filename));
        match breaking {
            Some(row) => {
                let reason = format!(
                    "{} was applied by {}, is not in this image, and breaks older images",
                    row.filename, row.image,
                );
                Err(Refusal::too_old(phase, reason, &failure::NEWER_FILE))
            }
            None => Ok(plan),
        }
    }

    /// Returns [`Schema::InPlace`] if the schema is unchanged since the newest boot.
    fn in_place(&self, row: &HistoryEntry, desired: &DesiredState) -> Option<Schema> {
        let now = desired.stamp(self.fingerprint.as_deref()?);
        let same = row.directus == desired.directus.version && row.fingerprint.as_ref() == Some(&now);
        same.then_some(Schema::InPlace { stamp: now })
    }
}

/// The work of a boot on a database.
#[derive(Debug)]
pub struct BootPlan<'a> {
    /// Phase 4: the SQL files before the schema.
    pub db_init: Plan<'a>,
    /// Phase 5: Directus' own tables.
    pub bootstrap: Bootstrap,
    /// Phase 6: the snapshot.
    pub schema: Schema,
    /// Phase 7: the SQL files after the schema.
    pub post_schema: Plan<'a>,
}

impl BootPlan<'_> {
    /// Returns the work that removes or narrows and cannot wait for the end of servers of other images, each with the
    /// reason. Changes by Directus are not part of it.
    #[must_use]
    pub fn cannot_wait(&self) -> Vec<(String, &'static str)> {
        let BootPlan { db_init, bootstrap, post_schema, .. } = self;
        let removing = db_init.apply.iter().filter(|file| file.is_contract());
        let reason = "removes or narrows before the schema, and only a file in post-schema can wait";
        let mut work: Vec<_> = removing.map(|file| (file.filename.clone(), reason)).collect();
        if !bootstrap.install && !bootstrap.migrations.is_empty() {
            let versions = bootstrap.migrations.join(", ");
            work.push((format!("Directus' migrations {versions}"), "are for servers of the new version"));
        }
        if let Err(file) = waiting::files(&post_schema.apply) {
            work.push((file.filename.clone(), "adds, and follows a file that would have to wait"));
        }
        work
    }

    /// Returns true if the work needs a Node process.
    #[must_use]
    pub fn needs_directus(&self) -> bool {
        !self.bootstrap.is_empty() || self.schema == Schema::Compare
    }
}

/// The work of phase 5.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bootstrap {
    /// True if the system tables are to be installed.
    pub install: bool,
    /// Directus' migrations to run, by version.
    pub migrations: Vec<String>,
    /// True if the administrator is to be created.
    pub admin: bool,
}

impl Bootstrap {
    /// Returns true if there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.install && self.migrations.is_empty() && !self.admin
    }
}

impl fmt::Display for Bootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.install {
            parts.push("install Directus".to_owned());
        } else if !self.migrations.is_empty() {
            parts.push(format!("run Directus' migrations {}", self.migrations.join(", ")));
        }
        if self.admin {
            parts.push("create the administrator".to_owned());
        }
        f.write_str(&if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") })
    }
}

/// The work of phase 6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schema {
    /// Nothing: the snapshot was applied last, and the schema was not edited since.
    InPlace {
        /// See [`DesiredState::stamp`].
        stamp: String,
    },
    /// Nothing: the image is older than the database, to which this snapshot was applied last.
    Older(HistoryEntry),
    /// Nothing, as configured by the operator.
    Skip,
    /// Directus compares, then applies.
    Compare,
}

/// The reason why a boot must not change anything.
#[derive(Debug)]
pub struct Refusal {
    /// The phase that is not possible.
    pub phase: Phase,
    /// The reason.
    pub error: BootError,
}

impl Refusal {
    fn too_old(phase: Phase, reason: String, failure: &'static BootFailure) -> Refusal {
        Refusal { phase, error: BootError::ImageTooOld { reason, failure } }
    }

    /// Switches the log to the phase of the refusal, and returns the error.
    pub(crate) fn into_error(self, log: &Log) -> BootError {
        log.begin(self.phase);
        self.error
    }
}
