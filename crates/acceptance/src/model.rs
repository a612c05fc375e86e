//! What a run of the acceptance gate found, as data: the documented form of `report.json`.
//!
//! Checks fill it, reports render it; neither knows the other. Fields are only ever added; a change of meaning gets
//! another [`Report::SCHEMA`].

use serde::Serialize;

/// A whole run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The form of this object: [`Report::SCHEMA`].
    pub schema: u32,
    /// The run's id; what it made carried this as a label.
    pub run: String,
    /// When it began, in RFC 3339, UTC.
    pub began: String,
    /// How long it took.
    pub seconds: f64,
    /// Whether nothing failed.
    pub ok: bool,
    /// What was judged.
    pub subject: Subject,
    /// Where.
    pub machine: Machine,
    /// How many checks ended how.
    pub summary: Summary,
    /// The names of the checks that the run waited for, in the order in which they ran.
    pub critical_path: Vec<&'static str>,
    /// The checks, in the order of the acceptance list.
    pub checks: Vec<CheckReport>,
}

impl Report {
    /// The form that is written today.
    pub const SCHEMA: u32 = 1;
}

/// What was judged. Of an image that did not build there are only its name and its base's.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Subject {
    /// The image's name, as it was given.
    pub image: String,
    /// `sha256:…` of its configuration.
    pub image_id: String,
    /// Its manifest's digest, if it came from or went to a registry.
    pub image_digest: Option<String>,
    /// The version and revision of its labels.
    pub version: String,
    /// Bytes of all its layers.
    pub size_bytes: u64,
    /// What it is built on.
    pub base: String,
    /// Whether that is a stand-in.
    pub base_is_stand_in: bool,
    /// The database that it was run against.
    pub database: String,
    /// Whether that is a stand-in.
    pub database_is_stand_in: bool,
}

/// Where it was judged.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The engine's version.
    pub engine: String,
    /// Processors.
    pub cores: usize,
    /// How many checks ran at once.
    pub jobs: usize,
}

/// How many checks ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Kept promises.
    pub pass: usize,
    /// Broken ones.
    pub fail: usize,
    /// Not looked at; never counted as kept.
    pub not_run: usize,
}

impl Summary {
    /// Counts.
    pub fn of(checks: &[CheckReport]) -> Summary {
        let count = |status| checks.iter().filter(|check| check.status == status).count();
        Summary { pass: count(Status::Pass), fail: count(Status::Fail), not_run: count(Status::NotRun) }
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The promise is kept.
    Pass,
    /// It is not.
    Fail,
    /// It was not looked at; the reason says why.
    NotRun,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it promises, in one sentence.
    pub promise: &'static str,
    /// How it ended.
    pub status: Status,
    /// Why it failed or was not run.
    pub reason: Option<String>,
    /// Seconds from the run's beginning until it began; with `seconds`, its bar in the picture of the run.
    pub began: f64,
    /// How long it took.
    pub seconds: f64,
    /// What was seen.
    pub evidence: Evidence,
    /// The last lines of its containers, if it failed.
    pub logs: Vec<LogExcerpt>,
}

/// What a check saw.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Evidence {
    /// Figures and facts, in the order in which they were seen.
    pub figures: Vec<Figure>,
    /// Lines of a log that show it.
    pub lines: Vec<String>,
    /// Boots, phase by phase.
    pub boots: Vec<BootTimeline>,
    /// Screenshots.
    pub pictures: Vec<Picture>,
}

/// One figure or fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// What it is: `docker stop`, `exit code`.
    pub name: String,
    /// With its unit: `0.31 s`, `143`.
    pub value: String,
}

/// One boot, phase by phase.
#[derive(Clone, Debug, Serialize)]
pub struct BootTimeline {
    /// Which: `cold`, `warm`.
    pub name: String,
    /// Its phases, in order.
    pub phases: Vec<PhaseTime>,
    /// From the container's start until the server answered, if it was waited for.
    pub ready_ms: Option<u64>,
}

/// One phase of a boot.
#[derive(Clone, Debug, Serialize)]
pub struct PhaseTime {
    /// Its name.
    pub phase: String,
    /// How long it took.
    pub ms: u64,
    /// What it said.
    pub message: String,
}

/// A screenshot.
#[derive(Clone, Debug, Serialize)]
pub struct Picture {
    /// What is on it.
    pub name: String,
    /// The file beside the report, a PNG.
    pub file: String,
}

/// The end of a container's log.
#[derive(Clone, Debug, Serialize)]
pub struct LogExcerpt {
    /// Which container: `directus`, `db`.
    pub container: String,
    /// Its last lines.
    pub lines: Vec<String>,
}
