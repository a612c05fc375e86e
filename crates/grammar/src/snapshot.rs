//! The flags of `snapshot`.

use clap::Args;

use crate::ProjectFlag;

/// The flags of `snapshot`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask snapshot             # save the schema of the running stack, and list what changed
  cargo xtask snapshot --check     # write nothing; exit 2 if the file is not up to date
  cargo xtask snapshot --watch     # keep the file up to date while you edit
  cargo xtask snapshot --merge     # after a pull: keep the changes of both sides")]
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
