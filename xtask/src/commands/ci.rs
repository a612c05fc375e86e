//! `ci`: everything that CI runs, so that the workflows contain no other steps.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;

use super::{docs, language};
use crate::tool::Tool;
use crate::{foreground, workspace};

/// Builds the documentation; a warning, such as a broken link, is an error.
const RUSTDOC: [&str; 8] = [
    "doc",
    "--workspace",
    "--no-deps",
    "--document-private-items",
    "--locked",
    "--quiet",
    "--config",
    "build.rustdocflags=['-D', 'warnings']",
];

/// Rehearses the upgrade of the image that the gate built to itself, and to a mutant.
const REHEARSE: [&str; 8] = ["test", "--locked", "--package", "rehearse", "--test", "itself", "--", "--ignored"];

/// Reads the files in deploy/ with the programs that they are for, among them a helm that it fetches.
const DEPLOYMENT: [&str; 9] =
    ["test", "--locked", "--package", "devtools", "--test", "deployment", "--", "--include-ignored", "--show-output"];

/// The steps in their order, the fast ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CiStep {
    Setup,
    Format,
    Lint,
    Rustdoc,
    Docs,
    Language,
    Migrations,
    Scripts,
    Deployment,
    Test,
    Verify,
    Rehearse,
}

impl CiStep {
    fn name(self) -> &'static str {
        match self {
            CiStep::Setup => "setup",
            CiStep::Format => "fmt",
            CiStep::Lint => "clippy",
            CiStep::Rustdoc => "rustdoc",
            CiStep::Docs => "docs",
            CiStep::Language => "language",
            CiStep::Migrations => "sql-lint",
            CiStep::Scripts => "scripts",
            CiStep::Deployment => "deploy",
            CiStep::Test => "test",
            CiStep::Verify => "verify",
            CiStep::Rehearse => "rehearse",
        }
    }

    /// Runs the step and returns true if it succeeds. With `strict`, a check that cannot run here is a failure.
    fn run(self, strict: bool) -> anyhow::Result<bool> {
        match self {
            CiStep::Setup => tool(Tool::Devtools, &["setup", "--yes", "--browser"]),
            CiStep::Format => cargo(&["fmt", "--all", "--check"]),
            CiStep::Lint => cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]),
            CiStep::Rustdoc => cargo(&RUSTDOC),
            CiStep::Docs => docs::check(),
            CiStep::Language => language::check(),
            CiStep::Migrations => tool(Tool::Migration, &["migration", "lint"]),
            CiStep::Scripts => test_scripts(),
            CiStep::Deployment => cargo(&DEPLOYMENT),
            CiStep::Test => tool(Tool::Devtools, &["test", "--no-fail-fast"]),
            CiStep::Verify => tool(Tool::Acceptance, if strict { &["verify", "--strict"] } else { &["verify"] }),
            CiStep::Rehearse => cargo(&REHEARSE),
        }
    }
}

/// Runs the tests of the image's scripts with Node's own test runner. They need no packages.
fn test_scripts() -> anyhow::Result<bool> {
    let folder = workspace::path("scripts/test");
    let mut files = vec!["--test".to_owned()];
    for entry in folder.read_dir_utf8().with_context(|| format!("failed to read {folder}"))? {
        files.push(entry.with_context(|| format!("failed to read {folder}"))?.into_path().into_string());
    }
    files[1..].sort();
    foreground::succeeds("node", files)
}

fn cargo(arguments: &[&str]) -> anyhow::Result<bool> {
    foreground::succeeds(child::cargo(), arguments)
}

fn tool(tool: Tool, arguments: &[&str]) -> anyhow::Result<bool> {
    foreground::succeeds(child::cargo(), tool.cargo_arguments(arguments.iter().map(Into::into)))
}

/// Runs `ci`.
pub(crate) fn run(flags: &grammar::CiFlags) -> anyhow::Result<ExitCode> {
    foreground::end_child_on_signal()?;
    let steps = [
        CiStep::Format,
        CiStep::Lint,
        CiStep::Rustdoc,
        CiStep::Docs,
        CiStep::Language,
        CiStep::Migrations,
        CiStep::Scripts,
        CiStep::Deployment,
        CiStep::Test,
        CiStep::Verify,
        CiStep::Rehearse,
    ];
    let mut rows = Vec::new();
    let mut failed = false;
    for step in flags.setup.then_some(CiStep::Setup).into_iter().chain(steps) {
        let began = Instant::now();
        // The run continues after a failed step, to report all failures at once; but no step works without the setup.
        let ok = step.run(flags.setup).unwrap_or_else(|error| {
            eprintln!("error: {}: {error:#}", step.name());
            false
        });
        failed |= !ok;
        let word = if ok { "ok" } else { "FAILED" };
        rows.push(format!("  {:<10}{word:<8}{:.1} s", step.name(), began.elapsed().as_secs_f64()));
        if step == CiStep::Setup && !ok {
            break;
        }
    }
    println!("{}", rows.join("\n"));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
