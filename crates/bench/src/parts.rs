//! The title, the subjects and the method of each part of the benchmark.

use grammar::BenchPart;

/// Returns the heading of a part.
pub(crate) fn title(part: BenchPart) -> &'static str {
    match part {
        BenchPart::Startup => "Containers: from start to server",
        BenchPart::Ablation => "Effect of each optimisation",
        BenchPart::Process => "Processes: the boot alone",
        BenchPart::Ledger => "Warm boot by length of the ledger",
        BenchPart::Migrations => "Applying 1,000 small migrations",
        BenchPart::Witness => "The witness in a cold boot",
        BenchPart::Growth => "Growth with the data model",
        BenchPart::Replicas => "Several containers at once",
        BenchPart::Scale => "Up to 100 boots at once",
        BenchPart::ScaleWarm => "Up to 100 boots at once, with nothing to do",
        BenchPart::ScaleWait => "Up to 100 boots at once, during a long migration",
        BenchPart::ScaleLimit => "100 boots at once on a server with 20 connections",
        BenchPart::Memory => "Peak memory of a boot",
        BenchPart::Image => "The image",
        BenchPart::Xtask => "xtask without work",
    }
}

/// Returns true if the part measures the shell pipeline, so that its image has to be built.
pub(crate) fn measures_shell(part: BenchPart) -> bool {
    !matches!(
        part,
        BenchPart::Ablation
            | BenchPart::Witness
            | BenchPart::Growth
            | BenchPart::Scale
            | BenchPart::ScaleWarm
            | BenchPart::ScaleWait
            | BenchPart::ScaleLimit
            | BenchPart::Xtask
    )
}

/// Describes the method of measurement.
pub(crate) fn method(part: BenchPart) -> &'static str {
    match part {
        BenchPart::Startup => {
            "From the engine's `StartedAt` to the engine's timestamp of the last line before the exec of the server: for our \
             image the line of phase 8, for the shell its last line. `StartedAt` is imprecise by a few milliseconds, so shorter \
             durations are 0 here; the processes below are more precise. The first answer is the first 200 from `/server/ping`, \
             polled every 20 ms. Cold means an empty database, warm the same database again. Only our image has a health check."
        }
        BenchPart::Ablation => {
            "The same, for variants of our image without one optimisation: on the full upstream image; without the compile cache \
             of Node; with Directus' unbundled modules, which are not compiled either; and, warm only, on a database without a \
             fingerprint, so that Directus has to plan."
        }
        BenchPart::Process => {
            "`entrypoint boot` and `entrypoint.sh true` in running containers, measured inside them. The bare connection is a \
             process with the build profile of the boot binary that authenticates (SCRAM) and ends; `psql` is the program \
             itself, not a wrapper."
        }
        BenchPart::Ledger => {
            "The same, with applied migrations in addition to the image's own. The shell starts a psql and a sha256sum for \
             each, so it is measured up to 1,000."
        }
        BenchPart::Migrations => {
            "One `insert` each, on a booted database. For our image the duration in the log line of phase 4, for the shell the \
             time between its lines before and after; psql alone has neither ledger nor checksums, and commits each file."
        }
        BenchPart::Witness => {
            "In a separate process, without the connection: reads the whole catalog, then before and after each of seven \
             transactions the parts that may have changed, as in a cold boot of this image, but on a booted database. The large \
             model adds 500 tables of 30 columns and 10,000 partitions."
        }
        BenchPart::Growth => {
            "A generated model in the folders of the image, as another team's image has it: tables of 30 columns with \
             relations in the form of a tree, 20 SQL files per table (half of them after the schema), and for two of \
             five tables a role with a policy, a permission and a flow. So 500 tables have 15,000 columns, 10,000 SQL \
             files, and 200 of each of these rows. Cold means an empty database. The upgrade adds one field and one \
             SQL file. Durations of cold boots and upgrades are those in their logs; warm boots and plans are \
             processes in a running container, measured inside it. All sizes are measured in turns."
        }
        BenchPart::Replicas => {
            "Created first, then started at the same time on one database: from the first start until the last successful boot \
             is done. No server is started. The shell has no lock, so some of its containers fail; their number is part of the \
             result."
        }
        BenchPart::Scale | BenchPart::ScaleWarm | BenchPart::ScaleWait | BenchPart::ScaleLimit => {
            "Processes in one container, started at the same time, on a server of their own. Connections are those in \
             `pg_stat_activity`, every 50 ms. Statements of a boot that waits are the transactions in `pg_stat_database`, \
             without those of a boot that is alone. Memory is the peak of the largest process, without Node."
        }
        BenchPart::Memory => {
            "The peak of the container's cgroup, which includes its page cache; read by the first process, which runs the boot."
        }
        BenchPart::Image => {
            "Sizes as reported by the engine; the shell is based on the full upstream image. Rebuilds run in a copy of the \
             checkout: cargo, if the change affects it, and `docker buildx build`, until the image is in the engine."
        }
        BenchPart::Xtask => "`cargo xtask --help`, through cargo and as the bare program.",
    }
}
