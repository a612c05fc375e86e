//! `migration lint`: findings in the SQL files that no image has shipped yet.
//!
//! [`check`] is a pure function over the files, what was shipped, the snapshot, and, where a database is given, the effects
//! of the files on it. [`command`] reads these and prints the result.

mod allow;
mod catalog;
pub mod collections;
pub mod command;
mod correct;
pub mod finding;
mod findings;
mod lint_file;
mod losses;
pub mod measure;
mod refused;
mod report;
mod rules;
pub mod shipped;
mod shipped_rules;
mod source;
mod squawk;
mod syntax;

pub use findings::{LintInput, check};
pub use lint_file::LintFile;

#[cfg(test)]
mod tests;
