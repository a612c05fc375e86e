//! A swarm of this machine alone: its start, its secrets, the end of its stacks, and the events of containers.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use bollard::models::{SecretSpec, SwarmInitRequest};
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::{Stream, StreamExt as _};

use super::{Engine, STACK_LABEL};

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
        for service in self.stack_services(stack).await? {
            let (id, name) = (service.id(), service.name());
            self.docker.delete_service(id).await.with_context(|| format!("failed to remove service {name}"))?;
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
