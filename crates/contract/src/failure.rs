//! The failures of a boot: the exit code, the state of the database and the remedy of each.
//!
//! The last line of a failed boot is `<what failed>: <why>; <state>: <remedy>`. The situation gives the first half, this
//! catalog the second. A refusal by PostgreSQL has the remedy of its SQLSTATE, see [`crate::sqlstate`].

use crate::ExitCode;

/// The state of the database after a failed boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemainingState {
    /// The boot had not begun to change anything.
    Unchanged,
    /// The transaction of one SQL file was rolled back.
    FileRolledBack,
    /// The transaction of Directus' migrations or of the schema apply was rolled back.
    StepRolledBack,
    /// The boot ended between two transactions, or the open one was rolled back by PostgreSQL.
    EarlierApplied,
    /// Everything up to the SQL after the schema is applied.
    FilesApplied,
    /// The database is complete; only the server did not start.
    Complete,
    /// The command does not concern a database.
    Unrelated,
}

impl RemainingState {
    /// The words in the last line.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            RemainingState::Unchanged => "nothing was changed",
            RemainingState::FileRolledBack => "the file was rolled back, earlier files stay applied",
            RemainingState::StepRolledBack => "the step was rolled back, earlier steps stay applied",
            RemainingState::EarlierApplied => "completed files and steps stay applied",
            RemainingState::FilesApplied => "the files stay applied",
            RemainingState::Complete => "the database is complete",
            RemainingState::Unrelated => "",
        }
    }
}

/// An entry of the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootFailure {
    /// The exit code.
    pub exit: ExitCode,
    /// The cause, as a sentence of the reference.
    pub cause: &'static str,
    /// The state of the database.
    pub state: RemainingState,
    /// The remedy in the last line; `{}` is a value of the situation. Empty if the message has a remedy for each of its
    /// parts, or the one of an SQLSTATE.
    pub remedy: &'static str,
}

impl BootFailure {
    /// The second half of the last line: `nothing was changed: set DB_PASSWORD`.
    #[must_use]
    pub fn ending(&self) -> String {
        self.ending_with(self.remedy)
    }

    /// The ending with a value in the remedy.
    #[must_use]
    pub fn ending_for(&self, value: &str) -> String {
        self.ending_with(&self.remedy.replace("{}", value))
    }

    /// The ending with another remedy, such as that of an SQLSTATE; without a remedy, only the state.
    #[must_use]
    pub fn ending_with(&self, remedy: &str) -> String {
        let parts = [self.state.words(), remedy];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
    }
}

use RemainingState::{Complete, EarlierApplied, FileRolledBack, FilesApplied, StepRolledBack, Unchanged, Unrelated};

/// Defines the entries as constants, and the list of all of them.
macro_rules! catalog {
    ($($name:ident: $exit:ident, $state:ident, $cause:literal, $remedy:literal;)*) => {
        $(
            #[doc = $cause]
            pub const $name: BootFailure =
                BootFailure { exit: ExitCode::$exit, cause: $cause, state: $state, remedy: $remedy };
        )*

        /// All entries, in the order of the phases.
        pub const FAILURES: &[(&str, BootFailure)] = &[$((stringify!($name), $name)),*];
    };
}

catalog! {
    // Phase 1.
    VARIABLES: Config, Unchanged, "Variables are missing or wrong; the line has the remedy of each.", "";
    NO_DIRECTUS: Config, Unchanged,
        "The image contains no Directus where the boot looks for it.",
        "set BOOT_DIRECTUS_DIR, or use an image that contains Directus";
    FILES: MigrationsInvalid, Unchanged,
        "SQL files break a rule, or contradict those that the database has; the line has the remedy of each.",
        "run the previous image until the files are corrected";
    SNAPSHOT: SnapshotInvalid, Unchanged,
        "The snapshot cannot be read, or contradicts itself.",
        "run the previous image until the snapshot is corrected";
    // Phase 2.
    NAME: DatabaseUnreachable, Unchanged,
        "The host name of the database cannot be resolved.",
        "correct DB_HOST, or the name server of this container";
    NETWORK: DatabaseUnreachable, Unchanged,
        "The database refuses TCP connections, or closes them.",
        "check DB_HOST, DB_PORT and that PostgreSQL runs";
    SILENCE: DatabaseUnreachable, Unchanged,
        "The database does not answer at all.",
        "check DB_HOST, DB_PORT, the network and that PostgreSQL runs";
    NO_TLS: DatabaseRefused, Unchanged,
        "DB_SSL demands encryption, and the server offers none.",
        "enable ssl in the server's configuration, or unset DB_SSL";
    TLS: DatabaseRefused, Unchanged,
        "The server's certificate, or the encryption it offers, is not acceptable; the line has the remedy of the cause.", "";
    NO_PASSWORD: DatabaseRefused, Unchanged, "The server demands a password.", "set DB_PASSWORD";
    NOT_POSTGRESQL: DatabaseUnreachable, Unchanged,
        "The server does not answer as PostgreSQL does.",
        "check that DB_HOST and DB_PORT name a PostgreSQL server";
    CONNECTION: DatabaseRefused, Unchanged,
        "PostgreSQL refuses the connection; the remedy is that of its SQLSTATE.", "";
    STANDBY: DatabaseRefused, Unchanged,
        "The server is a standby, and there is work to do.",
        "connect to the primary with DB_HOST, then start again";
    READ_ONLY: DatabaseRefused, Unchanged,
        "The role or the database is read-only, and there is work to do.",
        "let a superuser run ALTER ROLE … RESET default_transaction_read_only (or ALTER DATABASE … RESET), then start again";
    SERVICE: ServiceUnreachable, Unchanged,
        "Redis, which the variables name, does not answer.",
        "check that Redis runs and that REDIS or REDIS_HOST and REDIS_PORT name it, or unset them; Directus does not serve \
         without it";
    SERVICE_REFUSES: ServiceUnreachable, Unchanged,
        "Redis refuses the credentials.",
        "correct the user and the password in REDIS, or REDIS_USERNAME and REDIS_PASSWORD";
    // Phase 3.
    POOLER: DatabasePooled, Unchanged,
        "A pooler in transaction or statement mode is between the boot and PostgreSQL.",
        "let the boot bypass it with BOOT_DB_HOST and BOOT_DB_PORT, or BOOT_DB_CONNECTION_STRING (the server keeps its own \
         DB_*), or set the pooler's pool_mode=session";
    SETTING: DatabaseRefused, Unchanged,
        "A setting of the role or the database does not allow a boot, and the role may not change it.",
        "let a superuser run ALTER ROLE … RESET {} (or ALTER DATABASE … RESET {}), then start again";
    SEARCH_PATH: DatabaseRefused, Unchanged,
        "The search_path of the role leads away from Directus' tables.",
        "set DB_SEARCH_PATH to the schema that Directus shall use, for example DB_SEARCH_PATH={}";
    OTHER_PROJECT: DatabaseRefused, Unchanged,
        "The database belongs to a Directus in another PostgreSQL schema.",
        "give this project its own database with DB_DATABASE; if it is the same project, set DB_SEARCH_PATH={}";
    SERVER_ROLE: DatabaseRefused, Unchanged,
        "The role of DB_USER does not exist, or lacks a privilege that BOOT_DB_USER may not grant.",
        "let a superuser run {} in this database, then start again";
    LOCK: LockTimeout, Unchanged,
        "Another boot works on the database.",
        "check that boot's log, or raise BOOT_LOCK_TIMEOUT";
    LOCK_LOST: DatabaseLost, EarlierApplied,
        "The boot lock was lost, so nothing may be committed.",
        "start again, the boot goes on where it stopped";
    CONNECTION_LOST: DatabaseLost, EarlierApplied,
        "The connection to PostgreSQL was lost during the boot.",
        "start again, the boot goes on where it stopped";
    SERVER_OWNS: DatabaseRefused, EarlierApplied,
        "The role of BOOT_DB_USER lacks a privilege on what the role of DB_USER owns, as after a change from one role to two.",
        "let a superuser run {} in this database, then start again";
    // Phases 4 and 7.
    EXTENSION: DatabaseRefused, Unchanged,
        "The server cannot load an extension of the database; the line has the remedy of the cause.", "";
    STATEMENT: MigrationFailed, FileRolledBack,
        "PostgreSQL refuses a statement of an SQL file; the remedy is that of its SQLSTATE.",
        "correct the file and build a new image; run the previous image until then";
    TRANSACTION_BLOCK: MigrationFailed, FileRolledBack,
        "A statement of an SQL file cannot run inside a transaction.",
        "move it into a file with the directive `-- no-transaction` and build a new image; run the previous image until then";
    FILE_BLOCKED: MigrationBlocked, FileRolledBack,
        "Another session holds a lock that an SQL file needs.",
        "end that session with SELECT pg_terminate_backend(pid), or raise MIGRATION_LOCK_TIMEOUT, then start again";
    FILE_DESTROYS: SchemaRefused, FileRolledBack,
        "An SQL file would destroy data without declaring it.",
        "run the previous image until the file is corrected, or, if the data may go, until it declares this in its first lines \
         with `-- destroys: {}`";
    FILE_BREAKS: SchemaRefused, FileRolledBack,
        "An SQL file would remove a view, or narrow a column, that running servers of other images use.",
        "stop these servers (`status` lists them) and start again, or run the previous image until the file declares          `-- breaks-older-images` in its first lines and so waits for their end";
    // Phase 5.
    STEP_BLOCKED: MigrationBlocked, StepRolledBack,
        "Another session holds a lock that Directus' migrations or the schema apply need.",
        "end that session with SELECT pg_terminate_backend(pid), or raise MIGRATION_LOCK_TIMEOUT, then start again";
    BOOTSTRAP: BootstrapFailed, StepRolledBack,
        "Directus could not install or migrate its tables, or create the administrator.",
        "run the previous image until the cause is removed; Directus' own lines are above";
    BOOTSTRAP_INCOMPLETE: BootstrapFailed, StepRolledBack,
        "Directus reports success, but a part of its work is missing.",
        "start again; if it fails again, run the previous image and report this line";
    DIRECTUS_DESTROYS: SchemaRefused, StepRolledBack,
        "Directus destroyed something that is not its own.",
        "run the previous image and report this line to Directus";
    NEWER_DIRECTUS: ImageTooOld, Unchanged,
        "The database has migrations of a newer Directus.",
        "start the image with that version@revision (labels org.opencontainers.image.version and .revision), or a newer one";
    UNKNOWN_MIGRATIONS: ImageTooOld, Unchanged,
        "The database has migrations of Directus that the image lacks, and no boot with another Directus is recorded.",
        "start an image with the Directus or the custom migrations that the database has, or restore a backup from before \
         them";
    NEWER_FILE: ImageTooOld, Unchanged,
        "The database has an SQL file of a newer image that breaks older images.",
        "start the image with that version@revision (labels org.opencontainers.image.version and .revision), or a newer one";
    OTHER_BRANCH: ImageTooOld, Unchanged,
        "The database has SQL files that this image lacks, and this image has a snapshot that is new to the database.",
        "merge the two branches and build a new image; run the image that was here last until then";
    // Phase 6.
    SCHEMA: SchemaFailed, StepRolledBack,
        "Directus could not apply the snapshot.",
        "correct the snapshot and build a new image; run the previous image until then";
    NODE: SchemaFailed, StepRolledBack,
        "Directus' process ended or sent an invalid reply.",
        "start again; if it happens again, run the previous image and report Directus' lines above";
    PLAN: SchemaRefused, StepRolledBack,
        "The plan of phase 6 would destroy something.",
        "run the previous image and save a newer snapshot; or, if this may be lost, make a backup and allow exactly this plan \
         once with SCHEMA_ALLOW_DESTRUCTIVE={}";
    UNANNOUNCED: SchemaRefused, StepRolledBack,
        "Directus destroyed more than its plan announced.",
        "run the previous image until the snapshot is corrected; or, if this may be lost, make a backup and allow exactly this \
         once with SCHEMA_ALLOW_DESTRUCTIVE={}";
    DIVERGED: SchemaDiverged, StepRolledBack,
        "Directus reports success, but the database does not match the snapshot.",
        "run the previous image and compare the named items with the snapshot";
    TIMEOUT: SchemaFailed, StepRolledBack,
        "Directus took longer than BOOT_DIRECTUS_TIMEOUT.",
        "see Directus' lines above, or raise BOOT_DIRECTUS_TIMEOUT";
    // Phase 7.
    CHANGED_BY_SQL: SchemaDiverged, FilesApplied,
        "The SQL after the schema changed something that the snapshot describes.",
        "run the previous image, and make this change in the snapshot instead";
    WAITING: STOP_FIRST, EarlierApplied,
        "`contract`: changes wait, because servers of other images run.",
        "stop these servers, then run `contract` again";
    SERVER_ROLE_LATE: DatabaseRefused, FilesApplied,
        "The role of DB_USER lacks a privilege on something that an SQL file gave to another role.",
        "let a superuser run {} in this database, then start again";
    // Phase 8.
    NO_PM2_FOLDER: NotExecutable, Complete,
        "pm2 has no folder that it may write to.",
        "mount a writable folder at /tmp or at the first of them, or name one in PM2_HOME";
    COMMAND: NotExecutable, Unrelated, "The command cannot be run.", "check its name, mode and architecture";
    // Any phase.
    QUERY: Internal, EarlierApplied,
        "PostgreSQL gives an unexpected answer to one of the boot's own queries.",
        "if the tables of the schema `boot` were edited, undo that; otherwise report this line, and run the previous image";
    WITNESS: Internal, StepRolledBack,
        "PostgreSQL's catalog could not be read.",
        "report this line, and run the previous image";
    SIGNAL: Terminated, EarlierApplied, "A signal ended the boot.", "the next boot goes on where it stopped";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_is_state_and_remedy() {
        assert_eq!(NAME.ending(), "nothing was changed: correct DB_HOST, or the name server of this container");
        assert_eq!(VARIABLES.ending(), "nothing was changed");
        let ending = PLAN.ending_for("abc");
        assert!(ending.ends_with("once with SCHEMA_ALLOW_DESTRUCTIVE=abc"), "{ending}");
        assert_eq!(STATEMENT.ending_with("x"), "the file was rolled back, earlier files stay applied: x");
    }

    #[test]
    fn no_remedy_needs_a_checkout_or_a_toolchain() {
        for (name, failure) in FAILURES {
            assert!(!failure.remedy.contains("cargo"), "{name}");
            assert!(failure.cause.ends_with('.') && !failure.remedy.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn a_remedy_that_needs_a_new_image_names_the_one_to_run_until_then() {
        for (name, failure) in FAILURES.iter().filter(|(_, failure)| failure.remedy.contains("build a new image")) {
            assert!(failure.remedy.contains(" until then"), "{name}");
        }
    }
}
