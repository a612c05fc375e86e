//! The flags of `doctor`.

use clap::Args;

/// The flags of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask doctor           # the parts of this machine, ports, disk, leftovers; exit 1 if a needed part is missing
  cargo xtask doctor --json    # the same for a script")]
pub struct DoctorFlags {
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}
