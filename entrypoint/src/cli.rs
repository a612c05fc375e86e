//! The command line. Parsed by hand, because a parser crate would be larger than the rest of the binary.

use std::ffi::OsString;
use std::time::Duration;

use crate::attic;
use crate::healthcheck::Probe;
use crate::report::{Format, ReportKind};

/// A parsed command line.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Phases 1 to 8. The server command is upstream's unless one is given after `--`.
    Start(Vec<OsString>),
    /// Phases 1 to 7, then exit 0.
    Boot,
    /// Phases 1 to 7, then exit 0 if nothing waits for servers of other images.
    Contract,
    /// Report the changes that a boot would make, or the state of the database. Changes nothing.
    Report(ReportKind, Format),
    /// Boot in a transaction that is rolled back, within a time limit, and report the effects.
    Rehearse(Format, Duration),
    /// List, restore or purge data that earlier boots removed.
    Attic(attic::AtticRequest),
    /// Convert a snapshot of another version to this image's form. The path, or `-` for standard input.
    ConvertSnapshot(OsString),
    /// Check the SQL files and write the manifest; a step of the image's build.
    Manifest,
    /// Ask whether the server is alive, ready or started.
    Healthcheck(Probe),
    /// Print the help.
    Help,
    /// Print the version.
    Version,
    /// Execute this command without a boot (`docker run IMAGE id`).
    Exec(Vec<OsString>),
}

pub use contract::HELP;

/// Parses the arguments, without the name of the program.
///
/// # Errors
/// A message about invalid arguments.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut args = args.into_iter();
    let Some(first) = args.next() else { return Ok(Command::Start(Vec::new())) };
    let rest: Vec<OsString> = args.collect();
    let command = match first.to_str() {
        Some("start") => {
            return match rest.split_first() {
                None => Ok(Command::Start(Vec::new())),
                Some((dashes, server)) if dashes == "--" && !server.is_empty() => Ok(Command::Start(server.to_vec())),
                Some(_) => Err("start takes `-- SERVER…` or nothing".to_owned()),
            };
        }
        Some("plan") if rest.iter().any(|flag| flag == "--rehearse") => return rehearse(&rest),
        Some("plan") => return report(ReportKind::Plan, &rest),
        Some("attic") => return attic_request(&rest).map(Command::Attic),
        Some("snapshot") => {
            return match rest.as_slice() {
                [flag] if flag == "--convert" => Ok(Command::ConvertSnapshot("-".into())),
                [flag, path] if flag == "--convert" => Ok(Command::ConvertSnapshot(path.clone())),
                _ => Err("snapshot takes --convert [FILE]".to_owned()),
            };
        }
        Some("healthcheck") => return probe(&rest).map(Command::Healthcheck),
        Some("status") => return report(ReportKind::Status, &rest),
        Some("compat") => return report(ReportKind::Compat, &rest),
        Some("contract") => Command::Contract,
        Some("boot") => Command::Boot,
        Some("manifest") => Command::Manifest,
        Some("help" | "--help" | "-h") => Command::Help,
        Some("version" | "--version" | "-V") => Command::Version,
        Some(option) if option.starts_with('-') => return Err(format!("unknown option {option}")),
        _ => return Ok(Command::Exec(std::iter::once(first).chain(rest).collect())),
    };
    if rest.is_empty() { Ok(command) } else { Err(format!("{} takes no arguments", first.display())) }
}

fn probe(rest: &[OsString]) -> Result<Probe, String> {
    match rest {
        [] => Ok(Probe::Live),
        [probe] if probe == "live" => Ok(Probe::Live),
        [probe] if probe == "ready" => Ok(Probe::Ready),
        [probe] if probe == "startup" => Ok(Probe::Startup),
        _ => Err("healthcheck takes live, ready, startup or nothing".to_owned()),
    }
}

fn report(kind: ReportKind, rest: &[OsString]) -> Result<Command, String> {
    match rest {
        [] => Ok(Command::Report(kind, Format::Text)),
        [flag] if flag == "--json" => Ok(Command::Report(kind, Format::Json)),
        _ => Err("plan, status and compat take --json or nothing".to_owned()),
    }
}

/// The default time limit of a rehearsal.
const REHEARSAL_LIMIT: Duration = Duration::from_secs(30);

fn rehearse(rest: &[OsString]) -> Result<Command, String> {
    let (mut format, mut limit) = (Format::Text, REHEARSAL_LIMIT);
    let mut flags = rest.iter();
    while let Some(flag) = flags.next() {
        match flag.to_str() {
            Some("--rehearse") => {}
            Some("--json") => format = Format::Json,
            Some("--timeout") => {
                let seconds =
                    flags.next().and_then(|value| value.to_str()?.parse().ok()).filter(|seconds| *seconds > 0);
                limit = Duration::from_secs(seconds.ok_or("--timeout takes a whole number of seconds above 0")?);
            }
            _ => return Err("plan --rehearse takes --timeout SECONDS and --json".to_owned()),
        }
    }
    Ok(Command::Rehearse(format, limit))
}

fn attic_request(rest: &[OsString]) -> Result<attic::AtticRequest, String> {
    let words: Option<Vec<&str>> = rest.iter().map(|word| word.to_str()).collect();
    match words.as_deref() {
        Some([] | ["list"]) => Ok(attic::AtticRequest::List { json: false }),
        Some(["--json"] | ["list", "--json"]) => Ok(attic::AtticRequest::List { json: true }),
        Some(["restore", id]) => Ok(attic::AtticRequest::Restore(entry_number(id)?)),
        Some(["purge", "--all"]) => Ok(attic::AtticRequest::Purge(None)),
        Some(["purge", id]) => Ok(attic::AtticRequest::Purge(Some(entry_number(id)?))),
        _ => Err("attic takes nothing, --json, restore N, purge N or purge --all".to_owned()),
    }
}

fn entry_number(word: &str) -> Result<i64, String> {
    word.parse().map_err(|_| format!("{word} is not the number of an entry: see `attic`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Command, String> {
        parse(args.iter().map(OsString::from))
    }

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    fn rehearsal_within(seconds: u64) -> Command {
        Command::Rehearse(Format::Text, Duration::from_secs(seconds))
    }

    #[test]
    fn start_is_the_default() {
        assert_eq!(parsed(&[]), Ok(Command::Start(vec![])));
        assert_eq!(parsed(&["start"]), Ok(Command::Start(vec![])));
    }

    #[test]
    fn start_accepts_another_server_after_two_dashes() {
        assert_eq!(parsed(&["start", "--", "sleep", "1"]), Ok(Command::Start(words(&["sleep", "1"]))));
        assert!(parsed(&["start", "sleep"]).is_err());
        assert!(parsed(&["start", "--"]).is_err());
    }

    #[test]
    fn reports_are_text_or_json() {
        assert_eq!(parsed(&["plan"]), Ok(Command::Report(ReportKind::Plan, Format::Text)));
        assert_eq!(parsed(&["status", "--json"]), Ok(Command::Report(ReportKind::Status, Format::Json)));
        assert_eq!(parsed(&["compat"]), Ok(Command::Report(ReportKind::Compat, Format::Text)));
        assert!(parsed(&["plan", "--yaml"]).is_err());
    }

    #[test]
    fn the_health_check_is_a_live_probe_unless_another_one_is_named() {
        assert_eq!(parsed(&["healthcheck"]), Ok(Command::Healthcheck(Probe::Live)));
        assert_eq!(parsed(&["healthcheck", "ready"]), Ok(Command::Healthcheck(Probe::Ready)));
        assert_eq!(parsed(&["healthcheck", "startup"]), Ok(Command::Healthcheck(Probe::Startup)));
        assert!(parsed(&["healthcheck", "dead"]).is_err());
    }

    #[test]
    fn a_rehearsal_has_a_time_limit() {
        assert_eq!(parsed(&["plan", "--rehearse"]), Ok(rehearsal_within(30)));
        assert_eq!(parsed(&["plan", "--rehearse", "--timeout", "5"]), Ok(rehearsal_within(5)));
        assert!(parsed(&["plan", "--rehearse", "--timeout", "0"]).is_err());
        assert!(parsed(&["plan", "--rehearse", "now"]).is_err());
    }

    #[test]
    fn the_attic_is_listed_restored_and_purged() {
        assert_eq!(parsed(&["attic"]), Ok(Command::Attic(attic::AtticRequest::List { json: false })));
        assert_eq!(parsed(&["attic", "restore", "3"]), Ok(Command::Attic(attic::AtticRequest::Restore(3))));
        assert_eq!(parsed(&["attic", "purge", "--all"]), Ok(Command::Attic(attic::AtticRequest::Purge(None))));
        for invalid in [&["attic", "restore"][..], &["attic", "restore", "x"], &["attic", "empty"]] {
            assert!(parsed(invalid).is_err());
        }
    }

    #[test]
    fn a_snapshot_is_converted_from_a_file_or_standard_input() {
        assert_eq!(parsed(&["snapshot", "--convert"]), Ok(Command::ConvertSnapshot("-".into())));
        assert_eq!(parsed(&["snapshot", "--convert", "a.yaml"]), Ok(Command::ConvertSnapshot("a.yaml".into())));
        assert!(parsed(&["snapshot"]).is_err());
    }

    #[test]
    fn unknown_first_argument_is_executed() {
        assert_eq!(parsed(&["id", "-u"]), Ok(Command::Exec(words(&["id", "-u"]))));
        assert_eq!(parsed(&["node", "boot"]), Ok(Command::Exec(words(&["node", "boot"]))));
    }

    #[test]
    fn unknown_options_and_superfluous_arguments_are_errors() {
        assert_eq!(parsed(&["--hlep"]), Err("unknown option --hlep".to_owned()));
        assert_eq!(parsed(&["boot", "now"]), Err("boot takes no arguments".to_owned()));
    }
}
