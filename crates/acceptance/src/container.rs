//! A container of the image: how it is configured, what it says, and how it ends.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use contract::{self, Event, ExitCode, LogLine, Phase};
use futures_util::{StreamExt as _, TryStreamExt as _};
use testbed::api::{self, Api};
use testbed::engine::{ContainerSpec, State};

use crate::database::{self, Database};
use crate::model::{BootTimeline, PhaseTime};
use crate::setting::{ADMIN, PATIENCE, Secrets, Setting};

/// Interval of the engine's health checks where no check looks at the health: each of them starts a process, and takes
/// time from the others.
const NEVER: Duration = Duration::from_secs(86_400);
/// Interval at which a container is asked whether it serves.
const ASK: Duration = Duration::from_millis(50);
/// Interval at which the engine is asked whether a container still runs.
const STILL_RUNS: Duration = Duration::from_millis(500);

/// A container of the image that is not started yet.
#[derive(Clone, Debug)]
pub struct BootSpec {
    name: String,
    spec: ContainerSpec,
    variables: BTreeMap<String, String>,
}

impl BootSpec {
    /// As in production: read-only root, no capabilities, tmpfs where it writes, variables, its port on loopback.
    pub fn new(setting: &Setting, name: &str, database: &Database) -> BootSpec {
        let Secrets { database: password, secret, admin } = &setting.secrets;
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
        if let Some(options) = &setting.options {
            variables.insert("PGOPTIONS".to_owned(), options.clone());
        }
        let spec = ContainerSpec {
            image: setting.subject.image.clone(),
            port: Some(contract::DEFAULT_PORT),
            tmpfs: vec![
                ("/tmp", "mode=1777"),
                ("/home/node/.pm2", "uid=1000,gid=1000,mode=0700"),
                ("/directus/uploads", "uid=1000,gid=1000,mode=0700"),
            ],
            check_every: Some(NEVER),
            hardened: true,
            ..ContainerSpec::default()
        };
        BootSpec { name: name.to_owned(), spec, variables }
    }

    /// Sets a variable.
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// Takes a variable away.
    pub fn without(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    /// Other arguments than none, which means `start`.
    pub fn command<const N: usize>(mut self, command: [&str; N]) -> Self {
        self.spec.command = Some(command.map(str::to_owned).to_vec());
        self
    }

    /// Has the engine ask for its health that often; for checks that look at what the engine thinks of it.
    pub fn asked_every(mut self, interval: Duration) -> Self {
        self.spec.check_every = Some(interval);
        self
    }

    /// Puts a file into it. Its root file system is writable then, else nothing could be put there.
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.spec.files.push((path.to_owned(), content.into()));
        self.spec.hardened = false;
        self
    }

    /// Changes anything else of it.
    pub fn with(mut self, change: impl FnOnce(&mut ContainerSpec)) -> Self {
        change(&mut self.spec);
        self
    }

    /// Starts it in a network; [`crate::case::Case::start`] also keeps it for the report and removes it.
    pub async fn start(self, setting: &Rc<Setting>, network: Option<String>) -> anyhow::Result<Container> {
        let container = self.create(setting, network).await?;
        container.restart().await?;
        Ok(Container { ready: Instant::now(), ..container })
    }

    /// Makes it in a network without starting it.
    pub async fn create(self, setting: &Rc<Setting>, network: Option<String>) -> anyhow::Result<Container> {
        let spec = ContainerSpec {
            variables: self.variables.into_iter().collect(),
            network: network.map(|network| (network, self.name.clone())),
            ..self.spec
        };
        let id = setting.engine.create(&setting.run, spec).await?;
        Ok(Container { id, name: self.name, setting: Rc::clone(setting), ready: Instant::now() })
    }
}

/// A container.
#[derive(Clone)]
pub struct Container {
    /// Its id in the engine.
    pub id: String,
    /// The host name that others reach it by.
    pub name: String,
    setting: Rc<Setting>,
    /// When it was started.
    ready: Instant,
}

impl Container {
    /// A container of a database server.
    pub(crate) fn of_server(id: String, name: &str, setting: &Rc<Setting>) -> Container {
        Container { id, name: name.to_owned(), setting: Rc::clone(setting), ready: Instant::now() }
    }

    /// The same, started at that moment.
    pub(crate) fn started(self, at: Instant) -> Container {
        Container { ready: at, ..self }
    }

    /// Everything that it has said so far.
    pub async fn log(&self) -> anyhow::Result<Vec<String>> {
        self.setting.engine.lines_so_far(&self.id).await
    }

    /// Waits for a line of its log, from its first one on, and returns it. A container that ends first is an error.
    pub async fn line(&self, what: &str, wanted: impl Fn(&str) -> bool) -> anyhow::Result<String> {
        let mut log = std::pin::pin!(self.setting.engine.log(&self.id));
        let search = async {
            while let Some(line) = log.next().await {
                let line = line?;
                if wanted(&line) {
                    return Ok(Some(line));
                }
            }
            anyhow::Ok(None)
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(line) => line?.with_context(|| format!("{} ended without a line with {what}", self.name)),
            Err(_) => bail!("{} said nothing with {what} within {} s", self.name, PATIENCE.as_secs()),
        }
    }

    /// Waits for a line that contains a text.
    pub async fn says(&self, text: &str) -> anyhow::Result<String> {
        self.line(&format!("`{text}`"), |line| line.contains(text)).await
    }

    /// Waits until a query to the database that it works on says true. A container that ends first is an error.
    pub async fn until(&self, database: &Database, query: &str) -> anyhow::Result<()> {
        tokio::select! {
            seen = database.wait_until(query) => seen,
            ended = self.ended(PATIENCE) => {
                let ended = ended?;
                bail!("{} ended with {} before this was true: {query}: {}", self.name, ended.code, ended.last_line())
            }
        }
    }

    /// Waits until it has ended, and returns how.
    pub async fn ended(&self, patience: Duration) -> anyhow::Result<Ended> {
        let began = Instant::now();
        // The engine closes the log when the container ends: it need not be asked again and again, which takes from twenty
        // boots at once what they need. Should it not close it, it is asked after all.
        let mut closed = std::pin::pin!(self.setting.engine.log(&self.id).try_collect());
        let mut lines: Option<Vec<String>> = None;
        loop {
            if lines.is_none() {
                lines = tokio::time::timeout(STILL_RUNS, &mut closed).await.ok().transpose()?;
            }
            match self.state().await? {
                State::Exited(code) => {
                    let lines = if let Some(lines) = lines { lines } else { self.log().await? };
                    return Ok(Ended { code, lines });
                }
                _ if began.elapsed() > patience => bail!("{} still runs after {} s", self.name, patience.as_secs()),
                _ if lines.is_some() => tokio::time::sleep(Duration::from_millis(5)).await,
                _ => {}
            }
        }
    }

    /// Waits until its server answers a ping, and returns how long that took from its start.
    ///
    /// Asked from here, over its published port: each of the engine's own checks starts a process in the container,
    /// which is too dear to be made often.
    pub async fn serving(&self) -> anyhow::Result<Duration> {
        let waiting = Instant::now();
        loop {
            // Before the port: a container that has ended has none.
            if let State::Exited(code) = self.state().await? {
                let last = self.log().await?.pop().unwrap_or_default();
                bail!("{} ended with {code} before it served: {last}", self.name);
            }
            let port = self.setting.engine.published_port(&self.id, contract::DEFAULT_PORT).await;
            let asked = Instant::now();
            while asked.elapsed() < STILL_RUNS {
                if let Ok(port) = port
                    && api::ping(port).await
                {
                    return Ok(self.ready.elapsed());
                }
                tokio::time::sleep(ASK).await;
            }
            ensure!(waiting.elapsed() < PATIENCE, "{} does not serve after {} s", self.name, PATIENCE.as_secs());
        }
    }

    /// Waits until it serves, and until the engine has seen that too; returns how long the first took from its start.
    pub async fn healthy(&self) -> anyhow::Result<Duration> {
        let served = self.serving().await?;
        self.setting.engine.wait_healthy(&self.id, PATIENCE).await.with_context(|| self.name.clone())?;
        Ok(served)
    }

    /// Its state.
    pub async fn state(&self) -> anyhow::Result<State> {
        self.setting.engine.state(&self.id).await
    }

    /// Sends a signal to its first process.
    pub async fn kill(&self, signal: &str) -> anyhow::Result<()> {
        self.setting.engine.kill(&self.id, signal).await
    }

    /// Asks it to stop, as `docker stop` does.
    pub async fn stop(&self) -> anyhow::Result<Duration> {
        self.setting.engine.stop(&self.id).await
    }

    /// Starts it again.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.setting.engine.start(&self.id).await
    }

    /// Freezes it.
    pub async fn pause(&self) -> anyhow::Result<()> {
        self.setting.engine.pause(&self.id).await
    }

    /// Lets it go on.
    pub async fn unpause(&self) -> anyhow::Result<()> {
        self.setting.engine.unpause(&self.id).await
    }

    /// Runs a command in it.
    pub async fn exec(&self, command: &[&str]) -> anyhow::Result<(i64, String)> {
        self.setting.engine.exec(&self.id, command).await
    }

    /// The address that it serves on, on this machine's loopback.
    pub async fn url(&self) -> anyhow::Result<String> {
        let port = self.setting.engine.published_port(&self.id, contract::DEFAULT_PORT).await?;
        Ok(format!("http://127.0.0.1:{port}"))
    }

    /// Its REST API, logged in as the administrator.
    pub async fn api(&self) -> anyhow::Result<Api> {
        Api::login(self.url().await?, ADMIN, &self.setting.secrets.admin).await
    }
}

/// The end of a container.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: i64,
    /// All that it said.
    pub lines: Vec<String>,
}

impl Ended {
    /// Its last line.
    pub fn last_line(&self) -> &str {
        self.lines.last().map_or("", String::as_str)
    }

    /// The phase that a boot got to, by its log.
    pub fn last_phase(&self) -> Option<Phase> {
        self.lines.iter().rev().find_map(|line| LogLine::parse(line)).map(|line| line.phase)
    }

    /// Checks that it failed in that phase with that exit code, and that its last line says so with these words.
    pub fn expect_failure(&self, phase: Phase, exit: ExitCode, words: &[&str]) -> anyhow::Result<()> {
        let last = self.last_line();
        let line = LogLine::parse(last).with_context(|| format!("its last line is none of the boot's: {last}"))?;
        ensure!(self.code == i64::from(exit.code()), "the exit code is {}, not {}: {last}", self.code, exit.code());
        ensure!(line.event == Event::Failed(exit.code()), "the last line says another exit code than {exit:?}: {last}");
        ensure!(line.phase == phase, "the last line names {}, not {phase}: {last}", line.phase);
        for word in words {
            ensure!(line.message.contains(word), "the last line does not say `{word}`: {last}");
        }
        Ok(())
    }

    /// The line that ended a phase, with its message; `None` if it was not reached.
    pub fn done(&self, phase: Phase) -> Option<LogLine> {
        done_lines(&self.lines).find(|line| line.phase == phase)
    }

    /// Checks what a phase said when it was done.
    pub fn expect(&self, phase: Phase, message: &str) -> anyhow::Result<()> {
        let said = self.done(phase).with_context(|| format!("{phase} was not reached: {}", self.last_line()))?.message;
        ensure!(said.contains(message), "{phase} said `{said}`, not `{message}`");
        Ok(())
    }

    /// Its phases as a picture wants them.
    pub fn timeline(&self, name: &str) -> BootTimeline {
        timeline(name, &self.lines, None)
    }
}

/// The phases of a boot, by its log.
pub fn timeline(name: &str, log: &[String], ready: Option<Duration>) -> BootTimeline {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let phases = done_lines(log).map(|line| PhaseTime {
        phase: line.phase.name().to_owned(),
        ms: if let Event::Done(took) = line.event { ms(took) } else { 0 },
        message: line.message,
    });
    BootTimeline { name: name.to_owned(), phases: phases.collect(), ready_ms: ready.map(ms) }
}

fn done_lines(log: &[String]) -> impl Iterator<Item = LogLine> {
    log.iter().filter_map(|line| LogLine::parse(line)).filter(|line| matches!(line.event, Event::Done(_)))
}
