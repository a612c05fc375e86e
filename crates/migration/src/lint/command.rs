//! The command `migration lint`.

use std::process::ExitCode;

use anyhow::Context as _;
use contract::SNAPSHOT_FILE;
use entrypoint::migrations::{InvalidMigrations, MigrationSet};
use testbed::{ui, workflow, workspace};

use super::collections::Collections;
use super::findings::{LintInput, check};
use super::lint_file::LintFile;
use super::measure;
use super::refused::refused;
use super::report::LintReport;
use super::shipped::{Shipped, is_new};
use crate::{checkout, database};

/// The exit code of a lint with findings.
const FINDINGS: u8 = 2;

/// Runs `migration lint`.
///
/// # Errors
/// Fails if files, git or the database cannot be read.
pub async fn run(flags: &grammar::LintFlags) -> anyhow::Result<ExitCode> {
    let report = lint(flags).await?;
    if workflow::is_ci_server() {
        // Runners read both streams; standard output is for results only.
        eprint!("{}", report.annotations());
    }
    if flags.json {
        ui::json_result(&report)?;
    } else {
        ui::result(&report.text());
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) })
}

async fn lint(flags: &grammar::LintFlags) -> anyhow::Result<LintReport> {
    let shipped = Shipped::read(workspace::root(), flags.shipped.as_deref()).await?;
    let shipped_by = shipped.as_ref().map(|shipped| shipped.revisions.clone()).unwrap_or_default();
    let files = match MigrationSet::read(checkout::root().as_std_path()) {
        Ok(files) => LintFile::of(&files),
        // No boot would run any of the files.
        Err(InvalidMigrations(problems)) => {
            let notes = vec!["no other rule was checked, because the boot would refuse the files".to_owned()];
            let findings = refused(&problems);
            return Ok(LintReport { ok: false, findings, new_files: 0, shipped_files: 0, shipped_by, notes });
        }
    };
    let path = workspace::path(contract::in_tree(SNAPSHOT_FILE));
    let snapshot = std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    let collections = Collections::parse(&snapshot).with_context(|| format!("failed to read {path}"))?;
    let mut input = LintInput { files, shipped, collections, measured: None };
    let new = |input: &LintInput| -> Vec<LintFile> {
        input.files.iter().filter(|file| is_new(&file.path, input.shipped.as_ref())).cloned().collect()
    };
    let new_files = new(&input);
    let mut notes = Vec::new();
    if let Some(url) = &flags.database {
        let mut client = database::connect(url).await?;
        let measured = measure::run(&mut client, &new_files).await?;
        notes.extend(measured.notes());
        input.measured = Some(measured);
    }
    let findings = check(&input);
    let shipped_files = input.files.len() - new_files.len();
    Ok(LintReport { ok: findings.is_empty(), findings, new_files: new_files.len(), shipped_files, shipped_by, notes })
}
