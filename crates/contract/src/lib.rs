//! The interface of the image: exit codes, failures and their remedies, phases and their log lines, paths, variables,
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
mod paths;
mod phase;
mod report_fields;
pub mod sqlstate;
mod variables;

pub use advisories::{ADVISORIES, Advisory, AdvisoryAnswer, REVIEWED_ON, REVIEWED_PIN, Severity};
pub use directives::{DESTROYS, DIRECTIVES, Directive, Form, NO_TRANSACTION};
pub use exit_code::ExitCode;
pub use help::HELP;
pub use log_line::{Event, Level, LogLine, PREFIX};
pub use paths::{
    BINARY, BUNDLE_DIR, DB_INIT_DIR, DIRECTUS_MIGRATIONS_SUBDIR, EXTENSIONS_DIR, POST_SCHEMA_SUBDIR, SCRIPTS_DIR,
    SNAPSHOT_FILE, WORK_DIR, WRITABLE_DIRS, in_tree,
};
pub use phase::Phase;
pub use report_fields::{REPORT_FIELDS, ReportField};
pub use variables::{VARIABLES, Variable, VariableGroup};

/// Key of the session-level advisory lock that one boot of a database holds: "trmboot" in ASCII. Advisory locks are
/// per database, so boots of two databases on one server do not wait for each other.
pub const LOCK_KEY: i64 = 0x0074_726d_626f_6f74;

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
