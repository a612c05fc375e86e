//! Judges how a boot ended: whether its exit code is true, and whether everything is there that has to be.

use anyhow::{Context as _, bail, ensure};
use contract::{Event, ExitCode, LogLine, Phase};
use serde_json::Value;

use super::case::{Case, File, Folder};
use super::described;
use super::oracle::{By, Lost, canonical, losses};
use super::permits::Permits;
use super::state::{Row, State};
use crate::container::Ended;

/// What a case is compared with.
pub(super) struct Judge<'a> {
    pub(super) case: &'a Case,
    pub(super) snapshot: &'a Value,
    pub(super) files: &'a [File],
    /// The state right before the boot.
    pub(super) before: &'a State,
    /// The state after each SQL file, run by PostgreSQL alone, or its error; nothing after an error.
    pub(super) steps: &'a [Result<State, String>],
}

/// How a boot ended.
pub(super) struct Verdict {
    pub(super) exit: ExitCode,
    pub(super) phase: Phase,
    pub(super) message: String,
}

/// Reads the end of a boot; its last line has to agree with its exit code.
pub(super) fn verdict(ended: &Ended) -> anyhow::Result<Verdict> {
    let exit = ExitCode::from_code(ended.code)
        .with_context(|| format!("{} is no exit code: {}", ended.code, ended.last_line()))?;
    let lines = || ended.lines.iter().filter_map(|line| LogLine::parse(line));
    if exit == ExitCode::Ok {
        ensure!(!lines().any(|line| matches!(line.event, Event::Failed(_))), "exit code 0, and a phase failed");
        return Ok(Verdict { exit, phase: Phase::PostSchema, message: String::new() });
    }
    let line = lines().next_back().context("it wrote no line")?;
    ensure!(
        line.event == Event::Failed(exit.code()),
        "the last line is not about exit code {}: {}",
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
    Ok(Verdict { exit, phase: line.phase, message: line.message })
}

impl Judge<'_> {
    /// How many of the case's files the ledger has now. They are the first ones.
    pub(super) fn applied(&self, after: &State) -> anyhow::Result<usize> {
        let has = |file: &File| {
            let phase = if file.folder == Folder::DbInit { Phase::DbInit } else { Phase::PostSchema };
            after.ledger.contains(&format!("{}/{}", phase.name(), file.filename()))
        };
        let count = self.files.iter().take_while(|file| has(file)).count();
        ensure!(self.files[count..].iter().all(|file| !has(file)), "the ledger skips a file");
        Ok(count)
    }

    /// The state after so many files, if PostgreSQL alone gets there.
    fn plain(&self, files: usize) -> anyhow::Result<&State> {
        let Some(last) = files.checked_sub(1) else { return Ok(self.before) };
        match self.steps.get(last) {
            Some(Ok(state)) => Ok(state),
            Some(Err(error)) => bail!("the boot applied file {files}, which PostgreSQL refuses: {error}"),
            None => bail!("the boot applied file {files}, and an earlier one fails"),
        }
    }

    /// Data that a file destroys without saying so: by PostgreSQL's numbers, and by names.
    fn undeclared(&self, index: usize) -> anyhow::Result<[Vec<Lost>; 2]> {
        let (from, to, file) = (self.plain(index)?, self.plain(index + 1)?, &self.files[index]);
        let directives = directives(&file.text);
        let is_undeclared =
            |lost: &Lost| lost.is_data() && !lost.is_change(&file.changes) && !lost.is_announced(&directives);
        Ok([By::Number, By::Name].map(|by| losses(from, to, by).into_iter().filter(is_undeclared).collect()))
    }

    /// Returns true if a file changes values by a cast that ends with the same type. The boot asks for the directive `rows of` then,
    /// because it does not know the column.
    fn casts_back(&self, index: usize) -> anyhow::Result<bool> {
        let lost = losses(self.plain(index)?, self.plain(index + 1)?, By::Number);
        let changes = &self.files[index].changes;
        Ok(lost.iter().any(|lost| matches!(lost, Lost::Values { retyped: false, .. }) && !lost.is_change(changes)))
    }

    /// A boot that ended with an error: the database is as after the files that the ledger has.
    pub(super) fn unchanged(&self, verdict: &Verdict, after: &State, permits: &Permits) -> anyhow::Result<()> {
        let applied = self.applied(after)?;
        let expected = self.plain(applied)?;
        if matches!(verdict.exit, ExitCode::SnapshotInvalid | ExitCode::MigrationsInvalid) {
            ensure!(applied == 0, "{:?}, and {applied} files were applied", verdict.exit);
        }
        if verdict.phase == Phase::PostSchema && !self.case.is_sql_only() {
            return self.kept(expected, after, permits);
        }
        let differences = expected.differences(after);
        ensure!(
            differences.is_empty(),
            "exit code {}, and the database has changed: {}",
            verdict.exit.code(),
            differences.join("; ")
        );
        Ok(())
    }

    /// A SQL file that was refused or failed: PostgreSQL alone gives the same reason.
    pub(super) fn file_failed(&self, verdict: &Verdict, after: &State) -> anyhow::Result<()> {
        let index = self.applied(after)?;
        let is_pure = self.case.is_sql_only() || verdict.phase == Phase::DbInit;
        match (verdict.exit, self.steps.get(index)) {
            (_, None) => bail!("a file failed, and there is none left"),
            (ExitCode::MigrationFailed, Some(Ok(_))) if is_pure => {
                bail!("PostgreSQL runs the file, and the boot does not: {}", verdict.message)
            }
            (ExitCode::SchemaRefused, Some(Err(error))) if is_pure => {
                bail!("the boot refuses the file as destructive, and it fails: {error}")
            }
            (ExitCode::SchemaRefused, Some(Ok(_))) => {
                let is_true = self.undeclared(index)?.iter().any(|lost| !lost.is_empty()) || self.casts_back(index)?;
                ensure!(is_true, "a false alarm, nothing is lost: {}", verdict.message);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A boot that ended with 0.
    pub(super) fn succeeded(&self, ended: &Ended, after: &State, permits: &Permits) -> anyhow::Result<()> {
        let applied = self.applied(after)?;
        ensure!(
            applied == self.files.len(),
            "exit code 0, and only {applied} of {} files are in the ledger",
            self.files.len()
        );
        for index in 0..applied {
            let [by_number, by_name] = self.undeclared(index)?;
            // A table that is replaced by one of the same name and content is lost in one way alone.
            let is_lost = !by_number.is_empty() && !by_name.is_empty();
            ensure!(
                !is_lost,
                "{} destroyed what it does not declare: {}",
                self.files[index].filename(),
                words(&by_number)
            );
            self.is_kept_in_attic(index, after)?;
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
        let contradictions = |state: &State| described::contradictions(self.snapshot, expected, state, &ended.lines);
        // The files after the schema may add to it.
        let mut of_files = Vec::new();
        if self.files.iter().any(|file| file.folder == Folder::PostSchema) {
            let before = contradictions(self.before);
            of_files.extend(contradictions(expected).into_iter().filter(|one| !before.contains(one)));
        }
        let contradictions: Vec<String> =
            contradictions(after).into_iter().filter(|one| !of_files.contains(one)).collect();
        ensure!(
            contradictions.is_empty(),
            "exit code 0, and the database is not what the snapshot says: {}",
            contradictions.join("; ")
        );
        Ok(())
    }

    /// Everything is still there but what may go.
    fn kept(&self, expected: &State, after: &State, permits: &Permits) -> anyhow::Result<()> {
        let all = losses(expected, after, By::Name);
        let since_before = losses(self.before, after, By::Name);
        // A file changed what the snapshot describes, and the boot set it back to what it was.
        let is_set_back = |lost: &Lost| {
            let is_described = matches!(lost, Lost::Default { .. } | Lost::NotNull { .. } | Lost::Type { .. });
            is_described && !since_before.contains(lost)
        };
        let lost: Vec<Lost> = all.into_iter().filter(|lost| !permits.allow(lost) && !is_set_back(lost)).collect();
        ensure!(lost.is_empty(), "lost: {}", words(&lost));
        Ok(())
    }

    /// What a file destroyed as declared can be restored.
    fn is_kept_in_attic(&self, index: usize, after: &State) -> anyhow::Result<()> {
        let file = &self.files[index];
        let directives = directives(&file.text);
        for loss in losses(self.plain(index)?, self.plain(index + 1)?, By::Number) {
            if loss.is_data() && !loss.is_change(&file.changes) && loss.is_announced(&directives) {
                in_attic(&loss, after, file.changes.is_empty())?;
            }
        }
        Ok(())
    }
}

fn words(lost: &[Lost]) -> String {
    lost.iter().map(Lost::to_string).collect::<Vec<_>>().join("; ")
}

/// The items of `-- destroys:`.
pub(super) fn directives(text: &str) -> Vec<String> {
    let items = text.lines().filter_map(|line| line.strip_prefix("-- destroys:"));
    items.flat_map(|list| list.split(',')).map(|item| item.trim().replace("public.", "")).collect()
}

/// An error unless the attic has it; `whole`: with every value.
fn in_attic(lost: &Lost, after: &State, whole: bool) -> anyhow::Result<()> {
    let of_table = || after.attic.iter().filter(|kept| kept.table == lost.table());
    let is_kept = match lost {
        Lost::Table { rows, .. } | Lost::Rows { rows, .. } => {
            let kept: Vec<&Row> = of_table().filter(|kept| kept.column.is_none()).flat_map(|kept| &kept.rows).collect();
            if whole { rows.iter().all(|row| kept.iter().any(|other| holds(other, row))) } else { !kept.is_empty() }
        }
        Lost::Column { column, values, .. } | Lost::Values { column, number: values, .. } => {
            of_table().any(|kept| kept.column.as_ref().is_none_or(|name| name == column) && kept.rows.len() >= *values)
        }
        _ => true,
    };
    ensure!(is_kept, "the attic does not have {lost}");
    Ok(())
}

/// Returns true if a row of the attic has every value of the lost one.
fn holds(kept: &Row, lost: &Row) -> bool {
    lost.iter().all(|(name, value)| canonical(kept.get(name)) == canonical(Some(value)))
}
