//! The state of a deployment, judged by the services and tasks that the swarm reports.

use std::collections::BTreeSet;

use contract::ExitCode;
use testbed::engine::{SwarmService, SwarmTask, TaskState, UpdateState};

/// The intention of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The specification that the services now have.
    Forward,
    /// The specification before the last update.
    Back,
}

/// The state of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeployOutcome {
    /// The swarm is still at work.
    Working,
    /// Every replica runs the wanted specification and is healthy, and no other task runs.
    Converged,
    /// The swarm rolled this service back by itself.
    RolledBack {
        /// The name of the service.
        service: String,
    },
    /// The swarm stopped the update of this service, and waits.
    Paused {
        /// The name of the service.
        service: String,
        /// The swarm's own words.
        message: String,
    },
    /// A replica fails, and starting it again does not help.
    Failed {
        /// The id of its task.
        task: String,
    },
}

/// Number of failed tasks of one replica after which a service that the swarm does not roll back has failed.
const ATTEMPTS: usize = 3;

/// Judges the services of a deployment. `before` are the ids of the tasks that existed when it began.
pub(crate) fn judge(
    goal: Goal,
    services: &[SwarmService],
    tasks: &[SwarmTask],
    before: &BTreeSet<String>,
) -> DeployOutcome {
    let outcomes: Vec<DeployOutcome> =
        services.iter().map(|service| judge_service(goal, service, tasks, before)).collect();
    let end = outcomes.iter().find(|outcome| !matches!(outcome, DeployOutcome::Working | DeployOutcome::Converged));
    match end {
        Some(end) => end.clone(),
        None if outcomes.contains(&DeployOutcome::Working) => DeployOutcome::Working,
        None => DeployOutcome::Converged,
    }
}

fn judge_service(goal: Goal, service: &SwarmService, tasks: &[SwarmTask], before: &BTreeSet<String>) -> DeployOutcome {
    match (service.update(), goal) {
        (UpdateState::Updating | UpdateState::RollingBack, _) => return DeployOutcome::Working,
        (UpdateState::RolledBack, Goal::Forward) => {
            return DeployOutcome::RolledBack { service: service.name().to_owned() };
        }
        (UpdateState::Paused, _) => {
            let message = service.update_message().to_owned();
            return DeployOutcome::Paused { service: service.name().to_owned(), message };
        }
        (UpdateState::Idle, _) | (UpdateState::RolledBack, Goal::Back) => {}
    }
    let own: Vec<&SwarmTask> = tasks.iter().filter(|task| task.service() == service.id()).collect();
    if let Some(failed) = failed_for_good(service, &own, before) {
        return DeployOutcome::Failed { task: failed.id().to_owned() };
    }
    let alive = || own.iter().filter(|task| !task.has_ended());
    let healthy = |task: &&&SwarmTask| task.is_healthy() && task.is_of(service);
    let (alive, healthy) = (alive().count(), alive().filter(healthy).count());
    // A service without a number of replicas runs one task on each node that it fits.
    let wanted = service.replicas().map_or(alive, |replicas| usize::try_from(replicas).unwrap_or(usize::MAX));
    if alive == healthy && healthy == wanted && (wanted > 0 || service.replicas() == Some(0)) {
        DeployOutcome::Converged
    } else {
        DeployOutcome::Working
    }
}

/// Returns the first failed task of a replica that cannot become healthy by itself.
fn failed_for_good<'a>(
    service: &SwarmService,
    own: &[&'a SwarmTask],
    before: &BTreeSet<String>,
) -> Option<&'a SwarmTask> {
    let failed =
        |task: &&&SwarmTask| task.state() == TaskState::Failed && task.is_of(service) && !before.contains(task.id());
    let failed: Vec<&SwarmTask> = own.iter().filter(failed).copied().collect();
    let is_final = |task: &&&SwarmTask| {
        let attempts = failed.iter().filter(|other| other.slot() == task.slot()).count();
        attempts >= ATTEMPTS || !task.exit_code().is_none_or(restart_can_help)
    };
    let mut finals: Vec<&SwarmTask> = failed.iter().filter(is_final).copied().collect();
    finals.sort_by_key(|task| task.changed());
    finals.first().copied()
}

/// Returns true if a boot that ended with this code may succeed when it is repeated, without a change of anything else.
fn restart_can_help(code: i64) -> bool {
    match ExitCode::from_code(code) {
        None => true,
        Some(exit) => matches!(
            exit,
            ExitCode::Ok
                | ExitCode::Internal
                | ExitCode::DatabaseUnreachable
                | ExitCode::LockTimeout
                | ExitCode::DatabaseLost
                | ExitCode::ServiceUnreachable
                | ExitCode::MigrationBlocked
                | ExitCode::BootstrapFailed
                | ExitCode::Interrupted
                | ExitCode::Terminated
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;
    use testbed::engine::{SwarmService, SwarmTask};

    use super::{DeployOutcome, Goal, judge};
    use crate::recorded::moment;

    /// A service with two replicas of an image.
    fn service(image: &str, update: Option<&str>) -> SwarmService {
        let mut service = json!({
            "ID": "s",
            "Spec": {
                "Name": "trm_directus",
                "Mode": {"Replicated": {"Replicas": 2}},
                "TaskTemplate": {"ContainerSpec": {"Image": image}, "ForceUpdate": 0}
            }
        });
        if let Some(state) = update {
            service["UpdateStatus"] = json!({"State": state, "Message": "update paused due to failure of task x"});
        }
        serde_json::from_value(service).unwrap()
    }

    fn task(id: &str, slot: u8, image: &str, state: &str) -> SwarmTask {
        exited(id, slot, image, state, 0)
    }

    fn exited(id: &str, slot: u8, image: &str, state: &str, code: u8) -> SwarmTask {
        let desired = if matches!(state, "starting" | "running" | "preparing") { "running" } else { "shutdown" };
        serde_json::from_value(json!({
            "ID": id, "ServiceID": "s", "Slot": slot, "DesiredState": desired,
            "CreatedAt": "2026-11-26T19:38:54.824Z",
            "Spec": {"ContainerSpec": {"Image": image}, "ForceUpdate": 0},
            "Status": {"State": state, "Timestamp": "2026-11-26T19:38:57.663Z", "ContainerStatus": {"ExitCode": code}}
        }))
        .unwrap()
    }

    fn forward(service: SwarmService, tasks: &[SwarmTask]) -> DeployOutcome {
        judge(Goal::Forward, &[service], tasks, &BTreeSet::new())
    }

    #[test]
    fn a_deployment_converges_when_every_replica_is_healthy() {
        let mut tasks = vec![task("1", 1, "a", "running"), task("2", 2, "a", "starting")];
        assert_eq!(forward(service("a", None), &tasks), DeployOutcome::Working);
        tasks[1] = task("2", 2, "a", "running");
        assert_eq!(forward(service("a", None), &tasks), DeployOutcome::Converged);
        assert_eq!(forward(service("a", None), &tasks[..1]), DeployOutcome::Working);
    }

    #[test]
    fn replicas_of_the_old_image_are_not_a_result_before_the_update_begins() {
        let old = [task("1", 1, "a", "running"), task("2", 2, "a", "running")];
        assert_eq!(forward(service("b", None), &old), DeployOutcome::Working);
        assert_eq!(forward(service("b", Some("updating")), &old), DeployOutcome::Working);
    }

    #[test]
    fn an_update_has_converged_once_the_old_replicas_have_stopped() {
        let new = [task("3", 1, "b", "running"), task("4", 2, "b", "running")];
        let mut tasks = new.to_vec();
        tasks.push(task("1", 1, "a", "running"));
        assert_eq!(forward(service("b", Some("completed")), &tasks), DeployOutcome::Working);
        tasks[2] = task("1", 1, "a", "shutdown");
        assert_eq!(forward(service("b", Some("completed")), &tasks), DeployOutcome::Converged);
    }

    #[test]
    fn a_completed_rollback_is_a_failed_update_and_a_successful_rollback() {
        let old = [task("1", 1, "a", "running"), task("2", 2, "a", "running")];
        let rolled_back = service("a", Some("rollback_completed"));
        let failure = DeployOutcome::RolledBack { service: "trm_directus".to_owned() };
        assert_eq!(forward(rolled_back.clone(), &old), failure);
        assert_eq!(judge(Goal::Back, &[rolled_back], &old, &BTreeSet::new()), DeployOutcome::Converged);
        assert_eq!(forward(service("a", Some("rollback_started")), &old), DeployOutcome::Working);
    }

    #[test]
    fn a_paused_update_ends_with_the_words_of_the_swarm() {
        for state in ["paused", "rollback_paused"] {
            let DeployOutcome::Paused { message, .. } = forward(service("b", Some(state)), &[]) else {
                panic!("{state}")
            };
            assert_eq!(message, "update paused due to failure of task x");
        }
    }

    #[test]
    fn a_boot_that_no_restart_can_help_fails_at_once() {
        let failed = [exited("1", 1, "a", "failed", 31), task("2", 2, "a", "starting")];
        assert_eq!(forward(service("a", None), &failed), DeployOutcome::Failed { task: "1".to_owned() });
    }

    #[test]
    fn a_boot_that_a_restart_may_help_fails_after_three_attempts_of_one_replica() {
        // PostgreSQL did not answer.
        let mut failed = vec![exited("1", 1, "a", "failed", 20), exited("2", 2, "a", "failed", 20)];
        failed.push(exited("3", 1, "a", "failed", 20));
        assert_eq!(forward(service("a", None), &failed), DeployOutcome::Working);
        failed.push(exited("4", 1, "a", "failed", 20));
        assert!(matches!(forward(service("a", None), &failed), DeployOutcome::Failed { .. }));
    }

    #[test]
    fn earlier_failures_and_those_of_another_image_do_not_count() {
        let failed = [exited("1", 1, "b", "failed", 31), exited("2", 2, "a", "failed", 31)];
        let before = BTreeSet::from(["1".to_owned()]);
        assert_eq!(judge(Goal::Forward, &[service("b", None)], &failed, &before), DeployOutcome::Working);
    }

    #[test]
    fn recorded_boots_and_a_recorded_rollback_are_still_at_work() {
        for name in ["boots-begin", "update-half-done", "rollback-begins"] {
            let moment = moment(name);
            assert!(moment.tasks.iter().any(|task| !task.has_ended()), "{name}");
            for goal in [Goal::Forward, Goal::Back] {
                let outcome = judge(goal, &moment.services, &moment.tasks, &BTreeSet::new());
                assert_eq!(outcome, DeployOutcome::Working, "{name}");
            }
        }
    }

    #[test]
    fn a_recorded_update_has_converged() {
        let moment = moment("update-completed");
        let outcome = judge(Goal::Forward, &moment.services, &moment.tasks, &BTreeSet::new());
        assert_eq!(outcome, DeployOutcome::Converged);
        assert_eq!(moment.tasks.iter().filter(|task| task.is_healthy()).count(), 3);
    }

    #[test]
    fn a_recorded_rollback_is_a_failed_update_and_a_successful_rollback() {
        let moment = moment("rolled-back");
        let outcome = judge(Goal::Forward, &moment.services, &moment.tasks, &BTreeSet::new());
        assert_eq!(outcome, DeployOutcome::RolledBack { service: "trm_directus".to_owned() });
        let outcome = judge(Goal::Back, &moment.services, &moment.tasks, &BTreeSet::new());
        assert_eq!(outcome, DeployOutcome::Converged);
    }

    #[test]
    fn the_swarm_rolls_a_recorded_update_back_after_its_migration_failed() {
        let moment = moment("migration-failed");
        let failed = moment.tasks.iter().find(|task| task.exit_code() == Some(31)).expect("a failed boot");
        assert_eq!(failed.image(), "trm-directus:bad");
        let outcome = judge(Goal::Forward, &moment.services, &moment.tasks, &BTreeSet::new());
        assert_eq!(outcome, DeployOutcome::Working);
    }

    #[test]
    fn a_recorded_rollback_that_failed_is_paused() {
        let moment = moment("rollback-paused");
        let DeployOutcome::Paused { service, message } =
            judge(Goal::Forward, &moment.services, &moment.tasks, &BTreeSet::new())
        else {
            panic!("not paused")
        };
        assert_eq!(service, "trm_directus");
        assert!(message.starts_with("update paused due to failure or early termination of task "), "{message}");
    }

    #[test]
    fn tasks_of_the_present_specification_are_recognized_in_a_recording() {
        let moment = moment("rollback-begins");
        let current = moment.tasks.iter().filter(|task| task.is_of(&moment.services[0]));
        assert!(current.clone().count() > 0 && current.clone().count() < moment.tasks.len());
        assert!(current.into_iter().all(|task| task.image() == "trm-directus:dev"));
    }

    #[test]
    fn one_failed_service_decides() {
        let other: SwarmService = serde_json::from_value(json!({
            "ID": "r", "Spec": {"Name": "trm_redis", "Mode": {"Replicated": {"Replicas": 0}}}
        }))
        .unwrap();
        let failed = [exited("1", 1, "a", "failed", 10)];
        let outcome = judge(Goal::Forward, &[other, service("a", None)], &failed, &BTreeSet::new());
        assert_eq!(outcome, DeployOutcome::Failed { task: "1".to_owned() });
    }
}
