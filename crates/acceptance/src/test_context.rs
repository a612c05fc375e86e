//! The context of one check: its network, databases and containers, and the evidence that it collects.

use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use futures_util::future::{join_all, try_join_all};

use crate::container::{BootSpec, Container, EndedContainer};
use crate::database::TestDatabase;
use crate::end_state::EndState;
use crate::model::{Evidence, EvidenceFigure, LogExcerpt};
use crate::servers::{Servers, WITHOUT_FSYNC};
use crate::suite_context::{PATIENCE, SuiteContext};

/// Host name of a check's own database server in its network; the shared server is `db`.
pub const OWN_SERVER: &str = "own-db";
/// Number of lines of each container's log in a report.
const EXCERPT: usize = 40;

/// The context of one check.
pub struct TestContext {
    /// The context that all checks of a run share.
    pub suite: Rc<SuiteContext>,
    /// The database servers of the run.
    pub servers: Rc<Servers>,
    /// The evidence collected so far.
    pub evidence: Evidence,
    name: &'static str,
    network: Option<String>,
    containers: Vec<Container>,
    /// Stacks of the swarm.
    stacks: Vec<String>,
}

impl TestContext {
    /// Creates a context without a network, databases or containers.
    pub fn new(suite: Rc<SuiteContext>, servers: Rc<Servers>, name: &'static str) -> TestContext {
        let (network, containers, stacks) = Default::default();
        TestContext { suite, servers, evidence: Evidence::default(), name, network, containers, stacks }
    }

    /// The check's name, or, for a mutant, that of the broken image; unique in the run.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Takes over a container, which is then removed with the context.
    pub fn keep(&mut self, container: Container) {
        self.containers.push(container);
    }

    /// Takes over a stack of the swarm and its secrets, which are then removed with the context.
    pub fn keep_stack(&mut self, name: &str) {
        self.stacks.push(name.to_owned());
    }

    /// Adds a figure or fact to the evidence.
    pub fn figure(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.evidence.figures.push(EvidenceFigure::new(name, value));
    }

    /// Adds a line of a log to the evidence.
    pub fn line(&mut self, line: impl Into<String>) {
        self.evidence.lines.push(line.into());
    }

    /// Adds the first line of a log with these words to the evidence. It is an error if there is no such line.
    pub fn line_with(&mut self, log: &[String], words: &str) -> anyhow::Result<()> {
        self.line(log.iter().find(|line| line.contains(words)).with_context(|| format!("the log has no `{words}`"))?);
        Ok(())
    }

    /// The check's network, created by the first call.
    pub async fn network(&mut self) -> anyhow::Result<String> {
        if let Some(network) = &self.network {
            return Ok(network.clone());
        }
        let SuiteContext { engine, session, .. } = &*self.suite;
        let network = engine.create_network(&format!("{}-{}", session.id(), self.name), session.labels()).await?;
        self.network = Some(network.clone());
        Ok(network)
    }

    /// Starts a separate server with an empty database, for checks that kill or freeze it.
    pub async fn own_server(&mut self) -> anyhow::Result<(Container, TestDatabase)> {
        let suite = Rc::clone(&self.suite);
        self.server_of(&suite.subject.database).await
    }

    /// Starts a separate server of another image with an empty database.
    pub async fn server_of(&mut self, image: &str) -> anyhow::Result<(Container, TestDatabase)> {
        let network = Some((self.network().await?, OWN_SERVER.to_owned()));
        let (id, database) = self.servers.start_image(image, network, &WITHOUT_FSYNC).await?;
        let container = Container::of_server(id, OWN_SERVER, &self.suite);
        self.containers.push(container.clone());
        Ok((container, database))
    }

    /// Restarts a killed server, and returns its database with the new port.
    pub async fn restart_server(&self, server: &Container, database: &TestDatabase) -> anyhow::Result<TestDatabase> {
        server.restart().await?;
        let database = database.at(self.suite.engine.published_port(&server.id, 5432).await?);
        database.answers().await?;
        Ok(database)
    }

    /// Creates an empty database on the shared server; `name` is unique in the check.
    pub async fn empty_database(&mut self, name: &str) -> anyhow::Result<TestDatabase> {
        let network = self.network().await?;
        self.servers.empty(&network, &format!("{}-{name}", self.name)).await
    }

    /// Creates a booted database on the shared server; `name` is unique in the check.
    pub async fn booted_database(&mut self, name: &str) -> anyhow::Result<TestDatabase> {
        let network = self.network().await?;
        self.servers.booted(&network, &format!("{}-{name}", self.name)).await
    }

    /// The end state of an undisturbed boot of the image.
    pub async fn undisturbed_state(&mut self) -> anyhow::Result<EndState> {
        let network = self.network().await?;
        self.servers.undisturbed_state(&network).await
    }

    /// The output of `pg_dump` for a database on the shared server.
    pub async fn dump(&self, database: &TestDatabase) -> anyhow::Result<String> {
        self.servers.dump(database).await
    }

    /// Fails with `claim` and the first line that differs if a dump of the database is not the same as `before`.
    pub async fn expect_same_dump(&self, database: &TestDatabase, before: &str, claim: &str) -> anyhow::Result<()> {
        let now = self.dump(database).await?;
        let (mut old, mut new) = (before.lines(), now.lines());
        loop {
            match (old.next(), new.next()) {
                (None, None) => return Ok(()),
                (old, new) if old == new => {}
                (old, new) => bail!("{claim}: pg_dump has {new:?} instead of {old:?}"),
            }
        }
    }

    /// The specification of a container of the image, configured as in production.
    pub fn boot(&self, name: &str, database: &TestDatabase) -> BootSpec {
        BootSpec::new(&self.suite, name, database)
    }

    /// Starts a container of the image.
    pub async fn start(&mut self, spec: BootSpec) -> anyhow::Result<Container> {
        let network = self.network().await?;
        let container = spec.start(&self.suite, Some(network)).await?;
        self.containers.push(container.clone());
        Ok(container)
    }

    /// Starts containers of the image at the same time: all of them are created before the first one is started.
    pub async fn start_all(&mut self, specs: Vec<BootSpec>) -> anyhow::Result<Vec<Container>> {
        let network = self.network().await?;
        let created = specs.into_iter().map(|spec| spec.create(&self.suite, Some(network.clone())));
        let created = try_join_all(created).await?;
        self.containers.extend(created.iter().cloned());
        try_join_all(created.iter().map(Container::restart)).await?;
        let began = Instant::now();
        Ok(created.into_iter().map(|container| container.started(began)).collect())
    }

    /// Starts a container and waits for its end, with any exit code.
    pub async fn run(&mut self, spec: BootSpec) -> anyhow::Result<EndedContainer> {
        self.start(spec).await?.ended(PATIENCE).await
    }

    /// Runs `entrypoint boot`, and adds its timeline to the evidence. A failed boot is an error.
    pub async fn boot_once(&mut self, name: &str, database: &TestDatabase) -> anyhow::Result<EndedContainer> {
        let ended = self.run(self.boot(name, database).command(["boot"])).await?;
        self.evidence.boots.push(ended.timeline(name));
        ended.expect_success(name)?;
        Ok(ended)
    }

    /// The last lines of every container's log.
    pub async fn excerpts(&self) -> Vec<LogExcerpt> {
        let mut excerpts = Vec::new();
        for container in &self.containers {
            let lines = self.suite.engine.last_lines(&container.id, EXCERPT).await.unwrap_or_default();
            excerpts.push(LogExcerpt {
                container: container.name.clone(),
                lines: lines.lines().map(str::to_owned).collect(),
            });
        }
        excerpts
    }

    /// The commands that show the logs of the containers.
    pub fn log_commands(&self) -> Vec<String> {
        self.containers.iter().map(|container| format!("docker logs {}  # {}", container.id, container.name)).collect()
    }

    /// Removes the containers and the network. Databases on the shared server are removed with that server.
    pub async fn remove(self) -> anyhow::Result<()> {
        let engine = &self.suite.engine;
        for stack in &self.stacks {
            engine.remove_stack(stack).await?;
        }
        let removed = join_all(self.containers.iter().map(|container| engine.remove(&container.id))).await;
        // Checked at the end, so that a failed removal does not keep the other containers.
        removed.into_iter().collect::<anyhow::Result<()>>()?;
        if let Some(network) = &self.network {
            self.servers.leave(network).await?;
            engine.remove_network(network).await?;
        }
        Ok(())
    }
}
