//! One command on a swarm, as a service that is removed afterwards.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bollard::models::{
    EndpointSpec, EndpointSpecModeEnum, HealthConfig, NetworkAttachmentConfig, ServiceSpec, ServiceSpecMode,
    ServiceSpecModeReplicated, TaskSpec, TaskSpecContainerSpec, TaskSpecRestartPolicy,
    TaskSpecRestartPolicyConditionEnum,
};
use bollard::query_parameters::InspectServiceOptions;

use super::swarm::{SwarmService, SwarmTask};
use super::{Engine, is_not_found};
use crate::cmd::Cmd;
use crate::ui;

/// The label of services that run one command and are removed afterwards; its value is the stack's name.
const ONE_OFF_LABEL: &str = "trm.deploy.command";

impl Engine {
    /// Runs a command in an image on the swarm, with the variables, secrets, networks and volumes of a service, and returns
    /// its task and its output. The service for it is removed again.
    pub async fn run_as_task(
        &self,
        stack: &str,
        service: &SwarmService,
        image: &str,
        command: &str,
        deadline: Duration,
    ) -> anyhow::Result<(SwarmTask, Vec<String>)> {
        for leftover in self.services_with(&format!("{ONE_OFF_LABEL}={stack}")).await? {
            self.remove_service(leftover.id()).await?;
        }
        let spec = service.0.spec.as_ref().context("the engine describes no specification of the service")?;
        let name = format!("{stack}_{command}-{}", std::process::id());
        let created = self.docker.create_service(one_off(spec, stack, &name, command), None).await;
        let id = created.with_context(|| format!("failed to create service {name}"))?.id;
        let one_off = OneOffService { id: id.with_context(|| format!("service {name} has no id"))? };
        // By the docker command, which passes the login of the registry on to the nodes.
        let update = ["service", "update", "--detach", "--quiet", "--with-registry-auth", "--replicas", "1", "--image"];
        Cmd::new("docker").args(update).args([image, &name]).read().await?;
        let began = Instant::now();
        let service = SwarmService(self.docker.inspect_service(&one_off.id, None::<InspectServiceOptions>).await?);
        loop {
            let tasks = self.tasks_of(std::slice::from_ref(&service)).await?;
            if let Some(task) = tasks.into_iter().find(SwarmTask::has_ended) {
                let output = self.task_lines(task.id()).await?;
                return Ok((task, output));
            }
            ensure!(began.elapsed() < deadline, "`{command}` of {image} has not ended after {} s", deadline.as_secs());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn remove_service(&self, id: &str) -> anyhow::Result<()> {
        match self.docker.delete_service(id).await {
            Err(error) if !is_not_found(&error) => Err(error).with_context(|| format!("failed to remove service {id}")),
            _ => Ok(()),
        }
    }
}

/// A service for one command, which is removed when this is dropped.
struct OneOffService {
    id: String,
}

impl Drop for OneOffService {
    fn drop(&mut self) {
        let remove = Cmd::new("docker").args(["service", "rm", &self.id]);
        // Drop cannot block on the runtime that it may run on, so the removal gets its own; and the docker command, because
        // the connection to an engine elsewhere is carried by the blocked one.
        let removal = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(remove.read())
        });
        match removal.join() {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => ui::warning(&format!("{error:#}")),
            Err(_) => ui::warning(&format!("failed to remove service {}: the removal panicked", self.id)),
        }
    }
}

/// The specification of a service for one command: that of a service without its name in the networks, its ports, its
/// health check and its restarts. It has no task yet.
fn one_off(service: &ServiceSpec, stack: &str, name: &str, command: &str) -> ServiceSpec {
    let template = service.task_template.clone().unwrap_or_default();
    let networks = template.networks.map(|networks| {
        // By an alias, a proxy or another service would send it requests.
        networks.into_iter().map(|network| NetworkAttachmentConfig { aliases: None, ..network }).collect()
    });
    let container = template.container_spec.map(|container| TaskSpecContainerSpec {
        args: Some(vec![command.to_owned()]),
        labels: None,
        health_check: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        ..container
    });
    ServiceSpec {
        name: Some(name.to_owned()),
        labels: Some(HashMap::from([(ONE_OFF_LABEL.to_owned(), stack.to_owned())])),
        mode: Some(ServiceSpecMode {
            replicated: Some(ServiceSpecModeReplicated { replicas: Some(0) }),
            ..ServiceSpecMode::default()
        }),
        task_template: Some(TaskSpec {
            container_spec: container,
            networks,
            // The nodes may have no room for one more replica.
            resources: None,
            restart_policy: Some(TaskSpecRestartPolicy {
                condition: Some(TaskSpecRestartPolicyConditionEnum::NONE),
                ..TaskSpecRestartPolicy::default()
            }),
            ..template
        }),
        endpoint_spec: Some(EndpointSpec { mode: Some(EndpointSpecModeEnum::DNSRR), ..EndpointSpec::default() }),
        ..ServiceSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{ServiceSpec, one_off};

    #[test]
    fn a_one_off_command_has_the_environment_and_secrets_of_the_service_and_receives_no_requests() {
        let service: ServiceSpec = serde_json::from_str(
            r#"{"Name": "trm_directus", "Labels": {"com.docker.stack.namespace": "trm", "traefik.enable": "true"},
                "TaskTemplate": {
                    "ContainerSpec": {
                        "Image": "directus:a", "Env": ["DB_HOST=db"], "Args": ["start"],
                        "Labels": {"com.docker.stack.namespace": "trm"},
                        "Healthcheck": {"Test": ["CMD", "entrypoint", "healthcheck"]},
                        "Secrets": [{"SecretID": "s", "SecretName": "trm_secret", "File": {"Name": "secret"}}]
                    },
                    "Resources": {"Reservations": {"NanoCPUs": 250000000}},
                    "RestartPolicy": {"Condition": "any"},
                    "Networks": [{"Target": "n", "Aliases": ["directus"]}]
                },
                "Mode": {"Replicated": {"Replicas": 3}},
                "EndpointSpec": {"Mode": "vip", "Ports": [{"TargetPort": 8055, "PublishedPort": 8055}]}}"#,
        )
        .unwrap();
        let spec = serde_json::to_value(one_off(&service, "trm", "trm_compat-1", "compat")).unwrap();
        let container = &spec["TaskTemplate"]["ContainerSpec"];
        assert_eq!((&container["Env"][0], &container["Args"]), (&"DB_HOST=db".into(), &serde_json::json!(["compat"])));
        assert_eq!(container["Secrets"][0]["SecretName"], "trm_secret");
        // The spelling of the documentation; the engine accepts any case.
        assert_eq!(container["HealthCheck"]["Test"], serde_json::json!(["NONE"]));
        assert_eq!(spec["TaskTemplate"]["RestartPolicy"]["Condition"], "none");
        assert_eq!(spec["TaskTemplate"]["Networks"], serde_json::json!([{"Target": "n"}]));
        assert_eq!(spec["EndpointSpec"], serde_json::json!({"Mode": "dnsrr"}));
        assert_eq!(spec["Mode"]["Replicated"]["Replicas"], 0);
        assert_eq!(spec["Labels"], serde_json::json!({"trm.deploy.command": "trm"}));
    }
}
