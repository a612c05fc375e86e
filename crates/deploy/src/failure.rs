//! The end of a task in words: the cause, the last line of its log, and the remedy.

use contract::{Event, ExitCode, LogLine};
use testbed::engine::{Engine, SwarmTask};

/// The reason why a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskFailure {
    /// Why, in one clause: the meaning of the exit code, or the swarm's error.
    pub(crate) cause: String,
    /// The line of the failed phase, or else the last line of the log.
    pub(crate) last_line: Option<String>,
    /// The remedy; `None` for an unknown exit code, where only the log helps.
    pub(crate) remedy: Option<&'static str>,
}

impl TaskFailure {
    /// Reads the log of a task that failed. `boots` is true for our image, whose exit codes are those of the boot.
    pub(crate) async fn read(engine: &Engine, task: &SwarmTask, boots: bool) -> TaskFailure {
        // Without a container there is no log.
        if task.exit_code().is_none() {
            return TaskFailure::of(task, boots, &[]);
        }
        // The log is on the task's node, which may be down.
        let log = engine.task_lines(task.id()).await;
        TaskFailure::of(task, boots, &log.unwrap_or_else(|error| vec![format!("{error:#}")]))
    }

    /// Explains the end of a task by the lines of its log.
    pub(crate) fn of(task: &SwarmTask, boots: bool, log: &[String]) -> TaskFailure {
        let failed = log.iter().rev().find_map(|line| match LogLine::parse(line)? {
            LogLine { phase, event: Event::Failed(_), message, .. } => Some(format!("{phase}: {message}")),
            _ => None,
        });
        let last_line = failed.or_else(|| log.iter().rev().find(|line| !line.trim().is_empty()).cloned());
        let code = task.exit_code();
        // The swarm stopped the server, so that its code is that of the signal.
        let is_unhealthy = task.error().contains("unhealthy container");
        let exit = if is_unhealthy { Some(ExitCode::Unhealthy) } else { code.and_then(ExitCode::from_code) };
        let exit = exit.filter(|exit| boots && *exit != ExitCode::Ok);
        let cause = match (code, exit) {
            _ if is_unhealthy => "the health check failed".to_owned(),
            (Some(code), Some(exit)) => format!("exit code {code}: {}", exit.meaning().trim_end_matches('.')),
            (Some(137), None) => "exit code 137: it was killed, for example because it used up its memory".to_owned(),
            (Some(code), None) if code != 0 => format!("exit code {code}"),
            _ => task.error().to_owned(),
        };
        let no_image = task.error().contains("No such image");
        let remedy = if no_image { Some(NO_IMAGE) } else { exit.map(ExitCode::remedy) };
        TaskFailure { cause, last_line, remedy }
    }

    /// Formats it as lines under a title.
    pub(crate) fn lines(&self, title: &str) -> String {
        let mut lines = vec![format!("{title}: {}", self.cause)];
        lines.extend(self.last_line.as_ref().map(|line| format!("  last line: {}", line.trim_end())));
        lines.extend(self.remedy.map(|remedy| format!("  what to do: {remedy}")));
        lines.join("\n")
    }
}

const NO_IMAGE: &str = "Push the image to a registry that the node reaches, log in to it on this machine with `docker login`, and check the name.";

#[cfg(test)]
mod tests {
    use serde_json::json;
    use testbed::engine::SwarmTask;

    use super::TaskFailure;

    fn boot(task: &SwarmTask, log: &[String]) -> TaskFailure {
        TaskFailure::of(task, true, log)
    }

    fn task(state: &str, error: &str, code: Option<u16>) -> SwarmTask {
        let container = code.map(|code| json!({"ContainerID": "a8852f0340d9", "PID": 0, "ExitCode": code}));
        serde_json::from_value(json!({"Status": {"State": state, "Err": error, "ContainerStatus": container}})).unwrap()
    }

    #[test]
    fn a_failed_boot_is_explained_by_its_exit_code_and_its_last_line() {
        let log = [
            r#"{"level":30,"msg":"27 | RAISE EXCEPTION","name":"entrypoint","phase":"db-init","step":4,"time":1}"#,
            r#"{"exit":21,"level":50,"msg":"001_extensions.sql:27:9: no extension","name":"entrypoint","phase":"db-init","step":4,"time":1}"#,
            "a line of another program",
        ];
        let failure = boot(&task("failed", "task: non-zero exit (21)", Some(21)), &log.map(str::to_owned));
        assert_eq!(
            failure.lines("directus.1 on vm failed"),
            "directus.1 on vm failed: exit code 21: PostgreSQL refused the connection: password, role, database name or TLS\n  \
             last line: db-init: 001_extensions.sql:27:9: no extension\n  \
             what to do: Correct the named credential, or create the role or the database."
        );
    }

    #[test]
    fn without_a_line_of_the_boot_the_last_line_of_the_log_is_shown() {
        let log = ["first", "last", ""].map(str::to_owned);
        let failure = boot(&task("failed", "task: non-zero exit (137)", Some(137)), &log);
        assert_eq!(failure.last_line.as_deref(), Some("last"));
        assert!(failure.cause.starts_with("exit code 137: it was killed"), "{}", failure.cause);
        assert_eq!(failure.remedy, None);
    }

    #[test]
    fn exit_codes_of_another_image_are_not_explained() {
        let failure = TaskFailure::of(&task("failed", "task: non-zero exit (1)", Some(1)), false, &[]);
        assert_eq!(failure.lines("redis.1 failed"), "redis.1 failed: exit code 1");
    }

    #[test]
    fn a_task_without_a_container_has_the_error_of_the_swarm() {
        let failure = boot(&task("rejected", "No such image: directus:b", None), &[]);
        assert_eq!(failure.cause, "No such image: directus:b");
        assert!(failure.remedy.is_some_and(|remedy| remedy.starts_with("Push the image")));
    }

    #[test]
    fn an_unhealthy_server_is_not_explained_by_the_exit_code_of_its_end() {
        let unhealthy = task("failed", "task: non-zero exit (143): dockerexec: unhealthy container", Some(143));
        let failure = boot(&unhealthy, &[]);
        assert_eq!(
            failure.lines("x"),
            "x: the health check failed\n  what to do: See the container's log; restart it if the server hangs."
        );
    }
}
