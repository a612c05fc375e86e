//! Phase 8, and `docker run IMAGE id`: replaces this process by another program.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use contract::ExitCode;

/// The reason why the command did not run; `exec` only returns on failure.
#[derive(Debug, thiserror::Error)]
#[error("cannot run {command}: {source}")]
pub struct ExecError {
    /// The name of the program.
    pub command: String,
    /// The error of the system.
    pub source: io::Error,
}

impl ExecError {
    /// 127 if the program does not exist, otherwise 126, as in shells and tini.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        if self.source.kind() == io::ErrorKind::NotFound { ExitCode::NotFound } else { ExitCode::NotExecutable }
    }
}

/// The command of the server: upstream's pm2-runtime, with our pm2 file, which starts Directus without its update check
/// (a request to a public registry at every start, with a timeout of 8 s).
#[must_use]
pub fn server_command(scripts: &Path) -> Vec<OsString> {
    vec!["pm2-runtime".into(), "start".into(), scripts.join("ecosystem.config.cjs").into_os_string()]
}

/// Replaces this process by the command, with these variables set (`Some`) or removed (`None`).
#[must_use]
pub fn exec<'a>(command: &[OsString], variables: impl IntoIterator<Item = (&'a str, Option<&'a OsStr>)>) -> ExecError {
    let (program, args) = command.split_first().expect("the command contains at least the program");
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
    fn missing_program_is_127_and_one_that_is_not_executable_126() {
        assert_eq!(exec(&["/no/such/program".into()], []).exit_code(), ExitCode::NotFound);
        assert_eq!(exec(&["/".into()], []).exit_code(), ExitCode::NotExecutable);
    }
}
