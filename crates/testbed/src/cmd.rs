//! Child processes: one wrapper, so that each is echoed, checked, and ended together with xtask.
//!
//! The echo shows the program and its arguments; values of variables are never shown. Each child leads a process group
//! of its own: when the future that waits for it is dropped (Ctrl-C, SIGTERM, an error elsewhere), the whole group is
//! asked to end, then made to.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::process::{ExitStatus, Stdio};

use anyhow::{Context as _, bail};
use camino::Utf8Path;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::ui;
use crate::workspace;

/// A command that is not running yet.
#[derive(Debug)]
pub struct Cmd {
    program: OsString,
    arguments: Vec<OsString>,
    variables: Vec<(String, String)>,
    hidden_variables: Vec<OsString>,
    stdout: Stdout,
}

/// Where a streamed child's stdout goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stdout {
    /// With the progress.
    Stderr,
    /// It is the result itself.
    Stdout,
}

impl Cmd {
    /// A command, to be run in the workspace's folder.
    pub fn new(program: impl Into<OsString>) -> Self {
        Cmd {
            program: program.into(),
            arguments: Vec::new(),
            variables: Vec::new(),
            hidden_variables: Vec::new(),
            stdout: Stdout::Stderr,
        }
    }

    /// The cargo that runs xtask, so that both use one toolchain; without [`child::variables_of_our_package`].
    pub fn cargo() -> Self {
        Cmd { hidden_variables: child::variables_of_our_package().collect(), ..Cmd::new(child::cargo()) }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, arguments: I) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable; its value is never shown.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Lets the child write to our stdout: what it says is the result.
    pub fn stdout_is_the_result(mut self) -> Self {
        self.stdout = Stdout::Stdout;
        self
    }

    /// Runs it with its output shown; a failure is an error.
    pub async fn run(self) -> anyhow::Result<()> {
        ui::command(&self.to_string());
        let stdout = match self.stdout {
            Stdout::Stderr => Stdio::from(std::io::stderr()),
            Stdout::Stdout => Stdio::inherit(),
        };
        let mut group = self.spawn(Stdio::null(), stdout, Stdio::inherit())?;
        let status = group.child.wait().await.with_context(|| format!("failed to wait for `{self}`"))?;
        self.check(status, "")
    }

    /// Runs it and returns its stdout, without the last line break; a failure is an error with its stderr.
    pub async fn read(self) -> anyhow::Result<String> {
        let output = self.capture().await?;
        self.check(output.status, &output.stderr)?;
        Ok(output.stdout)
    }

    /// Runs it and returns how it ended and what it said; only a program that cannot be run is an error.
    pub async fn capture(&self) -> anyhow::Result<Captured> {
        let mut group = self.spawn(Stdio::null(), Stdio::piped(), Stdio::piped())?;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut stdout = group.child.stdout.take().context("stdout is piped")?;
        let mut stderr = group.child.stderr.take().context("stderr is piped")?;
        let (status, ..) =
            tokio::try_join!(group.child.wait(), stdout.read_to_end(&mut out), stderr.read_to_end(&mut err))
                .with_context(|| format!("failed to read the output of `{self}`"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\n').to_owned();
        Ok(Captured { status, stdout: text(&out), stderr: text(&err) })
    }

    /// Runs it with each line of its stderr given to `on_line` and its stdout dropped; returns how it ended.
    pub async fn stderr_lines(&self, mut on_line: impl FnMut(&str)) -> anyhow::Result<ExitStatus> {
        ui::command(&self.to_string());
        let mut group = self.spawn(Stdio::null(), Stdio::null(), Stdio::piped())?;
        let mut lines = BufReader::new(group.child.stderr.take().context("stderr is piped")?).lines();
        while let Some(line) = lines.next_line().await.with_context(|| format!("failed to read from `{self}`"))? {
            on_line(&line);
        }
        group.child.wait().await.with_context(|| format!("failed to wait for `{self}`"))
    }

    /// Starts it to talk with it over its standard input and output.
    pub fn talk(&self) -> anyhow::Result<Talk> {
        let mut group = self.spawn(Stdio::piped(), Stdio::piped(), Stdio::null())?;
        let stdin = group.child.stdin.take().context("stdin is piped")?;
        let stdout = group.child.stdout.take().context("stdout is piped")?;
        Ok(Talk { stdin, stdout: BufReader::new(stdout), _group: group })
    }

    /// An error for a status that is none of success.
    pub fn check(&self, status: ExitStatus, stderr: &str) -> anyhow::Result<()> {
        if status.success() {
            return Ok(());
        }
        let separator = if stderr.is_empty() { "" } else { "\n" };
        bail!("`{self}` failed ({status}){separator}{stderr}")
    }

    fn spawn(&self, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> anyhow::Result<Group> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(workspace::root())
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .kill_on_drop(true);
        for name in &self.hidden_variables {
            command.env_remove(name);
        }
        #[cfg(unix)]
        command.process_group(0);
        let child = command.spawn().with_context(|| format!("failed to run `{self}`"))?;
        Ok(Group { child })
    }
}

impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = Utf8Path::new(self.program.to_str().unwrap_or("?"));
        // A script of ours is named as it lies in the checkout; where cargo lies is nobody's business.
        f.write_str(if program.is_absolute() { program.file_name().unwrap_or("?") } else { program.as_str() })?;
        for argument in &self.arguments {
            let argument = argument.to_string_lossy();
            if argument.is_empty() || argument.contains(|c: char| c.is_whitespace() || "'\"$;&|<>(){}*".contains(c)) {
                write!(f, " '{}'", argument.replace('\'', r"'\''"))?;
            } else {
                write!(f, " {argument}")?;
            }
        }
        Ok(())
    }
}

/// What a child said, and how it ended.
#[derive(Debug)]
pub struct Captured {
    /// How it ended.
    pub status: ExitStatus,
    /// Its stdout, without the last line break.
    pub stdout: String,
    /// Its stderr, without the last line break.
    pub stderr: String,
}

/// A running child that is talked with; it ends, with all that it started, when this is dropped.
#[derive(Debug)]
pub struct Talk {
    /// What it reads.
    pub stdin: ChildStdin,
    /// What it writes.
    pub stdout: BufReader<ChildStdout>,
    // Last: it sees its input end before it is asked to.
    _group: Group,
}

/// A running child and all that it started, which end when this is dropped.
#[derive(Debug)]
struct Group {
    child: Child,
}

impl Drop for Group {
    fn drop(&mut self) {
        // No id any more: it was waited for.
        let Some(id) = self.child.id() else { return };
        child::end_group(id, || matches!(self.child.try_wait(), Ok(None)));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn the_command_line_is_shown_as_it_could_be_typed_and_without_values_of_variables() {
        let cmd = Cmd::new("/usr/bin/docker").args(["run", "a b", "", "it's"]).env("PASSWORD", "hidden");
        assert_eq!(cmd.to_string(), r"docker run 'a b' '' 'it'\''s'");
    }

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let error = block_on(Cmd::new("sh").args(["-c", "echo out; echo wrong >&2; exit 3"]).read()).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c 'echo out; echo wrong >&2; exit 3'` failed (exit status: 3)\nwrong");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = block_on(Cmd::new("no-such-program").read()).unwrap_err();
        assert_eq!(error.to_string(), "failed to run `no-such-program`");
    }

    #[test]
    #[cfg(unix)]
    fn a_dropped_command_takes_its_grandchildren_with_it() {
        let began = Instant::now();
        let pid = block_on(async {
            let cmd = Cmd::new("sh").args(["-c", "sleep 60 & echo $! >&2; wait"]);
            let (sender, receiver) = std::sync::mpsc::channel();
            let lines = cmd.stderr_lines(move |line| sender.send(line.to_owned()).unwrap());
            tokio::time::timeout(Duration::from_millis(500), lines).await.unwrap_err();
            receiver.recv().unwrap()
        });
        let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        // Gone, or a zombie that only its adopter can take away.
        let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state}");
        assert!(began.elapsed() < child::GRACE, "{:?}", began.elapsed());
    }
}
