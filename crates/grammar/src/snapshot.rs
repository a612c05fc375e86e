//! The flags of `snapshot`.

use clap::Args;

use crate::ProjectFlag;

/// The flags of `snapshot`.
#[derive(Debug, Args)]
pub struct SnapshotFlags {
    /// Write nothing; exit with 2 if the schema of the stack and the file differ
    #[arg(long, conflicts_with_all = ["watch", "merge", "overwrite"])]
    pub check: bool,
    /// Keep the file up to date while the schema is edited, until Ctrl-C
    #[arg(long, conflicts_with = "merge")]
    pub watch: bool,
    /// Keep the changes of the file that the stack never had, and add those of the stack
    #[arg(long, conflicts_with = "overwrite")]
    pub merge: bool,
    /// Undo changes of the file that the stack never had; without this flag and --merge they are shown first, and
    /// without a terminal the exit code is then 3
    #[arg(long)]
    pub overwrite: bool,
    /// The file of the snapshot
    #[arg(long, value_name = "PATH", default_value = "snapshots/schema.yaml")]
    pub file: String,
    /// The stack.
    #[command(flatten)]
    pub project: ProjectFlag,
}
