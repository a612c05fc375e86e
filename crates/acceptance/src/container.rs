//! A container of the image: its configuration, its log and its end.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use contract::{self, Event, ExitCode, LogLine, Phase};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::Value;
use testbed::api::{self, Api};
use testbed::engine::{ContainerSpec, ContainerState};

use crate::database::{self, TestDatabase};
use crate::model::{BootTimeline, PhaseTime};
use crate::suite_context::{ADMIN, PATIENCE, Secrets, SuiteContext};

/// Interval of the engine's health checks in containers whose health is not under test: each health check starts a
/// process, which slows down the other containers.
const NEVER: Duration = Duration::from_secs(86_400);
/// Interval between pings of a server.
const PING: Duration = Duration::from_millis(50);
/// Interval between queries of a container's state.
const POLL: Duration = Duration::from_millis(500);

/// The configuration of a container of the image.
#[derive(Clone, Debug)]
pub struct BootSpec {
    name: String,
    spec: ContainerSpec,
    variables: BTreeMap<String, String>,
}

impl BootSpec {
    /// As in production: read-only root, no capabilities, a tmpfs for each writable folder, the port on loopback.
    pub fn new(suite: &SuiteContext, name: &str, database: &TestDatabase) -> BootSpec {
        let Secrets { database: password, secret, admin } = &suite.secrets;
        let mut variables = BTreeMap::new();
        for (name, value) in [
            ("DB_CLIENT", "pg"),
            ("DB_HOST", &database.host),
            ("DB_PORT", "5432"),
            ("DB_DATABASE", &database.name),
            ("DB_USER", database::USER),
            ("DB_PASSWORD", password),
            ("SECRET", secret),
            ("ADMIN_EMAIL", ADMIN),
            ("ADMIN_PASSWORD", admin),
            ("PUBLIC_URL", "http://localhost:8055"),
            ("TELEMETRY", "false"),
        ] {
            variables.insert(name.to_owned(), value.to_owned());
        }
        if let Some(options) = &database.options {
            variables.insert("PGOPTIONS".to_owned(), options.clone());
        }
        let spec = ContainerSpec {
            image: suite.subject.image.clone(),
            port: Some(contract::DEFAULT_PORT),
            tmpfs: vec![
                ("/tmp", "mode=1777"),
                ("/home/node/.pm2", "uid=1000,gid=1000,mode=0700"),
                ("/directus/uploads", "uid=1000,gid=1000,mode=0700"),
            ],
            health_interval: Some(NEVER),
            hardened: true,
            ..ContainerSpec::default()
        };
        BootSpec { name: name.to_owned(), spec, variables }
    }

    /// Sets an environment variable.
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// Removes an environment variable.
    pub fn without(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    /// Sets the arguments. Without any, the image runs `start`.
    pub fn command<const N: usize>(mut self, command: [&str; N]) -> Self {
        self.spec.command = Some(command.map(str::to_owned).to_vec());
        self
    }

    /// Sets the interval of the engine's health checks; for checks of the health that the engine reports.
    pub fn health_interval(mut self, interval: Duration) -> Self {
        self.spec.health_interval = Some(interval);
        self
    }

    /// Adds a file. This makes the root file system writable: nothing can be copied into a read-only one.
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.spec.files.push((path.to_owned(), content.into()));
        self.spec.hardened = false;
        self
    }

    /// Changes any other part of the specification.
    pub fn with(mut self, change: impl FnOnce(&mut ContainerSpec)) -> Self {
        change(&mut self.spec);
        self
    }

    /// Starts the container in a network. [`crate::test_context::TestContext::start`] also reports on it and removes it.
    pub async fn start(self, suite: &Rc<SuiteContext>, network: Option<String>) -> anyhow::Result<Container> {
        let container = self.create(suite, network).await?;
        container.restart().await?;
        Ok(Container { started_at: Instant::now(), ..container })
    }

    /// Creates the container in a network without starting it.
    pub async fn create(self, suite: &Rc<SuiteContext>, network: Option<String>) -> anyhow::Result<Container> {
        let spec = ContainerSpec {
            variables: self.variables.into_iter().collect(),
            network: network.map(|network| (network, self.name.clone())),
            ..self.spec
        };
        let id = suite.engine.create(&suite.session, spec).await?;
        Ok(Container { id, name: self.name, suite: Rc::clone(suite), started_at: Instant::now() })
    }
}

/// A container.
#[derive(Clone)]
pub struct Container {
    /// The container's id in the engine.
    pub id: String,
    /// The container's host name in its network.
    pub name: String,
    suite: Rc<SuiteContext>,
    started_at: Instant,
}

impl Container {
    /// A container of a database server.
    pub(crate) fn of_server(id: String, name: &str, suite: &Rc<SuiteContext>) -> Container {
        Container { id, name: name.to_owned(), suite: Rc::clone(suite), started_at: Instant::now() }
    }

    /// The same container with another time of its start.
    pub(crate) fn started(self, at: Instant) -> Container {
        Container { started_at: at, ..self }
    }

    /// Reads the log up to now.
    pub async fn log(&self) -> anyhow::Result<Vec<String>> {
        self.suite.engine.lines_so_far(&self.id).await
    }

    /// Reads the log from its start, and returns the first matching line. It is an error if the container ends first.
    pub async fn wait_for_line(&self, description: &str, matches: impl Fn(&str) -> bool) -> anyhow::Result<String> {
        let mut log = std::pin::pin!(self.suite.engine.log(&self.id));
        let search = async {
            while let Some(line) = log.next().await {
                let line = line?;
                if matches(&line) {
                    return Ok(Some(line));
                }
            }
            anyhow::Ok(None)
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(line) => line?.with_context(|| format!("{} ended without a line with {description}", self.name)),
            Err(_) => bail!("{} wrote no line with {description} within {} s", self.name, PATIENCE.as_secs()),
        }
    }

    /// Waits for a line that contains a text.
    pub async fn wait_for_text(&self, text: &str) -> anyhow::Result<String> {
        self.wait_for_line(&format!("`{text}`"), |line| line.contains(text)).await
    }

    /// Waits until a query of its database returns true. It is an error if the container ends first.
    pub async fn wait_until(&self, database: &TestDatabase, query: &str) -> anyhow::Result<()> {
        tokio::select! {
            result = database.wait_until(query) => result,
            ended = self.ended(PATIENCE) => {
                let ended = ended?;
                bail!("{} ended with {} before this was true: {query}: {}", self.name, ended.code, ended.last_line())
            }
        }
    }

    /// Waits for the container's end.
    pub async fn ended(&self, patience: Duration) -> anyhow::Result<EndedContainer> {
        let began = Instant::now();
        // The engine closes the log when the container ends, so that the state needs no busy polling, which would slow
        // down twenty boots at once. The state is still queried now and then, in case the log is not closed.
        let mut closed = std::pin::pin!(self.suite.engine.log(&self.id).try_collect());
        let mut lines: Option<Vec<String>> = None;
        loop {
            if lines.is_none() {
                lines = tokio::time::timeout(POLL, &mut closed).await.ok().transpose()?;
            }
            match self.state().await? {
                ContainerState::Exited(code) => {
                    let lines = if let Some(lines) = lines { lines } else { self.log().await? };
                    return Ok(EndedContainer { code, lines });
                }
                _ if began.elapsed() > patience => bail!("{} still runs after {} s", self.name, patience.as_secs()),
                _ if lines.is_some() => tokio::time::sleep(Duration::from_millis(5)).await,
                _ => {}
            }
        }
    }

    /// Waits until its server answers a ping, and returns the time since the container's start.
    ///
    /// Pings the published port, because each health check of the engine starts a process in the container.
    pub async fn serving(&self) -> anyhow::Result<Duration> {
        let waiting = Instant::now();
        loop {
            // Comes before the port: a container that has ended has none.
            if let ContainerState::Exited(code) = self.state().await? {
                let last = self.log().await?.pop().unwrap_or_default();
                bail!("{} ended with {code} before it served: {last}", self.name);
            }
            let port = self.suite.engine.published_port(&self.id, contract::DEFAULT_PORT).await;
            let polled = Instant::now();
            while polled.elapsed() < POLL {
                if let Ok(port) = port
                    && api::ping(port).await
                {
                    return Ok(self.started_at.elapsed());
                }
                tokio::time::sleep(PING).await;
            }
            ensure!(waiting.elapsed() < PATIENCE, "{} does not serve after {} s", self.name, PATIENCE.as_secs());
        }
    }

    /// Waits until it serves and the engine reports it healthy, and returns the time from its start until it served.
    pub async fn healthy(&self) -> anyhow::Result<Duration> {
        let served = self.serving().await?;
        self.suite.engine.wait_healthy(&self.id, PATIENCE).await.with_context(|| self.name.clone())?;
        Ok(served)
    }

    /// Queries the state, including the health, from the engine.
    pub async fn state(&self) -> anyhow::Result<ContainerState> {
        self.suite.engine.state(&self.id).await
    }

    /// Sends a signal to the first process.
    pub async fn kill(&self, signal: &str) -> anyhow::Result<()> {
        self.suite.engine.kill(&self.id, signal).await
    }

    /// Stops it as `docker stop` does, and returns the duration.
    pub async fn stop(&self) -> anyhow::Result<Duration> {
        self.suite.engine.stop(&self.id).await
    }

    /// Starts it, for the first time or again.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.suite.engine.start(&self.id).await
    }

    /// Freezes its processes.
    pub async fn pause(&self) -> anyhow::Result<()> {
        self.suite.engine.pause(&self.id).await
    }

    /// Thaws its processes.
    pub async fn unpause(&self) -> anyhow::Result<()> {
        self.suite.engine.unpause(&self.id).await
    }

    /// Runs a command in it, and returns the exit code and the output.
    pub async fn exec(&self, command: &[&str]) -> anyhow::Result<(i64, String)> {
        self.suite.engine.exec(&self.id, command).await
    }

    /// Runs a subcommand of the boot binary that prints JSON, and returns the exit code and the document.
    pub async fn json(&self, arguments: &[&str]) -> anyhow::Result<(i64, Value)> {
        let command = arguments.join(" ");
        let (code, output) = self.exec(&[&[contract::BINARY], arguments].concat()).await?;
        let line = output.lines().find(|line| line.starts_with('{'));
        let line = line.with_context(|| format!("{command} ended with {code} and printed no JSON: {output}"))?;
        Ok((code, serde_json::from_str(line).with_context(|| format!("{command} printed no JSON: {line}"))?))
    }

    /// The server's URL on this machine's loopback.
    pub async fn url(&self) -> anyhow::Result<String> {
        let port = self.suite.engine.published_port(&self.id, contract::DEFAULT_PORT).await?;
        Ok(format!("http://127.0.0.1:{port}"))
    }

    /// Logs in to the REST API as the administrator.
    pub async fn api(&self) -> anyhow::Result<Api> {
        Api::login(self.url().await?, ADMIN, &self.suite.secrets.admin).await
    }
}

/// The end of a container.
#[derive(Clone, Debug)]
pub struct EndedContainer {
    /// The exit code.
    pub code: i64,
    /// The whole log.
    pub lines: Vec<String>,
}

impl EndedContainer {
    /// The last line of the log; empty if there is none.
    pub fn last_line(&self) -> &str {
        self.lines.last().map_or("", String::as_str)
    }

    /// The phase of the boot's last line.
    pub fn last_phase(&self) -> Option<Phase> {
        self.lines.iter().rev().find_map(|line| LogLine::parse(line)).map(|line| line.phase)
    }

    /// Checks that the exit code is 0; `name` is for the error.
    pub fn expect_success(&self, name: &str) -> anyhow::Result<()> {
        ensure!(self.code == 0, "{name} ended with {}: {}", self.code, self.last_line());
        Ok(())
    }

    /// Checks that the boot failed in this phase with this exit code, and that its last line contains these words.
    pub fn expect_failure(&self, phase: Phase, exit: ExitCode, words: &[&str]) -> anyhow::Result<()> {
        let last = self.last_line();
        let line = LogLine::parse(last).with_context(|| format!("the last line is not a line of the boot: {last}"))?;
        ensure!(self.code == i64::from(exit.code()), "the exit code is {}, not {}: {last}", self.code, exit.code());
        ensure!(
            line.event == Event::Failed(exit.code()),
            "the last line names another exit code than {exit:?}: {last}"
        );
        ensure!(line.phase == phase, "the last line names {}, not {phase}: {last}", line.phase);
        for word in words {
            ensure!(line.message.contains(word), "the last line does not contain `{word}`: {last}");
        }
        Ok(())
    }

    /// Checks that a refusal names each of these losses: in its last line, or, if there are many, in a line for each.
    pub fn expect_losses(&self, losses: &[&str]) -> anyhow::Result<()> {
        for loss in losses {
            let is_named = self.lines.iter().any(|line| line.contains(loss));
            ensure!(is_named, "the refusal does not name `{loss}`: {}", self.last_line());
        }
        Ok(())
    }

    /// The line that ended a phase; `None` if the phase was not completed.
    pub fn done(&self, phase: Phase) -> Option<LogLine> {
        done_lines(&self.lines).find(|line| line.phase == phase)
    }

    /// Checks that the message that ended a phase contains these words.
    pub fn expect(&self, phase: Phase, words: &str) -> anyhow::Result<()> {
        expect_done(&self.lines, phase, words).map(drop)
    }

    /// The message that ended the schema phase; the last line if the phase was not completed.
    pub fn schema_message(&self) -> String {
        self.done(Phase::Schema).map_or_else(|| self.last_line().to_owned(), |line| line.message)
    }

    /// The digest in the last line, which allows the refused plan as the value of `SCHEMA_ALLOW_DESTRUCTIVE`.
    pub fn digest(&self) -> anyhow::Result<String> {
        let rest = self.last_line().split_once("SCHEMA_ALLOW_DESTRUCTIVE=").map(|(_, rest)| rest);
        let digest = rest.and_then(|rest| rest.split_whitespace().next()).map(str::to_owned);
        digest.with_context(|| format!("the refusal contains no digest: {}", self.last_line()))
    }

    /// The phases of the boot and their times.
    pub fn timeline(&self, name: &str) -> BootTimeline {
        timeline(name, &self.lines, None)
    }
}

/// The line of a log that ended a phase. It is an error if its message does not contain these words.
pub fn expect_done(log: &[String], phase: Phase, words: &str) -> anyhow::Result<LogLine> {
    let line = done_lines(log).find(|line| line.phase == phase);
    let line = line.with_context(|| format!("{phase} was not completed: {}", log.last().map_or("", String::as_str)))?;
    ensure!(line.message.contains(words), "{phase} reported `{}`, not `{words}`", line.message);
    Ok(line)
}

/// The phases of a boot according to its log; `ready` is the time from the container's start until it served.
pub fn timeline(name: &str, log: &[String], ready: Option<Duration>) -> BootTimeline {
    let phases = done_lines(log).map(|line| PhaseTime {
        phase: line.phase.name().to_owned(),
        ms: if let Event::Done(took) = line.event { milliseconds(took) } else { 0 },
        message: line.message,
    });
    BootTimeline { name: name.to_owned(), phases: phases.collect(), ready_ms: ready.map(milliseconds) }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn done_lines(log: &[String]) -> impl Iterator<Item = LogLine> {
    log.iter().filter_map(|line| LogLine::parse(line)).filter(|line| matches!(line.event, Event::Done(_)))
}
