//! The eight phases of a boot, in order.

use std::fmt;

/// One phase of a boot. Its number and name are in each of its log lines: `[entrypoint] 4/8 db-init: …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Reads and checks the variables.
    Config,
    /// Waits until PostgreSQL answers a query.
    Database,
    /// Waits until no other boot works on the database.
    Lock,
    /// Applies the SQL files that the Directus schema depends on.
    DbInit,
    /// Runs Directus' own migrations and creates the first administrator.
    Bootstrap,
    /// Plans, guards, applies and verifies the snapshot.
    Schema,
    /// Applies the SQL files that need the tables of the collections.
    PostSchema,
    /// Replaces the process with the server.
    Exec,
}

impl Phase {
    /// All phases, in the order of a boot.
    pub const ALL: [Phase; 8] = [
        Phase::Config,
        Phase::Database,
        Phase::Lock,
        Phase::DbInit,
        Phase::Bootstrap,
        Phase::Schema,
        Phase::PostSchema,
        Phase::Exec,
    ];

    /// Returns the number in log lines, from 1 to 8.
    #[must_use]
    pub fn number(self) -> usize {
        self as usize + 1
    }

    /// Returns the name in log lines and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Phase::Config => "config",
            Phase::Database => "database",
            Phase::Lock => "lock",
            Phase::DbInit => "db-init",
            Phase::Bootstrap => "bootstrap",
            Phase::Schema => "schema",
            Phase::PostSchema => "post-schema",
            Phase::Exec => "exec",
        }
    }

    /// Returns the phase of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.name() == name)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::Phase;

    #[test]
    fn names_and_numbers_are_unique_and_reversible() {
        for (index, phase) in Phase::ALL.into_iter().enumerate() {
            assert_eq!(phase.number(), index + 1);
            assert_eq!(Phase::from_name(phase.name()), Some(phase));
        }
        assert_eq!(Phase::from_name("no such phase"), None);
    }
}
