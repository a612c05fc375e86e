//! What a run of the acceptance gate found, as data: the documented form of `report.json`.
//!
//! Checks fill it, reports render it; neither knows the other. Fields are only ever added; a change of meaning gets
//! another [`Report::SCHEMA`].

use serde::Serialize;

/// A whole run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// The form of this object: [`Report::SCHEMA`].
    pub(crate) schema: u32,
    /// The run's id; what it made carried this as a label.
    pub(crate) run: String,
    /// When it began, in RFC 3339, UTC.
    pub(crate) began: String,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Whether nothing failed.
    pub(crate) ok: bool,
    /// What was judged.
    pub(crate) subject: Subject,
    /// Where.
    pub(crate) machine: Machine,
    /// How many checks ended how.
    pub(crate) summary: Summary,
    /// The names of the checks that the run waited for, in the order in which they ran.
    pub(crate) critical_path: Vec<&'static str>,
    /// The checks, in the order of the acceptance list.
    pub(crate) checks: Vec<CheckReport>,
}

impl Report {
    /// The form that is written today.
    pub(crate) const SCHEMA: u32 = 1;
}

/// What was judged. Of an image that did not build there are only its name and its base's.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Subject {
    /// The image's name, as it was given.
    pub(crate) image: String,
    /// `sha256:…` of its configuration.
    pub(crate) image_id: String,
    /// Its manifest's digest, if it came from or went to a registry.
    pub(crate) image_digest: Option<String>,
    /// The version and revision of its labels.
    pub(crate) version: String,
    /// Bytes of all its layers.
    pub(crate) size_bytes: u64,
    /// What it is built on.
    pub(crate) base: String,
    /// Whether that is a stand-in.
    pub(crate) base_is_stand_in: bool,
    /// The database that it was run against.
    pub(crate) database: String,
    /// Whether that is a stand-in.
    pub(crate) database_is_stand_in: bool,
}

/// Where it was judged.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// The engine's version.
    pub(crate) engine: String,
    /// Processors.
    pub(crate) cores: usize,
    /// How many checks ran at once.
    pub(crate) jobs: usize,
}

/// How many checks ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Summary {
    /// Kept promises.
    pub(crate) pass: usize,
    /// Broken ones.
    pub(crate) fail: usize,
    /// Not looked at; never counted as kept.
    pub(crate) not_run: usize,
}

impl Summary {
    /// Counts.
    pub(crate) fn of(checks: &[CheckReport]) -> Summary {
        let count = |status| checks.iter().filter(|check| check.status == status).count();
        Summary { pass: count(Status::Pass), fail: count(Status::Fail), not_run: count(Status::NotRun) }
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    /// The promise is kept.
    Pass,
    /// It is not.
    Fail,
    /// It was not looked at; the reason says why.
    NotRun,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CheckReport {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// What it promises, in one sentence.
    pub(crate) promise: &'static str,
    /// How it ended.
    pub(crate) status: Status,
    /// Why it failed or was not run.
    pub(crate) reason: Option<String>,
    /// Seconds from the run's beginning until it began; with `seconds`, its bar in the picture of the run.
    pub(crate) began: f64,
    /// How long it took.
    pub(crate) seconds: f64,
    /// What was seen.
    pub(crate) evidence: Evidence,
    /// The last lines of its containers, if it failed.
    pub(crate) logs: Vec<LogExcerpt>,
}

/// What a check saw.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Evidence {
    /// Figures and facts, in the order in which they were seen.
    pub(crate) figures: Vec<Figure>,
    /// Lines of a log that show it.
    pub(crate) lines: Vec<String>,
    /// Boots, phase by phase.
    pub(crate) boots: Vec<BootTimeline>,
    /// Screenshots.
    pub(crate) pictures: Vec<Picture>,
}

/// One figure or fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Figure {
    /// What it is: `docker stop`, `exit code`.
    pub(crate) name: String,
    /// With its unit: `0.31 s`, `143`.
    pub(crate) value: String,
}

/// One boot, phase by phase.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BootTimeline {
    /// Which: `cold`, `warm`.
    pub(crate) name: String,
    /// Its phases, in order.
    pub(crate) phases: Vec<PhaseTime>,
    /// From the container's start until the server answered, if it was waited for.
    pub(crate) ready_ms: Option<u64>,
}

/// One phase of a boot.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PhaseTime {
    /// Its name.
    pub(crate) phase: String,
    /// How long it took.
    pub(crate) ms: u64,
    /// What it said.
    pub(crate) message: String,
}

/// A screenshot.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Picture {
    /// What is on it.
    pub(crate) name: String,
    /// The file beside the report, a PNG.
    pub(crate) file: String,
}

/// The end of a container's log.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LogExcerpt {
    /// Which container: `directus`, `db`.
    pub(crate) container: String,
    /// Its last lines.
    pub(crate) lines: Vec<String>,
}
