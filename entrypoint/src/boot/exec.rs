//! Phase 8, and `docker run IMAGE id`: this process becomes another.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use contract::ExitCode;

/// Why the command did not run. `exec` only ever returns an error.
#[derive(Debug, thiserror::Error)]
#[error("cannot run {command}: {source}")]
pub struct ExecError {
    /// The program.
    pub command: String,
    /// The system's reason.
    pub source: io::Error,
}

impl ExecError {
    /// 127 where there is no such program, else 126, as shells and tini have it.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        if self.source.kind() == io::ErrorKind::NotFound { ExitCode::NotFound } else { ExitCode::NotExecutable }
    }
}

/// The server: upstream's command, pm2-runtime, with a pm2 file of ours that starts Directus without its update check
/// (which asks a public registry at every start, with 8 s timeout).
#[must_use]
pub fn server_command(scripts: &Path) -> Vec<OsString> {
    vec!["pm2-runtime".into(), "start".into(), scripts.join("ecosystem.config.cjs").into_os_string()]
}

/// Becomes the command: the same process, with these variables set (`Some`) or removed (`None`).
#[must_use]
pub fn exec<'a>(command: &[OsString], variables: impl IntoIterator<Item = (&'a str, Option<&'a OsStr>)>) -> ExecError {
    let (program, args) = command.split_first().expect("the command line gives at least the program");
    let mut exec = Command::new(program);
    exec.args(args);
    for (name, value) in variables {
        match value {
            Some(value) => exec.env(name, value),
            None => exec.env_remove(name),
        };
    }
    let source = exec.exec();
    ExecError { command: program.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_not_there_is_127_and_one_that_is_no_program_126() {
        assert_eq!(exec(&["/no/such/program".into()], []).exit_code(), ExitCode::NotFound);
        assert_eq!(exec(&["/".into()], []).exit_code(), ExitCode::NotExecutable);
    }
}
