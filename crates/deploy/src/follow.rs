//! Follows a deployment: one line for each task, with the phase of its boot, until the swarm has converged or failed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::stream::{BoxStream, SelectAll};
use futures_util::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use testbed::boot_view::{BootView, ViewChange};
use testbed::engine::{SwarmService, SwarmTask, TaskState};
use testbed::ui;

use crate::failure::TaskFailure;
use crate::outcome::{self, DeployOutcome, Goal};
use crate::replica::{self, Activity};
use crate::swarm::Swarm;

/// Interval between questions to the swarm.
const POLL: Duration = Duration::from_millis(500);

/// Time for which a deployment must have converged: the swarm begins an update a moment after it accepts it, and a service
/// without a health check counts as healthy before it fails.
const STABLE: Duration = Duration::from_secs(3);

/// The end of a deployment.
#[derive(Debug)]
pub(crate) struct Followed {
    /// The state; `None` at the deadline.
    pub(crate) outcome: Option<DeployOutcome>,
    /// The first failure of a task, with the name of the replica.
    pub(crate) first_failure: Option<(String, TaskFailure)>,
    /// The number of healthy replicas of all services.
    pub(crate) healthy: usize,
    /// The time until the end.
    pub(crate) took: Duration,
}

/// A deployment that has begun.
pub(crate) struct Deployment<'a> {
    /// The names of its services.
    pub(crate) services: Vec<String>,
    pub(crate) goal: Goal,
    /// The image that is deployed.
    pub(crate) image: &'a str,
    /// The ids of the tasks that existed when it began.
    pub(crate) before: BTreeSet<String>,
}

/// Follows a deployment until it has ended.
pub(crate) async fn follow(swarm: &Swarm, deployment: Deployment<'_>, deadline: Duration) -> anyhow::Result<Followed> {
    let followed = watch(swarm, deployment, deadline).await;
    followed.context("the swarm goes on, but cannot be watched; `cargo xtask deploy status` shows the result")
}

async fn watch(swarm: &Swarm, deployment: Deployment<'_>, deadline: Duration) -> anyhow::Result<Followed> {
    let Deployment { services: names, goal, image, before } = deployment;
    let clock = Instant::now();
    let mut view = DeploymentView::new(swarm, image, before);
    let mut poll = tokio::time::interval(POLL);
    let mut converged: Option<Instant> = None;
    let mut logs: SelectAll<BoxStream<'static, (String, anyhow::Result<String>)>> = SelectAll::new();
    loop {
        tokio::select! {
            // An empty set of logs has ended, and would be ready at once.
            Some((task, line)) = logs.next(), if !logs.is_empty() => view.line(&task, line),
            _ = poll.tick() => {
                let mut services = swarm.services().await?;
                services.retain(|service| names.iter().any(|name| name == service.name()));
                ensure!(services.len() == names.len(), "a service was removed meanwhile");
                let tasks = swarm.engine.tasks_of(&services).await?;
                for task in view.new_boots(&services, &tasks) {
                    let id = task.id().to_owned();
                    logs.push(swarm.engine.task_log(&id).map(move |line| (id.clone(), line)).boxed());
                }
                // The lines that have arrived belong in front of the end of their task.
                while let Some(Some((task, line))) = logs.next().now_or_never() {
                    view.line(&task, line);
                }
                view.update(&services, &tasks).await?;
                let outcome = outcome::judge(goal, &services, &tasks, &view.before);
                let is_stable = match outcome {
                    DeployOutcome::Working => false,
                    DeployOutcome::Converged => converged.get_or_insert_with(Instant::now).elapsed() >= STABLE,
                    _ => true,
                };
                if outcome != DeployOutcome::Converged {
                    converged = None;
                }
                let healthy = tasks.iter().filter(|task| task.is_healthy()).count();
                if is_stable || clock.elapsed() > deadline {
                    let outcome = is_stable.then_some(outcome);
                    return Ok(Followed { outcome, first_failure: view.first_failure, healthy, took: clock.elapsed() });
                }
            }
        }
    }
}

/// The tasks of a deployment, as lines.
struct DeploymentView<'a> {
    swarm: &'a Swarm,
    /// The image that is deployed.
    image: &'a str,
    /// The ids of the tasks that existed when the deployment began.
    before: BTreeSet<String>,
    spinner: ui::Spinner,
    nodes: BTreeMap<String, String>,
    boots: BTreeMap<String, BootView>,
    /// The last activity of each task that was shown.
    shown: BTreeMap<String, Activity>,
    /// Replicas by the id of their task, for the lines of logs.
    titles: BTreeMap<String, String>,
    first_failure: Option<(String, TaskFailure)>,
}

impl<'a> DeploymentView<'a> {
    fn new(swarm: &'a Swarm, image: &'a str, before: BTreeSet<String>) -> DeploymentView<'a> {
        DeploymentView {
            swarm,
            image,
            before,
            spinner: ui::Spinner::start_lines(),
            nodes: BTreeMap::new(),
            boots: BTreeMap::new(),
            shown: BTreeMap::new(),
            titles: BTreeMap::new(),
            first_failure: None,
        }
    }

    /// Returns the tasks whose log is not followed yet and has a boot of this deployment.
    fn new_boots<'t>(&mut self, services: &[SwarmService], tasks: &'t [SwarmTask]) -> Vec<&'t SwarmTask> {
        let is_new = |task: &&SwarmTask| {
            !self.before.contains(task.id())
                && (task.state() == TaskState::Starting || task.exit_code().is_some())
                && services.iter().any(|service| service.id() == task.service() && self.swarm.boots(service))
                && !self.boots.contains_key(task.id())
        };
        let new: Vec<&SwarmTask> = tasks.iter().filter(is_new).collect();
        self.boots.extend(new.iter().map(|task| (task.id().to_owned(), BootView::default())));
        new
    }

    /// Shows a line of a task's log.
    fn line(&mut self, task: &str, line: anyhow::Result<String>) {
        let Some(boot) = self.boots.get_mut(task) else { return };
        let title = self.titles.get(task).map_or(task, String::as_str);
        let line = match line {
            Ok(line) => line,
            // The deployment goes on without it.
            Err(error) => return self.spinner.line(|| ui::warning(&format!("{title}: {error:#}"))),
        };
        match boot.line(&line) {
            Some(ViewChange::Warning(warning)) => self.spinner.line(|| ui::warning(&format!("{title}: {warning}"))),
            // A terminal shows the current phase only.
            Some(ViewChange::Done(done)) if !self.spinner.is_live() => {
                ui::status("Booted", &format!("{title}: {}", done.to_line()));
            }
            _ => {}
        }
    }

    async fn update(&mut self, services: &[SwarmService], tasks: &[SwarmTask]) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let mut rows = Vec::new();
        for task in tasks {
            let Some(service) = services.iter().find(|service| service.id() == task.service()) else { continue };
            let name = replica::name(&self.swarm.stack, service, task);
            let node = self.node(task).await?;
            let title = if node.is_empty() { name.clone() } else { format!("{name} on {node}") };
            self.titles.insert(task.id().to_owned(), title.clone());
            let mut activity = Activity::of(task, self.boots.get(task.id()));
            // A server that is stopped may end with another code than 0.
            if activity == Activity::Failed && self.shown.get(task.id()) == Some(&Activity::Stopping) {
                activity = Activity::Stopped;
            }
            // Tasks that ended before the deployment are history.
            let is_old = self.before.contains(task.id());
            let has_ended = matches!(activity, Activity::Stopped | Activity::Failed);
            if !(is_old && has_ended) || self.shown.contains_key(task.id()) {
                self.show(service, task, &title, &activity).await;
            }
            if !has_ended {
                rows.push(replica::row(&name, &node, task, &activity, now));
            }
        }
        self.spinner.update(&ui::columns(&rows));
        Ok(())
    }

    /// Prints the change of a task's activity, on a terminal only its end.
    async fn show(&mut self, service: &SwarmService, task: &SwarmTask, title: &str, activity: &Activity) {
        let is_old = self.before.contains(task.id());
        let before = self.shown.insert(task.id().to_owned(), activity.clone());
        if before.as_ref() == Some(activity) || (before.is_none() && is_old) {
            return;
        }
        self.spinner.restart("");
        match activity {
            Activity::Failed => {
                let boots = self.swarm.boots(service);
                let failure = TaskFailure::read(&self.swarm.engine, task, boots).await;
                self.spinner.line(|| ui::error(&failure.lines(&format!("{title} failed"))));
                // An old replica that fails meanwhile is not the reason.
                if !is_old && (!boots || task.image() == self.image) {
                    self.first_failure.get_or_insert_with(|| (title.to_owned(), failure));
                }
            }
            Activity::Serving => {
                let took = replica::between(task.created(), task.changed());
                let text = format!("{title}: {}, after {}", task.image(), ui::seconds(took));
                self.spinner.line(|| ui::status(activity.verb(), &text));
            }
            Activity::Waiting(_) if task.error().is_empty() && matches!(before, Some(Activity::Waiting(_))) => {}
            Activity::Booting(_) if before.as_ref().is_some_and(|before| matches!(before, Activity::Booting(_))) => {}
            _ if self.spinner.is_live() => {}
            _ => ui::status(activity.verb(), format!("{title}: {} {}", task.image(), activity.detail()).trim_end()),
        }
    }

    /// Returns the host name of a task's node; empty before it has one.
    async fn node(&mut self, task: &SwarmTask) -> anyhow::Result<String> {
        let Some(id) = task.node() else { return Ok(String::new()) };
        if !self.nodes.contains_key(id) {
            self.nodes = self.swarm.engine.node_names().await?;
        }
        Ok(self.nodes.get(id).cloned().unwrap_or_else(|| id.to_owned()))
    }
}
