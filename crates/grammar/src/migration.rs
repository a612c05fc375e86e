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
