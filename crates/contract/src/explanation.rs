//! Longer explanations of exit codes, for the reference. Links are relative to docs/reference.

use crate::ExitCode;

impl ExitCode {
    /// The circumstances and the remedy in more detail, in Markdown; empty where one sentence is enough.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        match self {
            ExitCode::Ok => {
                "[Operating](../operate.md) has the logs of a first and of a later boot. `start` replaces itself by the server, so \
                 the exit code of a container that served is the server's."
            }
            ExitCode::Internal => {
                "The tables of the schema `boot` were changed by hand, or this is a bug: report the line in that case."
            }
            ExitCode::Drift => {
                "The schema in the database is not what the snapshot of its last image describes. See [a schema that was edited \
                 live](../change-the-schema.md#a-schema-that-was-edited-live)."
            }
            ExitCode::Config => {
                "A name that begins with `BOOT_`, `SCHEMA_` or `MIGRATION_` and is nearly a known one is refused too. \
                 [Variables](variables.md) lists all names."
            }
            ExitCode::DatabaseUnreachable => {
                "No query was answered within `BOOT_DATABASE_TIMEOUT`. The boot waits for a server that is starting up, for refused \
                 connections and for names that do not resolve."
            }
            ExitCode::DatabaseRefused => {
                "Waiting would not help, so the boot ends at once. For TLS the line names the check of the certificate that failed, \
                 and a setting that would pass."
            }
            ExitCode::LockTimeout => {
                "If the named container waits for something itself, end it. See [the holder of the lock](../operate.md#the-holder-of-the-lock)."
            }
            ExitCode::DatabaseLost => {
                "PostgreSQL was killed, restarted, frozen or cut off during the boot. The file or step in progress was rolled back."
            }
            ExitCode::DatabasePooled => "See [connection poolers](../operate.md#connection-poolers).",
            ExitCode::ServiceUnreachable => {
                "The boot connects to Redis before it changes anything, because a server of Directus whose Redis does not answer \
                 prints errors and never serves. It waits for `BOOT_DATABASE_TIMEOUT`, and names wrong credentials at once. Of Redis \
                 over TLS it only checks that a connection is possible; sentinels and clusters are not checked."
            }
            ExitCode::MigrationsInvalid => {
                "Also a stray `COMMIT`, a command of psql, or a statement that does not belong in a `-- no-transaction` file. Nothing \
                 was applied. A file that was never applied is corrected in place. See [an applied file that was edited](../change-the-schema.md#an-applied-file-that-was-edited)."
            }
            ExitCode::MigrationFailed => {
                "The transaction of the file was rolled back; earlier files stay applied. For a `-- no-transaction` file the line \
                 names the statement that the file reached. The file was never applied, so it may be changed."
            }
            ExitCode::MigrationBlocked => {
                "This applies to SQL files, to Directus' migrations and to the schema apply. End the session with `select \
                 pg_terminate_backend(PID)`. The boot does not wait longer in the queue, because every \
                 other session would wait behind it."
            }
            ExitCode::BootstrapFailed => {
                "Installation, upgrade and administrator are one transaction, which was rolled back. If the line reports that an \
                 earlier bootstrap was cut off, the database was damaged before this image: see [moving from a shell \
                 pipeline](../upgrade.md#moving-from-a-shell-pipeline)."
            }
            ExitCode::SnapshotInvalid => {
                "The snapshot contradicts itself, was not saved from PostgreSQL, or contains a table that an SQL file owns. The boot \
                 found this before any SQL ran. A deployment that cannot wait starts with `SCHEMA_APPLY_MODE=skip`."
            }
            ExitCode::SchemaFailed => {
                "In the sample a trigger on a table of Directus is in the way; a view over a field whose type changes is another \
                 example. Drop what is in the way, or leave it out of the snapshot's change. `plan --rehearse` also ends with this code when it exceeds its time limit."
            }
            ExitCode::SchemaRefused => {
                "There are four forms. In each of them the plan, the file or the step was refused or rolled back as a whole; earlier files stay applied.\n\n\
                 | the line contains | cause | remedy |\n\
                 | --- | --- | --- |\n\
                 | `this would delete …` | The database has something that the snapshot lacks. The plan was refused before it ran. | \
                 [Allow the plan](../change-the-schema.md#a-plan-that-deletes-something), or run the previous image and save a newer \
                 snapshot. |\n\
                 | `900_laps.sql would destroy …` | The file ran in a transaction, destroyed this, and was rolled back. | Correct the \
                 file, or add the directive that the line names to its first lines. Run the previous image until then. |\n\
                 | `Directus destroyed more than its plan announced: …` | Directus did something that its plan does not contain. All \
                 of it was rolled back. | Correct the snapshot. If the loss is intended, the line names the value that allows exactly \
                 it. |\n\
                 | `Directus would destroy …, which is not its own` | One of Directus' own migrations destroyed something outside its \
                 tables. All of it was rolled back. | Run the previous image, and report the line to Directus. |"
            }
            ExitCode::SchemaDiverged => {
                "In phase 6 Directus reported success, and yet a second plan is not empty or something of the snapshot is missing; \
                 everything was rolled back. In phase 7 an SQL file changed something that the snapshot describes; its files stay \
                 applied."
            }
            ExitCode::ImageTooOld => "See [rolling back](../upgrade.md#rolling-back).",
            ExitCode::Unhealthy => {
                "The exit code of the image's `HEALTHCHECK` and of the other probes. It is expected during a boot: the server does not answer yet."
            }
            ExitCode::NotExecutable => {
                "Of `docker run IMAGE COMMAND` or `start -- COMMAND`, as in a shell. A server without a writable folder for pm2 \
                 also ends with this code; the line names the folders."
            }
            ExitCode::NotFound => "Of `docker run IMAGE COMMAND` or `start -- COMMAND`, as in a shell.",
            ExitCode::Usage => {
                "`attic` also ends with this code if it cannot carry out the request; the line has the reason."
            }
            ExitCode::ChangesPending | ExitCode::Interrupted | ExitCode::Terminated => "",
        }
    }
}
