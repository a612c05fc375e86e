//! The reasons why a boot ends, and their exit codes.

use std::time::Duration;

use crate::boot::exec::{ExecError, NoPm2Home};
use crate::config::Problems;
use crate::database::lock_retry::{Blocked, is_lock_failure};
use crate::database::servers::in_words;
use crate::database::settings::SettingError;
use crate::database::{LockError, Lost, PoolError, PoolerDetected, VerifyError, WaitError, describe, trace_of_pooler};
use crate::directus::snapshot::InvalidSnapshot;
use crate::directus::{BridgeError, NoDirectus};
use crate::listing::Listing;
use crate::migrations::{ApplyError, InvalidMigrations};
use crate::reconcile::Waiting;
use crate::redis::RedisError;
use crate::signals::ShutdownSignal;
use crate::witness::LinkError;
use contract::failure::{self, BootFailure};
use contract::sqlstate::{self, Party, Remedy};
use contract::{ExitCode, Phase};

/// The reason why a boot ended before the server. Its display form is the last line of the log: what failed and why, the
/// state of the database, and the remedy; the latter two from [`contract::failure`].
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// Phase 1: the variables are not valid.
    #[error("{}; {}", .0.listing(), failure::VARIABLES.ending())]
    Config(#[from] Problems),
    /// Phase 1: the image's SQL files are not valid.
    #[error("{}; {}", .0.listing(), failure::FILES.ending())]
    Migrations(#[from] InvalidMigrations),
    /// Phase 1: the image's snapshot is not valid.
    #[error("{0}")]
    Snapshot(#[from] InvalidSnapshot),
    /// Phase 1: the image's Directus was not found.
    #[error("{0}")]
    NoDirectus(#[from] NoDirectus),
    /// Phase 2: PostgreSQL is not reachable, or refuses the connection.
    #[error("{0}")]
    Wait(#[from] WaitError),
    /// Phase 2: Redis, which the variables name, cannot be used.
    #[error("{0}")]
    Redis(#[from] RedisError),
    /// Phase 3: another boot holds the lock.
    #[error("{0}")]
    Lock(#[from] LockError),
    /// Phase 3, or later if it is detected then: the connection goes through a pooler.
    #[error("{0}")]
    PoolerDetected(#[from] PoolerDetected),
    /// Phase 3: the role's settings do not allow a boot.
    #[error("{0}")]
    Setting(SettingError),
    /// Phase 3: the boot's own tables belong to another project.
    #[error(
        "the database belongs to the Directus in the schema `{schema}`, and this one uses another schema; {}",
        failure::OTHER_PROJECT.ending_for(schema)
    )]
    OtherProject {
        /// The PostgreSQL schema of that Directus.
        schema: String,
    },
    /// Phase 4: the server cannot load an extension of the database.
    #[error("{what}; {}", failure::EXTENSION.ending_with(remedy))]
    Extension {
        /// The extension, and what the server lacks.
        what: String,
        /// The remedy on the server.
        remedy: String,
    },
    /// Phases 4 and 7: a SQL file failed.
    #[error("{0}")]
    Apply(#[from] ApplyError),
    /// Phases 5 and 6: other sessions hold the locks that Directus needs.
    #[error("{}; {}", .0, failure::STEP_BLOCKED.ending())]
    Blocked(#[from] Blocked),
    /// Phase 5: Directus failed.
    #[error("{}", of_directus(.0, &failure::BOOTSTRAP))]
    Bootstrap(BridgeError),
    /// Phase 5: Directus reported success, but part of its work is missing.
    #[error("Directus reports success, but {}; {}", .0, failure::BOOTSTRAP_INCOMPLETE.ending())]
    BootstrapIncomplete(String),
    /// Phases 4 to 7: a newer image or a newer Directus has migrated the database.
    #[error("{reason}; {}", failure.ending())]
    ImageTooOld {
        /// The migration or file that this image lacks, and its origin.
        reason: String,
        /// The entry of the catalog.
        failure: &'static BootFailure,
    },
    /// The role lacks a privilege.
    #[error("{error}; {ending}")]
    Privilege {
        /// PostgreSQL's message.
        error: String,
        /// The state of the database, and the statement that gives the privilege.
        ending: String,
    },
    /// Phase 3 or 7: the boot's role cannot give the server's role what it needs.
    #[error("{what}; {}", failure.ending_for(statement))]
    ServerRole {
        /// The server's role, and what it lacks.
        what: String,
        /// The statement for an administrator of the database.
        statement: String,
        /// The entry of the catalog.
        failure: &'static BootFailure,
    },
    /// Phase 6: Directus failed.
    #[error("{}", of_directus(.0, &failure::SCHEMA))]
    Schema(BridgeError),
    /// Phase 6: the plan is destructive.
    #[error("this would {losses}; {}", failure::PLAN.ending_for(digest))]
    Refused {
        /// The data that the plan would delete or narrow, with amounts.
        losses: Listing,
        /// The plan's digest.
        digest: String,
    },
    /// Phase 5 or 6: Directus destroyed data outside of its own tables.
    #[error("Directus would destroy what is not its own: {}; {}", .0, failure::DIRECTUS_DESTROYS.ending())]
    DirectusDestroyed(Listing),
    /// Phase 6: the witness detected unannounced losses.
    #[error("Directus destroyed more than its plan announced: {losses}; {}", failure::UNANNOUNCED.ending_for(digest))]
    Unannounced {
        /// The losses, each with its amount.
        losses: Listing,
        /// The value of `SCHEMA_ALLOW_DESTRUCTIVE` that allows these losses.
        digest: String,
    },
    /// Phase 6: Directus reported success, but the database does not match the snapshot.
    #[error("Directus applied the snapshot, but {}; {}", .0, failure::DIVERGED.ending())]
    Diverged(String),
    /// Phase 7: the SQL after the schema changed a part of the snapshot's schema.
    #[error("the SQL after the schema changed {}, which the snapshot describes; {}", .0, failure::CHANGED_BY_SQL.ending())]
    ChangedBySql(String),
    /// Phases 4 to 7: the boot lock was lost.
    #[error("{}; {}", .0, failure::LOCK_LOST.ending())]
    LockLost(VerifyError),
    /// PostgreSQL's catalog could not be read.
    #[error("{}; {}", .0, failure::WITNESS.ending())]
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
    /// Directus took too long.
    #[error("Directus did not finish within {} s; {}", after.as_secs(), failure::TIMEOUT.ending())]
    DirectusTimeout {
        /// The interrupted phase.
        phase: Phase,
        /// The deadline that passed.
        after: Duration,
    },
    /// The boot's connection was lost.
    #[error("the connection to PostgreSQL was lost: {}; {}", .0, failure::CONNECTION_LOST.ending())]
    Lost(Lost),
    /// One of the boot's own queries failed.
    #[error("{}", describe_query(.0))]
    Query(#[from] tokio_postgres::Error),
    /// `contract`: servers of other images run.
    #[error("{} for {}; {}", waits(&.0.work), in_words(&.0.servers), failure::WAITING.ending())]
    Waiting(Waiting),
    /// Phase 8: the server could not be executed.
    #[error("{0}")]
    Exec(#[from] ExecError),
    /// Phase 8: there is no folder for pm2.
    #[error("{0}")]
    NoPm2Home(#[from] NoPm2Home),
    /// A signal ended the boot.
    #[error("{} ended the boot; {}", .0.name(), failure::SIGNAL.ending())]
    Shutdown(ShutdownSignal),
    /// The system failed at an operation that every boot needs.
    #[error("{what}: {source}")]
    System {
        /// The operation, for example `cannot handle signals`.
        what: &'static str,
        /// The error of the system.
        source: std::io::Error,
    },
}

impl BootError {
    /// The exit code of this reason: the one of its entry in the catalog, unless it has several entries or another party is
    /// the cause.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            BootError::Config(_) => failure::VARIABLES.exit,
            BootError::NoDirectus(_) => failure::NO_DIRECTUS.exit,
            BootError::Migrations(_) => failure::FILES.exit,
            BootError::Snapshot(_) => failure::SNAPSHOT.exit,
            BootError::Wait(WaitError::Unreachable { .. }) => ExitCode::DatabaseUnreachable,
            BootError::Wait(WaitError::Refused { .. } | WaitError::ReadOnly { .. })
            | BootError::Setting(_)
            | BootError::Privilege { .. } => ExitCode::DatabaseRefused,
            BootError::Wait(WaitError::PoolerDetected(_)) | BootError::PoolerDetected(_) => failure::POOLER.exit,
            BootError::Redis(_) => ExitCode::ServiceUnreachable,
            BootError::OtherProject { .. } => failure::OTHER_PROJECT.exit,
            BootError::Extension { .. } => failure::EXTENSION.exit,
            BootError::Lock(LockError::Held { .. }) => failure::LOCK.exit,
            BootError::Lock(LockError::Query(error)) | BootError::Query(error) => query_exit_code(error),
            BootError::LockLost(_) | BootError::Apply(ApplyError::LockLost { .. }) => failure::LOCK_LOST.exit,
            BootError::Lost(_) | BootError::Apply(ApplyError::Connection { .. }) => failure::CONNECTION_LOST.exit,
            BootError::Apply(ApplyError::Sql { remedy, .. }) if is_outside(remedy.party) => ExitCode::DatabaseRefused,
            BootError::Apply(ApplyError::Sql { .. }) => ExitCode::MigrationFailed,
            BootError::Apply(ApplyError::Blocked { .. }) => failure::FILE_BLOCKED.exit,
            BootError::Apply(ApplyError::Destroys { .. }) => failure::FILE_DESTROYS.exit,
            BootError::Schema(error) | BootError::Bootstrap(error) if is_outside(error.remedy("", "").party) => {
                ExitCode::DatabaseRefused
            }
            BootError::Bootstrap(_) => failure::BOOTSTRAP.exit,
            BootError::BootstrapIncomplete(_) => failure::BOOTSTRAP_INCOMPLETE.exit,
            BootError::Blocked(_) => failure::STEP_BLOCKED.exit,
            BootError::ImageTooOld { failure, .. } | BootError::ServerRole { failure, .. } => failure.exit,
            BootError::DirectusTimeout { phase: Phase::Schema, .. } | BootError::RehearsalTimeout { .. } => {
                ExitCode::SchemaFailed
            }
            BootError::DirectusTimeout { .. } => ExitCode::BootstrapFailed,
            BootError::DirectusDestroyed(_) => failure::DIRECTUS_DESTROYS.exit,
            BootError::Schema(_) => failure::SCHEMA.exit,
            BootError::Refused { .. } => failure::PLAN.exit,
            BootError::Unannounced { .. } => failure::UNANNOUNCED.exit,
            BootError::Diverged(_) => failure::DIVERGED.exit,
            BootError::ChangedBySql(_) => failure::CHANGED_BY_SQL.exit,
            BootError::Attic(_) => ExitCode::Usage,
            BootError::Waiting(_) => failure::WAITING.exit,
            BootError::Exec(error) => error.exit_code(),
            BootError::NoPm2Home(_) => failure::NO_PM2_FOLDER.exit,
            BootError::Shutdown(signal) => signal.exit_code(),
            BootError::Witness(_) => failure::WITNESS.exit,
            BootError::System { .. } => ExitCode::Internal,
        }
    }

    /// The lines to log before the last one: the items that it has no room for.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        match self {
            BootError::Config(problems) => problems.listing().lines().to_vec(),
            BootError::Migrations(invalid) => invalid.listing().lines().to_vec(),
            BootError::Apply(ApplyError::Destroys { losses, .. })
            | BootError::Refused { losses, .. }
            | BootError::Unannounced { losses, .. }
            | BootError::DirectusDestroyed(losses) => losses.lines().to_vec(),
            _ => Vec::new(),
        }
    }

    /// Names the role and the statement that gives it the missing privilege, if that is the cause. Errors of SQL files
    /// name them already.
    #[must_use]
    pub fn for_role(self, role: &str) -> BootError {
        let (code, message, error, failure) = match &self {
            BootError::Lock(LockError::Query(error)) | BootError::Query(error) => match error.as_db_error() {
                Some(db) => (db.code().code(), db.message(), describe(error), failure::QUERY),
                None => return self,
            },
            BootError::Bootstrap(BridgeError::Failed(failed)) | BootError::Schema(BridgeError::Failed(failed)) => {
                let failure = if matches!(self, BootError::Schema(_)) { failure::SCHEMA } else { failure::BOOTSTRAP };
                (failed.code.as_deref().unwrap_or_default(), failed.message.as_str(), failed.to_string(), failure)
            }
            _ => return self,
        };
        if code != sqlstate::INSUFFICIENT_PRIVILEGE {
            return self;
        }
        let ending = failure.ending_with(&Remedy::of(code, message, role, "").to_string());
        BootError::Privilege { error: format!("role {role}: {error}"), ending }
    }

    /// Directus' error if it could not get a lock, without the state of the database and the remedy: the step is repeated.
    #[must_use]
    pub fn lock_failure(&self) -> Option<String> {
        match self {
            BootError::Bootstrap(BridgeError::Failed(failure)) | BootError::Schema(BridgeError::Failed(failure)) => {
                failure.code.as_deref().is_some_and(is_lock_failure).then(|| failure.to_string())
            }
            _ => None,
        }
    }

    /// The evidence of a pooler in the error, if any.
    #[must_use]
    pub fn trace_of_pooler(&self) -> Option<String> {
        match self {
            BootError::Lock(LockError::Query(error)) | BootError::Query(error) => trace_of_pooler(error),
            _ => None,
        }
    }

    /// Details of a lost connection; `None` if the error cannot be the consequence of one.
    #[must_use]
    pub fn connection_loss(&self) -> Option<ConnectionLoss> {
        let (context, error) = match self {
            BootError::Lock(LockError::Query(error)) | BootError::Query(error) if is_connection_lost(error) => {
                (None, Some(error))
            }
            BootError::Apply(ApplyError::Connection { filename, source }) => (Some(filename.clone()), Some(source)),
            // Directus lost its own connection; the boot's connection may have been lost with a more precise message.
            BootError::Bootstrap(BridgeError::Failed(failure)) | BootError::Schema(BridgeError::Failed(failure))
                if failure.is_lost_connection() =>
            {
                return Some(ConnectionLoss { context: None, server_message: None, error: Some(failure.to_string()) });
            }
            BootError::Bootstrap(_) | BootError::Schema(_) => (None, None),
            _ => return None,
        };
        let server_message = error.filter(|error| error.as_db_error().is_some()).map(describe);
        Some(ConnectionLoss { context, server_message, error: error.map(describe) })
    }

    /// Converts the error of one of the boot's own queries in phase 5.
    #[must_use]
    pub fn in_bootstrap(error: LinkError) -> BootError {
        match error {
            LinkError::Sql(error) => BootError::Query(error),
            LinkError::Directus(error) => BootError::Bootstrap(error),
            LinkError::Malformed(_) => BootError::Witness(error),
        }
    }

    /// Converts the error of one of the boot's own queries in phase 6.
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

impl From<SettingError> for BootError {
    fn from(error: SettingError) -> Self {
        match error {
            SettingError::Query(error) => BootError::Query(error),
            refused => BootError::Setting(refused),
        }
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
            PoolError::PoolerDetected(pooled) => BootError::PoolerDetected(pooled),
            PoolError::Wait(error) => BootError::Wait(error),
            PoolError::Query(error) => BootError::Query(error),
        }
    }
}

/// Details of an error that may be the consequence of a lost connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLoss {
    /// The SQL file that was being applied, if any.
    pub context: Option<String>,
    /// PostgreSQL's message (`terminating connection due to administrator command`), if it sent one.
    pub server_message: Option<String>,
    /// The error of the statement. The only source if the lost connection is not the session's, for example the one
    /// that detects poolers.
    pub error: Option<String>,
}

fn query_exit_code(error: &tokio_postgres::Error) -> ExitCode {
    match error.code() {
        _ if is_connection_lost(error) => ExitCode::DatabaseLost,
        Some(state) if is_outside(sqlstate::fault(state.code())) => ExitCode::DatabaseRefused,
        _ => ExitCode::Internal,
    }
}

/// Returns true if neither the image nor the rows are the cause.
fn is_outside(party: Party) -> bool {
    matches!(party, Party::Role | Party::Server)
}

/// An error of Directus, with the ending of its entry and the remedy of its cause.
fn of_directus(error: &BridgeError, failure: &BootFailure) -> String {
    format!("{error}; {}", failure.ending_with(&error.remedy("", failure.remedy).to_string()))
}

/// The number of changes and files that wait; the log has them above.
fn waits(work: &[String]) -> String {
    if let [_] = work { "1 change waits".to_owned() } else { format!("{} changes wait", work.len()) }
}

/// An error of one of the boot's own queries. If the image and the rows are not its cause, with the remedy of its code.
fn describe_query(error: &tokio_postgres::Error) -> String {
    let remedy = error.as_db_error().map(|db| Remedy::of(db.code().code(), db.message(), "", ""));
    let ending = match remedy.filter(|remedy| is_outside(remedy.party)) {
        Some(remedy) => failure::QUERY.ending_with(&remedy.to_string()),
        None => failure::QUERY.ending(),
    };
    format!("{}; {ending}", describe(error))
}

/// Returns true if the connection was closed, or ended by an administrator or a crash (class 57P).
fn is_connection_lost(error: &tokio_postgres::Error) -> bool {
    error.is_closed() || error.code().is_none_or(|state| state.code().starts_with("57P"))
}
