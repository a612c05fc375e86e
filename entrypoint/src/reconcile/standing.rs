//! Where a database stands in relation to the image, and what is left to do.
//!
//! [`is_current`] asks in one query whether there is nothing to do at all. Otherwise [`Standing::read`] reads what the
//! decision needs, and [`Standing::work`] decides: a pure function, which the boot, `plan` and `status` share.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::boot::Prepared;
use crate::config::SchemaMode;
use crate::database::state;
use crate::directus::fingerprint::{FINGERPRINT, fingerprint};
use crate::directus::inventory::{self, HAS_ADMINISTRATOR};
use crate::error::BootError;
use crate::log::Log;
use crate::migrations::{self, LEDGER_STAMPS, Ledger, MigrationSet, Plan, extension};
use crate::reconcile::{LineageRow, Position, lineage};
use contract::Phase;

/// What a database that has everything says beside that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// The extensions that the SQL files require and the database does not have.
    pub missing_extensions: Vec<String>,
    /// Whether there is an active administrator.
    pub administrator: bool,
}

/// Whether the database has everything that the image stands for: every migration, unchanged; every migration of
/// Directus; the snapshot as the newest one, and a schema that nobody has edited since; an administrator, if one is
/// asked for. One query; of the ledger it counts rows and adds up their stamps.
///
/// # Errors
/// The driver's. A database where one of the tables is missing is simply not current.
pub async fn is_current(client: &Client, prepared: &Prepared) -> Result<Option<Current>, tokio_postgres::Error> {
    let Prepared { config, migrations, snapshot, directus } = prepared;
    if config.schema_mode != SchemaMode::Auto {
        return Ok(None);
    }
    let query = format!(
        "select newest.fingerprint = {FINGERPRINT} || $1 and newest.ledger = {LEDGER_STAMPS} || ' ' || $2,
             array(select version::text from directus_migrations), {HAS_ADMINISTRATOR},
             {}
         from (select * from boot.snapshots order by id desc limit 1) newest
         where digest = $3 and directus_version = $4",
        extension::missing("$5")
    );
    let extensions = extension::names(migrations.manifest().required_extensions());
    let (salt, ledger) = (prepared.seal(""), migrations.manifest().ledger_digest());
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 5] = [
        (&salt, Type::TEXT),
        (&ledger, Type::TEXT),
        (&snapshot.digest, Type::TEXT),
        (&directus.version, Type::TEXT),
        (&extensions, Type::TEXT_ARRAY),
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
    let current = Current { administrator: row.get(2), missing_extensions: row.get(3) };
    let everything = untouched == Some(true)
        && directus.pending(&applied).is_empty()
        && directus.newer(&applied).is_empty()
        && (current.administrator || config.admin_email.is_none());
    Ok(everything.then_some(current))
}

/// The versions in `directus_migrations`.
async fn installed_versions(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = client.query("select version::text from directus_migrations order by 1", &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Whether a query met a schema, table or column that is not there yet.
fn is_missing(error: &tokio_postgres::Error) -> bool {
    let missing = [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN, SqlState::INVALID_SCHEMA_NAME];
    error.code().is_some_and(|code| missing.contains(code))
}

/// What a database says of itself. Reading it changes nothing.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The versions in `directus_migrations`; none where Directus is not installed.
    pub directus: Option<Vec<String>>,
    /// The SQL files that were applied.
    pub ledger: Ledger,
    /// The snapshots that were applied, the newest last.
    pub lineage: Vec<LineageRow>,
    /// Whether there is an active administrator; none where Directus is not installed, or is older than 11.
    pub administrator: Option<bool>,
    /// The schema's fingerprint; none where Directus is not installed.
    pub fingerprint: Option<String>,
}

impl Standing {
    /// Reads it.
    ///
    /// # Errors
    /// Fails if a query does.
    pub async fn read(client: &Client, migrations: &MigrationSet) -> Result<Standing, tokio_postgres::Error> {
        let mut standing = Standing { ledger: Ledger::read(client, migrations).await?, ..Standing::default() };
        if state::exists(client).await? {
            standing.lineage = state::lineage(client).await?;
        }
        if inventory::is_installed(client).await? {
            standing.directus = Some(installed_versions(client).await?);
            standing.fingerprint = Some(fingerprint(client).await?);
            standing.administrator = match inventory::has_administrator(client).await {
                Ok(there_is) => Some(there_is),
                Err(error) if is_missing(&error) => None,
                Err(error) => return Err(error),
            };
        }
        Ok(standing)
    }

    /// What a boot of the image has to do here.
    ///
    /// # Errors
    /// What forbids it to do anything, and the phase that it concerns.
    pub fn work<'a>(&self, prepared: &Prepared, files: &'a MigrationSet) -> Result<Work<'a>, Refusal> {
        let Prepared { config, snapshot, directus, .. } = prepared;
        let refuse = |phase: Phase| move |error: BootError| Refusal { phase, error };

        let applied = self.directus.as_deref().unwrap_or_default();
        let newer = directus.newer(applied);
        if !newer.is_empty() {
            let by = self
                .lineage
                .last()
                .map_or_else(String::new, |row| format!(" (Directus {} of {})", row.directus, row.image));
            return Err(refuse(Phase::Bootstrap)(BootError::ImageTooOld(format!(
                "a newer Directus{by} has been at this database: it applied {}, which Directus {} does not know; \
                 start that image, or a newer one",
                newer.join(", "),
                directus.version,
            ))));
        }

        let plan = |phase: Phase| {
            let rows = self.ledger.of(phase);
            let plan = migrations::plan(files.of(phase), rows, config.migration_accept.as_ref())
                .map_err(|error| refuse(phase)(error.into()))?;
            let breaking = rows.iter().find(|row| row.breaks_older_images && plan.newer.contains(&row.filename));
            match breaking {
                Some(row) => Err(refuse(phase)(BootError::ImageTooOld(format!(
                    "{} was applied by {}, is not in this image, and breaks older images; start that image, or a newer one",
                    row.filename, row.image,
                )))),
                None => Ok(plan),
            }
        };
        let db_init = plan(Phase::DbInit)?;
        let post_schema = plan(Phase::PostSchema)?;

        let pending = directus.pending(applied);
        let bootstrap = Bootstrap {
            install: self.directus.is_none(),
            admin: config.admin_email.is_some() && self.administrator != Some(true),
            migrations: pending,
        };
        let nothing_new = db_init.apply.is_empty() && post_schema.apply.is_empty() && bootstrap.migrations.is_empty();
        let position = lineage::position(&self.lineage, &snapshot.digest);
        // A newer image's SQL, and a snapshot that no image has brought: two branches met in one database.
        if let (Position::New, Some(name)) = (position, db_init.newer.iter().chain(&post_schema.newer).next()) {
            return Err(refuse(Phase::Schema)(BootError::ImageTooOld(format!(
                "the database has {name} of a newer image, which this one lacks, while its snapshot {} was never applied \
                 here: the two come from different branches, merge them",
                snapshot.short_digest(),
            ))));
        }
        let schema = match (config.schema_mode, position) {
            (SchemaMode::Skip, _) => Schema::Skip,
            // Whoever allows a plan wants it, also when it leads back.
            (_, Position::Older(newest)) if nothing_new && config.allow_destructive.is_none() => {
                Schema::Older(newest.clone())
            }
            (_, Position::Newest(row)) => self.in_place(row, prepared).unwrap_or(Schema::Compare),
            _ => Schema::Compare,
        };
        Ok(Work { db_init, bootstrap, schema, post_schema })
    }

    /// [`Schema::InPlace`], if the schema is as the newest boot left it.
    fn in_place(&self, row: &LineageRow, prepared: &Prepared) -> Option<Schema> {
        let now = prepared.seal(self.fingerprint.as_deref()?);
        let same = row.directus == prepared.directus.version && row.fingerprint.as_ref() == Some(&now);
        same.then_some(Schema::InPlace { seal: now })
    }
}

/// What a boot of the image has to do on a database.
#[derive(Debug)]
pub struct Work<'a> {
    /// Phase 4.
    pub db_init: Plan<'a>,
    /// Phase 5.
    pub bootstrap: Bootstrap,
    /// Phase 6.
    pub schema: Schema,
    /// Phase 7.
    pub post_schema: Plan<'a>,
}

impl Work<'_> {
    /// Whether it takes a Node process.
    #[must_use]
    pub fn needs_directus(&self) -> bool {
        !self.bootstrap.is_empty() || self.schema == Schema::Compare
    }
}

/// What phase 5 has to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bootstrap {
    /// Install the system tables.
    pub install: bool,
    /// Run these of Directus' migrations.
    pub migrations: Vec<String>,
    /// Make the administrator.
    pub admin: bool,
}

impl Bootstrap {
    /// Whether it has nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.install && self.migrations.is_empty() && !self.admin
    }
}

/// What phase 6 has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schema {
    /// Nothing: the snapshot was applied last and nobody has edited the schema since.
    InPlace {
        /// See [`Prepared::seal`].
        seal: String,
    },
    /// Nothing: the image is older than the database, which was last brought to this.
    Older(LineageRow),
    /// Nothing, because the operator says so.
    Skip,
    /// Have Directus compare, then apply.
    Compare,
}

/// Why nothing may be done.
#[derive(Debug)]
pub struct Refusal {
    /// The phase that it concerns.
    pub phase: Phase,
    /// Why.
    pub error: BootError,
}

impl Refusal {
    /// The error, once the log is in the phase that it concerns.
    pub(crate) fn told(self, log: &Log) -> BootError {
        log.begin(self.phase);
        self.error
    }
}
