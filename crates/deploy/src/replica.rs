//! The activity of a task in words: of the swarm before its boot, of the boot, of the server.

use std::time::Duration;

use jiff::Timestamp;
use testbed::boot_view::BootView;
use testbed::engine::{SwarmService, SwarmTask, TaskState};

/// The name of a replica: the service without the stack's name, and its number.
pub(crate) fn name(stack: &str, service: &SwarmService, task: &SwarmTask) -> String {
    format!("{}.{}", short_name(stack, service), task.slot())
}

/// The name of a service in the stack file.
pub(crate) fn short_name<'a>(stack: &str, service: &'a SwarmService) -> &'a str {
    service.name().strip_prefix(stack).and_then(|rest| rest.strip_prefix('_')).unwrap_or(service.name())
}

/// The activity of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// Has no container yet; with the swarm's word, such as `preparing`, and its error.
    Waiting(String),
    /// Boots; with number and name of the phase. Other images than ours have no phases.
    Booting(String),
    /// Is healthy.
    Serving,
    /// Still runs, although the swarm has asked it to stop.
    Stopping,
    /// Ended on request of the swarm.
    Stopped,
    /// Ended with an error.
    Failed,
}

impl Activity {
    /// The activity by the state of a task and, if it is read, the log of its boot.
    pub(crate) fn of(task: &SwarmTask, boot: Option<&BootView>) -> Activity {
        match task.state() {
            TaskState::Failed => Activity::Failed,
            TaskState::Ended => Activity::Stopped,
            TaskState::Starting | TaskState::Running if !task.is_wanted() => Activity::Stopping,
            TaskState::Running => Activity::Serving,
            TaskState::Starting => Activity::Booting(boot.map(BootView::current).unwrap_or_default()),
            TaskState::Waiting if !task.is_wanted() => Activity::Stopped,
            TaskState::Waiting if task.error().is_empty() => Activity::Waiting(task.state_word()),
            TaskState::Waiting => Activity::Waiting(format!("{}: {}", task.state_word(), task.error())),
        }
    }

    /// The verb of a status line.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Activity::Waiting(_) => "Waiting",
            Activity::Booting(_) => "Booting",
            Activity::Serving => "Healthy",
            Activity::Stopping => "Stopping",
            Activity::Stopped => "Stopped",
            Activity::Failed => "Failed",
        }
    }

    /// The words after the verb; empty where the verb is enough.
    pub(crate) fn detail(&self) -> &str {
        match self {
            Activity::Waiting(detail) | Activity::Booting(detail) => detail,
            _ => "",
        }
    }
}

/// The live line of a task: verb, replica, node, image, age, phase. The last one may be too long for the terminal.
pub(crate) fn row(name: &str, node: &str, task: &SwarmTask, activity: &Activity, now: Timestamp) -> [String; 6] {
    let verb = format!("{:>10}", activity.verb());
    let age = age(between(task.created(), now));
    [verb, name.to_owned(), node.to_owned(), task.image().to_owned(), age, activity.detail().to_owned()]
}

/// The time between two moments of the swarm's clock, which may differ from this machine's.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// Formats an age in its largest unit.
pub(crate) fn age(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use testbed::boot_view::BootView;
    use testbed::engine::{SwarmService, SwarmTask};

    use super::{Activity, age, name, row};

    fn task(state: &str, desired: &str, error: &str) -> SwarmTask {
        serde_json::from_value(json!({
            "ID": "t", "Slot": 2, "DesiredState": desired, "CreatedAt": "2026-11-26T19:38:54.824791236Z",
            "Spec": {"ContainerSpec": {"Image": "directus:b@sha256:00"}},
            "Status": {"State": state, "Err": error, "Timestamp": "2026-11-26T19:38:57.663527727Z"}
        }))
        .unwrap()
    }

    #[test]
    fn a_task_waits_boots_serves_and_stops() {
        let mut boot = BootView::default();
        boot.line(r#"{"level":30,"name":"entrypoint","phase":"lock","step":3,"msg":"free","ms":2,"time":1}"#);
        let activity = |state, desired| Activity::of(&task(state, desired, ""), Some(&boot));
        assert_eq!(activity("preparing", "running"), Activity::Waiting("preparing".to_owned()));
        assert_eq!(activity("starting", "running"), Activity::Booting("4/8 db-init".to_owned()));
        assert_eq!(activity("running", "running"), Activity::Serving);
        assert_eq!(activity("running", "shutdown"), Activity::Stopping);
        assert_eq!(activity("shutdown", "shutdown"), Activity::Stopped);
        assert_eq!(activity("failed", "shutdown"), Activity::Failed);
    }

    #[test]
    fn a_waiting_task_has_the_reason_of_the_swarm() {
        let task = task("pending", "running", "no suitable node (insufficient resources on 1 node)");
        let activity = Activity::of(&task, None);
        assert_eq!(activity.detail(), "pending: no suitable node (insufficient resources on 1 node)");
    }

    #[test]
    fn a_row_has_no_digest_and_its_age_is_not_negative() {
        let task = task("running", "running", "");
        let service: SwarmService = serde_json::from_value(json!({"Spec": {"Name": "trm_directus"}})).unwrap();
        let name = name("trm", &service, &task);
        let at = |time: &str| row(&name, "node-1", &task, &Activity::Serving, time.parse().unwrap());
        let expected = ["   Healthy", "directus.2", "node-1", "directus:b", "5 s", ""];
        assert_eq!(at("2026-11-26T19:39:00Z"), expected);
        assert_eq!(at("2026-11-26T19:38:00Z")[4], "0 s");
    }

    #[test]
    fn an_age_has_its_largest_unit() {
        let ages = [119, 120, 7_199, 7_200, 172_800].map(|seconds| age(Duration::from_secs(seconds)));
        assert_eq!(ages, ["119 s", "2 min", "119 min", "2 h", "2 days"]);
    }
}
