//! Child processes: one wrapper that echoes each command, checks its status, and ends it together with xtask.
//!
//! The echo shows the program and its arguments, never the values of variables. Each child leads its own process group:
//! when the future that waits for it is dropped (Ctrl-C, SIGTERM, an error elsewhere), the whole group gets SIGTERM, and
//! SIGKILL after [`child::GRACE`].

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::process::{ExitStatus, Stdio};

use anyhow::{Context as _, bail};
use camino::Utf8Path;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::ui;
use crate::workspace;

/// A command to run in the workspace's folder.
#[derive(Debug)]
pub struct Cmd {
    program: OsString,
    arguments: Vec<OsString>,
    variables: Vec<(String, String)>,
    hidden_variables: Vec<OsString>,
    stdout: Stdout,
}

/// The destination of a streamed child's stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stdout {
    /// Joins the progress.
    Stderr,
    /// Is the result itself.
    Stdout,
}

impl Cmd {
    /// A command without arguments.
    pub fn new(program: impl Into<OsString>) -> Self {
        Cmd {
            program: program.into(),
            arguments: Vec::new(),
            variables: Vec::new(),
            hidden_variables: Vec::new(),
            stdout: Stdout::Stderr,
        }
    }

    /// The cargo that runs xtask, so that both use the same toolchain; without [`child::variables_of_our_package`].
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

    /// Passes the child's stdout through to ours: its output is the result.
    pub fn inherit_stdout(mut self) -> Self {
        self.stdout = Stdout::Stdout;
        self
    }

    /// Runs it with its output shown; a failing status is an error.
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

    /// Runs it and returns its stdout, without the last line break; a failing status is an error with its stderr.
    pub async fn read(self) -> anyhow::Result<String> {
        let output = self.capture().await?;
        self.check(output.status, &output.stderr)?;
        Ok(output.stdout)
    }

    /// Runs it and returns its status and output; a failing status is not an error.
    pub async fn capture(&self) -> anyhow::Result<Captured> {
        let mut group = self.spawn(Stdio::null(), Stdio::piped(), Stdio::piped())?;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut stdout = group.child.stdout.take().context("stdout is piped")?;
        let mut stderr = group.child.stderr.take().context("stderr is piped")?;
        let (status, ..) =
            tokio::try_join!(group.child.wait(), stdout.read_to_end(&mut out), stderr.read_to_end(&mut err))
                .with_context(|| format!("failed to read the output of `{self}`"))?;
        let [stdout, stderr] =
            [out, err].map(|bytes| String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned());
        Ok(Captured { status, stdout, stderr })
    }

    /// Runs it, passes each line of its stderr to `on_line`, discards its stdout, and returns its status.
    pub async fn stderr_lines(&self, mut on_line: impl FnMut(&str)) -> anyhow::Result<ExitStatus> {
        ui::command(&self.to_string());
        let mut group = self.spawn(Stdio::null(), Stdio::null(), Stdio::piped())?;
        let mut lines = BufReader::new(group.child.stderr.take().context("stderr is piped")?).lines();
        while let Some(line) = lines.next_line().await.with_context(|| format!("failed to read from `{self}`"))? {
            on_line(&line);
        }
        group.child.wait().await.with_context(|| format!("failed to wait for `{self}`"))
    }

    /// Starts it with its standard input and output as pipes.
    pub fn spawn_piped(&self) -> anyhow::Result<PipedChild> {
        let mut group = self.spawn(Stdio::piped(), Stdio::piped(), Stdio::null())?;
        let stdin = group.child.stdin.take().context("stdin is piped")?;
        let stdout = group.child.stdout.take().context("stdout is piped")?;
        Ok(PipedChild { stdin, stdout: BufReader::new(stdout), _group: group })
    }

    /// Returns an error for a failing status, with the command line.
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
        let child = command.spawn().with_context(|| {
            format!("failed to run `{self}`; `cargo xtask doctor` lists the programs that are missing")
        })?;
        Ok(Group { child })
    }
}

impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = Utf8Path::new(self.program.to_str().unwrap_or("?"));
        // Scripts of the checkout keep their relative path; of an absolute path (cargo's) only the file name matters.
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

/// The status and output of a child that has ended.
#[derive(Debug)]
pub struct Captured {
    /// The exit status; may be a failure.
    pub status: ExitStatus,
    /// Stdout without the last line break.
    pub stdout: String,
    /// Stderr without the last line break.
    pub stderr: String,
}

/// A running child with pipes to it. Its process group ends when this is dropped.
#[derive(Debug)]
pub struct PipedChild {
    /// The child's input.
    pub stdin: ChildStdin,
    /// The child's output.
    pub stdout: BufReader<ChildStdout>,
    // Dropped last: the child's input closes before the signal.
    _group: Group,
}

/// A running child and its process group, which ends when this is dropped.
#[derive(Debug)]
struct Group {
    child: Child,
}

impl Drop for Group {
    fn drop(&mut self) {
        // Without an id the child has been waited for.
        let Some(id) = self.child.id() else { return };
        child::end_group(id, || matches!(self.child.try_wait(), Ok(None)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn a_command_is_displayed_as_typed_in_a_shell_without_values_of_variables() {
        let cmd = Cmd::new("/usr/bin/docker").args(["run", "a b", "", "it's"]).env("PASSWORD", "hidden");
        assert_eq!(cmd.to_string(), r"docker run 'a b' '' 'it'\''s'");
    }

    #[test]
    fn a_failure_contains_the_command_and_its_stderr() {
        let error = block_on(Cmd::new("sh").args(["-c", "echo out; echo wrong >&2; exit 3"]).read()).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c 'echo out; echo wrong >&2; exit 3'` failed (exit status: 3)\nwrong");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = block_on(Cmd::new("no-such-program").read()).unwrap_err();
        assert!(error.to_string().starts_with("failed to run `no-such-program`; `cargo xtask doctor`"), "{error}");
    }

    #[test]
    #[cfg(unix)]
    fn dropping_a_command_ends_its_grandchildren() {
        use std::time::{Duration, Instant};

        let began = Instant::now();
        let pid = block_on(async {
            let cmd = Cmd::new("sh").args(["-c", "sleep 60 & echo $! >&2; wait"]);
            let (sender, receiver) = std::sync::mpsc::channel();
            let lines = cmd.stderr_lines(move |line| sender.send(line.to_owned()).unwrap());
            tokio::time::timeout(Duration::from_millis(500), lines).await.unwrap_err();
            receiver.recv().unwrap()
        });
        let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        // Gone, or a zombie that only its adoptive parent can reap.
        let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state}");
        assert!(began.elapsed() < child::GRACE, "{:?}", began.elapsed());
    }
}
