//! Names of the metrics, by which thresholds find their figures.

use contract::Phase;

pub(crate) const COLD_START: &str = "start to exec, cold";
pub(crate) const WARM_START: &str = "start to exec, warm";
pub(crate) const COLD_SERVE: &str = "start to the first answer, cold";
pub(crate) const WARM_SERVE: &str = "start to the first answer, warm";
pub(crate) const WARM_BOOT: &str = "boot, warm";
pub(crate) const CONNECT: &str = "connect, authenticate, end";
pub(crate) const SELECT: &str = "psql -c 'select 1'";
pub(crate) const NOTHING: &str = "a process that does nothing";
pub(crate) const APPLY: &str = "1,000 migrations applied";
pub(crate) const WITNESS: &str = "the witness, this model";
pub(crate) const WITNESS_LARGE: &str = "the witness, a large model";
pub(crate) const SIZE: &str = "the whole image";
pub(crate) const BUNDLE: &str = "Directus, bundled and compiled";
pub(crate) const ADDED: &str = "other additions to the base";
pub(crate) const REBUILD_SNAPSHOT: &str = "rebuild after a changed snapshot";
pub(crate) const REBUILD_MIGRATION: &str = "rebuild after a new migration";
pub(crate) const REBUILD_BINARY: &str = "rebuild after a changed boot binary or script";
pub(crate) const REBUILD_RELEASE: &str = "rebuild after a changed boot binary, as released";
pub(crate) const CARGO_XTASK: &str = "cargo xtask --help";
pub(crate) const COLD_BOOT: &str = "cold boot";
pub(crate) const WARM_MODEL_BOOT: &str = "warm boot";
pub(crate) const PLAN: &str = "plan without changes";
pub(crate) const UPGRADE_BOOT: &str = "boot after an upgrade";
pub(crate) const BARE_XTASK: &str = "xtask --help without cargo";

/// Returns the name of a warm boot with a number of migrations in addition to the image's own.
pub(crate) fn ledger(migrations: usize) -> String {
    format!("warm boot, {} more migrations", thousands(migrations))
}

/// Numbers of tables of the generated data models.
pub(crate) const MODEL_SIZES: [usize; 4] = [10, 50, 100, 500];

/// Returns the name of a metric of a generated data model with a number of tables.
pub(crate) fn with_tables(what: &str, tables: usize) -> String {
    format!("{what}, {tables} tables")
}

/// Returns the name of the part of a boot that a phase takes.
pub(crate) fn phase_of(boot: &str, phase: Phase) -> String {
    format!("{boot}: {phase}")
}

pub(crate) const CROWD_SECONDS: &str = "until the last has ended";
pub(crate) const CROWD_SUCCEED: &str = "succeed";
pub(crate) const CROWD_REFUSED: &str = "were refused a connection";
pub(crate) const CROWD_PEAK: &str = "connections, peak";
pub(crate) const CROWD_MEAN: &str = "connections, mean";
pub(crate) const CROWD_SESSIONS: &str = "connections made per boot";
pub(crate) const CROWD_STATEMENTS: &str = "statements of a waiting boot";
pub(crate) const CROWD_RATE: &str = "statements of a waiting boot per second";
pub(crate) const CROWD_MEMORY: &str = "memory of a boot";

/// Returns the name of a metric of several boots at once.
pub(crate) fn of_crowd(count: usize, scenario: &str, what: &str) -> String {
    format!("{count}, {scenario}: {what}")
}

/// Returns the name of the number of containers that succeed.
pub(crate) fn survive(what: &str) -> String {
    format!("{what}: succeed")
}

/// Formats 10000 as `10,000`.
fn thousands(number: usize) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", thousands(number / 1_000), number % 1_000) }
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn large_numbers_have_commas() {
        assert_eq!([10, 1_000, 10_000, 1_234_567].map(thousands), ["10", "1,000", "10,000", "1,234,567"]);
    }
}
