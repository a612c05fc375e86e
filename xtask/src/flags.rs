//! The grammar of the command line.

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand};

use crate::variant::Variant;

/// Builds, runs and proves the trm-directus image.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, disable_help_subcommand = true)]
pub(crate) struct Xtask {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands, in the order in which a newcomer meets them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
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
}

#[derive(Debug, Args)]
pub(crate) struct Setup {
    /// Do what is missing; without it, only say what would be done and exit with 1 if anything is
    #[arg(long)]
    pub(crate) yes: bool,
    /// Also a Chromium, for the check of `verify` that looks at the admin UI
    #[arg(long)]
    pub(crate) browser: bool,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Image {
    /// The image's name
    #[arg(long, value_name = "NAME:TAG", default_value = DEFAULT_TAG)]
    pub(crate) tag: String,
    /// Optimise the boot binary for size, as CI does for what ships; without it, it is built in half the time
    #[arg(long)]
    pub(crate) release: bool,
    /// Build the boot binary inside the image build instead of with this machine's cargo; always as for a release
    #[arg(long)]
    pub(crate) source: bool,
    /// What the image is made on
    #[arg(long, value_enum, default_value_t)]
    pub(crate) variant: Variant,
    /// Fail when the image is larger [default: 5 MB of ours, and 30 MB of Directus bundled, over its base]
    #[arg(long, value_name = "MB")]
    pub(crate) max_size: Option<u64>,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DevReset {
    /// Keep the volumes: the database and the uploads
    #[arg(long)]
    pub(crate) keep_data: bool,
    /// Run `setup --yes` first
    #[arg(long)]
    pub(crate) setup: bool,
    /// Use the image as it is instead of building it
    #[arg(long)]
    pub(crate) no_image: bool,
    /// Build the image as it ships; see `image --release`
    #[arg(long, conflicts_with = "no_image")]
    pub(crate) release: bool,
    /// The image's name
    #[arg(long, value_name = "NAME:TAG", default_value = DEFAULT_TAG)]
    pub(crate) tag: String,
    #[command(flatten)]
    pub(crate) project: Project,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Down {
    /// Remove the volumes too: the database and the uploads
    #[arg(long)]
    pub(crate) volumes: bool,
    #[command(flatten)]
    pub(crate) project: Project,
}

#[derive(Debug, Args)]
pub(crate) struct InspectUser {
    /// The image to look at
    #[arg(long, value_name = "NAME:TAG", default_value = DEFAULT_TAG)]
    pub(crate) image: String,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Arguments for `cargo test`, e.g. `-p entrypoint`, or `-- a_test_name`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    pub(crate) arguments: Vec<String>,
}

#[derive(Debug, Default, Args)]
pub(crate) struct Verify {
    /// Only checks with one of these words in their name
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// No checks with one of these words in their name
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) skip: Vec<String>,
    /// Show the checks and what they promise
    #[arg(long)]
    pub(crate) list: bool,
    /// Judge this image instead of building one
    #[arg(long, value_name = "NAME:TAG")]
    pub(crate) image: Option<String>,
    /// How many checks run at once [default: as many as processors and memory bear]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
    /// Leave the containers of failed checks, and say how to look into them
    #[arg(long)]
    pub(crate) keep: bool,
    /// Break the image in every way that is known, and fail when a check does not notice
    #[arg(long, conflicts_with_all = ["list", "keep"])]
    pub(crate) negative: bool,
    /// Fail also when a check was not run
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print the report as one JSON object on the last line of stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Sweep {
    /// Every message, which takes days, instead of a sample
    #[arg(long)]
    pub(crate) full: bool,
    /// How many points of each scenario, spread over all its messages
    #[arg(long, value_name = "N", default_value_t = 24, conflicts_with = "full")]
    pub(crate) sample: usize,
    /// Only one kind of boot
    #[arg(long, value_name = "SCENARIO", value_parser = scenario)]
    pub(crate) only: Option<crate::verify::sweep::Scenario>,
    /// The image; it is not built
    #[arg(long, value_name = "NAME:TAG", default_value = DEFAULT_TAG)]
    pub(crate) image: String,
    /// How many points at once [default: as many as processors and memory bear]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
    /// Print the report as one JSON object on the last line of stdout
    #[arg(long)]
    pub(crate) json: bool,
}

fn scenario(name: &str) -> Result<crate::verify::sweep::Scenario, String> {
    let all = crate::verify::sweep::Scenario::ALL;
    all.into_iter().find(|scenario| scenario.name() == name).ok_or_else(|| "it is `cold` or `upgrade`".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct Search {
    /// How many random cases
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) cases: u64,
    /// The seed that they are made from
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Replay only this case of the seed, and print it with its boots' log
    #[arg(long, value_name = "K", conflicts_with = "cases")]
    pub(crate) case: Option<u64>,
    /// Stop after so many failures
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) most_failures: usize,
    /// Only one kind of edit
    #[arg(long, value_name = "KIND", value_parser = edit_kind)]
    pub(crate) only: Option<crate::verify::search::Kind>,
    /// The image; it is not built
    #[arg(long, value_name = "NAME:TAG", default_value = DEFAULT_TAG)]
    pub(crate) image: String,
    /// How many cases at once
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) jobs: usize,
    /// Print the report as one JSON object on the last line of stdout
    #[arg(long)]
    pub(crate) json: bool,
}

fn edit_kind(name: &str) -> Result<crate::verify::search::Kind, String> {
    let all = crate::verify::search::Kind::ALL;
    let names = || all.map(|kind| kind.name()).join(", ");
    all.into_iter().find(|kind| kind.name() == name).ok_or_else(|| format!("it is one of {}", names()))
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Only these parts
    #[arg(long, value_enum, value_name = "PART", value_delimiter = ',')]
    pub(crate) only: Vec<crate::bench::Part>,
    /// How often each is measured
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: u16,
    /// The image to measure
    #[arg(long, value_name = "NAME:TAG", default_value = DEFAULT_TAG)]
    pub(crate) image: String,
    /// With --only: take the other parts from a report of an earlier run, as --json prints it
    #[arg(long, value_name = "REPORT", requires = "only")]
    pub(crate) onto: Option<Utf8PathBuf>,
    /// Write docs/BENCHMARKS.md and its picture; with --only and without --onto they show no other parts
    #[arg(long)]
    pub(crate) write: bool,
    /// Print the figures as one JSON object on the last line of stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Ci {
    /// Run `setup --yes` first
    #[arg(long)]
    pub(crate) setup: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Snapshot {
    #[command(flatten)]
    pub(crate) project: Project,
}

#[derive(Debug, Args)]
pub(crate) struct Docs {
    /// Change nothing; exit with 1 if a table is not up to date
    #[arg(long)]
    pub(crate) check: bool,
}

/// Which compose project is meant.
#[derive(Debug, Args)]
pub(crate) struct Project {
    /// The compose project; another name is another stack, with containers and volumes of its own
    #[arg(long = "project", value_name = "NAME", default_value = crate::compose::DEFAULT_PROJECT)]
    pub(crate) name: String,
}

/// The name of the image that developers build.
pub(crate) const DEFAULT_TAG: &str = "trm-directus:dev";

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
