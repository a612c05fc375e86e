//! The boot's log: lines on standard output, in the form of [`contract::LogLine`].

use std::cell::Cell;
use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::secret::Redactor;
use contract::{Event, Level, LogLine, Phase};

/// The form of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogStyle {
    /// One readable line.
    #[default]
    Text,
    /// One JSON object a line, as Directus writes with `LOG_STYLE=raw`.
    Json,
}

impl LogStyle {
    /// The style that Directus' own `LOG_STYLE` asks for.
    #[must_use]
    pub fn from_variable(value: Option<&str>) -> Self {
        if value == Some("raw") { LogStyle::Json } else { LogStyle::Text }
    }
}

/// Writes lines and knows which phase the boot is in, so that whatever ends it can say where.
#[derive(Debug)]
pub struct Log {
    style: LogStyle,
    to_stderr: bool,
    redactor: Redactor,
    phase: Cell<Phase>,
    began: Cell<Instant>,
}

impl Log {
    /// A log whose first phase begins now.
    #[must_use]
    pub fn new(style: LogStyle) -> Self {
        Log::without(Redactor::default(), style)
    }

    /// The same, out of whose lines these secrets are taken, whoever wrote them there.
    #[must_use]
    pub fn without(redactor: Redactor, style: LogStyle) -> Self {
        Log { style, to_stderr: false, redactor, phase: Cell::new(Phase::Config), began: Cell::new(Instant::now()) }
    }

    /// The same on standard error, where standard output belongs to a report.
    #[must_use]
    pub fn beside_a_report(self) -> Self {
        Log { to_stderr: true, ..self }
    }

    /// The phase that the boot is in.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// How long the present phase has taken so far.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.get().elapsed()
    }

    /// Begins a phase; lines from now on belong to it.
    pub fn begin(&self, phase: Phase) {
        self.phase.set(phase);
        self.began.set(Instant::now());
    }

    /// Goes back to a phase whose clock is to go on: what came between was a part of it.
    pub fn resume(&self, phase: Phase) {
        self.phase.set(phase);
    }

    /// Says something on the way.
    pub fn note(&self, message: impl Into<String>) {
        self.write(Level::Info, Event::Note, message.into());
    }

    /// Says something that somebody should look at.
    pub fn warn(&self, message: impl Into<String>) {
        self.write(Level::Warn, Event::Note, message.into());
    }

    /// Ends the present phase well.
    pub fn done(&self, message: impl Into<String>) {
        self.write(Level::Info, Event::Done(self.elapsed()), message.into());
    }

    /// Ends the boot in the present phase; the last line of a failed boot.
    pub fn failed(&self, code: u8, message: impl Into<String>) {
        self.write(Level::Error, Event::Failed(code), message.into());
    }

    fn write(&self, level: Level, event: Event, message: String) {
        let line = LogLine { level, phase: self.phase(), event, message: self.redactor.redact(message) };
        let text = match self.style {
            LogStyle::Text => line.to_text(),
            LogStyle::Json => {
                line.to_json(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis()))
            }
        };
        // A log that nobody reads any more (closed pipe) is no reason to fail a boot.
        drop(if self.to_stderr {
            writeln!(std::io::stderr().lock(), "{text}")
        } else {
            writeln!(std::io::stdout().lock(), "{text}")
        });
    }
}
