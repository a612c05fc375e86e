//! The boot's log: lines on standard output, in the form of [`contract::LogLine`].

use std::cell::Cell;
use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::metrics::Tally;
use crate::secret::Redactor;
use contract::{Event, Level, LogLine, LogOrigin, Phase};

/// The form of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogStyle {
    /// One readable line.
    #[default]
    Text,
    /// One JSON object per line, as written by Directus with `LOG_STYLE=raw`.
    Json,
}

impl LogStyle {
    /// The style for a value of Directus' variable `LOG_STYLE`.
    #[must_use]
    pub fn from_variable(value: Option<&str>) -> Self {
        if value == Some("raw") { LogStyle::Json } else { LogStyle::Text }
    }
}

/// Writes log lines, and records the current phase, which every line names.
#[derive(Debug)]
pub struct Log {
    style: LogStyle,
    to_stderr: bool,
    redactor: Redactor,
    origin: LogOrigin,
    phase: Cell<Phase>,
    began: Cell<Instant>,
    tally: Tally,
}

impl Log {
    /// Creates a log on standard output. Its first phase begins now.
    #[must_use]
    pub fn new(style: LogStyle) -> Self {
        Log::with_redactor(Redactor::default(), style)
    }

    /// Creates a log that redacts secrets in all lines.
    #[must_use]
    pub fn with_redactor(redactor: Redactor, style: LogStyle) -> Self {
        Log {
            style,
            to_stderr: false,
            redactor,
            origin: LogOrigin::default(),
            phase: Cell::new(Phase::Config),
            began: Cell::new(Instant::now()),
            tally: Tally::default(),
        }
    }

    /// Names the origin in JSON lines.
    #[must_use]
    pub fn with_origin(self, origin: LogOrigin) -> Self {
        Log { origin, ..self }
    }

    /// Redirects the log to standard error, because standard output is for a report.
    #[must_use]
    pub fn to_stderr(self) -> Self {
        Log { to_stderr: true, ..self }
    }

    /// The current phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// The time since the start of the current phase.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.get().elapsed()
    }

    /// The figures of the boot, for its metrics.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Begins a phase, which all following lines belong to.
    pub fn begin(&self, phase: Phase) {
        self.phase.set(phase);
        self.began.set(Instant::now());
    }

    /// Returns to a phase without resetting the clock, so that the phase in between counts as part of it.
    pub fn resume(&self, phase: Phase) {
        self.phase.set(phase);
    }

    /// Writes an informational line.
    pub fn note(&self, message: impl Into<String>) {
        self.write(Level::Info, Event::Note, message.into());
    }

    /// Writes a warning for the operator.
    pub fn warn(&self, message: impl Into<String>) {
        self.write(Level::Warn, Event::Note, message.into());
    }

    /// Ends the current phase successfully.
    pub fn done(&self, message: impl Into<String>) {
        let took = self.elapsed();
        self.tally.end_phase(self.phase(), took);
        self.write(Level::Info, Event::Done(took), message.into());
    }

    /// Ends the boot in the current phase, with the last line of a failed boot.
    pub fn failed(&self, code: u8, message: impl Into<String>) {
        self.write(Level::Error, Event::Failed(code), message.into());
    }

    fn write(&self, level: Level, event: Event, message: String) {
        let line = LogLine { level, phase: self.phase(), event, message: self.redactor.redact(message) };
        let text = match self.style {
            LogStyle::Text => line.to_text(),
            LogStyle::Json => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                line.to_json(since.as_millis(), &self.origin)
            }
        };
        // A closed pipe must not fail the boot.
        drop(if self.to_stderr {
            writeln!(std::io::stderr().lock(), "{text}")
        } else {
            writeln!(std::io::stdout().lock(), "{text}")
        });
    }
}
