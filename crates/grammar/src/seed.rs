//! The flags of `seed`.

use clap::Args;

use crate::ProjectFlag;

/// The flags of `seed`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask seed                    # fill the development stack
  cargo xtask seed --project other    # another stack")]
pub struct SeedFlags {
    /// The stack.
    #[command(flatten)]
    pub project: ProjectFlag,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}
