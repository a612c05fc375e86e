//! A swarm of this machine alone: its secrets, stacks, services and tasks, and the events of containers.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use bollard::models::{SecretSpec, SwarmInitRequest};
use bollard::query_parameters::{EventsOptionsBuilder, ListServicesOptionsBuilder, ListTasksOptionsBuilder};
use futures_util::{Stream, StreamExt as _};

use super::{Engine, STACK_LABEL, label_filter};

/// One task of a service: a container that runs, ran or will run.
#[derive(Clone, Debug)]
pub struct ServiceTask {
    /// The number of the replica, from 1.
    pub slot: i64,
    /// The name of its image.
    pub image: String,
    /// Its state in lower case, such as `running` or `failed`. A task with a health check runs once it is healthy.
    pub state: String,
    /// True if it is to run; false once it was replaced.
    pub is_wanted: bool,
    /// The container's id; empty before it exists.
    pub container: String,
    /// The reason of its failure; empty without one.
    pub error: String,
}

/// An event of a container.
#[derive(Clone, Debug)]
pub struct ContainerEvent {
    /// Time since 1970.
    pub at: Duration,
    /// The container's id.
    pub container: String,
    /// Such as `start`, `kill`, `die` or `health_status: healthy`.
    pub action: String,
    /// Its labels and the parameters of the action, such as `signal` and `exitCode`.
    pub attributes: HashMap<String, String>,
}

impl Engine {
    /// Turns the engine into a swarm that listens on its loopback only. Never call it on a developer's engine.
    pub async fn init_swarm(&self) -> anyhow::Result<()> {
        let loopback = Some("127.0.0.1".to_owned());
        let request =
            SwarmInitRequest { listen_addr: loopback.clone(), advertise_addr: loopback, ..SwarmInitRequest::default() };
        self.docker.init_swarm(request).await.context("failed to start a swarm")?;
        Ok(())
    }

    /// Creates a secret of the swarm.
    pub async fn create_secret(&self, name: &str, value: &str) -> anyhow::Result<()> {
        let data = Some(base64::engine::general_purpose::STANDARD.encode(value));
        let spec = SecretSpec { name: Some(name.to_owned()), data, ..SecretSpec::default() };
        self.docker.create_secret(spec).await.with_context(|| format!("failed to create secret {name}"))?;
        Ok(())
    }

    /// Removes the services of a stack, their containers at once, and then its networks and volumes.
    pub async fn remove_stack(&self, stack: &str) -> anyhow::Result<()> {
        let label = format!("{STACK_LABEL}={stack}");
        let options = ListServicesOptionsBuilder::default().filters(&label_filter(&label)).build();
        let services = self.docker.list_services(Some(options)).await.context("failed to list services")?;
        for id in services.into_iter().filter_map(|service| service.id) {
            self.docker.delete_service(&id).await.with_context(|| format!("failed to remove service {id}"))?;
        }
        loop {
            let containers = self.containers_with(&label).await?;
            if containers.is_empty() {
                break;
            }
            for container in containers {
                self.remove(&container.id).await?;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        for volume in self.volumes_with(&label).await? {
            self.remove_volume(&volume.id).await?;
        }
        for network in self.networks_with(&label).await? {
            self.remove_network(&network.id).await?;
        }
        Ok(())
    }

    /// Returns the state of a service's last update, such as `updating`, `completed` or `rollback_completed`; empty before
    /// the first update.
    pub async fn update_state(&self, service: &str) -> anyhow::Result<String> {
        let found = self.docker.inspect_service(service, None).await;
        let status = found.with_context(|| format!("failed to inspect service {service}"))?.update_status;
        Ok(status.and_then(|status| status.state).map(|state| state.to_string()).unwrap_or_default())
    }

    /// Returns the tasks of a service, also those that have ended.
    pub async fn tasks(&self, service: &str) -> anyhow::Result<Vec<ServiceTask>> {
        let filters = HashMap::from([("service", vec![service])]);
        let options = ListTasksOptionsBuilder::default().filters(&filters).build();
        let tasks = self.docker.list_tasks(Some(options)).await;
        let tasks = tasks.with_context(|| format!("failed to list the tasks of {service}"))?;
        let summary = tasks.into_iter().map(|task| {
            let status = task.status.unwrap_or_default();
            let container = status.container_status.unwrap_or_default();
            let image = task.spec.and_then(|spec| spec.container_spec).and_then(|spec| spec.image);
            ServiceTask {
                slot: task.slot.unwrap_or_default(),
                image: image.unwrap_or_default(),
                state: status.state.map(|state| state.to_string()).unwrap_or_default(),
                is_wanted: task.desired_state.is_some_and(|state| state.to_string() == "running"),
                container: container.container_id.unwrap_or_default(),
                error: status.err.unwrap_or_default(),
            }
        });
        Ok(summary.collect())
    }

    /// The starts, ends, signals and changes of health of all containers, from now on.
    pub fn container_events(&self) -> impl Stream<Item = anyhow::Result<ContainerEvent>> + use<> {
        let filters =
            HashMap::from([("type", vec!["container"]), ("event", vec!["start", "kill", "die", "health_status"])]);
        let options = EventsOptionsBuilder::default().filters(&filters).build();
        self.docker.events(Some(options)).map(|event| {
            let event = event.context("failed to read the engine's events")?;
            let actor = event.actor.unwrap_or_default();
            Ok(ContainerEvent {
                at: Duration::from_nanos(event.time_nano.and_then(|at| u64::try_from(at).ok()).unwrap_or_default()),
                container: actor.id.unwrap_or_default(),
                action: event.action.unwrap_or_default(),
                attributes: actor.attributes.unwrap_or_default(),
            })
        })
    }
}
