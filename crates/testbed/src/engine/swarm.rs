//! Services and tasks of a swarm, as its managers report them.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context as _;
use bollard::models::{
    LocalNodeState, Service, ServiceSpec, ServiceUpdateStatusStateEnum, Task, TaskSpec, TaskState as EngineTaskState,
};
use bollard::query_parameters::{ListServicesOptionsBuilder, ListTasksOptionsBuilder, LogsOptionsBuilder};
use futures_util::{Stream, TryStreamExt as _};
use jiff::Timestamp;
use serde::Deserialize;

use super::Engine;
use super::container::lines;
use crate::cmd::Cmd;

/// The label of everything that belongs to a stack; its value is the stack's name.
pub const STACK_LABEL: &str = "com.docker.stack.namespace";

/// The role of an engine in a swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwarmRole {
    /// Manages the swarm: it accepts deployments.
    Manager,
    /// Runs tasks only.
    Worker,
    /// Manages a swarm whose key must be entered after a restart.
    Locked,
    /// Belongs to no swarm.
    None,
}

/// A service, as the engine describes it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct SwarmService(pub(super) Service);

/// The progress of a service's last update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateState {
    /// There was none since the last change of the specification, or it has ended.
    Idle,
    /// Tasks are being replaced.
    Updating,
    /// It failed and waits for an operator.
    Paused,
    /// Tasks are being replaced by those of the previous specification.
    RollingBack,
    /// The previous specification is in place.
    RolledBack,
}

impl SwarmService {
    /// The id.
    pub fn id(&self) -> &str {
        self.0.id.as_deref().unwrap_or_default()
    }

    /// The name, which begins with that of the stack.
    pub fn name(&self) -> &str {
        self.0.spec.as_ref().and_then(|spec| spec.name.as_deref()).unwrap_or_default()
    }

    /// The number of changes of the service and its state, by the swarm.
    pub fn version(&self) -> u64 {
        self.0.version.as_ref().and_then(|version| version.index).unwrap_or_default()
    }

    /// The image of the specification, without the digest that follows a tag.
    pub fn image(&self) -> &str {
        without_digest(image_of(self.0.spec.as_ref().and_then(|spec| spec.task_template.as_ref())))
    }

    /// The wanted number of replicas; `None` for a service that runs on every node.
    pub fn replicas(&self) -> Option<u64> {
        replicas_of(self.0.spec.as_ref()?)
    }

    /// The names of the secrets that its tasks get.
    pub fn secrets(&self) -> Vec<&str> {
        let container = self.0.spec.as_ref().and_then(|spec| spec.task_template.as_ref()?.container_spec.as_ref());
        let secrets = container.and_then(|container| container.secrets.as_deref()).unwrap_or_default();
        secrets.iter().filter_map(|secret| secret.secret_name.as_deref()).collect()
    }

    /// The progress of the last update.
    pub fn update(&self) -> UpdateState {
        use ServiceUpdateStatusStateEnum as State;

        match self.0.update_status.as_ref().and_then(|status| status.state) {
            Some(State::UPDATING) => UpdateState::Updating,
            Some(State::PAUSED | State::ROLLBACK_PAUSED) => UpdateState::Paused,
            Some(State::ROLLBACK_STARTED) => UpdateState::RollingBack,
            Some(State::ROLLBACK_COMPLETED) => UpdateState::RolledBack,
            Some(State::COMPLETED | State::EMPTY) | None => UpdateState::Idle,
        }
    }

    /// The swarm's words about the last update.
    pub fn update_message(&self) -> &str {
        self.0.update_status.as_ref().and_then(|status| status.message.as_deref()).unwrap_or_default()
    }
}

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Has no container yet: it waits for a node, or the node pulls the image.
    Waiting,
    /// Its container runs, and its health check has not passed yet.
    Starting,
    /// Its container runs, and its health check, if there is one, passes.
    Running,
    /// Ended on request of the swarm, or by itself without an error.
    Ended,
    /// Ended with an error, or could not be started.
    Failed,
}

/// A task: one attempt at one replica of a service.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct SwarmTask(Task);

impl SwarmTask {
    /// The id.
    pub fn id(&self) -> &str {
        self.0.id.as_deref().unwrap_or_default()
    }

    /// The id of its service.
    pub fn service(&self) -> &str {
        self.0.service_id.as_deref().unwrap_or_default()
    }

    /// The number of its replica, from 1.
    pub fn slot(&self) -> i64 {
        self.0.slot.unwrap_or_default()
    }

    /// The id of its node, once it has one.
    pub fn node(&self) -> Option<&str> {
        self.0.node_id.as_deref().filter(|id| !id.is_empty())
    }

    /// The image, without the digest that follows a tag.
    pub fn image(&self) -> &str {
        without_digest(image_of(self.0.spec.as_ref()))
    }

    /// The state.
    pub fn state(&self) -> TaskState {
        use EngineTaskState as State;

        match self.0.status.as_ref().and_then(|status| status.state) {
            Some(State::STARTING) => TaskState::Starting,
            Some(State::RUNNING) => TaskState::Running,
            Some(State::FAILED | State::REJECTED) => TaskState::Failed,
            Some(State::COMPLETE | State::SHUTDOWN | State::REMOVE | State::ORPHANED) => TaskState::Ended,
            _ => TaskState::Waiting,
        }
    }

    /// The swarm's own word for the state, such as `preparing` while the node pulls the image.
    pub fn state_word(&self) -> String {
        self.0.status.as_ref().and_then(|status| status.state).map(|state| state.to_string()).unwrap_or_default()
    }

    /// Returns true if it runs, its health check passes, and the swarm is to run it.
    pub fn is_healthy(&self) -> bool {
        self.state() == TaskState::Running && self.is_wanted()
    }

    /// Returns true once its container has ended.
    pub fn has_ended(&self) -> bool {
        matches!(self.state(), TaskState::Ended | TaskState::Failed)
    }

    /// Returns true if the swarm is to run it.
    pub fn is_wanted(&self) -> bool {
        use EngineTaskState as State;

        matches!(self.0.desired_state, Some(State::READY | State::RUNNING))
    }

    /// The id of its container; empty before that exists.
    pub fn container(&self) -> &str {
        let status = self.0.status.as_ref().and_then(|status| status.container_status.as_ref());
        status.and_then(|container| container.container_id.as_deref()).unwrap_or_default()
    }

    /// The exit code of its container, if that has ended.
    pub fn exit_code(&self) -> Option<i64> {
        let status = self.0.status.as_ref()?.container_status.as_ref()?;
        // A running container has the code 0.
        status.exit_code.filter(|_| self.has_ended())
    }

    /// The swarm's error, such as `No such image` or `task: non-zero exit (31)`; empty without one.
    pub fn error(&self) -> &str {
        self.0.status.as_ref().and_then(|status| status.err.as_deref()).unwrap_or_default()
    }

    /// The time when it was created.
    pub fn created(&self) -> Timestamp {
        self.0.created_at.as_deref().and_then(|time| time.parse().ok()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// The time of the last change of its state.
    pub fn changed(&self) -> Timestamp {
        let status = self.0.status.as_ref().and_then(|status| status.timestamp.as_deref());
        status.and_then(|time| time.parse().ok()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Returns true if its container is what the service's present specification describes.
    pub fn is_of(&self, service: &SwarmService) -> bool {
        let (Some(own), Some(wanted)) =
            (&self.0.spec, service.0.spec.as_ref().and_then(|spec| spec.task_template.as_ref()))
        else {
            return false;
        };
        self.service() == service.id()
            && own.container_spec == wanted.container_spec
            && own.force_update.unwrap_or_default() == wanted.force_update.unwrap_or_default()
    }
}

impl Engine {
    /// Returns the engine's role in a swarm.
    pub async fn swarm_role(&self) -> anyhow::Result<SwarmRole> {
        let info = self.docker.info().await.context("failed to ask the engine for its swarm")?;
        let swarm = info.swarm.unwrap_or_default();
        Ok(match swarm.local_node_state {
            Some(LocalNodeState::ACTIVE) if swarm.control_available == Some(true) => SwarmRole::Manager,
            Some(LocalNodeState::ACTIVE) => SwarmRole::Worker,
            Some(LocalNodeState::LOCKED) => SwarmRole::Locked,
            _ => SwarmRole::None,
        })
    }

    /// Returns the id of the engine's own node.
    pub async fn node_id(&self) -> anyhow::Result<String> {
        let info = self.docker.info().await.context("failed to ask the engine for its swarm")?;
        info.swarm.and_then(|swarm| swarm.node_id).context("the engine is not in a swarm")
    }

    /// Returns the services of a stack, sorted by name.
    pub async fn stack_services(&self, stack: &str) -> anyhow::Result<Vec<SwarmService>> {
        self.services_with(&format!("{STACK_LABEL}={stack}")).await
    }

    pub(super) async fn services_with(&self, label: &str) -> anyhow::Result<Vec<SwarmService>> {
        let options = ListServicesOptionsBuilder::default().filters(&HashMap::from([("label", vec![label])])).build();
        let services = self.docker.list_services(Some(options)).await.context("failed to list the swarm's services")?;
        let mut services: Vec<_> = services.into_iter().map(SwarmService).collect();
        services.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(services)
    }

    /// Returns the tasks of services, past ones included, sorted by service, replica and time.
    pub async fn tasks_of(&self, services: &[SwarmService]) -> anyhow::Result<Vec<SwarmTask>> {
        let ids: Vec<&str> = services.iter().map(SwarmService::id).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut tasks = self.tasks(&ids).await?;
        tasks.sort_by_key(|task| (ids.iter().position(|id| *id == task.service()), task.slot(), task.created()));
        Ok(tasks)
    }

    /// Returns the tasks of services, past ones included, by the ids or names of the services.
    pub async fn tasks(&self, services: &[&str]) -> anyhow::Result<Vec<SwarmTask>> {
        let filters = HashMap::from([("service", services.to_vec())]);
        let options = ListTasksOptionsBuilder::default().filters(&filters).build();
        let tasks = self.docker.list_tasks(Some(options)).await.context("failed to list the swarm's tasks")?;
        Ok(tasks.into_iter().map(SwarmTask).collect())
    }

    /// Returns the host names of the swarm's nodes, by id.
    pub async fn node_names(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let nodes = self.docker.list_nodes(None).await.context("failed to list the swarm's nodes")?;
        let names = nodes.into_iter().filter_map(|node| Some((node.id?, node.description?.hostname?)));
        Ok(names.collect())
    }

    /// Returns the names of the swarm's secrets.
    pub async fn secret_names(&self) -> anyhow::Result<Vec<String>> {
        let secrets = self.docker.list_secrets(None).await.context("failed to list the swarm's secrets")?;
        Ok(secrets.into_iter().filter_map(|secret| secret.spec?.name).collect())
    }

    /// Follows the lines of a task's log, on any node.
    pub fn task_log(&self, task: &str) -> impl Stream<Item = anyhow::Result<String>> + use<> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).follow(true).build();
        lines(self.docker.task_logs(task, Some(options)))
    }

    /// Returns the lines of a task's log so far.
    pub async fn task_lines(&self, task: &str) -> anyhow::Result<Vec<String>> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).build();
        lines(self.docker.task_logs(task, Some(options))).try_collect().await
    }

    /// Returns the image of a service before its last update, and its wanted number of replicas then; `None` if it has never
    /// been updated.
    pub async fn previous(&self, service: &SwarmService) -> anyhow::Result<Option<PreviousService>> {
        // The model of bollard lacks the field.
        let format = "{{json .PreviousSpec}}";
        let json = Cmd::new("docker").args(["service", "inspect", "--format", format, service.id()]).read().await?;
        let spec: Option<ServiceSpec> = serde_json::from_str(&json).context("failed to parse the previous service")?;
        Ok(spec.map(|spec| PreviousService {
            image: without_digest(image_of(spec.task_template.as_ref())).to_owned(),
            replicas: replicas_of(&spec),
        }))
    }
}

/// A service as it was before its last update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviousService {
    /// The image, without the digest that follows a tag.
    pub image: String,
    /// The wanted number of replicas; `None` for a service that runs on every node.
    pub replicas: Option<u64>,
}

fn image_of(template: Option<&TaskSpec>) -> &str {
    let container = template.and_then(|template| template.container_spec.as_ref());
    container.and_then(|container| container.image.as_deref()).unwrap_or_default()
}

/// Removes the digest that the docker command adds to a tag; a name that has only a digest keeps it.
fn without_digest(image: &str) -> &str {
    match image.split_once('@') {
        Some((name, _)) if name.rsplit('/').next().is_some_and(|last| last.contains(':')) => name,
        _ => image,
    }
}

fn replicas_of(spec: &ServiceSpec) -> Option<u64> {
    let replicas = spec.mode.as_ref()?.replicated.as_ref()?.replicas;
    Some(replicas.and_then(|number| u64::try_from(number).ok()).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::without_digest;

    #[test]
    fn only_a_digest_after_a_tag_is_removed() {
        assert_eq!(without_digest("registry:5000/team/a:1@sha256:00"), "registry:5000/team/a:1");
        assert_eq!(without_digest("registry:5000/team/a@sha256:00"), "registry:5000/team/a@sha256:00");
        assert_eq!(without_digest("a:1"), "a:1");
    }
}
