//! The stack of the repository on a swarm: replicas of the image, PostgreSQL and Redis as in `deploy/stack.yaml`, and a
//! proxy in front of them.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, bail, ensure};
use camino::Utf8PathBuf;
use contract::DEFAULT_PORT;
use serde_json::{Value, json};
use testbed::api::{self, Api};
use testbed::cmd::Cmd;
use testbed::engine::{ContainerEvent, SwarmTask};
use testbed::workspace;

use super::http::Target;
use super::images::SwarmImages;
use super::second_engine::{self, other_images};
use super::watch::ContainerWatch;
use crate::check::NotRun;
use crate::database::{self, TestDatabase};
use crate::suite_context::{ADMIN, PATIENCE, Secrets, SuiteContext};
use crate::test_context::TestContext;

/// The stack that a team deploys.
const STACK: &str = "deploy/stack.yaml";
/// Interval between queries of the swarm's state.
const POLL: Duration = Duration::from_millis(250);
/// The proxy's settings.
const PROXY: &str = include_str!("haproxy.cfg");
/// A deployed stack.
pub(crate) struct Cluster {
    suite: Rc<SuiteContext>,
    name: String,
    images: SwarmImages,
    replicas: usize,
    folder: Utf8PathBuf,
    /// The first database of its server.
    pub(crate) database: TestDatabase,
    /// The events of its containers since before its start.
    pub(crate) watch: ContainerWatch,
    /// The time before it was deployed.
    pub(crate) began: SystemTime,
}

impl Cluster {
    /// Deploys the stack with this many replicas of an image on an empty database, without waiting for them.
    pub(crate) async fn deploy(
        test: &mut TestContext,
        images: SwarmImages,
        image: &str,
        replicas: usize,
    ) -> anyhow::Result<Cluster> {
        let suite = Rc::clone(&test.suite);
        if !workspace::path(STACK).is_file() {
            return Err(NotRun(format!("there is no {STACK}")).into());
        }
        let name = test.name().to_owned();
        let folder = second_engine::folder().join(&name);
        std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {folder}"))?;
        let Secrets { database: password, secret, admin } = &suite.secrets;
        for (secret, value) in
            [("db_password", password), ("secret", secret), ("admin_password", admin), ("redis_password", secret)]
        {
            suite.engine.create_secret(&format!("{name}_{secret}"), value).await?;
        }
        test.keep_stack(&name);
        let watch = ContainerWatch::start(&suite.engine);
        let began = SystemTime::now();
        let database = TestDatabase::first("postgres", 0, password.clone());
        let mut cluster = Cluster { suite, name, images, replicas, folder, database, watch, began };
        cluster.apply(image).await?;
        cluster.database = cluster.started_database().await?;
        Ok(cluster)
    }

    /// Deploys the stack again with another image, as an operator does, and returns at once.
    pub(crate) async fn apply(&self, image: &str) -> anyhow::Result<()> {
        let [redis, proxy] = other_images(&self.suite.engine).await?;
        let overrides = self.folder.join("overrides.json");
        let document = overrides_of(&self.folder, &proxy);
        std::fs::write(self.folder.join("haproxy.cfg"), PROXY).context("failed to write the proxy's settings")?;
        std::fs::write(&overrides, document.to_string()).with_context(|| format!("failed to write {overrides}"))?;
        let mut cmd = Cmd::new("docker").args(["stack", "deploy", "--resolve-image", "never"]);
        for file in [workspace::path(STACK), overrides] {
            cmd = cmd.arg("--compose-file").arg(file);
        }
        for (variable, value) in [
            ("IMAGE", self.images.repository()),
            ("TAG", image),
            ("SECRETS", &self.name),
            ("PUBLIC_URL", "http://localhost:8055"),
            ("ADMIN_EMAIL", ADMIN),
            ("DB_USER", database::USER),
            ("DB_DATABASE", database::FIRST),
            ("POSTGRES_IMAGE", &self.suite.subject.database),
            ("REDIS_IMAGE", &redis),
            ("REPLICAS", &self.replicas.to_string()),
            // This kernel may lack IPVS, and the proxy balances anyway. Each replica has a port, too.
            ("ENDPOINT_MODE", "dnsrr"),
            ("PUBLISH_MODE", "host"),
            ("PUBLISHED_PORT", "0"),
            ("MONITOR", "10s"),
        ] {
            cmd = cmd.env(variable, value);
        }
        cmd.arg(&self.name).read().await.context("failed to deploy the stack")?;
        Ok(())
    }

    /// The full name of one of its services.
    pub(crate) fn service(&self, name: &str) -> String {
        format!("{}_{name}", self.name)
    }

    /// The tasks of a service that run; with a health check, those that are healthy.
    pub(crate) async fn running(&self, service: &str) -> anyhow::Result<Vec<SwarmTask>> {
        let tasks = self.suite.engine.tasks(&[&self.service(service)]).await?;
        Ok(tasks.into_iter().filter(SwarmTask::is_healthy).collect())
    }

    /// Waits until all replicas run, and returns their tasks.
    pub(crate) async fn replicas(&self) -> anyhow::Result<Vec<SwarmTask>> {
        let began = Instant::now();
        loop {
            let running = self.running("directus").await?;
            if running.len() == self.replicas {
                return Ok(running);
            }
            if began.elapsed() > PATIENCE {
                bail!("{} of {} replicas run after {} s", running.len(), self.replicas, PATIENCE.as_secs());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Updates the replicas to another image, waits for the end of the update, and returns its state, such as `completed`.
    pub(crate) async fn update(&self, image: &str) -> anyhow::Result<String> {
        let (service, began) = (self.service("directus"), Instant::now());
        self.apply(image).await?;
        let mut has_begun = false;
        loop {
            let state = self.suite.engine.update_state(&service).await?;
            let runs = matches!(state.as_str(), "updating" | "rollback_started");
            if has_begun && !runs {
                return Ok(state);
            }
            has_begun |= runs;
            ensure!(began.elapsed() < PATIENCE, "the update is `{state}` after {} s", PATIENCE.as_secs());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Changes the number of replicas, with this image.
    pub(crate) async fn scale(&mut self, replicas: usize, image: &str) -> anyhow::Result<()> {
        self.replicas = replicas;
        self.apply(image).await
    }

    /// Replaces all replicas by new ones of the same image, and returns at once.
    pub(crate) async fn restart_replicas(&self) -> anyhow::Result<()> {
        let update = ["service", "update", "--detach", "--force", "--quiet"];
        Cmd::new("docker").args(update).arg(self.service("directus")).read().await?;
        Ok(())
    }

    /// Kills the only container of a service, and starts no other for a while. Returns once the next one runs.
    pub(crate) async fn outage(&self, service: &str, duration: Duration) -> anyhow::Result<()> {
        let scale = async |number: usize| {
            let scaled = format!("{}={number}", self.service(service));
            Cmd::new("docker").args(["service", "scale", "--detach", &scaled]).read().await
        };
        for task in self.running(service).await? {
            self.suite.engine.kill(task.container(), "SIGKILL").await?;
        }
        scale(0).await?;
        tokio::time::sleep(duration).await;
        scale(1).await?;
        let began = Instant::now();
        while self.running(service).await?.is_empty() {
            ensure!(began.elapsed() < PATIENCE, "{service} does not run again after {} s", PATIENCE.as_secs());
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// The containers of a service that have ended so far.
    pub(crate) fn ended(&self, service: &str) -> BTreeSet<String> {
        let events = self.watch.events(&self.service(service));
        events.into_iter().filter(|event| event.action == "die").map(|event| event.container).collect()
    }

    /// Waits for an event of a replica's container.
    pub(crate) async fn until_event(&self, container: &str, action: &str) -> anyhow::Result<()> {
        let (service, began) = (self.service("directus"), Instant::now());
        let is_it = |event: &ContainerEvent| event.container == container && event.action == action;
        while !self.watch.events(&service).iter().any(is_it) {
            ensure!(began.elapsed() < PATIENCE, "no `{action}` of a replica within {} s", PATIENCE.as_secs());
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// The container of the replica with this number, healthy or not.
    pub(crate) async fn container_in_slot(&self, slot: i64) -> anyhow::Result<String> {
        let tasks = self.suite.engine.tasks(&[&self.service("directus")]).await?;
        let task = tasks.iter().find(|task| task.slot() == slot && task.is_wanted() && !task.container().is_empty());
        Ok(task.with_context(|| format!("replica {slot} has no container"))?.container().to_owned())
    }

    /// The port on loopback of the only container of a service, once it runs.
    pub(crate) async fn port(&self, service: &str, port: u16) -> anyhow::Result<u16> {
        let began = Instant::now();
        loop {
            if let Some(task) = self.running(service).await?.first() {
                return self.suite.engine.published_port(task.container(), port).await;
            }
            ensure!(began.elapsed() < PATIENCE, "{service} does not run after {} s", PATIENCE.as_secs());
            tokio::time::sleep(POLL).await;
        }
    }

    /// The port on loopback of a replica.
    pub(crate) async fn replica_port(&self, task: &SwarmTask) -> anyhow::Result<u16> {
        self.suite.engine.published_port(task.container(), DEFAULT_PORT).await
    }

    /// The database of the server that runs now, once it answers.
    pub(crate) async fn started_database(&self) -> anyhow::Result<TestDatabase> {
        let database = self.database.at(self.port("postgres", 5432).await?);
        database.answers().await?;
        Ok(database)
    }

    /// Logs in at the proxy as the administrator, once it has a replica.
    pub(crate) async fn target(&self) -> anyhow::Result<Target> {
        let port = self.port("proxy", DEFAULT_PORT).await?;
        let began = Instant::now();
        while !api::ping(port).await {
            ensure!(began.elapsed() < PATIENCE, "the proxy has no replica after {} s", PATIENCE.as_secs());
            tokio::time::sleep(POLL).await;
        }
        let api = Api::login(format!("http://127.0.0.1:{port}"), ADMIN, &self.suite.secrets.admin).await?;
        Ok(Target { port, token: api.token().to_owned() })
    }

    /// The lines of the logs of all replicas that ever ran and are still known, by container.
    pub(crate) async fn logs(&self) -> anyhow::Result<Vec<(String, Vec<String>)>> {
        let mut logs = Vec::new();
        for task in self.suite.engine.tasks(&[&self.service("directus")]).await? {
            // The container of a task that was never started, or that the swarm has removed.
            if let Ok(lines) = self.suite.engine.timed_lines_so_far(task.container()).await {
                logs.push((task.container().to_owned(), lines));
            }
        }
        Ok(logs)
    }
}

/// The part of the stack that only the check has: the proxy, and a port of PostgreSQL for the check's queries.
fn overrides_of(folder: &camino::Utf8Path, proxy: &str) -> Value {
    let port = |target: u16| json!([{ "target": target, "published": 0, "mode": "host" }]);
    json!({
        "version": "3.8",
        "services": {
            "postgres": { "ports": port(5432), "networks": ["public"] },
            "proxy": {
                "image": proxy,
                "ports": port(DEFAULT_PORT),
                "networks": ["public"],
                "configs": [{ "source": "proxy", "target": "/usr/local/etc/haproxy/haproxy.cfg" }],
                "deploy": { "endpoint_mode": "dnsrr" },
            },
        },
        "configs": { "proxy": { "file": folder.join("haproxy.cfg").as_str() } },
    })
}
