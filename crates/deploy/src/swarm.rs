//! A stack on the swarm of the current docker context.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use testbed::cmd::Cmd;
use testbed::compose;
use testbed::engine::{Engine, SwarmRole, SwarmService};
use testbed::ui;

use crate::replica;

/// Time for replicas to end, including their grace period. A task on a node that is down never ends.
const STOP_DEADLINE: Duration = Duration::from_secs(300);

/// The engine and the name of the stack.
#[derive(Debug)]
pub(crate) struct Swarm {
    pub(crate) engine: Engine,
    pub(crate) stack: String,
}

impl Swarm {
    /// Connects to the engine of the current context, which must manage a swarm.
    pub(crate) async fn connect(stack: &str) -> anyhow::Result<Swarm> {
        let engine = Engine::connect_anywhere().await?;
        ensure_manager(
            engine.swarm_role().await?,
            &Engine::named().unwrap_or_else(|| "the default engine".to_owned()),
        )?;
        Ok(Swarm { engine, stack: stack.to_owned() })
    }

    /// Returns the services of the stack.
    pub(crate) async fn services(&self) -> anyhow::Result<Vec<SwarmService>> {
        self.engine.stack_services(&self.stack).await
    }

    /// Returns true for the service of our image.
    pub(crate) fn boots(&self, service: &SwarmService) -> bool {
        replica::short_name(&self.stack, service) == compose::DIRECTUS
    }

    /// Returns the service of our image; a stack without it is an error.
    pub(crate) async fn directus(&self) -> anyhow::Result<SwarmService> {
        let services = self.services().await?;
        let stack = &self.stack;
        if services.is_empty() {
            bail!(
                "the swarm has no stack {stack}: `cargo xtask deploy up` starts it, `docker stack ls` lists the others"
            );
        }
        let found = services.into_iter().find(|service| self.boots(service));
        found.with_context(|| format!("the stack {stack} has no service {}", compose::DIRECTUS))
    }

    /// Returns the ids of the tasks of the stack.
    pub(crate) async fn task_ids(&self) -> anyhow::Result<BTreeSet<String>> {
        let tasks = self.engine.tasks_of(&self.services().await?).await?;
        Ok(tasks.iter().map(|task| task.id().to_owned()).collect::<BTreeSet<_>>())
    }

    /// Changes image and number of replicas of a service, by the docker command: it passes the login of the registry on to
    /// the nodes.
    pub(crate) async fn set_image(&self, service: &SwarmService, image: &str, replicas: u64) -> anyhow::Result<()> {
        let update = ["service", "update", "--detach", "--with-registry-auth", "--image", image, "--replicas"];
        run(Cmd::new("docker").args(update).args([&replicas.to_string(), service.name()])).await
    }

    /// Ends all tasks of a service, and waits until they have ended.
    pub(crate) async fn stop_all(&self, service: &SwarmService) -> anyhow::Result<()> {
        let update = ["service", "update", "--detach", "--replicas", "0", service.name()];
        run(Cmd::new("docker").args(update)).await?;
        let (services, began) = ([service.clone()], Instant::now());
        let spinner = ui::Spinner::start();
        spinner.restart("waiting for the end of the replicas");
        loop {
            let tasks = self.engine.tasks_of(&services).await?;
            let alive = tasks.iter().filter(|task| !task.has_ended()).count();
            if alive == 0 {
                return Ok(());
            }
            ensure!(
                began.elapsed() < STOP_DEADLINE,
                "{alive} replicas have not ended after {} s: `docker service ps {name}` lists them, `docker service rollback \
                 {name}` starts the others again",
                STOP_DEADLINE.as_secs(),
                name = service.name()
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Runs a docker command, and shows its output only if it fails: this program reports the progress itself.
pub(crate) async fn run(cmd: Cmd) -> anyhow::Result<()> {
    ui::command(&cmd.to_string());
    cmd.read().await.map(drop)
}

fn ensure_manager(role: SwarmRole, engine: &str) -> anyhow::Result<()> {
    match role {
        SwarmRole::Manager => Ok(()),
        SwarmRole::Worker => bail!(
            "{engine} is a worker of its swarm, and only a manager accepts deployments: select one with `docker context use NAME`"
        ),
        SwarmRole::Locked => bail!("{engine} manages a swarm that is locked: `docker swarm unlock` asks for its key"),
        SwarmRole::None => bail!(
            "{engine} belongs to no swarm: `docker swarm init` makes it the manager of a new one, `docker context use NAME` \
             selects another engine"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{SwarmRole, ensure_manager};

    #[test]
    fn an_engine_that_cannot_deploy_is_named_with_the_way_out() {
        assert!(ensure_manager(SwarmRole::Manager, "x").is_ok());
        let cases = [
            (SwarmRole::None, "`docker swarm init`"),
            (SwarmRole::Worker, "`docker context use NAME`"),
            (SwarmRole::Locked, "`docker swarm unlock`"),
        ];
        for (role, way_out) in cases {
            let error = ensure_manager(role, "DOCKER_HOST=unix:///x").unwrap_err().to_string();
            assert!(error.starts_with("DOCKER_HOST=unix:///x ") && error.contains(way_out), "{error}");
        }
    }
}
