//! The command line. By hand: five words do not need a parser that is larger than the rest of the binary.

use std::ffi::OsString;

use crate::report::{Format, Kind};

/// What the process was asked to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Phases 1 to 8. The server command is upstream's unless one is given after `--`.
    Start(Vec<OsString>),
    /// Phases 1 to 7, then exit 0.
    Boot,
    /// Tell what a boot would do, or what was done; change nothing.
    Report(Kind, Format),
    /// Check the SQL files and leave the note about them; a step of the image's build.
    Manifest,
    /// Ask the server whether it serves.
    Healthcheck,
    /// Print the help.
    Help,
    /// Print the version.
    Version,
    /// No boot: become this command (`docker run IMAGE id`).
    Exec(Vec<OsString>),
}

/// The help, as `docker run --rm IMAGE help` prints it.
pub const HELP: &str = "\
Brings the database to this image's schema, then serves Directus.

Usage: entrypoint [COMMAND]

  start [-- SERVER…]  wait for PostgreSQL, migrate, apply the schema, become the server (the default)
  boot                the same, but exit 0 instead of becoming the server
  plan [--json]       what a boot would do to this database; exit 0 nothing, 2 changes, 3 drift, 43 refused
  status [--json]     what was done to this database, and what is pending
  healthcheck         exit 0 if the server on this host answers, 50 if not
  manifest            check the SQL files and note what they are; a step of the image's build
  help                this text
  version             the version and the image it was built into
  anything else       is run as a command of its own, without a boot: docker run IMAGE id

Variables and exit codes: see the README's tables.
";

/// Reads the arguments (without the program's own name).
///
/// # Errors
/// The complaint about arguments that a subcommand does not take.
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
        Some("plan") => return report(Kind::Plan, &rest),
        Some("status") => return report(Kind::Status, &rest),
        Some("boot") => Command::Boot,
        Some("manifest") => Command::Manifest,
        Some("healthcheck") => Command::Healthcheck,
        Some("help" | "--help" | "-h") => Command::Help,
        Some("version" | "--version" | "-V") => Command::Version,
        Some(option) if option.starts_with('-') => return Err(format!("unknown option {option}")),
        _ => return Ok(Command::Exec(std::iter::once(first).chain(rest).collect())),
    };
    if rest.is_empty() { Ok(command) } else { Err(format!("{} takes no arguments", first.display())) }
}

fn report(kind: Kind, rest: &[OsString]) -> Result<Command, String> {
    match rest {
        [] => Ok(Command::Report(kind, Format::Text)),
        [flag] if flag == "--json" => Ok(Command::Report(kind, Format::Json)),
        _ => Err("plan and status take --json or nothing".to_owned()),
    }
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

    #[test]
    fn without_arguments_it_starts() {
        assert_eq!(parsed(&[]), Ok(Command::Start(vec![])));
        assert_eq!(parsed(&["start"]), Ok(Command::Start(vec![])));
    }

    #[test]
    fn start_takes_another_server_after_two_dashes() {
        assert_eq!(parsed(&["start", "--", "sleep", "1"]), Ok(Command::Start(words(&["sleep", "1"]))));
        assert!(parsed(&["start", "sleep"]).is_err());
        assert!(parsed(&["start", "--"]).is_err());
    }

    #[test]
    fn reports_are_text_or_json() {
        assert_eq!(parsed(&["plan"]), Ok(Command::Report(Kind::Plan, Format::Text)));
        assert_eq!(parsed(&["status", "--json"]), Ok(Command::Report(Kind::Status, Format::Json)));
        assert!(parsed(&["plan", "--yaml"]).is_err());
    }

    #[test]
    fn what_is_no_subcommand_is_run_as_it_is() {
        assert_eq!(parsed(&["id", "-u"]), Ok(Command::Exec(words(&["id", "-u"]))));
        assert_eq!(parsed(&["node", "boot"]), Ok(Command::Exec(words(&["node", "boot"]))));
    }

    #[test]
    fn a_typing_error_in_an_option_is_no_command() {
        assert_eq!(parsed(&["--hlep"]), Err("unknown option --hlep".to_owned()));
        assert_eq!(parsed(&["boot", "now"]), Err("boot takes no arguments".to_owned()));
    }
}
