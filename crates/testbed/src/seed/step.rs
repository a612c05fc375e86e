//! The result of one step.

use serde::Serialize;

/// Rows of one collection or table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeedStep {
    /// The collection or table, or `settings`.
    pub name: String,
    /// Number of rows that were missing.
    pub created: u64,
    /// Number of rows that existed, and were not changed.
    pub present: u64,
}

impl std::fmt::Display for SeedStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let SeedStep { name, created, present } = self;
        match (created, present) {
            (0, _) => write!(f, "{name}: all {present} present"),
            (_, 0) => write!(f, "{name}: {created} created"),
            _ => write!(f, "{name}: {created} created, {present} present"),
        }
    }
}
