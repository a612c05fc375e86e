//! The fields of `report.json`, as data: the reference is generated from here, and a test of the acceptance gate compares
//! them with a report.

/// A field of `report.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportField {
    /// The path from the root; `[]` stands for each element of a list.
    pub path: &'static str,
    /// The JSON type, with the unit of a number and `or null`.
    pub kind: &'static str,
    /// The content.
    pub meaning: &'static str,
}

const fn field(path: &'static str, kind: &'static str, meaning: &'static str) -> ReportField {
    ReportField { path, kind, meaning }
}

/// Every field, in the order of the file.
pub const REPORT_FIELDS: &[ReportField] = &[
    field("schema", "integer", "the version of this form: 1"),
    field(
        "run",
        "string",
        "the run's id, which is the label `trm.run` of all containers, networks and volumes of the run",
    ),
    field("began", "string", "the start of the run: RFC 3339, UTC, whole seconds"),
    field(
        "seconds",
        "number, s",
        "the time of all checks together, by the clock; the build of the image is not included",
    ),
    field("ok", "boolean", "true if no check failed; independent of `--strict`, see `summary.not_run`"),
    field("subject", "object", "the image under test"),
    field("subject.image", "string", "the name of the image, as it was given"),
    field(
        "subject.image_id",
        "string",
        "`sha256:…` of its configuration, or with the containerd image store, of its manifest: exactly this image, under \
         any name",
    ),
    field(
        "subject.image_digest",
        "string or null",
        "the digest of its manifest, if it was pulled or pushed; with the containerd image store, always",
    ),
    field(
        "subject.version",
        "string",
        "version and revision from its labels: `0.1.0@<commit>`, with `-dirty` after a changed checkout",
    ),
    field("subject.size_bytes", "integer, B", "the files of all layers, uncompressed"),
    field("subject.base", "string", "the base image"),
    field("subject.base_is_stand_in", "boolean", "true if the base is a stand-in that `setup` built"),
    field("subject.database", "string", "the image of the database"),
    field(
        "subject.database_is_stand_in",
        "boolean",
        "true if the database is a stand-in, which has other versions than upstream's image",
    ),
    field("machine", "object", "the machine of the run"),
    field("machine.engine", "string", "the version of the container engine"),
    field("machine.cores", "integer", "the number of processors"),
    field("machine.jobs", "integer", "the number of checks that ran at once"),
    field("summary", "object", "the number of checks by status; the three add up to the length of `checks`"),
    field("summary.pass", "integer", "checks that passed"),
    field("summary.fail", "integer", "checks that failed"),
    field("summary.not_run", "integer", "checks that were not run"),
    field(
        "critical_path",
        "list of strings",
        "the checks that the run waited for, in the order in which they ran: only a shorter one of these shortens the run",
    ),
    field("checks", "list", "the selected checks, in the order of `--list`"),
    field("checks[].name", "string", "the name on the command line"),
    field("checks[].promise", "string", "the promise, in one sentence"),
    field("checks[].status", "string", "`pass`, `fail` or `not-run`"),
    field(
        "checks[].reason",
        "string or null",
        "the reason of a failure or of a check that was not run; lines of a log may follow the first line",
    ),
    field("checks[].began", "number, s", "the time from the start of the run to the start of the check"),
    field("checks[].seconds", "number, s", "the duration of the check"),
    field("checks[].evidence", "object", "the observations, also of a check that passed"),
    field("checks[].evidence.figures", "list", "figures and facts, in the order of observation"),
    field("checks[].evidence.figures[].name", "string", "the name, such as `exit code`"),
    field("checks[].evidence.figures[].value", "string", "the value with its unit, for a human reader: `0.31 s`"),
    field("checks[].evidence.lines", "list of strings", "lines of a log that show it"),
    field("checks[].evidence.boots", "list", "boots of the image that were watched"),
    field("checks[].evidence.boots[].name", "string", "the kind of boot: `cold`, `warm`"),
    field(
        "checks[].evidence.boots[].phases",
        "list",
        "the completed phases, in order; fewer than eight for a boot that was cut off",
    ),
    field("checks[].evidence.boots[].phases[].phase", "string", "the name of the phase, as in the log of the image"),
    field("checks[].evidence.boots[].phases[].ms", "integer, ms", "the duration, from the log"),
    field("checks[].evidence.boots[].phases[].message", "string", "the message of the phase's last line"),
    field(
        "checks[].evidence.boots[].ready_ms",
        "integer, ms, or null",
        "the time from the start of the container until it was healthy, if the check waited for that",
    ),
    field("checks[].evidence.pictures", "list", "screenshots"),
    field("checks[].evidence.pictures[].name", "string", "the subject of the screenshot"),
    field("checks[].evidence.pictures[].file", "string", "a PNG in the folder of the report"),
    field("checks[].evidence.rolls", "list", "rolling updates under load, with `--swarm`"),
    field("checks[].evidence.rolls[].name", "string", "the kind of roll: `A → B → A`"),
    field(
        "checks[].evidence.rolls[].seconds",
        "number, s",
        "the duration, from the start of the load; all other times of a roll count from there, too",
    ),
    field("checks[].evidence.rolls[].moments", "list", "the actions and observations of the check"),
    field("checks[].evidence.rolls[].moments[].at", "number, s", "the time"),
    field("checks[].evidence.rolls[].moments[].name", "string", "the action or observation"),
    field("checks[].evidence.rolls[].replicas", "list", "the containers of the replicas, by their start"),
    field(
        "checks[].evidence.rolls[].replicas[].slot",
        "integer",
        "the number of the replica, which a container shares with its successor",
    ),
    field("checks[].evidence.rolls[].replicas[].image", "string", "the image: `A`"),
    field("checks[].evidence.rolls[].replicas[].spans", "list", "the phases of the container"),
    field(
        "checks[].evidence.rolls[].replicas[].spans[].phase",
        "string",
        "a phase of the boot, or `server` until it is healthy, `serving`, `stopping`",
    ),
    field("checks[].evidence.rolls[].replicas[].spans[].from", "number, s", "the start; negative before the load"),
    field("checks[].evidence.rolls[].replicas[].spans[].to", "number, s", "the end"),
    field("checks[].evidence.rolls[].load", "list", "the requests of each second, by the time at which they were due"),
    field("checks[].evidence.rolls[].load[].second", "integer, s", "the start of the second"),
    field("checks[].evidence.rolls[].load[].requests", "integer", "the number of requests"),
    field("checks[].evidence.rolls[].load[].failed", "integer", "the number of requests that failed"),
    field(
        "checks[].evidence.rolls[].load[].p50_ms",
        "integer, ms",
        "the median of the latencies, each from the time at which the request was due",
    ),
    field("checks[].evidence.rolls[].load[].p99_ms", "integer, ms", "the 99th percentile"),
    field("checks[].evidence.rolls[].periods", "list", "the requests before, between and after the moments"),
    field("checks[].evidence.rolls[].periods[].name", "string", "the name: `before`"),
    field("checks[].evidence.rolls[].periods[].from", "number, s", "the start"),
    field("checks[].evidence.rolls[].periods[].to", "number, s", "the end"),
    field("checks[].evidence.rolls[].periods[].requests", "integer", "the number of requests"),
    field("checks[].evidence.rolls[].periods[].writes", "integer", "the number of writes among them"),
    field("checks[].evidence.rolls[].periods[].failed", "integer", "the number of requests that failed"),
    field("checks[].evidence.rolls[].periods[].p50_ms", "integer, ms", "the median of the latencies"),
    field("checks[].evidence.rolls[].periods[].p99_ms", "integer, ms", "the 99th percentile"),
    field("checks[].evidence.rolls[].periods[].longest_ms", "integer, ms", "the longest"),
    field("checks[].logs", "list", "of a failed check: the ends of its containers' logs"),
    field("checks[].logs[].container", "string", "the container: `directus`, `db`"),
    field("checks[].logs[].lines", "list of strings", "at most 40 lines, unchanged, including terminal colours"),
];
