//! The folders with the SQL files of the checkout.

use camino::Utf8PathBuf;
use contract::{DB_INIT_DIR, POST_SCHEMA_SUBDIR, Phase};
use testbed::workspace;

/// The phases with SQL files, in their order.
pub(crate) const PHASES: [Phase; 2] = [Phase::DbInit, Phase::PostSchema];

/// Returns the folder of a phase, relative to the workspace: `db-init`, `db-init/post-schema`.
pub(crate) fn folder(phase: Phase) -> String {
    let root = contract::in_tree(DB_INIT_DIR);
    if phase == Phase::PostSchema { format!("{root}/{POST_SCHEMA_SUBDIR}") } else { root.to_owned() }
}

/// Returns the folder of all SQL files.
pub(crate) fn root() -> Utf8PathBuf {
    workspace::path(contract::in_tree(DB_INIT_DIR))
}
