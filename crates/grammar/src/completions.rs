//! The flags of `completions`.

use clap::{Args, ValueEnum};

/// The flags of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask completions bash    # save it in a file, and source that in ~/.bashrc, after bash-completion
  cargo xtask completions zsh     # save it in a file, and source that in ~/.zshrc, after compinit
  cargo xtask completions fish    # save it as ~/.config/fish/conf.d/xtask.fish")]
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
