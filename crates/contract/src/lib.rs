//! The interface of the image: exit codes, failures and their remedies, phases and their log lines, metrics, paths, variables,
//! directives of SQL files, known advisories, and the form of the gate's report.
//!
//! Pure data and parsing, no I/O. The boot binary writes by it, `xtask` reads by it, and the pages of docs/reference are
//! generated from it, so that each promise exists once.

mod advisories;
mod directives;
mod exit_code;
mod explanation;
pub mod failure;
mod help;
mod log_line;
pub mod metrics;
mod paths;
mod phase;
mod report_fields;
mod runtime;
pub mod sqlstate;
mod variables;

pub use advisories::{ADVISORIES, Advisory, AdvisoryAnswer, REVIEWED_ON, REVIEWED_PIN, Severity};
pub use directives::{DESTROYS, DIRECTIVES, Directive, Form, NO_TRANSACTION};
pub use exit_code::ExitCode;
pub use help::HELP;
pub use log_line::{Event, Level, LogLine, LogOrigin, PREFIX};
pub use paths::{
    BINARY, BUNDLE_DIR, DB_INIT_DIR, DIRECTUS_MIGRATIONS_SUBDIR, EXTENSIONS_DIR, POST_SCHEMA_SUBDIR, SCRIPTS_DIR,
    SNAPSHOT_FILE, WORK_DIR, in_tree,
};
pub use phase::Phase;
pub use report_fields::{REPORT_FIELDS, ReportField};
pub use runtime::{ProbeSpec, RUNTIME, Runtime, START_BUDGET, Setting, SettingValue, Storage, WritablePath};
pub use variables::{VARIABLES, Variable, VariableGroup};

/// Key of the session-level advisory lock that one boot of a database holds: "trmboot" in ASCII. Advisory locks are
/// per database, so boots of two databases on one server do not wait for each other.
pub const LOCK_KEY: i64 = 0x0074_726d_626f_6f74;

/// The first half of the key of the shared advisory lock that each server holds while it runs: "trms" in ASCII. The second
/// half is the identity of its image's schema, so that a boot sees which images serve.
pub const SERVER_LOCK: i32 = 0x7472_6d73;

/// The channel on which a boot that had work to do notifies the servers, so that they forget the schema that they cache.
pub const CHANNEL: &str = "trm_schema";

/// The variable by which the server gets its identity: a JSON object with `id` (the second half of its lock's key), `name`
/// (its `application_name`), `host` and `port` (PostgreSQL itself, not a pooler).
pub const SERVER: &str = "BOOT_SERVER";

/// The variable by which the bridge gets the statement that fixes the settings of Directus' sessions.
pub const SESSION_SQL: &str = "BOOT_SESSION_SQL";

/// The variable by which the server learns whether it may change the data model.
pub const DATA_MODEL: &str = "BOOT_DATA_MODEL";

/// The value of [`DATA_MODEL`] for a server whose role may not change the schema.
pub const DATA_MODEL_READ_ONLY: &str = "read-only";

/// The path that answers 200 when the server serves; cheap, unlike `/server/health` (Directus' docs).
pub const PING_PATH: &str = "/server/ping";

/// Port that Directus serves on when `PORT` is not set.
pub const DEFAULT_PORT: u16 = 8055;
