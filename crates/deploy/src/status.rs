//! `deploy status`: the replicas of a stack, and why they failed.

use std::process::ExitCode;

use anyhow::bail;
use grammar::DeployStatusFlags;
use jiff::Timestamp;
use serde::Serialize;
use testbed::boot_view::BootView;
use testbed::engine::{SwarmService, SwarmTask, TaskState, UpdateState};
use testbed::ui;

use crate::failure::TaskFailure;
use crate::replica::{self, Activity};
use crate::swarm::Swarm;

/// The result of `deploy status --json`.
#[derive(Debug, Serialize)]
struct DeploymentReport {
    stack: String,
    /// True if every service has its replicas, all are healthy, and no update is in progress or failed.
    healthy: bool,
    services: Vec<ServiceReport>,
}

#[derive(Debug, Serialize)]
struct ServiceReport {
    name: String,
    image: String,
    healthy: usize,
    /// `null` for a service that runs on every node.
    wanted: Option<u64>,
    /// The last update: idle, updating, paused, rolling back, rolled back.
    update: &'static str,
    tasks: Vec<TaskReport>,
}

#[derive(Debug, Serialize)]
struct TaskReport {
    replica: String,
    node: String,
    image: String,
    /// The swarm's word.
    state: String,
    /// The phase of the boot, or the error of the swarm.
    phase: String,
    seconds: u64,
    error: Option<ErrorReport>,
}

#[derive(Debug, Serialize)]
struct ErrorReport {
    exit_code: Option<i64>,
    cause: String,
    last_line: Option<String>,
    remedy: Option<&'static str>,
}

/// Runs `deploy status`.
pub(crate) async fn run(flags: &DeployStatusFlags) -> anyhow::Result<ExitCode> {
    let swarm = Swarm::connect(&flags.stack.name).await?;
    let report = examine(&swarm).await?;
    if flags.json {
        ui::json_result(&report)?;
    } else {
        ui::result(&render(&report));
    }
    Ok(if report.healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn examine(swarm: &Swarm) -> anyhow::Result<DeploymentReport> {
    let services = swarm.services().await?;
    if services.is_empty() {
        bail!("the swarm has no stack {}: `docker stack ls` lists the stacks", swarm.stack);
    }
    let tasks = swarm.engine.tasks_of(&services).await?;
    let nodes = swarm.engine.node_names().await?;
    let mut report = DeploymentReport { stack: swarm.stack.clone(), healthy: true, services: Vec::new() };
    for service in &services {
        let own: Vec<&SwarmTask> = tasks.iter().filter(|task| task.service() == service.id()).collect();
        let healthy = own.iter().filter(|task| task.is_healthy()).count();
        let update = update_word(service.update());
        let is_complete = service.replicas().is_none_or(|wanted| wanted == healthy as u64);
        report.healthy &= is_complete && matches!(service.update(), UpdateState::Idle | UpdateState::RolledBack);
        let mut entries = Vec::new();
        for task in relevant(&own) {
            entries.push(task_report(swarm, service, task, nodes.get(task.node().unwrap_or_default())).await?);
        }
        report.services.push(ServiceReport {
            name: service.name().to_owned(),
            image: service.image().to_owned(),
            healthy,
            wanted: service.replicas(),
            update,
            tasks: entries,
        });
    }
    Ok(report)
}

/// Selects the tasks that run or are to run, and the last one that failed of each replica without a healthy one after it.
fn relevant<'a>(own: &[&'a SwarmTask]) -> Vec<&'a SwarmTask> {
    let is_superseded = |task: &SwarmTask| {
        let later = own.iter().filter(|other| other.slot() == task.slot() && other.created() > task.created());
        later.into_iter().any(|other| matches!(other.state(), TaskState::Running | TaskState::Failed))
    };
    let is_shown = |task: &&&SwarmTask| match task.state() {
        TaskState::Failed => !is_superseded(task),
        TaskState::Ended => false,
        TaskState::Waiting => task.is_wanted(),
        TaskState::Starting | TaskState::Running => true,
    };
    own.iter().filter(is_shown).copied().collect()
}

async fn task_report(
    swarm: &Swarm,
    service: &SwarmService,
    task: &SwarmTask,
    node: Option<&String>,
) -> anyhow::Result<TaskReport> {
    let mut boot = None;
    if task.state() == TaskState::Starting && swarm.boots(service) {
        let mut view = BootView::default();
        for line in swarm.engine.task_lines(task.id()).await? {
            view.line(&line);
        }
        boot = Some(view);
    }
    let error = if task.state() == TaskState::Failed {
        let TaskFailure { cause, last_line, remedy } =
            TaskFailure::read(&swarm.engine, task, swarm.boots(service)).await;
        Some(ErrorReport { exit_code: task.exit_code(), cause, last_line, remedy })
    } else {
        None
    };
    let phase = match Activity::of(task, boot.as_ref()) {
        Activity::Booting(phase) => phase,
        _ => task.error().to_owned(),
    };
    Ok(TaskReport {
        replica: replica::name(&swarm.stack, service, task),
        node: node.cloned().unwrap_or_default(),
        image: task.image().to_owned(),
        state: task.state_word(),
        phase,
        seconds: replica::between(task.changed(), Timestamp::now()).as_secs(),
        error,
    })
}

fn update_word(update: UpdateState) -> &'static str {
    match update {
        UpdateState::Idle => "idle",
        UpdateState::Updating => "updating",
        UpdateState::Paused => "paused",
        UpdateState::RollingBack => "rolling back",
        UpdateState::RolledBack => "rolled back",
    }
}

fn render(report: &DeploymentReport) -> String {
    let mut rows = vec![["replica", "node", "image", "state", "phase or error", "for"].map(str::to_owned)];
    let mut errors = Vec::new();
    for task in report.services.iter().flat_map(|service| &service.tasks) {
        let TaskReport { replica, node, image, state, phase, seconds, error } = task;
        let age = replica::age(std::time::Duration::from_secs(*seconds));
        rows.push([replica, node, image, state, phase, &age].map(Clone::clone));
        if let Some(ErrorReport { cause, last_line, remedy, .. }) = error {
            let failure = TaskFailure { cause: cause.clone(), last_line: last_line.clone(), remedy: *remedy };
            errors.push(failure.lines(&format!("{replica} failed {age} ago")));
        }
    }
    let services = report.services.iter().map(|service| {
        let wanted = service.wanted.map_or_else(|| "all nodes".to_owned(), |wanted| wanted.to_string());
        let healthy = format!("{} of {wanted} healthy", service.healthy);
        let update = if service.update == "idle" { String::new() } else { format!("last update: {}", service.update) };
        [service.name.clone(), healthy, service.image.clone(), update]
    });
    let services = ui::columns(&services.collect::<Vec<_>>());
    let parts = [services, ui::columns(&rows)].into_iter().chain(errors);
    parts.collect::<Vec<_>>().join("\n\n")
}
