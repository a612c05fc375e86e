//! The figures of a boot, collected while it runs.

use std::cell::{Cell, OnceCell};
use std::time::{Duration, Instant};

use contract::Phase;

/// Something that a boot waits for before it begins to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// An answer of PostgreSQL.
    Database,
    /// An answer of Redis.
    Redis,
    /// The boot lock.
    Lock,
}

impl Awaited {
    /// All of them.
    pub const ALL: [Awaited; 3] = [Awaited::Database, Awaited::Redis, Awaited::Lock];

    /// Returns the name in the metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Awaited::Database => "database",
            Awaited::Redis => "redis",
            Awaited::Lock => "lock",
        }
    }
}

/// The figures of a boot. The log has one, because every phase has the log.
#[derive(Debug, Default)]
pub struct Tally {
    durations: [Cell<Option<Duration>>; Phase::ALL.len()],
    waits: [Cell<Duration>; Awaited::ALL.len()],
    files: [Cell<(usize, usize)>; Phase::ALL.len()],
    /// Directus' own migrations that were applied.
    pub system_migrations: Cell<usize>,
    /// Entities of the schema that were changed.
    pub schema_changes: Cell<usize>,
    /// Transactions that were tried again because of a lock.
    pub lock_retries: Cell<usize>,
    /// Files and changes that wait for servers of other images.
    pub waiting_changes: Cell<usize>,
    /// The version of Directus, and the beginning of the snapshot's digest.
    pub contents: OnceCell<(String, String)>,
}

impl Tally {
    /// Records the duration of a phase.
    pub fn end_phase(&self, phase: Phase, took: Duration) {
        self.durations[phase as usize].set(Some(took));
    }

    /// The duration of a phase; `None` if it did not begin.
    #[must_use]
    pub fn duration(&self, phase: Phase) -> Option<Duration> {
        self.durations[phase as usize].get()
    }

    /// Measures a wait until the result is dropped, even if the future that waits is.
    #[must_use]
    pub fn wait_for(&self, awaited: Awaited) -> WaitMeasurement<'_> {
        WaitMeasurement { total: &self.waits[awaited as usize], began: Instant::now() }
    }

    /// The time that was spent waiting.
    #[must_use]
    pub fn waited_for(&self, awaited: Awaited) -> Duration {
        self.waits[awaited as usize].get()
    }

    /// Counts a SQL file of a phase that was applied.
    pub fn count_applied(&self, phase: Phase) {
        let (applied, skipped) = self.files(phase);
        self.files[phase as usize].set((applied + 1, skipped));
    }

    /// Sets the number of SQL files of a phase that were applied before.
    pub fn set_skipped(&self, phase: Phase, skipped: usize) {
        let (applied, _) = self.files(phase);
        self.files[phase as usize].set((applied, skipped));
    }

    /// The numbers of SQL files of a phase that were applied and skipped.
    #[must_use]
    pub fn files(&self, phase: Phase) -> (usize, usize) {
        self.files[phase as usize].get()
    }
}

/// A wait that is being measured.
#[derive(Debug)]
pub struct WaitMeasurement<'a> {
    total: &'a Cell<Duration>,
    began: Instant,
}

impl Drop for WaitMeasurement<'_> {
    fn drop(&mut self) {
        self.total.set(self.total.get() + self.began.elapsed());
    }
}
