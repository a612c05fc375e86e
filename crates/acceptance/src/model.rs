//! The result of a run of the acceptance gate as data, in the documented form of `report.json`.
//!
//! Checks fill it and reports render it; neither depends on the other. Fields are only ever added; a change of meaning
//! increments [`VerifyReport::SCHEMA`].

use serde::Serialize;

/// A whole run.
#[derive(Clone, Debug, Serialize)]
pub struct VerifyReport {
    /// The version of this form: [`VerifyReport::SCHEMA`].
    pub schema: u32,
    /// The run's id, which is also the label of everything that the run created.
    pub run: String,
    /// Start of the run, in RFC 3339, UTC.
    pub began: String,
    /// Duration of all checks together, by the clock.
    pub seconds: f64,
    /// True if no check failed.
    pub ok: bool,
    /// The image under test and its database.
    pub subject: TestedImage,
    /// The machine and the engine.
    pub machine: EngineMachine,
    /// Number of checks by status.
    pub summary: Summary,
    /// Names of the checks that bounded the duration of the run, in the order in which they ran.
    pub critical_path: Vec<&'static str>,
    /// The checks, in the order of the acceptance list.
    pub checks: Vec<CheckReport>,
}

impl VerifyReport {
    /// The current version of the form.
    pub const SCHEMA: u32 = 1;
}

/// The image under test and its database. If the image did not build, only its name and its base are set.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TestedImage {
    /// The image's name, as given on the command line.
    pub image: String,
    /// `sha256:…` of its configuration.
    pub image_id: String,
    /// Digest of the manifest, if the image was pulled from or pushed to a registry.
    pub image_digest: Option<String>,
    /// Version and revision of its labels: `0.1.0@<commit>`.
    pub version: String,
    /// Size of all layers, in bytes.
    pub size_bytes: u64,
    /// The image that it is built on.
    pub base: String,
    /// True if the base is a stand-in.
    pub base_is_stand_in: bool,
    /// The image of the database.
    pub database: String,
    /// True if the database is a stand-in.
    pub database_is_stand_in: bool,
}

/// The machine and the engine of a run.
#[derive(Clone, Debug, Serialize)]
pub struct EngineMachine {
    /// The engine's version.
    pub engine: String,
    /// Number of processors.
    pub cores: usize,
    /// Number of checks that ran at once.
    pub jobs: usize,
}

/// Number of checks by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Kept promises.
    pub pass: usize,
    /// Broken promises.
    pub fail: usize,
    /// Checks that were not run, which never count as kept promises.
    pub not_run: usize,
}

impl Summary {
    /// Counts the checks.
    pub fn of(checks: &[CheckReport]) -> Summary {
        let mut summary = Summary::default();
        for check in checks {
            match check.status {
                CheckStatus::Pass => summary.pass += 1,
                CheckStatus::Fail => summary.fail += 1,
                CheckStatus::NotRun => summary.not_run += 1,
            }
        }
        summary
    }
}

/// The verdict of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckStatus {
    /// The promise is kept.
    Pass,
    /// The promise is broken, or could not be proven.
    Fail,
    /// The check was not run; the reason is in the report.
    NotRun,
}

/// The result of one check.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// The name on the command line.
    pub name: &'static str,
    /// The promise as one sentence.
    pub promise: &'static str,
    /// The verdict.
    pub status: CheckStatus,
    /// The reason why it failed or was not run.
    pub reason: Option<String>,
    /// Seconds from the start of the run to the start of the check.
    pub began: f64,
    /// Duration.
    pub seconds: f64,
    /// The facts that the verdict rests on, also for a kept promise.
    pub evidence: Evidence,
    /// The last lines of its containers, if it failed.
    pub logs: Vec<LogExcerpt>,
}

impl CheckReport {
    /// Seconds from the start of the run to the end of the check.
    pub fn end(&self) -> f64 {
        self.began + self.seconds
    }
}

/// The facts that a verdict rests on.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Evidence {
    /// Figures and facts, in the order in which they were collected.
    pub figures: Vec<EvidenceFigure>,
    /// Lines of logs that show the facts.
    pub lines: Vec<String>,
    /// Boots, phase by phase.
    pub boots: Vec<BootTimeline>,
    /// Screenshots.
    pub pictures: Vec<Picture>,
    /// Rolling updates under load.
    pub rolls: Vec<Roll>,
}

/// One figure or fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EvidenceFigure {
    /// The name, such as `docker stop` or `exit code`.
    pub name: String,
    /// The value with its unit: `0.31 s`, `143`.
    pub value: String,
}

impl EvidenceFigure {
    /// Creates a figure.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> EvidenceFigure {
        EvidenceFigure { name: name.into(), value: value.into() }
    }
}

/// One boot, phase by phase.
#[derive(Clone, Debug, Serialize)]
pub struct BootTimeline {
    /// The kind of boot, such as `cold` or `warm`.
    pub name: String,
    /// The completed phases, in order.
    pub phases: Vec<PhaseTime>,
    /// Milliseconds from the container's start until the server answered, if the check waited for it.
    pub ready_ms: Option<u64>,
}

/// One phase of a boot.
#[derive(Clone, Debug, Serialize)]
pub struct PhaseTime {
    /// The phase's name, as in the image's log.
    pub phase: String,
    /// Duration in milliseconds, as logged.
    pub ms: u64,
    /// The message that ended the phase.
    pub message: String,
}

/// A screenshot.
#[derive(Clone, Debug, Serialize)]
pub struct Picture {
    /// The caption.
    pub name: String,
    /// Name of the PNG in the report's folder.
    pub file: String,
}

/// The end of a container's log.
#[derive(Clone, Debug, Serialize)]
pub struct LogExcerpt {
    /// The container's name, such as `directus` or `db`.
    pub container: String,
    /// The last lines, at most 40.
    pub lines: Vec<String>,
}

/// The replicas of a service and the load on them, over a time with rolling updates. Times are seconds from the start of
/// the load.
#[derive(Clone, Debug, Serialize)]
pub struct Roll {
    /// The kind of roll, such as `A → B → A`.
    pub name: String,
    /// Duration.
    pub seconds: f64,
    /// The actions and observations of the check.
    pub moments: Vec<RollMoment>,
    /// The containers, by their start.
    pub replicas: Vec<ReplicaTimeline>,
    /// The load in each second.
    pub load: Vec<LoadSecond>,
    /// The load between moments, such as `before` the first update.
    pub periods: Vec<LoadPeriod>,
}

/// One moment of a roll.
#[derive(Clone, Debug, Serialize)]
pub struct RollMoment {
    /// Seconds from the start of the load.
    pub at: f64,
    /// The action or observation.
    pub name: String,
}

/// One container of a service.
#[derive(Clone, Debug, Serialize)]
pub struct ReplicaTimeline {
    /// The number of the replica, which its successors share.
    pub slot: i64,
    /// The name of its image, such as `A`.
    pub image: String,
    /// Its phases: those of the boot, `server` until it is healthy, `serving`, and `stopping` from the signal to its end.
    pub spans: Vec<ReplicaSpan>,
}

/// A phase of a container.
#[derive(Clone, Debug, Serialize)]
pub struct ReplicaSpan {
    /// The phase's name.
    pub phase: String,
    /// Seconds from the start of the load; negative if the load began later.
    pub from: f64,
    /// Seconds from the start of the load.
    pub to: f64,
}

/// The requests of one second, by the time at which they were due.
#[derive(Clone, Debug, Serialize)]
pub struct LoadSecond {
    /// The start of the second.
    pub second: u64,
    /// Number of requests.
    pub requests: usize,
    /// Number of requests that failed.
    pub failed: usize,
    /// Half of them took at most this many milliseconds.
    pub p50_ms: u64,
    /// 99 of 100 took at most this many milliseconds.
    pub p99_ms: u64,
}

/// The requests of a part of a roll.
#[derive(Clone, Debug, Serialize)]
pub struct LoadPeriod {
    /// The name, such as `before`.
    pub name: String,
    /// Seconds from the start of the load.
    pub from: f64,
    /// Seconds from the start of the load.
    pub to: f64,
    /// Number of requests.
    pub requests: usize,
    /// Number of writes among them.
    pub writes: usize,
    /// Number of requests that failed.
    pub failed: usize,
    /// Half of them took at most this many milliseconds.
    pub p50_ms: u64,
    /// 99 of 100 took at most this many milliseconds.
    pub p99_ms: u64,
    /// The longest, in milliseconds.
    pub longest_ms: u64,
}
