//! Corrects findings about the text of a file by what the file did to a database.

use std::time::Duration;

use entrypoint::migrations::MigrationFile;
use entrypoint::witness::TableName;
use entrypoint::witness::loss::count;
use grammar::{LintRule, LintRuleKind, LintScope};

use super::catalog::MOST_ROWS;
use super::finding::Found;
use super::losses;
use super::measure::{FileEffects, FileRun, Measured, MeasuredLock};

/// A lock that squawk does not report is a finding if the file holds it for longer than this.
const SLOW: Duration = Duration::from_millis(200);

/// Replaces what the text of a file suggests by what the file did: locks of tables without rows are no finding, those of
/// others have their measurements, and losses that happened are added.
pub(super) fn correct(file: &MigrationFile, run: &FileRun, mut found: Vec<Found>) -> Vec<Found> {
    if let FileRun::Ran(effects) = run {
        locks(file, effects, &mut found);
        undeclared_losses(file, effects, &mut found);
        announcements(file, effects, &mut found);
    }
    found
}

fn locks(file: &MigrationFile, effects: &FileEffects, found: &mut Vec<Found>) {
    let mut unreported: Vec<&MeasuredLock> = effects.locks.iter().filter(|lock| lock.rows > 0).collect();
    for finding in found.iter_mut() {
        let kind = LintRule::of(finding.rule).map(|rule| rule.kind);
        if !matches!(kind, Some(LintRuleKind::Squawk { scope: LintScope::Locks, .. })) {
            continue;
        }
        let is_here = |lock: &&MeasuredLock| file.statements[lock.statement].contains(&finding.at);
        let taken: Vec<String> =
            effects.locks.iter().filter(|lock| lock.rows > 0 && is_here(lock)).map(MeasuredLock::words).collect();
        if taken.is_empty() {
            finding.is_exempt = true;
        } else {
            finding.reason = format!("{} (measured: {})", finding.reason, taken.join("; "));
            unreported.retain(|lock| !is_here(lock));
        }
    }
    found.extend(unreported.into_iter().filter(|lock| lock.held > SLOW).map(|lock| {
        let remedy = "split the file so that the slow part runs without the lock, or in batches in a file with `-- no-transaction`";
        Found::new(file.statements[lock.statement].start, "lock-on-rows", format!("it takes {}", lock.words()), remedy)
    }));
}

fn undeclared_losses(file: &MigrationFile, effects: &FileEffects, found: &mut Vec<Found>) {
    let is_announced = |loss| file.directives.destroys.iter().any(|announcement| announcement.covers(loss));
    for lost in effects.losses.iter().filter(|lost| !is_announced(&lost.loss)) {
        let mut finding = losses::undeclared(file.statements[lost.statement].start, &lost.loss);
        // The text shows it already.
        if found.iter().any(|other| other.rule == finding.rule && other.remedy == finding.remedy) {
            continue;
        }
        let amount = count(lost.amount, "row");
        finding.reason =
            format!("in the database it destroys {} ({amount}): the boot would roll it back (exit code 43)", lost.loss);
        found.push(finding);
    }
}

fn announcements(file: &MigrationFile, effects: &FileEffects, found: &mut Vec<Found>) {
    for announcement in &file.directives.destroys {
        let (schema, name) = announcement.table();
        let is_its_table =
            |table: &&TableName| table.name == name && schema.is_none_or(|schema| schema == table.schema);
        let finding = losses::vain_announcement(file, announcement, "the file left this data alone in the database");
        let is_same = |other: &Found| other.rule == finding.rule && other.at == finding.at;
        if effects.losses.iter().any(|lost| announcement.covers(&lost.loss)) {
            found.retain(|other| !is_same(other));
        } else if effects.filled.iter().any(|table| is_its_table(&table)) && !found.iter().any(is_same) {
            found.push(finding);
        }
    }
}

impl MeasuredLock {
    /// `ShareLock on laps (3 rows) for 0.2 s, which blocks writes`.
    fn words(&self) -> String {
        let Self { table, mode, rows, held, .. } = self;
        let rows =
            if *rows >= MOST_ROWS { format!("at least {MOST_ROWS} rows") } else { count(rows.unsigned_abs(), "row") };
        let blocked = if mode == "AccessExclusiveLock" { "reads and writes" } else { "writes" };
        format!("{mode} on {table} ({rows}) for {:.3} s, which blocks {blocked}", held.as_secs_f64())
    }
}

impl Measured {
    /// Returns a line for each file, for the report.
    pub(super) fn notes(&self) -> Vec<String> {
        let note = |(path, run): (&String, &FileRun)| match run {
            FileRun::Skipped(reason) => format!("{path} was not run: {reason}; it was checked by its text alone"),
            FileRun::Ran(effects) => {
                let locks: Vec<String> = effects.locks.iter().map(MeasuredLock::words).collect();
                let locks = if locks.is_empty() { "no lock that blocks others".to_owned() } else { locks.join("; ") };
                format!("{path} ran in {:.3} s and was rolled back: {locks}", effects.took.as_secs_f64())
            }
        };
        self.files.iter().map(note).collect()
    }
}
