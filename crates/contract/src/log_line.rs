//! The format of the boot's log lines, written by the binary and parsed by the tools.
//!
//! Text: `[entrypoint] 4/8 db-init: 3 applied, 0 skipped (41 ms)`. With `LOG_STYLE=raw`, one JSON object per line, in the
//! format of Directus' pino lines: `{"level":30,"time":…,"hostname":…,"name":"entrypoint","phase":"db-init",…}`.
//! docs/operate.md maps these fields to OpenTelemetry's data model of logs.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Phase;

/// The beginning of every text line of the boot.
pub const PREFIX: &str = "[entrypoint]";

/// The severity of a line, with pino's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Progress.
    Info = 30,
    /// The boot continues, but the operator should act.
    Warn = 40,
    /// The boot ends with this line.
    Error = 50,
}

/// The event of a phase that a line reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Progress within the phase, e.g. `waiting for db:5432`.
    Note,
    /// The phase succeeded after this time.
    Done(Duration),
    /// The phase failed; the boot exits with this code.
    Failed(u8),
}

/// The origin of a log, in each of its JSON lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOrigin {
    /// The name of the host or container, as in Directus' lines.
    pub hostname: String,
    /// The image: `version@revision`.
    pub image: String,
}

/// One line of a boot's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The severity.
    pub level: Level,
    /// The phase of the boot that wrote the line.
    pub phase: Phase,
    /// Progress, success or failure of the phase.
    pub event: Event,
    /// The text, without prefix, phase, duration and exit code.
    pub message: String,
}

impl LogLine {
    /// Formats the line as text, without a line break.
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
        .expect("writing to a String succeeds");
        line
    }

    /// Formats the line as JSON, without a line break. `time_ms` is in milliseconds since the epoch, as in Directus'
    /// lines.
    #[must_use]
    pub fn to_json(&self, time_ms: u128, origin: &LogOrigin) -> String {
        let mut object = json!({
            "level": self.level as u8,
            "time": u64::try_from(time_ms).unwrap_or(u64::MAX),
            "hostname": origin.hostname,
            "image": origin.image,
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

    /// Parses a line in either format; `None` for lines of other programs (Directus, pm2, PostgreSQL).
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

    fn lines() -> [LogLine; 4] {
        [
            (Level::Info, Phase::Database, Event::Note, "waiting for db:5432 (connection refused), 3 s"),
            (Level::Info, Phase::DbInit, Event::Done(Duration::from_millis(41)), "3 applied, 0 skipped"),
            (Level::Warn, Phase::DbInit, Event::Note, "the database has no extension postgis"),
            (Level::Error, Phase::PostSchema, Event::Failed(31), "001_x.sql:3:7: syntax error (42601)"),
        ]
        .map(|(level, phase, event, message)| LogLine { level, phase, event, message: message.to_owned() })
    }

    #[test]
    fn a_text_line_has_prefix_phase_and_duration_or_exit_code() {
        let texts = lines().map(|line| line.to_text());
        assert_eq!(texts[1], "[entrypoint] 4/8 db-init: 3 applied, 0 skipped (41 ms)");
        assert_eq!(texts[3], "[entrypoint] 7/8 post-schema failed: 001_x.sql:3:7: syntax error (42601) (exit 31)");
    }

    #[test]
    fn text_and_json_parse_to_the_line_that_was_written() {
        for line in lines() {
            assert_eq!(LogLine::parse(&line.to_text()), Some(line.clone()));
            assert_eq!(LogLine::parse(&line.to_json(1_700_000_000_000, &LogOrigin::default())), Some(line));
        }
    }

    #[test]
    fn a_json_line_has_what_a_record_of_opentelemetry_needs() {
        let origin = LogOrigin { hostname: "web-1".to_owned(), image: "0.1.0@4f2c".to_owned() };
        let [_, done, _, failed] = lines()
            .map(|line| serde_json::from_str::<Value>(&line.to_json(1_700_000_000_123, &origin)).expect("valid JSON"));
        let expected = json!({
            "level": 30, "time": 1_700_000_000_123_u64, "hostname": "web-1", "image": "0.1.0@4f2c", "name": "entrypoint",
            "phase": "db-init", "step": 4, "msg": "3 applied, 0 skipped", "ms": 41,
        });
        assert_eq!(done, expected);
        assert_eq!((&failed["level"], &failed["exit"]), (&json!(50), &json!(31)));
    }

    #[test]
    fn lines_of_other_programs_are_not_parsed() {
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
