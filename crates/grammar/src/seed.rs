//! The flags of `seed`.

use clap::Args;

use crate::ProjectFlag;

/// The flags of `seed`.
#[derive(Debug, Args)]
pub struct SeedFlags {
    /// The stack.
    #[command(flatten)]
    pub project: ProjectFlag,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}
