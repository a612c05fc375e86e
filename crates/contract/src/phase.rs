//! The eight phases of a boot, in order.

use std::fmt;

/// One phase of a boot. Its number and name stand in every log line about it: `[entrypoint] 4/8 db-init: …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Variables are read and checked.
    Config,
    /// PostgreSQL answers a query.
    Database,
    /// This boot is the only one that works on the database.
    Lock,
    /// SQL that must be there before the Directus schema.
    DbInit,
    /// Directus' system tables, its own migrations, the first administrator.
    Bootstrap,
    /// The snapshot is planned, guarded, applied and verified.
    Schema,
    /// SQL that needs the collections' tables.
    PostSchema,
    /// The process becomes the server.
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

    /// 1 to 8.
    #[must_use]
    pub fn number(self) -> usize {
        self as usize + 1
    }

    /// The name in log lines and reports.
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

    /// The phase of that name.
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
