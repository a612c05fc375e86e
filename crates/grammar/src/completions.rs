//! The flags of `completions`.

use clap::{Args, ValueEnum};

/// The flags of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask completions bash    # for ~/.bashrc: source <(cargo xtask completions bash)
  cargo xtask completions zsh     # for ~/.zshrc, after compinit: source <(cargo xtask completions zsh)
  cargo xtask completions fish    # for ~/.config/fish/completions/xtask.fish, or: cargo xtask completions fish | source")]
pub struct CompletionsFlags {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: CompletionShell,
}

/// A shell in which the words after `cargo xtask` can be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompletionShell {
    /// Bash
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
}
