//! Judges the result of a boot: the exit code must be correct, and no data may be missing without permission.

use anyhow::{Context as _, bail, ensure};
use contract::{Event, ExitCode, LogLine, Phase};
use serde_json::Value;

use super::case::{File, SearchCase, SqlFolder};
use super::described;
use super::oracle::{By, StateLoss, canonical, losses};
use super::permits::Permits;
use super::state::{DatabaseState, Row};
use crate::container::EndedContainer;

/// The case, and the states that a boot's result is compared with.
pub(super) struct Judge<'a> {
    pub(super) case: &'a SearchCase,
    pub(super) snapshot: &'a Value,
    pub(super) files: &'a [File],
    /// State immediately before the boot.
    pub(super) before: &'a DatabaseState,
    /// State after each SQL file when PostgreSQL alone runs it, or its error. The list ends with the first error.
    pub(super) steps: &'a [Result<DatabaseState, String>],
}

/// The end of a boot.
pub(super) struct BootVerdict {
    pub(super) exit: ExitCode,
    pub(super) phase: Phase,
    pub(super) message: String,
    /// The notes of the last phase: a refusal with many losses has a line for each.
    pub(super) notes: Vec<String>,
}

/// Reads the end of a boot.
///
/// # Errors
/// If the last line does not agree with the exit code, or no case may end with this code.
pub(super) fn verdict(ended: &EndedContainer) -> anyhow::Result<BootVerdict> {
    let exit = ExitCode::from_code(ended.code)
        .with_context(|| format!("unknown exit code {}: {}", ended.code, ended.last_line()))?;
    let mut lines = ended.lines.iter().filter_map(|line| LogLine::parse(line));
    if exit == ExitCode::Ok {
        ensure!(!lines.any(|line| matches!(line.event, Event::Failed(_))), "exit code 0, but a phase failed");
        return Ok(BootVerdict { exit, phase: Phase::PostSchema, message: String::new(), notes: Vec::new() });
    }
    let line = lines.next_back().context("the boot logged no line")?;
    ensure!(
        line.event == Event::Failed(exit.code()),
        "the last line does not report exit code {}: {}",
        ended.code,
        ended.last_line()
    );
    let is_known = matches!(
        exit,
        ExitCode::MigrationsInvalid
            | ExitCode::MigrationFailed
            | ExitCode::SnapshotInvalid
            | ExitCode::SchemaFailed
            | ExitCode::SchemaRefused
            | ExitCode::SchemaDiverged
    );
    ensure!(is_known, "{exit:?} ({}): {}", ended.code, line.message);
    let notes = lines.filter(|note| note.phase == line.phase && note.event == Event::Note).map(|note| note.message);
    Ok(BootVerdict { exit, phase: line.phase, notes: notes.collect(), message: line.message })
}

impl Judge<'_> {
    /// Returns the number of the case's files in the ledger.
    ///
    /// # Errors
    /// If the ledger contains a file but not the one before it.
    pub(super) fn applied(&self, after: &DatabaseState) -> anyhow::Result<usize> {
        let count = self.files.iter().take_while(|file| is_in_ledger(file, after)).count();
        ensure!(!self.files[count..].iter().any(|file| is_in_ledger(file, after)), "the ledger skips a file");
        Ok(count)
    }

    /// Returns the state after a number of files when PostgreSQL alone runs them.
    fn plain(&self, files: usize) -> anyhow::Result<&DatabaseState> {
        let Some(last) = files.checked_sub(1) else { return Ok(self.before) };
        match self.steps.get(last) {
            Some(Ok(state)) => Ok(state),
            Some(Err(error)) => bail!("the boot applied file {files}, but PostgreSQL rejects it: {error}"),
            None => bail!("the boot applied file {files}, but PostgreSQL rejects an earlier file"),
        }
    }

    /// Returns the data that a file destroys without declaring it, by PostgreSQL's numbers and by names.
    fn undeclared(&self, index: usize) -> anyhow::Result<[Vec<StateLoss>; 2]> {
        let (from, to, file) = (self.plain(index)?, self.plain(index + 1)?, &self.files[index]);
        let directives = directives(&file.text);
        Ok([By::Number, By::Name].map(|by| {
            let mut lost = losses(from, to, by);
            lost.retain(|lost| is_destroyed(lost, file) && !lost.is_announced(&directives));
            lost
        }))
    }

    /// Returns true if a file changes values by casts that end with the original type. The boot then requires the
    /// directive `rows of`, because it cannot determine the column.
    fn casts_back(&self, index: usize) -> anyhow::Result<bool> {
        let lost = losses(self.plain(index)?, self.plain(index + 1)?, By::Number);
        let changes = &self.files[index].changes;
        Ok(lost.iter().any(|lost| matches!(lost, StateLoss::Values { retyped: false, .. }) && !lost.is_change(changes)))
    }

    /// Checks the database after a failed boot: it must be in the state after the files in the ledger.
    pub(super) fn unchanged(
        &self,
        verdict: &BootVerdict,
        after: &DatabaseState,
        permits: &Permits,
    ) -> anyhow::Result<()> {
        let applied = self.applied(after)?;
        let expected = self.plain(applied)?;
        if matches!(verdict.exit, ExitCode::SnapshotInvalid | ExitCode::MigrationsInvalid) {
            ensure!(applied == 0, "{:?}, but {applied} files were applied", verdict.exit);
        }
        if verdict.phase == Phase::PostSchema && !self.case.is_sql_only() {
            return self.kept(expected, after, permits);
        }
        let differences = expected.differences(after);
        ensure!(
            differences.is_empty(),
            "exit code {}, but the database has changed: {}",
            verdict.exit.code(),
            differences.join("; ")
        );
        Ok(())
    }

    /// Checks the reason for which a SQL file failed or was refused: it must also hold when PostgreSQL alone runs the
    /// file.
    pub(super) fn file_failed(&self, verdict: &BootVerdict, after: &DatabaseState) -> anyhow::Result<()> {
        let index = self.applied(after)?;
        let is_pure = self.case.is_sql_only() || verdict.phase == Phase::DbInit;
        match (verdict.exit, self.steps.get(index)) {
            (_, None) => bail!("the boot reports a failed file, but all files were applied"),
            (ExitCode::MigrationFailed, Some(Ok(_))) if is_pure => {
                bail!("PostgreSQL runs the file, but the boot does not: {}", verdict.message)
            }
            (ExitCode::SchemaRefused, Some(Err(error))) if is_pure => {
                bail!("the boot refuses the file as destructive, but PostgreSQL rejects it: {error}")
            }
            (ExitCode::SchemaRefused, Some(Ok(_))) => {
                let is_true = self.undeclared(index)?.iter().any(|lost| !lost.is_empty()) || self.casts_back(index)?;
                ensure!(is_true, "false alarm, nothing is lost: {}", verdict.message);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Checks the database after a boot with exit code 0.
    pub(super) fn succeeded(
        &self,
        ended: &EndedContainer,
        after: &DatabaseState,
        permits: &Permits,
    ) -> anyhow::Result<()> {
        let applied = self.applied(after)?;
        ensure!(
            applied == self.files.len(),
            "exit code 0, but only {applied} of {} files are in the ledger",
            self.files.len()
        );
        for index in 0..applied {
            let [by_number, by_name] = self.undeclared(index)?;
            // A table that is replaced by one of the same name and content is lost by number, but not by name.
            let is_lost = !by_number.is_empty() && !by_name.is_empty();
            ensure!(
                !is_lost,
                "{} destroyed data without a directive: {}",
                self.files[index].filename(),
                words(&by_number)
            );
            self.ensure_kept_in_attic(index, after)?;
        }
        let expected = self.plain(applied)?;
        self.kept(expected, after, permits)?;
        let lost = losses(expected, after, By::Name);
        for loss in lost.iter().filter(|loss| {
            loss.is_data()
                && !super::permits::METADATA.contains(&loss.table())
                && !loss.table().starts_with("directus_")
        }) {
            in_attic(loss, after, true)?;
        }
        let mut found = described::contradictions(self.snapshot, expected, after, &ended.lines);
        // Post-schema files run after the schema phase and may contradict the snapshot.
        if self.files.iter().any(|file| file.folder == SqlFolder::PostSchema) {
            let before = described::contradictions(self.snapshot, expected, self.before, &ended.lines);
            let by_files = described::contradictions(self.snapshot, expected, expected, &ended.lines);
            found.retain(|one| before.contains(one) || !by_files.contains(one));
        }
        ensure!(found.is_empty(), "exit code 0, but the database contradicts the snapshot: {}", found.join("; "));
        Ok(())
    }

    /// Checks that everything in `expected` still exists, except for permitted losses.
    fn kept(&self, expected: &DatabaseState, after: &DatabaseState, permits: &Permits) -> anyhow::Result<()> {
        let mut lost = losses(expected, after, By::Name);
        let since_before = losses(self.before, after, By::Name);
        lost.retain(|lost| {
            // A file changed a property that the snapshot describes, and the boot reset it.
            let is_described =
                matches!(lost, StateLoss::Default { .. } | StateLoss::NotNull { .. } | StateLoss::Type { .. });
            let is_reset = is_described && !since_before.contains(lost);
            !permits.allow(lost) && !is_reset
        });
        ensure!(lost.is_empty(), "lost: {}", words(&lost));
        Ok(())
    }

    /// Checks that the attic contains the data that a file declared and destroyed.
    fn ensure_kept_in_attic(&self, index: usize, after: &DatabaseState) -> anyhow::Result<()> {
        let file = &self.files[index];
        let directives = directives(&file.text);
        for loss in losses(self.plain(index)?, self.plain(index + 1)?, By::Number) {
            if is_destroyed(&loss, file) && loss.is_announced(&directives) {
                in_attic(&loss, after, file.changes.is_empty())?;
            }
        }
        Ok(())
    }
}

/// Returns true if a loss is data, and the file does not change it on purpose.
fn is_destroyed(lost: &StateLoss, file: &File) -> bool {
    lost.is_data() && !lost.is_change(&file.changes)
}

fn is_in_ledger(file: &File, after: &DatabaseState) -> bool {
    let phase = if file.folder == SqlFolder::DbInit { Phase::DbInit } else { Phase::PostSchema };
    after.ledger.contains(&format!("{}/{}", phase.name(), file.filename()))
}

fn words(lost: &[StateLoss]) -> String {
    lost.iter().map(StateLoss::to_string).collect::<Vec<_>>().join("; ")
}

/// Returns the items of all `-- destroys:` lines.
pub(super) fn directives(text: &str) -> Vec<String> {
    let items = text.lines().filter_map(|line| line.strip_prefix("-- destroys:"));
    items.flat_map(|list| list.split(',')).map(|item| item.trim().replace("public.", "")).collect()
}

/// Checks that the attic contains lost data; if `whole`, with every value.
fn in_attic(lost: &StateLoss, after: &DatabaseState, whole: bool) -> anyhow::Result<()> {
    let mut of_table = after.attic.iter().filter(|kept| kept.table == lost.table());
    let is_kept = match lost {
        StateLoss::Table { rows, .. } | StateLoss::Rows { rows, .. } => {
            let kept: Vec<&Row> = of_table.filter(|kept| kept.column.is_none()).flat_map(|kept| &kept.rows).collect();
            if whole { rows.iter().all(|row| kept.iter().any(|other| holds(other, row))) } else { !kept.is_empty() }
        }
        StateLoss::Column { column, values, .. } | StateLoss::Values { column, number: values, .. } => {
            of_table.any(|kept| kept.column.as_ref().is_none_or(|name| name == column) && kept.rows.len() >= *values)
        }
        _ => true,
    };
    ensure!(is_kept, "the attic does not contain {lost}");
    Ok(())
}

/// Returns true if a row of the attic has every value of the lost row.
fn holds(kept: &Row, lost: &Row) -> bool {
    lost.iter().all(|(name, value)| canonical(kept.get(name)) == canonical(Some(value)))
}
