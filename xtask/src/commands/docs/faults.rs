//! Faults, each with the cause and the remedy that a reader must find in the log. Written before the logs; a test holds the
//! recorded logs against it.

/// A fault that stops a boot.
pub(super) struct SampleFault {
    /// The sample that shows it.
    pub(super) sample: &'static str,
    /// The fault, as it was made.
    pub(super) fault: &'static str,
    /// Words of the last line that name the cause.
    pub(super) cause: &'static str,
    /// Words of the last line that name the remedy, after the cause.
    pub(super) remedy: &'static str,
}

const fn fault(sample: &'static str, fault: &'static str, cause: &'static str, remedy: &'static str) -> SampleFault {
    SampleFault { sample, fault, cause, remedy }
}

/// All faults, in the order of the exit codes.
pub(super) const FAULTS: &[SampleFault] = &[
    fault(
        "1-unclassified-error",
        "A column of the boot's own tables was renamed.",
        "column \"checksum\" does not exist",
        "if the tables of the schema `boot` were edited, undo that",
    ),
    fault(
        "10-missing-variables",
        "Two variables are not set.",
        "DB_DATABASE is not set",
        "SECRET is not set: give a long random text",
    ),
    fault(
        "10-misspelled-variable",
        "The name of a variable is misspelled.",
        "BOOT_LOCK_TIMEOUTS is unknown",
        "did you mean BOOT_LOCK_TIMEOUT",
    ),
    fault("20-unknown-host", "DB_HOST does not exist.", "the host name cannot be resolved", "correct DB_HOST"),
    fault(
        "20-connection-refused",
        "Nothing listens on DB_PORT.",
        "connection refused",
        "check DB_HOST, DB_PORT and that PostgreSQL runs",
    ),
    fault(
        "20-silent-server",
        "The server accepts the connection and never answers.",
        "no answer for",
        "check DB_HOST, DB_PORT, the network and that PostgreSQL runs",
    ),
    fault(
        "20-too-many-connections",
        "The role has no connection left.",
        "too many connections for role",
        "raise max_connections or the role's CONNECTION LIMIT",
    ),
    fault(
        "20-not-postgresql",
        "DB_HOST names a web server.",
        "the server does not answer as PostgreSQL does",
        "check that DB_HOST and DB_PORT name a PostgreSQL server",
    ),
    fault(
        "21-wrong-password",
        "DB_PASSWORD is wrong.",
        "password authentication failed",
        "correct DB_USER or DB_PASSWORD",
    ),
    fault(
        "21-no-such-database",
        "DB_DATABASE does not exist.",
        "does not exist (3D000)",
        "create the database or correct DB_DATABASE",
    ),
    fault("21-no-login", "The role may not log in.", "is not permitted to log in", "the role may not log in from here"),
    fault(
        "21-no-tls",
        "DB_SSL demands encryption of a server without it.",
        "the server does not support encryption",
        "enable ssl in the server's configuration, or unset DB_SSL",
    ),
    fault(
        "21-standby",
        "DB_HOST names a standby, and there is work to do.",
        "is read-only (a standby)",
        "connect to the primary with DB_HOST",
    ),
    fault(
        "21-read-only-role",
        "The role is read-only.",
        "is read-only (default_transaction_read_only is on",
        "ALTER ROLE … RESET default_transaction_read_only",
    ),
    fault(
        "21-search-path",
        "The role has a search_path to another schema.",
        "in the schema `elsewhere`",
        "set DB_SEARCH_PATH",
    ),
    fault(
        "21-other-project",
        "A second project uses the database of the first.",
        "the database belongs to the Directus in the schema `public`",
        "give this project its own database with DB_DATABASE",
    ),
    fault(
        "21-no-privilege",
        "The role may not create the schema of the boot.",
        "permission denied for database",
        "GRANT CONNECT, CREATE, TEMPORARY ON DATABASE",
    ),
    fault(
        "21-not-the-owner",
        "An SQL file alters a table of another owner.",
        "must be owner of table laps",
        "ALTER TABLE laps OWNER TO",
    ),
    fault(
        "21-no-server-role",
        "There are two roles, and that of the server does not exist.",
        "the role samples_nobody of DB_USER does not exist",
        "let a superuser run CREATE ROLE samples_nobody LOGIN PASSWORD",
    ),
    fault(
        "21-full-disk",
        "The disk of the database server is full.",
        "No space left on device",
        "free disk space on the database server",
    ),
    fault(
        "21-missing-extension",
        "An SQL file needs an extension that the server lacks.",
        "is not available",
        "install the extension",
    ),
    fault(
        "21-other-encoding",
        "The database is LATIN1, and an SQL file contains other characters.",
        "has no equivalent in encoding \"LATIN1\"",
        "move the data to a database with ENCODING 'UTF8'",
    ),
    fault(
        "22-lock-held",
        "Another boot works for longer than BOOT_LOCK_TIMEOUT.",
        "another boot is still working on this database",
        "check that boot's log, or raise BOOT_LOCK_TIMEOUT",
    ),
    fault(
        "23-connection-lost",
        "An administrator ends the boot's session.",
        "terminating connection due to administrator command",
        "start again",
    ),
    fault(
        "24-pooler",
        "DB_HOST names a pooler in transaction mode.",
        "a pooler at pgbouncer:6432 shares PostgreSQL's connections",
        "let the boot bypass it with BOOT_DB_HOST",
    ),
    fault("25-no-redis", "Redis does not run.", "no connection to Redis at db:6379", "check that Redis runs"),
    fault(
        "30-edited-file",
        "A file was edited after it was applied.",
        "was edited after it was applied",
        "run the previous image until the files are corrected",
    ),
    fault(
        "30-missing-file",
        "A file that was applied is not in the image.",
        "was applied, but is not in this image",
        "run the previous image until the files are corrected",
    ),
    fault("30-stray-commit", "A file contains COMMIT.", "COMMIT: each file is one transaction", "remove it"),
    fault(
        "30-vacuum",
        "A file contains VACUUM.",
        "VACUUM cannot run inside a transaction",
        "move it into a file with the directive `-- no-transaction`",
    ),
    fault(
        "31-syntax-error",
        "A file has a syntax error.",
        "900_laps.sql:2:26: syntax error",
        "correct the file and build a new image; run the previous image until then",
    ),
    fault(
        "31-duplicate-rows",
        "Rows of the database contradict a new UNIQUE constraint.",
        "columns speed",
        "remove the duplicate rows",
    ),
    fault(
        "31-null-values",
        "Rows of the database contradict a new NOT NULL.",
        "contains null values",
        "fill the column in the rows where it is null",
    ),
    fault(
        "31-check-violated",
        "Rows of the database contradict a new CHECK.",
        "is violated by some row",
        "correct the rows that violate the constraint",
    ),
    fault(
        "31-missing-reference",
        "Rows of the database contradict a new foreign key.",
        "violates foreign key constraint",
        "remove the rows whose reference does not exist",
    ),
    fault(
        "31-bad-cast",
        "Values of the database do not fit a new type.",
        "invalid input syntax for type integer",
        "correct the rows that do not fit",
    ),
    fault(
        "31-statement-timeout",
        "A statement takes longer than its file allows.",
        "canceling statement due to statement timeout",
        "give the statement more time",
    ),
    fault(
        "31-procedure-that-commits",
        "A file calls a procedure that commits.",
        "invalid transaction termination",
        "move it into a file with the directive `-- no-transaction`",
    ),
    fault(
        "32-blocked",
        "A session holds a lock that a file needs.",
        "blocked by pid",
        "end that session with SELECT pg_terminate_backend(pid)",
    ),
    fault(
        "32-blocked-schema",
        "A session holds a lock that the schema apply needs.",
        "blocked by pid",
        "end that session with SELECT pg_terminate_backend(pid)",
    ),
    fault(
        "40-suspended-administrator",
        "The administrator is suspended.",
        "that is suspended",
        "make them active, with administrator's rights, or set another ADMIN_EMAIL",
    ),
    fault(
        "40-slow-directus",
        "Directus takes longer than BOOT_DIRECTUS_TIMEOUT.",
        "Directus did not finish within 1 s",
        "raise BOOT_DIRECTUS_TIMEOUT",
    ),
    fault(
        "41-invalid-yaml",
        "The snapshot is not valid YAML.",
        "is not valid YAML in line 4, column 14",
        "run the previous image until the snapshot is corrected",
    ),
    fault(
        "42-trigger-in-the-way",
        "A trigger refuses a change of Directus' tables.",
        "collections are frozen until the race is over",
        "remove the cause that the message names",
    ),
    fault(
        "43-plan",
        "The snapshot lacks a collection with rows.",
        "this would delete collection tyres (3 rows)",
        "run the previous image and save a newer snapshot",
    ),
    fault(
        "43-many-losses",
        "The snapshot lacks five collections, one of them with rows.",
        "this would delete collection tyres (3 rows)",
        "run the previous image and save a newer snapshot",
    ),
    fault(
        "43-sql-file",
        "A file drops a table with rows.",
        "would destroy table laps (3 rows)",
        "run the previous image until the file is corrected",
    ),
    fault(
        "43-unannounced",
        "A trigger deletes rows during the schema apply.",
        "Directus destroyed more than its plan announced: rows of laps (3 rows)",
        "run the previous image until the snapshot is corrected",
    ),
    fault(
        "44-changed-by-sql",
        "SQL after the schema edits a collection of the snapshot.",
        "the SQL after the schema changed",
        "make this change in the snapshot instead",
    ),
    fault(
        "45-newer-directus",
        "A newer Directus has migrated the database.",
        "migrations of Directus that this image with Directus",
        "start the image with that version@revision",
    ),
    fault(
        "45-breaking-file",
        "A newer image applied a file that breaks older images.",
        "breaks older images",
        "start the image with that version@revision",
    ),
    fault(
        "126-no-writable-folder",
        "The root file system is read-only, and nothing is mounted at /tmp.",
        "pm2 cannot write to",
        "mount a writable folder at /tmp",
    ),
    fault("126-not-executable", "The command is not executable.", "Permission denied", "check its name, mode"),
    fault("127-not-found", "The command does not exist.", "No such file or directory", "check its name"),
];
