//! The flags of `migration`.

use clap::{Args, Subcommand};

use crate::DEFAULT_PROJECT;

/// The flags of `migration`.
#[derive(Debug, Args)]
pub struct MigrationFlags {
    /// The command with its flags.
    #[command(subcommand)]
    pub command: MigrationCommand,
}

/// The commands of `migration`.
#[derive(Debug, Subcommand)]
pub enum MigrationCommand {
    /// Create the next SQL file, with a list of the directives and an assertion to complete
    New(NewMigrationFlags),
    /// List the SQL files with their directives, and which of them a database has
    List(ListMigrationsFlags),
    /// Check the SQL files that no image has shipped yet, and that no shipped one was changed; exits with 2 if something was found
    Lint(LintFlags),
}

/// The flags of `migration new`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask migration new lap_times                 # db-init/004_lap_times.sql, if 003 is the last one
  cargo xtask migration new unique_numbers --post    # a file that runs after the schema")]
pub struct NewMigrationFlags {
    /// The purpose of the file in lower-case words, such as lap_times
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Run the file after the Directus schema instead of before it
    #[arg(long)]
    pub post: bool,
}

/// The flags of `migration list`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask migration list                                            # with the ledger of the development stack
  cargo xtask migration list --database postgres://me@db.example.com/trm    # with that of another database")]
pub struct ListMigrationsFlags {
    /// The database whose ledger is read [default: that of the development stack, if it is running]
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// The compose project of the development stack
    #[arg(long = "project", value_name = "NAME", default_value = DEFAULT_PROJECT)]
    pub project: String,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// The flags of `migration lint`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask migration lint                                                  # new files by their text
  cargo xtask migration lint --database postgres://me@127.0.0.1:5433/copy    # with the locks and losses on a copy
  cargo xtask migration lint --shipped v1.4                                   # new since that tag")]
pub struct LintFlags {
    /// A copy of a database: runs the new files in a transaction that is rolled back, and measures rows, losses and locks
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// The revision whose files were shipped [default: the newest tag v… and the branch main]
    #[arg(long, value_name = "REVISION")]
    pub shipped: Option<String>,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}
