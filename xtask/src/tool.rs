//! The programs for the commands that are too large for xtask itself.

use std::ffi::OsString;
use std::process::ExitCode;

/// A program of this workspace, named like its package. It parses the same command line as xtask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// Setup of the machine, the image, the development stack, tests.
    Devtools,
    /// Checks on real containers.
    Acceptance,
    /// SQL files: new ones, a list, the lint.
    Migration,
    /// Benchmarks.
    Bench,
    /// The page of the data model.
    SchemaDocs,
    /// Rehearsals of upgrades.
    Rehearse,
    /// Deployments on a swarm.
    Deploy,
}

impl Tool {
    fn package(self) -> &'static str {
        match self {
            Tool::Devtools => "devtools",
            Tool::Acceptance => "acceptance",
            Tool::Migration => "migration",
            Tool::Bench => "bench",
            Tool::SchemaDocs => "schema-docs",
            Tool::Rehearse => "rehearse",
            Tool::Deploy => "deploy",
        }
    }

    /// Returns the arguments for cargo to build and run it.
    pub(crate) fn cargo_arguments(self, arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
        let cargo = ["run", "--quiet", "--locked", "--package", self.package(), "--"].map(OsString::from);
        cargo.into_iter().chain(arguments).collect()
    }

    /// Builds it and replaces this process with it, so that it receives the signals. The command line stays the same.
    #[cfg(unix)]
    pub(crate) fn exec(self) -> anyhow::Result<ExitCode> {
        use std::os::unix::process::CommandExt as _;

        use anyhow::Context as _;

        let mut cargo = std::process::Command::new(child::cargo());
        for name in child::variables_of_our_package() {
            cargo.env_remove(name);
        }
        let error = cargo.args(self.cargo_arguments(std::env::args_os().skip(1))).exec();
        Err(error).context("failed to run cargo")
    }

    /// Builds and runs it with the same command line.
    #[cfg(not(unix))]
    pub(crate) fn exec(self) -> anyhow::Result<ExitCode> {
        let ok = crate::foreground::succeeds(child::cargo(), self.cargo_arguments(std::env::args_os().skip(1)))?;
        Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
