//! Why a boot ended, and the exit code of each reason.

use std::time::Duration;

use crate::boot::exec::ExecError;
use crate::config::Problems;
use crate::database::{LockError, Lost, PoolError, Pooled, VerifyError, WaitError, describe, trace_of_pooler};
use crate::directus::snapshot::InvalidSnapshot;
use crate::directus::{BridgeError, NoDirectus};
use crate::migrations::{ApplyError, InvalidMigrations};
use crate::signals::Asked;
use crate::witness::LinkError;
use contract::{ExitCode, Phase};

/// Why a boot ended before the server. Displays as the last line that an operator reads: cause and way out.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// Phase 1: variables.
    #[error("{0}")]
    Config(#[from] Problems),
    /// Phase 1: the image's SQL files.
    #[error("{0}")]
    Migrations(#[from] InvalidMigrations),
    /// Phase 1: the image's snapshot.
    #[error("{0}")]
    Snapshot(#[from] InvalidSnapshot),
    /// Phase 1: the image's Directus.
    #[error("{0}")]
    NoDirectus(#[from] NoDirectus),
    /// Phase 2.
    #[error("{0}")]
    Wait(#[from] WaitError),
    /// Phase 3.
    #[error("{0}")]
    Lock(#[from] LockError),
    /// Phase 3, or whenever it shows: a pooler.
    #[error("{0}")]
    Pooled(#[from] Pooled),
    /// Phases 4 and 7.
    #[error("{0}")]
    Apply(#[from] ApplyError),
    /// Phase 5: Directus could not, or did not.
    #[error("{0}; nothing of it was kept")]
    Bootstrap(BridgeError),
    /// Phase 5: Directus said it was done and it is not.
    #[error("Directus reports success, but {0}; start again, the boot goes on where it stopped")]
    BootstrapIncomplete(String),
    /// Phases 4 and 5: the database has moved on.
    #[error("{0}")]
    ImageTooOld(String),
    /// Phase 6: Directus could not.
    #[error("{0}; nothing of the plan was kept: correct the snapshot")]
    Schema(BridgeError),
    /// Phase 6: the guard.
    #[error(
        "this would {}; nothing of the plan was applied: save a newer snapshot, or allow this plan once with \
         SCHEMA_ALLOW_DESTRUCTIVE={digest}",
        losses.join("; ")
    )]
    Refused {
        /// What the plan would delete or narrow, and how much that is.
        losses: Vec<String>,
        /// The plan's digest.
        digest: String,
    },
    /// Phase 5: Directus destroyed something outside of its own tables.
    #[error(
        "Directus would destroy {}, which is not its own; everything was rolled back: run the previous image and report \
         this to Directus",
        .0.join("; ")
    )]
    DirectusDestroyed(Vec<String>),
    /// Phase 6: the witness.
    #[error(
        "Directus destroyed more than its plan announced: {}; everything was rolled back: correct the snapshot, or allow \
         exactly this once with SCHEMA_ALLOW_DESTRUCTIVE={digest}",
        losses.join("; ")
    )]
    Unannounced {
        /// The losses, each with its amount.
        losses: Vec<String>,
        /// The value that allows it.
        digest: String,
    },
    /// Phase 6: Directus reported success, and the database is not what the snapshot describes.
    #[error("Directus applied the snapshot, but {0}; everything was rolled back, the database is as before")]
    Diverged(String),
    /// Phase 7: the SQL after the schema changed what the snapshot describes.
    #[error(
        "the SQL after the schema changed {0}, which the snapshot describes; the files stay applied: run the previous image, \
         and make this change in the snapshot instead"
    )]
    ChangedBySql(String),
    /// The boot lock was lost.
    #[error("{0}; start again, the boot goes on where it stopped")]
    LockLost(VerifyError),
    /// PostgreSQL's catalog could not be read.
    #[error("{0}; everything was rolled back: report this line")]
    Witness(LinkError),
    /// `plan --rehearse` took too long.
    #[error("the rehearsal took longer than {} s and was rolled back: nothing was changed; give it more with --timeout", after.as_secs())]
    RehearsalTimeout {
        /// The limit.
        after: Duration,
    },
    /// `attic`: the request cannot be carried out.
    #[error("{0}")]
    Attic(String),
    /// Phases 5 and 6 together took too long.
    #[error("Directus did not finish within {} s; see its lines above, or raise BOOT_DIRECTUS_TIMEOUT", after.as_secs())]
    DirectusTimeout {
        /// The phase that was cut.
        phase: Phase,
        /// The deadline that passed.
        after: Duration,
    },
    /// The connection ended in the middle.
    #[error("the connection to PostgreSQL was lost: {0}; start again, the boot goes on where it stopped")]
    Lost(Lost),
    /// A query of the boot's own failed.
    #[error("{}", describe(.0))]
    Query(#[from] tokio_postgres::Error),
    /// Phase 8.
    #[error("{0}")]
    Exec(#[from] ExecError),
    /// A signal.
    #[error("{} asked the boot to end; the next one goes on where it stopped", .0.name())]
    Asked(Asked),
    /// The system refused something a boot cannot do without.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Its answer.
        source: std::io::Error,
    },
}

impl BootError {
    /// The exit code of this reason.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            BootError::Config(_) | BootError::NoDirectus(_) => ExitCode::Config,
            BootError::Migrations(_) => ExitCode::MigrationsInvalid,
            BootError::Snapshot(_) => ExitCode::SnapshotInvalid,
            BootError::Wait(WaitError::Unreachable { .. }) => ExitCode::DatabaseUnreachable,
            BootError::Wait(WaitError::Pooled(_)) | BootError::Pooled(_) => ExitCode::DatabasePooled,
            BootError::Wait(WaitError::Refused { .. }) => ExitCode::DatabaseRefused,
            BootError::Lock(LockError::Held { .. }) => ExitCode::LockTimeout,
            BootError::Lock(LockError::Query(error)) | BootError::Query(error) => query_exit_code(error),
            BootError::Apply(ApplyError::Sql { .. }) => ExitCode::MigrationFailed,
            BootError::Apply(ApplyError::Blocked { .. }) => ExitCode::MigrationBlocked,
            BootError::Apply(ApplyError::Connection { .. } | ApplyError::LockLost { .. })
            | BootError::Lost(_)
            | BootError::LockLost(_) => ExitCode::DatabaseLost,
            BootError::Apply(ApplyError::Destroys { .. })
            | BootError::Unannounced { .. }
            | BootError::DirectusDestroyed(_) => ExitCode::SchemaRefused,
            BootError::Attic(_) => ExitCode::Usage,
            BootError::RehearsalTimeout { .. } => ExitCode::SchemaFailed,
            BootError::ImageTooOld(_) => ExitCode::ImageTooOld,
            BootError::Schema(_) | BootError::DirectusTimeout { phase: Phase::Schema, .. } => ExitCode::SchemaFailed,
            BootError::Bootstrap(_) | BootError::BootstrapIncomplete(_) | BootError::DirectusTimeout { .. } => {
                ExitCode::BootstrapFailed
            }
            BootError::Refused { .. } => ExitCode::SchemaRefused,
            BootError::Diverged(_) | BootError::ChangedBySql(_) => ExitCode::SchemaDiverged,
            BootError::Exec(error) => error.exit_code(),
            BootError::Asked(asked) => asked.exit_code(),
            BootError::System { .. } | BootError::Witness(_) => ExitCode::Internal,
        }
    }

    /// The trace that a pooler left in it, if it did.
    #[must_use]
    pub fn trace_of_pooler(&self) -> Option<String> {
        match self {
            BootError::Lock(LockError::Query(error)) | BootError::Query(error) => trace_of_pooler(error),
            _ => None,
        }
    }

    /// Whether the connection may have ended under this error, and what is known of it.
    #[must_use]
    pub fn connection_loss(&self) -> Option<ConnectionLoss> {
        let (context, error) = match self {
            BootError::Lock(LockError::Query(error)) | BootError::Query(error) if lost(error) => (None, Some(error)),
            BootError::Apply(ApplyError::Connection { filename, source }) => (Some(filename.clone()), Some(source)),
            // Directus lost its own connection; ours may tell why.
            BootError::Bootstrap(BridgeError::Failed(failure)) | BootError::Schema(BridgeError::Failed(failure))
                if failure.is_lost_connection() =>
            {
                return Some(ConnectionLoss { context: None, said: None, seen: Some(failure.to_string()) });
            }
            BootError::Bootstrap(_) | BootError::Schema(_) => (None, None),
            _ => return None,
        };
        let said = error.filter(|error| error.as_db_error().is_some()).map(describe);
        Some(ConnectionLoss { context, said, seen: error.map(describe) })
    }
}

impl BootError {
    /// A query of the boot's own on Directus' connection failed in phase 5.
    #[must_use]
    pub fn in_bootstrap(error: LinkError) -> BootError {
        match error {
            LinkError::Sql(error) => BootError::Query(error),
            LinkError::Directus(error) => BootError::Bootstrap(error),
            LinkError::Malformed(_) => BootError::Witness(error),
        }
    }

    /// The same in phase 6.
    #[must_use]
    pub fn in_schema(error: LinkError) -> BootError {
        match error {
            LinkError::Sql(error) => BootError::Query(error),
            LinkError::Directus(error) => BootError::Schema(error),
            LinkError::Malformed(_) => BootError::Witness(error),
        }
    }
}

impl From<LinkError> for BootError {
    fn from(error: LinkError) -> Self {
        BootError::in_schema(error)
    }
}

impl From<VerifyError> for BootError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Query(error) => error.into(),
            lost => BootError::LockLost(lost),
        }
    }
}

impl From<PoolError> for BootError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Pooled(pooled) => BootError::Pooled(pooled),
            PoolError::Wait(error) => BootError::Wait(error),
            PoolError::Query(error) => BootError::Query(error),
        }
    }
}

/// What an error tells of a connection that ended under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLoss {
    /// The file that was being applied.
    pub context: Option<String>,
    /// PostgreSQL's own words (`terminating connection due to administrator command`), if it had time for them.
    pub said: Option<String>,
    /// What the statement itself met. All there is to tell when another connection than the session's was lost, such as
    /// the one that looks for a pooler.
    pub seen: Option<String>,
}

fn query_exit_code(error: &tokio_postgres::Error) -> ExitCode {
    match error.code().map(tokio_postgres::error::SqlState::code) {
        _ if lost(error) => ExitCode::DatabaseLost,
        // The role may not create our schema, or read a table.
        Some("42501") => ExitCode::DatabaseRefused,
        _ => ExitCode::Internal,
    }
}

/// Whether the connection is gone: closed, or ended by an administrator or a crash (class 57P).
fn lost(error: &tokio_postgres::Error) -> bool {
    error.is_closed() || error.code().is_none_or(|state| state.code().starts_with("57P"))
}
