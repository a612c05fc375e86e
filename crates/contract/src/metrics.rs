//! The metrics of a boot: Prometheus text in the file that `BOOT_METRICS_FILE` names, for the textfile collector of the
//! node exporter. The boot writes by this table, the reference is generated from it.
//!
//! A text of help never changes, and neither do the labels: the exporter drops a series whose help differs from that in
//! another file, and during a roll two images write. A metric with another meaning gets another name.

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A value of the last boot.
    Gauge,
    /// Grows from boot to boot, for as long as the file is kept.
    Counter,
}

impl MetricKind {
    /// Returns the word after `# TYPE`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            MetricKind::Gauge => "gauge",
            MetricKind::Counter => "counter",
        }
    }
}

/// One metric. Units are Prometheus' base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootMetric {
    /// The name, with the unit at its end.
    pub name: &'static str,
    /// Gauge or counter.
    pub kind: MetricKind,
    /// The names of the labels besides [`REPLICA`], in the order in which their values are written.
    pub labels: &'static [&'static str],
    /// The text after `# HELP` and in the reference: full sentences.
    pub help: &'static str,
}

/// The label of every metric: the name of the file without its extension. The exporter refuses two files with the same
/// metrics and labels.
pub const REPLICA: &str = "replica";

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> BootMetric {
    BootMetric { name, kind: MetricKind::Gauge, labels, help }
}

/// The boot is at work.
pub const RUNNING: BootMetric = gauge(
    "directus_boot_running",
    &[],
    "1 from the start of a boot to its end, otherwise 0. A boot that was killed (SIGKILL, out of memory) leaves 1.",
);
/// The start of the last boot.
pub const START: BootMetric =
    gauge("directus_boot_start_timestamp_seconds", &[], "Unix time of the start of the last boot.");
/// The image of the last boot.
pub const INFO: BootMetric = gauge(
    "directus_boot_info",
    &["version", "revision", "directus", "snapshot"],
    "1, with the image of the last boot that ended, its Directus, and the beginning of its snapshot's digest as labels.",
);
/// The end of the last boot.
pub const END: BootMetric = gauge("directus_boot_end_timestamp_seconds", &[], "Unix time of the end of the boot.");
/// The end of the last successful boot.
pub const LAST_SUCCESS: BootMetric = gauge(
    "directus_boot_last_success_timestamp_seconds",
    &[],
    "Unix time of the end of the last successful boot; absent before the first one.",
);
/// The exit code, and the last phase.
pub const EXIT_CODE: BootMetric = gauge(
    "directus_boot_exit_code",
    &["phase"],
    "Exit code of the boot, 0 if it succeeded, with the phase in which it ended.",
);
/// The duration of the boot.
pub const DURATION: BootMetric = gauge("directus_boot_duration_seconds", &[], "Duration of the boot.");
/// The duration of each phase.
pub const PHASE_DURATION: BootMetric =
    gauge("directus_boot_phase_duration_seconds", &["phase"], "Duration of each phase that began, as in the log.");
/// The time for which the boot waited.
pub const WAIT: BootMetric = gauge(
    "directus_boot_wait_seconds",
    &["resource"],
    "Time until PostgreSQL answered (`database`), until Redis answered (`redis`), and until the boot had the lock of the \
     database (`lock`).",
);
/// SQL files.
pub const SQL_FILES: BootMetric =
    gauge("directus_boot_sql_files", &["phase", "result"], "SQL files by phase: `applied` by this boot, or `skipped`.");
/// Directus' own migrations.
pub const SYSTEM_MIGRATIONS: BootMetric =
    gauge("directus_boot_system_migrations", &[], "Directus' own migrations that the boot applied.");
/// Changes of the schema.
pub const SCHEMA_CHANGES: BootMetric = gauge(
    "directus_boot_schema_changes",
    &[],
    "Collections, fields and relations that the boot changed to match the snapshot.",
);
/// Tries that failed on a lock.
pub const LOCK_RETRIES: BootMetric = gauge(
    "directus_boot_lock_retries",
    &[],
    "Transactions that were rolled back and tried again, because other sessions held a lock that they needed.",
);
/// Work that waits for servers of other images.
pub const WAITING_CHANGES: BootMetric = gauge(
    "directus_boot_waiting_changes",
    &[],
    "SQL files and changes of the schema that the boot left for later, because servers of other images run.",
);
/// Boots by exit code.
pub const BOOTS: BootMetric = BootMetric {
    name: "directus_boots_total",
    kind: MetricKind::Counter,
    labels: &["exit_code"],
    help: "Boots that ended, by exit code, since the file was created.",
};

/// All metrics, in the order of the file. From [`INFO`] on they are about the last boot that ended.
pub const METRICS: [BootMetric; 15] = [
    RUNNING,
    START,
    INFO,
    END,
    LAST_SUCCESS,
    EXIT_CODE,
    DURATION,
    PHASE_DURATION,
    WAIT,
    SQL_FILES,
    SYSTEM_MIGRATIONS,
    SCHEMA_CHANGES,
    LOCK_RETRIES,
    WAITING_CHANGES,
    BOOTS,
];

#[cfg(test)]
mod tests {
    use super::{METRICS, MetricKind};

    #[test]
    fn names_follow_the_rules_of_prometheus() {
        for (index, metric) in METRICS.iter().enumerate() {
            assert!(metric.name.starts_with("directus_boot"), "{}", metric.name);
            assert!(metric.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == MetricKind::Counter, "{}", metric.name);
            assert!(METRICS[..index].iter().all(|other| other.name != metric.name), "{} twice", metric.name);
            assert!(metric.help.ends_with('.') && !metric.help.contains(['\n', '\\']), "{}", metric.name);
        }
    }
}
