//! The surroundings of one check: a network, databases and containers of its own, and the evidence that it gathers.

use std::rc::Rc;
use std::time::Instant;

use anyhow::ensure;
use futures_util::future::{join_all, try_join_all};

use crate::container::{BootSpec, Container, Ended};
use crate::database::Database;
use crate::end_state::EndState;
use crate::model::{Evidence, Figure, LogExcerpt};
use crate::servers::Servers;
use crate::setting::{PATIENCE, Setting};

/// The name of a case's own server in its network; the shared one is `db` there.
pub const OWN_SERVER: &str = "own-db";
/// Number of lines of a container's log in a report.
const EXCERPT: usize = 40;

/// The surroundings of one check.
pub struct Case {
    /// Shared by all checks of a run.
    pub setting: Rc<Setting>,
    /// The database servers.
    pub servers: Rc<Servers>,
    /// The evidence so far.
    pub evidence: Evidence,
    name: &'static str,
    network: Option<String>,
    containers: Vec<Container>,
}

impl Case {
    /// A case without anything in it yet.
    pub fn new(setting: Rc<Setting>, servers: Rc<Servers>, name: &'static str) -> Case {
        Case { setting, servers, evidence: Evidence::default(), name, network: None, containers: Vec::new() }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Takes over a container, to be removed with the case.
    pub fn keep(&mut self, container: Container) {
        self.containers.push(container);
    }

    /// Notes a figure or fact.
    pub fn figure(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.evidence.figures.push(Figure { name: name.into(), value: value.into() });
    }

    /// Notes a line of a log.
    pub fn line(&mut self, line: impl Into<String>) {
        self.evidence.lines.push(line.into());
    }

    /// This case's network, made when it is first asked for.
    pub async fn network(&mut self) -> anyhow::Result<String> {
        if let Some(network) = &self.network {
            return Ok(network.clone());
        }
        let Setting { engine, run, .. } = &*self.setting;
        let network = engine.create_network(&format!("{}-{}", run.id(), self.name), run.labels()).await?;
        self.network = Some(network.clone());
        Ok(network)
    }

    /// A server of this case's own, with an empty database; for checks that harm it.
    pub async fn own_server(&mut self) -> anyhow::Result<(Container, Database)> {
        let network = self.network().await?;
        let (id, database) = self.servers.start(Some((network, OWN_SERVER.to_owned()))).await?;
        let container = Container::of_server(id, OWN_SERVER, &self.setting);
        self.containers.push(container.clone());
        Ok((container, database))
    }

    /// Starts a server that was killed again, and returns its database as it is reached now.
    pub async fn server_again(&self, server: &Container, database: &Database) -> anyhow::Result<Database> {
        server.restart().await?;
        let database = database.at(self.setting.engine.published_port(&server.id, 5432).await?);
        database.answers().await?;
        Ok(database)
    }

    /// An empty database on the server that the checks share.
    pub async fn empty_database(&mut self) -> anyhow::Result<Database> {
        let network = self.network().await?;
        self.servers.empty(&network, self.name).await
    }

    /// The same under a name in this case, for a check that needs several.
    pub async fn empty_database_of(&mut self, name: &str) -> anyhow::Result<Database> {
        let network = self.network().await?;
        self.servers.empty(&network, &format!("{}-{name}", self.name)).await
    }

    /// A database on the server that the checks share, as a finished boot of the image leaves it.
    pub async fn booted_database(&mut self) -> anyhow::Result<Database> {
        let network = self.network().await?;
        self.servers.booted(&network, self.name).await
    }

    /// The same under a name in this case, for a check that needs two.
    pub async fn booted_database_of(&mut self, name: &str) -> anyhow::Result<Database> {
        let network = self.network().await?;
        self.servers.booted(&network, &format!("{}-{name}", self.name)).await
    }

    /// The end state of an undisturbed boot of the image.
    pub async fn undisturbed(&mut self) -> anyhow::Result<EndState> {
        let network = self.network().await?;
        self.servers.undisturbed(&network).await
    }

    /// The output of `pg_dump` for a database on the server that the checks share.
    pub async fn dump(&self, database: &Database) -> anyhow::Result<String> {
        self.servers.dump(database).await
    }

    /// A container of the image, configured as in production and not started yet.
    pub fn boot(&self, name: &str, database: &Database) -> BootSpec {
        BootSpec::new(&self.setting, name, database)
    }

    /// Starts a container of the image.
    pub async fn start(&mut self, spec: BootSpec) -> anyhow::Result<Container> {
        let network = self.network().await?;
        let container = spec.start(&self.setting, Some(network)).await?;
        self.containers.push(container.clone());
        Ok(container)
    }

    /// Starts containers of the image at the same moment: all are made before the first one is started.
    pub async fn start_all(&mut self, specs: Vec<BootSpec>) -> anyhow::Result<Vec<Container>> {
        let network = self.network().await?;
        let made = specs.into_iter().map(|spec| spec.create(&self.setting, Some(network.clone())));
        let made = try_join_all(made).await?;
        self.containers.extend(made.iter().cloned());
        try_join_all(made.iter().map(Container::restart)).await?;
        let began = Instant::now();
        Ok(made.into_iter().map(|container| container.started(began)).collect())
    }

    /// Boots to the end (`entrypoint boot`), notes its timeline, and returns what it said. A failed boot is an error.
    pub async fn boot_once(&mut self, name: &str, database: &Database) -> anyhow::Result<Ended> {
        let container = self.start(self.boot(name, database).command(["boot"])).await?;
        let ended = container.ended(PATIENCE).await?;
        self.evidence.boots.push(ended.timeline(name));
        ensure!(ended.code == 0, "{name} ended with {}: {}", ended.code, ended.last_line());
        Ok(ended)
    }

    /// The last lines of all containers.
    pub async fn excerpts(&self) -> Vec<LogExcerpt> {
        let mut excerpts = Vec::new();
        for container in &self.containers {
            let lines = self.setting.engine.last_lines(&container.id, EXCERPT).await.unwrap_or_default();
            excerpts.push(LogExcerpt {
                container: container.name.clone(),
                lines: lines.lines().map(str::to_owned).collect(),
            });
        }
        excerpts
    }

    /// Commands that show the logs of containers that are kept.
    pub fn how_to_look(&self) -> Vec<String> {
        self.containers.iter().map(|container| format!("docker logs {}  # {}", container.id, container.name)).collect()
    }

    /// Removes everything of this case. Databases on the shared server go with it.
    pub async fn remove(self) -> anyhow::Result<()> {
        let engine = &self.setting.engine;
        let removed = join_all(self.containers.iter().map(|container| engine.remove(&container.id))).await;
        // All first: one that cannot be removed must not keep the others.
        removed.into_iter().collect::<anyhow::Result<()>>()?;
        if let Some(network) = &self.network {
            self.servers.leave(network).await?;
            engine.remove_network(network).await?;
        }
        Ok(())
    }
}
