//! Phase 8, and `docker run IMAGE id`: replaces this process by another program.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::config::Env;
use contract::{ExitCode, failure};

/// The reason why the command did not run; `exec` only returns on failure.
#[derive(Debug, thiserror::Error)]
#[error("cannot run {command}: {source}; {}", failure::COMMAND.ending())]
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

/// pm2 has no folder for its sockets and process list. Without one it would neither serve nor end.
#[derive(Debug, thiserror::Error)]
#[error(
    "pm2 cannot write to {}; {}",
    tried.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" or "),
    failure::NO_PM2_FOLDER.ending()
)]
pub struct NoPm2Home {
    /// The folders that were tried, in order.
    tried: Vec<PathBuf>,
}

/// The value of `PM2_HOME` for the server: `None` if pm2's own choice can be written to, otherwise a folder below the
/// temporary one. An arbitrary user (`--user 1000650000:0`, as on OpenShift) has no home folder.
///
/// # Errors
/// [`NoPm2Home`].
pub fn pm2_home(env: &Env) -> Result<Option<PathBuf>, NoPm2Home> {
    let own =
        env.plain("PM2_HOME").map_or_else(|| Path::new(env.plain("HOME").unwrap_or("/")).join(".pm2"), PathBuf::from);
    if is_writable(&own) {
        return Ok(None);
    }
    let temporary = Path::new(env.plain("TMPDIR").unwrap_or("/tmp")).join("pm2");
    if is_writable(&temporary) { Ok(Some(temporary)) } else { Err(NoPm2Home { tried: vec![own, temporary] }) }
}

/// Returns true if a file can be created in the folder, which is created if it does not exist.
fn is_writable(folder: &Path) -> bool {
    let file = folder.join(".writable");
    let is_written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&file, "")).is_ok();
    is_written && std::fs::remove_file(&file).is_ok()
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
    fn pm2_gets_a_temporary_folder_where_it_has_no_home() {
        let temporary = tempfile::tempdir().expect("the temporary folder is writable");
        let folder = temporary.path().display().to_string();
        assert_eq!(pm2_home(&Env::of(&[("HOME", &folder)])).expect("the home"), None);
        let homeless = [("HOME", "/dev/null"), ("TMPDIR", folder.as_str())];
        assert_eq!(pm2_home(&Env::of(&homeless)).expect("the temporary folder"), Some(temporary.path().join("pm2")));

        let error = pm2_home(&Env::of(&[("HOME", "/dev/null"), ("TMPDIR", "/dev/null")])).expect_err("no folder");
        assert!(error.to_string().starts_with("pm2 cannot write to /dev/null/.pm2 or /dev/null/pm2; "), "{error}");
    }

    #[test]
    fn missing_program_is_127_and_one_that_is_not_executable_126() {
        assert_eq!(exec(&["/no/such/program".into()], []).exit_code(), ExitCode::NotFound);
        assert_eq!(exec(&["/".into()], []).exit_code(), ExitCode::NotExecutable);
    }
}
