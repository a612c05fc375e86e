//! The form of the boot's log lines, written by the binary and read back by `xtask`.
//!
//! Text: `[entrypoint] 4/8 db-init: 3 applied, 0 skipped (41 ms)`. With `LOG_STYLE=raw` the same as JSON, one object
//! a line, in the form of Directus' own pino lines: `{"level":30,"time":…,"name":"entrypoint","phase":"db-init",…}`.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Phase;

/// What every text line of the boot begins with.
pub const PREFIX: &str = "[entrypoint]";

/// How grave a line is; the numbers are pino's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Progress.
    Info = 30,
    /// The boot goes on, but somebody should look.
    Warn = 40,
    /// The boot ends with this line.
    Error = 50,
}

/// What a line says about its phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Something on the way, e.g. `waiting for db:5432`.
    Note,
    /// The phase ended well after this long.
    Done(Duration),
    /// The phase failed; the boot exits with this code.
    Failed(u8),
}

/// One line of a boot's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How grave it is.
    pub level: Level,
    /// The phase it belongs to.
    pub phase: Phase,
    /// What it says about the phase.
    pub event: Event,
    /// The text, without prefix, phase and duration.
    pub message: String,
}

impl LogLine {
    /// The text form, without a line break.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut line = format!("{PREFIX} {}/{} {}", self.phase.number(), Phase::ALL.len(), self.phase);
        let message = &self.message;
        // Writing to a String cannot fail.
        match &self.event {
            Event::Note if self.level == Level::Warn => write!(line, ": warning: {message}"),
            Event::Note => write!(line, ": {message}"),
            Event::Done(took) => write!(line, ": {message} ({} ms)", took.as_millis()),
            Event::Failed(code) => write!(line, " failed: {message} (exit {code})"),
        }
        .expect("a String takes every write");
        line
    }

    /// The JSON form, without a line break. `time` is in milliseconds since the epoch, as in Directus' lines.
    #[must_use]
    pub fn to_json(&self, time_ms: u128) -> String {
        let mut object = json!({
            "level": self.level as u8,
            "time": u64::try_from(time_ms).unwrap_or(u64::MAX),
            "name": "entrypoint",
            "phase": self.phase.name(),
            "step": self.phase.number(),
            "msg": self.message,
        });
        match &self.event {
            Event::Note => {}
            Event::Done(took) => object["ms"] = json!(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            Event::Failed(code) => object["exit"] = json!(code),
        }
        object.to_string()
    }

    /// Reads a line in either form; `None` for lines of anybody else (Directus, pm2, PostgreSQL).
    #[must_use]
    pub fn parse(line: &str) -> Option<LogLine> {
        let line = line.trim_end();
        if line.starts_with('{') { parse_json(line) } else { parse_text(line) }
    }
}

fn parse_text(line: &str) -> Option<LogLine> {
    let rest = line.strip_prefix(PREFIX)?.strip_prefix(' ')?;
    let (step, rest) = rest.split_once(' ')?;
    let (number, total) = step.split_once('/')?;
    if total.parse() != Ok(Phase::ALL.len()) {
        return None;
    }
    let (head, message) = rest.split_once(": ")?;
    let (name, failed) = match head.strip_suffix(" failed") {
        Some(name) => (name, true),
        None => (head, false),
    };
    let phase = Phase::from_name(name).filter(|phase| number.parse() == Ok(phase.number()))?;
    if failed {
        let (message, code) = split_suffix(message, "exit ", "")?;
        return Some(LogLine { level: Level::Error, phase, event: Event::Failed(code), message: message.to_owned() });
    }
    if let Some(message) = message.strip_prefix("warning: ") {
        return Some(LogLine { level: Level::Warn, phase, event: Event::Note, message: message.to_owned() });
    }
    let (message, event) = match split_suffix(message, "", " ms") {
        Some((message, ms)) => (message, Event::Done(Duration::from_millis(ms))),
        None => (message, Event::Note),
    };
    Some(LogLine { level: Level::Info, phase, event, message: message.to_owned() })
}

/// Splits `message (<before>42<after>)` into `message` and 42.
fn split_suffix<'a, N: std::str::FromStr>(text: &'a str, before: &str, after: &str) -> Option<(&'a str, N)> {
    let (message, bracket) = text.strip_suffix(')')?.rsplit_once(" (")?;
    let number = bracket.strip_prefix(before)?.strip_suffix(after)?.parse().ok()?;
    Some((message, number))
}

fn parse_json(line: &str) -> Option<LogLine> {
    let object: Value = serde_json::from_str(line).ok()?;
    if object["name"] != "entrypoint" {
        return None;
    }
    let phase = Phase::from_name(object["phase"].as_str()?)?;
    let level = match object["level"].as_u64()? {
        30 => Level::Info,
        40 => Level::Warn,
        50 => Level::Error,
        _ => return None,
    };
    let event = if let Some(code) = object["exit"].as_u64() {
        Event::Failed(u8::try_from(code).ok()?)
    } else if let Some(ms) = object["ms"].as_u64() {
        Event::Done(Duration::from_millis(ms))
    } else {
        Event::Note
    };
    Some(LogLine { level, phase, event, message: object["msg"].as_str()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<LogLine> {
        let line = |level, phase, event, message: &str| LogLine { level, phase, event, message: message.to_owned() };
        vec![
            line(Level::Info, Phase::Database, Event::Note, "waiting for db:5432 (connection refused), 3 s"),
            line(Level::Info, Phase::DbInit, Event::Done(Duration::from_millis(41)), "3 applied, 0 skipped"),
            line(Level::Warn, Phase::DbInit, Event::Note, "the database has no extension postgis"),
            line(Level::Error, Phase::PostSchema, Event::Failed(31), "001_x.sql:3:7: syntax error (42601)"),
        ]
    }

    #[test]
    fn text_is_as_the_design_has_it() {
        let texts: Vec<String> = lines().iter().map(LogLine::to_text).collect();
        assert_eq!(texts[1], "[entrypoint] 4/8 db-init: 3 applied, 0 skipped (41 ms)");
        assert_eq!(texts[3], "[entrypoint] 7/8 post-schema failed: 001_x.sql:3:7: syntax error (42601) (exit 31)");
    }

    #[test]
    fn both_forms_read_back_as_they_were_written() {
        for line in lines() {
            assert_eq!(LogLine::parse(&line.to_text()), Some(line.clone()));
            assert_eq!(LogLine::parse(&line.to_json(1_700_000_000_000)), Some(line));
        }
    }

    #[test]
    fn lines_of_others_are_not_taken_for_ours() {
        for line in [
            "",
            "[18:01:02.003] INFO: Server started at http://0.0.0.0:8055",
            "[entrypoint] hello",
            "[entrypoint] 4/9 db-init: 3 applied",
            "[entrypoint] 5/8 db-init: 3 applied",
            r#"{"level":30,"time":1,"msg":"Server started"}"#,
            "{not json",
        ] {
            assert_eq!(LogLine::parse(line), None, "{line}");
        }
    }
}
