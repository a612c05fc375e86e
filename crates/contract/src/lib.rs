//! The interface of the image: exit codes, phases and their log lines, paths and variables.
//!
//! Pure data and parsing, no I/O. The boot binary writes this interface, the tools read it, and the README's tables are
//! generated from it, so that each promise has a single source.

mod exit_code;
mod log_line;
mod paths;
mod phase;
mod variables;

pub use exit_code::ExitCode;
pub use log_line::{Event, Level, LogLine, PREFIX};
pub use paths::{
    BINARY, BUNDLE_DIR, DB_INIT_DIR, DIRECTUS_MIGRATIONS_SUBDIR, EXTENSIONS_DIR, POST_SCHEMA_SUBDIR, SCRIPTS_DIR,
    SNAPSHOT_FILE, WORK_DIR, WRITABLE_DIRS,
};
pub use phase::Phase;
pub use variables::{VARIABLES, Variable, VariableGroup};

/// Key of the session-level advisory lock that one boot of a database holds: "trmboot" in ASCII. Advisory locks are
/// per database, so boots of two databases on one server do not wait for each other.
pub const LOCK_KEY: i64 = 0x0074_726d_626f_6f74;

/// The variable by which the bridge gets the statement that fixes the settings of Directus' sessions.
pub const SESSION_SQL: &str = "BOOT_SESSION_SQL";

/// The path that answers 200 while the server runs; cheap, unlike `/server/health` (Directus' docs).
pub const PING_PATH: &str = "/server/ping";

/// Port that Directus serves on when `PORT` is not set.
pub const DEFAULT_PORT: u16 = 8055;
