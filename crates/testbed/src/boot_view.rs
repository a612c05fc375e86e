//! Follows the log of a boot: its finished phases, its current phase, and its last lines.

use std::time::Duration;

use contract::{Event, ExitCode, Level, LogLine, Phase};

/// A phase that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DonePhase {
    /// The phase.
    pub phase: Phase,
    /// The phase's summary of its work.
    pub message: String,
    /// From the start of the phase to its result.
    pub took: Duration,
}

impl DonePhase {
    /// Formats the phase as in the log: `4/8 db-init: 3 applied, 0 skipped (41 ms)`.
    pub fn to_line(&self) -> String {
        let DonePhase { phase, message, took } = self;
        format!("{}/{} {phase}: {message} ({} ms)", phase.number(), Phase::ALL.len(), took.as_millis())
    }
}

/// The change of a boot's state by a line of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewChange {
    /// A phase succeeded.
    Done(DonePhase),
    /// Progress of the current phase.
    Note(String),
    /// A warning; the boot continues.
    Warning(String),
    /// The boot failed.
    Failed(String),
}

/// The state of a boot according to its log so far.
#[derive(Debug, Default)]
pub struct BootView {
    /// The finished phases, in order.
    pub done: Vec<DonePhase>,
    /// The last lines of all programs (the boot, Directus, pm2), to show if the boot fails.
    tail: std::collections::VecDeque<String>,
}

/// Number of last lines to keep.
const TAIL: usize = 30;

impl BootView {
    /// Parses the next line of the container's log; `None` for a line of another program.
    pub fn line(&mut self, line: &str) -> Option<ViewChange> {
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line.to_owned());
        let LogLine { level, phase, event, message } = LogLine::parse(line)?;
        Some(match event {
            Event::Done(took) => {
                let done = DonePhase { phase, message, took };
                self.done.push(done.clone());
                ViewChange::Done(done)
            }
            Event::Failed(_) => ViewChange::Failed(format!("{phase}: {message}")),
            Event::Note if level == Level::Info => ViewChange::Note(format!("{phase}: {message}")),
            Event::Note => ViewChange::Warning(format!("{phase}: {message}")),
        })
    }

    /// Describes the current activity: the phase after the last finished one, or the start of the server.
    pub fn current(&self) -> String {
        let number = self.done.last().map_or(1, |done| done.phase.number() + 1);
        match Phase::ALL.get(number - 1) {
            Some(phase) => format!("{number}/{} {phase}", Phase::ALL.len()),
            None => "waiting for the server".to_owned(),
        }
    }

    /// Returns the last lines of the log, indented.
    pub fn tail(&self) -> String {
        self.tail.iter().map(|line| format!("    {line}\n")).collect()
    }
}

/// Explains an exit code of the container, with a remedy.
pub fn explain_exit(code: i64) -> String {
    match ExitCode::from_code(code) {
        Some(exit) => format!("exit code {code}: {}\n  what to do: {}", exit.meaning(), exit.remedy()),
        None => format!("exit code {code}, which is not a code of the boot: see the lines above"),
    }
}

#[cfg(test)]
mod tests {
    use super::{BootView, ViewChange, explain_exit};

    #[test]
    fn the_current_phase_follows_the_last_finished_one() {
        let mut view = BootView::default();
        assert_eq!(view.current(), "1/8 config");
        view.line("[entrypoint] 1/8 config: PostgreSQL at db:5432 (1 ms)");
        assert_eq!(view.current(), "2/8 database");
        view.line("[entrypoint] 8/8 exec: pm2-runtime (0 ms)");
        assert_eq!(view.current(), "waiting for the server");
        assert_eq!(view.done[0].to_line(), "1/8 config: PostgreSQL at db:5432 (1 ms)");
    }

    #[test]
    fn notes_warnings_and_failures_are_recognized_and_other_lines_change_nothing() {
        let mut view = BootView::default();
        let note = view.line("[entrypoint] 2/8 database: waiting for db:5432");
        assert_eq!(note, Some(ViewChange::Note("database: waiting for db:5432".to_owned())));
        let warning = view.line("[entrypoint] 4/8 db-init: warning: the database has no extension postgis");
        assert_eq!(warning, Some(ViewChange::Warning("db-init: the database has no extension postgis".to_owned())));
        let failure = view.line("[entrypoint] 4/8 db-init failed: 001_x.sql:3:7: syntax error (exit 31)");
        assert_eq!(failure, Some(ViewChange::Failed("db-init: 001_x.sql:3:7: syntax error".to_owned())));
        assert_eq!(view.line("INFO: Server started"), None);
        assert!(view.tail().ends_with("    INFO: Server started\n"));
    }

    #[test]
    fn an_exit_code_is_explained_with_meaning_and_remedy() {
        assert!(explain_exit(10).starts_with("exit code 10: Variables are missing or wrong"));
        assert!(explain_exit(10).contains("what to do: Set the named variables."));
        assert!(explain_exit(139).contains("not a code of the boot"));
    }
}
