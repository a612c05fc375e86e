//! The grammar of the command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

/// Builds, runs and proves the trm-directus image.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, disable_help_subcommand = true)]
pub struct Xtask {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, in the order in which a newcomer meets them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check what this machine needs (engine, plugins, toolchain, base images), and get it with --yes
    Setup(Setup),
    /// Make a fresh development stack: build, start, wait until healthy, print URL and login
    DevReset(DevReset),
    /// Stop the development stack
    Down(Down),
    /// Build the image and say what it adds to its base
    Image(Image),
    /// Prove who the image runs as and that it cannot change its own files
    InspectUser(InspectUser),
    /// Run all tests, with a PostgreSQL container for those that need one
    Test(Test),
    /// Prove every promise of the README on real containers, and write a report
    Verify(Verify),
    /// Break boots off at any message of their conversation with PostgreSQL, and see the next one heal it
    Sweep(Sweep),
    /// Make random legal edits of snapshot, database and SQL files, and see that no boot loses anything
    Search(Search),
    /// Measure the image against the shell pipeline that it replaces
    Bench(Bench),
    /// Run everything that CI runs: formatting, lints, generated documentation, tests, the acceptance gate
    Ci(Ci),
    /// Save the running stack's Directus schema as snapshots/schema.yaml
    Snapshot(Snapshot),
    /// Write the README's generated tables, or check that they are up to date
    Docs(Docs),
    /// Check that comments, messages and documents are written in plain English
    Language(Language),
}

/// The flags of `setup`.
#[derive(Debug, Args)]
pub struct Setup {
    /// Do what is missing; without it, only say what would be done and exit with 1 if anything is
    #[arg(long)]
    pub yes: bool,
    /// Also a Chromium, for the check of `verify` that looks at the admin UI
    #[arg(long)]
    pub browser: bool,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// The flags of `image`.
#[derive(Debug, Args)]
pub struct Image {
    /// The image's name
    #[arg(long, value_name = "NAME:TAG", default_value = DEFAULT_TAG)]
    pub tag: String,
    /// Optimise the boot binary for size, as CI does for what ships; without it, it is built in half the time
    #[arg(long)]
    pub release: bool,
    /// Build the boot binary inside the image build instead of with this machine's cargo; always as for a release
    #[arg(long)]
    pub source: bool,
    /// What the image is made on
    #[arg(long, value_enum, default_value_t)]
    pub variant: Variant,
    /// Fail when the image is larger [default: 5 MB of ours, and 30 MB of Directus bundled, over its base]
    #[arg(long, value_name = "MB")]
    pub max_size: Option<u64>,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// The flags of `dev-reset`.
#[derive(Debug, Args)]
pub struct DevReset {
    /// Keep the volumes: the database and the uploads
    #[arg(long)]
    pub keep_data: bool,
    /// Run `setup --yes` first
    #[arg(long)]
    pub setup: bool,
    /// Use the image as it is instead of building it
    #[arg(long)]
    pub no_image: bool,
    /// Build the image as it ships; see `image --release`
    #[arg(long, conflicts_with = "no_image")]
    pub release: bool,
    /// The image's name
    #[arg(long, value_name = "NAME:TAG", default_value = DEFAULT_TAG)]
    pub tag: String,
    /// The stack.
    #[command(flatten)]
    pub project: Project,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// The flags of `down`.
#[derive(Debug, Args)]
pub struct Down {
    /// Remove the volumes too: the database and the uploads
    #[arg(long)]
    pub volumes: bool,
    /// The stack.
    #[command(flatten)]
    pub project: Project,
}

/// The flags of `inspect-user`.
#[derive(Debug, Args)]
pub struct InspectUser {
    /// The image to look at
    #[arg(long, value_name = "NAME:TAG", default_value = DEFAULT_TAG)]
    pub image: String,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// The flags of `test`.
#[derive(Debug, Args)]
pub struct Test {
    /// Arguments for `cargo test`, e.g. `-p entrypoint`, or `-- a_test_name`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    pub arguments: Vec<String>,
}

/// The flags of `verify`.
#[derive(Debug, Default, Args)]
pub struct Verify {
    /// Only checks with one of these words in their name
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub only: Vec<String>,
    /// No checks with one of these words in their name
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub skip: Vec<String>,
    /// Show the checks and what they promise
    #[arg(long)]
    pub list: bool,
    /// Judge this image instead of building one
    #[arg(long, value_name = "NAME:TAG")]
    pub image: Option<String>,
    /// How many checks run at once [default: as many as processors and memory bear]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Leave the containers of failed checks, and say how to look into them
    #[arg(long)]
    pub keep: bool,
    /// Break the image in every way that is known, and fail when a check does not notice
    #[arg(long, conflicts_with_all = ["list", "keep"])]
    pub negative: bool,
    /// Fail also when a check was not run
    #[arg(long)]
    pub strict: bool,
    /// Print the report as one JSON object on the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// The flags of `sweep`.
#[derive(Debug, Args)]
pub struct Sweep {
    /// Every message, which takes days, instead of a sample
    #[arg(long)]
    pub full: bool,
    /// How many points of each scenario, spread over all its messages
    #[arg(long, value_name = "N", default_value_t = 24, conflicts_with = "full")]
    pub sample: usize,
    /// Only one kind of boot
    #[arg(long, value_enum, value_name = "SCENARIO")]
    pub only: Option<Scenario>,
    /// The image; it is not built
    #[arg(long, value_name = "NAME:TAG", default_value = DEFAULT_TAG)]
    pub image: String,
    /// How many points at once [default: as many as processors and memory bear]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Print the report as one JSON object on the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// The flags of `search`.
#[derive(Debug, Args)]
pub struct Search {
    /// How many random cases
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub cases: u64,
    /// The seed that they are made from
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Replay only this case of the seed, and print it with its boots' log
    #[arg(long, value_name = "K", conflicts_with = "cases")]
    pub case: Option<u64>,
    /// Stop after so many failures
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub most_failures: usize,
    /// Only one kind of edit
    #[arg(long, value_enum, value_name = "KIND")]
    pub only: Option<EditKind>,
    /// The image; it is not built
    #[arg(long, value_name = "NAME:TAG", default_value = DEFAULT_TAG)]
    pub image: String,
    /// How many cases at once
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub jobs: usize,
    /// Print the report as one JSON object on the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// The flags of `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// Only these parts
    #[arg(long, value_enum, value_name = "PART", value_delimiter = ',')]
    pub only: Vec<Part>,
    /// How often each is measured
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    pub runs: u16,
    /// The image to measure
    #[arg(long, value_name = "NAME:TAG", default_value = DEFAULT_TAG)]
    pub image: String,
    /// Write docs/BENCHMARKS.md; with --only it shows no other parts
    #[arg(long)]
    pub write: bool,
    /// Print the figures as one JSON object on the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// The flags of `ci`.
#[derive(Debug, Args)]
pub struct Ci {
    /// Run `setup --yes` first
    #[arg(long)]
    pub setup: bool,
}

/// The flags of `snapshot`.
#[derive(Debug, Args)]
pub struct Snapshot {
    /// The stack.
    #[command(flatten)]
    pub project: Project,
}

/// The flags of `language`.
#[derive(Debug, Args)]
pub struct Language {}

/// The flags of `docs`.
#[derive(Debug, Args)]
pub struct Docs {
    /// Change nothing; exit with 1 if a table is not up to date
    #[arg(long)]
    pub check: bool,
}

/// Which compose project is meant.
#[derive(Debug, Args)]
pub struct Project {
    /// The compose project; another name is another stack, with containers and volumes of its own
    #[arg(long = "project", value_name = "NAME", default_value = DEFAULT_PROJECT)]
    pub name: String,
}

/// A kind of boot that is swept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Of an empty database.
    Cold,
    /// With one more migration and one more field, of a database with rows in it.
    Upgrade,
}

impl Scenario {
    /// Both.
    pub const ALL: [Scenario; 2] = [Scenario::Cold, Scenario::Upgrade];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Cold => "cold",
            Scenario::Upgrade => "upgrade",
        }
    }
}

/// A kind of edit that a search makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EditKind {
    /// Directus' rows in the database are edited.
    Live,
    /// Values of `meta` in the snapshot are edited.
    Meta,
    /// Keys of the snapshot are removed, added or set to null.
    Keys,
    /// Columns change their type, size, nullability, default, index.
    Columns,
    /// Collections and fields are added and removed.
    Entities,
    /// Relations are rewired.
    Relations,
    /// SQL files.
    Sql,
}

impl EditKind {
    /// All of them.
    pub const ALL: [EditKind; 7] = [
        EditKind::Live,
        EditKind::Meta,
        EditKind::Keys,
        EditKind::Columns,
        EditKind::Entities,
        EditKind::Relations,
        EditKind::Sql,
    ];

    /// Its name on the command line.
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
    /// Its name in the Dockerfile, and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Variant::Slim => "slim",
            Variant::Full => "full",
        }
    }
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// From a container's start until it becomes the server, and until that answers
    Gate,
    /// The same with one thing undone that makes it fast
    Steps,
    /// The boot alone, as a process of a running container, next to a bare connection
    Process,
    /// A warm boot with ever more applied migrations
    Ledger,
    /// Applying a thousand small migrations
    Migrations,
    /// Reading the catalog around the transactions of a cold boot
    Witness,
    /// Several containers at once
    Replicas,
    /// The most memory that a boot takes
    Memory,
    /// The size that is added to the base, and rebuilds
    Image,
    /// xtask's own start
    Xtask,
}

impl Part {
    /// All of them, in the order in which they are measured.
    pub const ALL: [Part; 10] = [
        Part::Gate,
        Part::Steps,
        Part::Process,
        Part::Ledger,
        Part::Migrations,
        Part::Witness,
        Part::Replicas,
        Part::Memory,
        Part::Image,
        Part::Xtask,
    ];
}

/// The compose project that developers use; the compose file's own name.
pub const DEFAULT_PROJECT: &str = "trm-directus";

/// The name of the image that developers build.
pub const DEFAULT_TAG: &str = "trm-directus:dev";

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::{Command, Xtask};

    #[test]
    fn the_grammar_has_no_contradictions() {
        Xtask::command().debug_assert();
    }

    #[test]
    fn arguments_after_test_go_to_cargo_test() {
        let flags = Xtask::parse_from(["cargo xtask", "test", "-p", "entrypoint", "--", "a_name"]);
        let Command::Test(test) = flags.command else { panic!("not test") };
        assert_eq!(test.arguments, ["-p", "entrypoint", "--", "a_name"]);
    }
}
