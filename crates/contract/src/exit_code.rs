//! One exit code for each class of failure. The numbers are stable: monitoring and CI may match on them.

/// The result of a boot or another subcommand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// Success; of a boot, once the server has ended normally.
    Ok = 0,
    /// A fault of the boot binary itself, or an unexpected answer of PostgreSQL.
    Internal = 1,
    /// `plan`: a boot would change something.
    ChangesPending = 2,
    /// `plan`: the image has nothing new, but the database differs from it: it was edited by hand. `compat` and `contract`
    /// share the number: [`ExitCode::STOP_FIRST`].
    Drift = 3,
    /// One or more variables are missing or wrong; all are listed.
    Config = 10,
    /// PostgreSQL did not answer before the deadline.
    DatabaseUnreachable = 20,
    /// PostgreSQL refused the connection: password, role or database name, TLS.
    DatabaseRefused = 21,
    /// Another boot held the lock until the deadline.
    LockTimeout = 22,
    /// The connection was lost during the boot.
    DatabaseLost = 23,
    /// A pooler in transaction mode is between the boot and PostgreSQL: no lock would hold.
    DatabasePooled = 24,
    /// A service that the variables name, such as Redis, did not answer before the deadline or refused the credentials.
    ServiceUnreachable = 25,
    /// The migration files contradict the ledger or the rules: edited, missing, duplicate, badly named, empty.
    MigrationsInvalid = 30,
    /// A migration's SQL failed; its transaction was rolled back.
    MigrationFailed = 31,
    /// A migration waited for a lock that another session did not release; it was rolled back.
    MigrationBlocked = 32,
    /// Directus could not install or migrate its system tables, or reported success without a result.
    BootstrapFailed = 40,
    /// The snapshot cannot be read, or is not a Directus snapshot.
    SnapshotInvalid = 41,
    /// Directus failed to apply the snapshot; its transaction was rolled back.
    SchemaFailed = 42,
    /// A plan, a SQL file or Directus would cause a loss that was not announced; it was refused or rolled back.
    SchemaRefused = 43,
    /// After the apply, a new plan is not empty or a part of the snapshot is missing; everything was rolled back.
    SchemaDiverged = 44,
    /// A newer Directus, or a newer image that excludes older ones, has changed this database; nothing was touched.
    ImageTooOld = 45,
    /// `healthcheck`: the server does not answer 200.
    Unhealthy = 50,
    /// The command line is invalid (`EX_USAGE` of sysexits.h).
    Usage = 64,
    /// The command to exec exists but cannot be executed.
    NotExecutable = 126,
    /// The command to exec was not found.
    NotFound = 127,
    /// SIGINT ended the boot.
    Interrupted = 130,
    /// SIGTERM ended the boot.
    Terminated = 143,
}

impl ExitCode {
    /// `compat`: the servers of other images must be stopped before this image boots. `contract`: they still run.
    pub const STOP_FIRST: ExitCode = ExitCode::Drift;

    /// All codes, in ascending order.
    pub const ALL: [ExitCode; 26] = [
        ExitCode::Ok,
        ExitCode::Internal,
        ExitCode::ChangesPending,
        ExitCode::Drift,
        ExitCode::Config,
        ExitCode::DatabaseUnreachable,
        ExitCode::DatabaseRefused,
        ExitCode::LockTimeout,
        ExitCode::DatabaseLost,
        ExitCode::DatabasePooled,
        ExitCode::ServiceUnreachable,
        ExitCode::MigrationsInvalid,
        ExitCode::MigrationFailed,
        ExitCode::MigrationBlocked,
        ExitCode::BootstrapFailed,
        ExitCode::SnapshotInvalid,
        ExitCode::SchemaFailed,
        ExitCode::SchemaRefused,
        ExitCode::SchemaDiverged,
        ExitCode::ImageTooOld,
        ExitCode::Unhealthy,
        ExitCode::Usage,
        ExitCode::NotExecutable,
        ExitCode::NotFound,
        ExitCode::Interrupted,
        ExitCode::Terminated,
    ];

    /// Returns the exit code of a number.
    #[must_use]
    pub fn from_code(code: i64) -> Option<ExitCode> {
        ExitCode::ALL.into_iter().find(|exit| i64::from(exit.code()) == code)
    }

    /// Returns the number that the process exits with.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Returns the meaning, in one sentence for an operator.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            ExitCode::Ok => "The command succeeded, or the server ended normally.",
            ExitCode::Internal => "A fault of the boot binary, or an unexpected answer of PostgreSQL.",
            ExitCode::ChangesPending => "`plan`: a boot of this image would change what the plan lists.",
            ExitCode::Drift => {
                "`plan`: the image contains nothing new, but the database was edited since its last boot. `compat`, `contract`: servers of other images must stop first."
            }
            ExitCode::Config => "Variables are missing or wrong; all of them are listed.",
            ExitCode::DatabaseUnreachable => "PostgreSQL did not answer before the deadline.",
            ExitCode::DatabaseRefused => "PostgreSQL refused the connection: password, role, database name or TLS.",
            ExitCode::LockTimeout => "Another boot held the boot lock until the deadline.",
            ExitCode::DatabaseLost => "The connection to PostgreSQL was lost during the boot.",
            ExitCode::DatabasePooled => {
                "A pooler in transaction mode is between the boot and PostgreSQL, and no lock would hold."
            }
            ExitCode::ServiceUnreachable => {
                "Redis, which the variables name, did not answer, or refused the credentials."
            }
            ExitCode::MigrationsInvalid => {
                "The SQL files contradict the ledger or the rules: edited, missing, duplicate, badly named, empty."
            }
            ExitCode::MigrationFailed => "A migration's SQL failed; its transaction, if it has one, was rolled back.",
            ExitCode::MigrationBlocked => {
                "A migration did not get a lock that another session holds; the log names the session."
            }
            ExitCode::BootstrapFailed => {
                "Directus could not install or migrate its system tables or create the administrator."
            }
            ExitCode::SnapshotInvalid => "The snapshot file cannot be read, or is not a Directus snapshot.",
            ExitCode::SchemaFailed => "Directus failed to apply the snapshot; its transaction was rolled back.",
            ExitCode::SchemaRefused => {
                "A plan, a SQL file or Directus would cause a loss that was not announced; it was refused or rolled back."
            }
            ExitCode::SchemaDiverged => {
                "After the apply, a new plan is not empty or a part of the snapshot is missing; everything was rolled back."
            }
            ExitCode::ImageTooOld => {
                "A newer Directus, or a newer image that cannot run next to older ones, has changed the database; nothing was touched."
            }
            ExitCode::Unhealthy => "`healthcheck`: the server does not answer 200.",
            ExitCode::Usage => "The command line is invalid.",
            ExitCode::NotExecutable => "The command to run exists but cannot be executed.",
            ExitCode::NotFound => "The command to run was not found.",
            ExitCode::Interrupted => "SIGINT ended the boot; the next boot continues where it stopped.",
            ExitCode::Terminated => "SIGTERM ended the boot (`docker stop`); the next boot continues where it stopped.",
        }
    }

    /// Returns what the operator can do.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            ExitCode::Ok => "Nothing.",
            ExitCode::Internal => "Start again; if it fails again, report the last line of the log.",
            ExitCode::ChangesPending => "Review the plan, then boot the image.",
            ExitCode::Drift => {
                "`plan`: save the edits in the image's snapshot, or boot the image to undo them. `compat`, `contract`: stop the servers that the report names, then boot the image."
            }
            ExitCode::Config => "Set the named variables.",
            ExitCode::DatabaseUnreachable => {
                "Check DB_HOST and DB_PORT, the network, and that PostgreSQL runs; raise BOOT_DATABASE_TIMEOUT if it is slow to start."
            }
            ExitCode::DatabaseRefused => "Correct the named credential, or create the role or the database.",
            ExitCode::LockTimeout => {
                "Check the named lock holder; raise BOOT_LOCK_TIMEOUT if it runs a long migration."
            }
            ExitCode::DatabaseLost => "See PostgreSQL's log; start again, and the boot continues where it stopped.",
            ExitCode::DatabasePooled => {
                "Give the boot a direct connection: BOOT_DB_HOST and BOOT_DB_PORT, or BOOT_DB_CONNECTION_STRING."
            }
            ExitCode::ServiceUnreachable => {
                "Check the named service, or unset its variables; raise BOOT_DATABASE_TIMEOUT if it is slow to start."
            }
            ExitCode::MigrationsInvalid => {
                "Restore the named file as it was applied, and make the change in a new file with the next number."
            }
            ExitCode::MigrationFailed => {
                "Correct the file at the named line and build a new image; the log states whether the file was rolled back."
            }
            ExitCode::MigrationBlocked => {
                "End the session that the log names, or raise MIGRATION_LOCK_TIMEOUT; then start again."
            }
            ExitCode::BootstrapFailed => {
                "See Directus' lines above; start again, and the boot continues where it stopped."
            }
            ExitCode::SnapshotInvalid => {
                "Run the previous image; correct the snapshot, or convert it: `docker run --rm -i IMAGE snapshot --convert < OLD > NEW`."
            }
            ExitCode::SchemaFailed => "See Directus' lines above for the collection or field; correct the snapshot.",
            ExitCode::SchemaRefused => {
                "Run the previous image until the snapshot or file is corrected; or allow exactly this loss with the SCHEMA_ALLOW_DESTRUCTIVE=… or the directive that the log names."
            }
            ExitCode::SchemaDiverged => {
                "Run the previous image, and compare the named items in the database with the snapshot."
            }
            ExitCode::ImageTooOld => "Start the image that the log names, or a newer one.",
            ExitCode::Unhealthy => "See the container's log; restart it if the server hangs.",
            ExitCode::Usage => "See `docker run --rm IMAGE help`.",
            ExitCode::NotExecutable => "Check the file's mode and architecture.",
            ExitCode::NotFound => "Check the command's name and PATH.",
            ExitCode::Interrupted | ExitCode::Terminated => "Start again.",
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(exit: ExitCode) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::ExitCode;

    #[test]
    fn codes_ascend_and_are_found_by_number() {
        for pair in ExitCode::ALL.windows(2) {
            assert!(pair[0].code() < pair[1].code());
        }
        for exit in ExitCode::ALL {
            assert_eq!(ExitCode::from_code(i64::from(exit.code())), Some(exit));
        }
        assert_eq!(ExitCode::from_code(256), None);
    }
}
