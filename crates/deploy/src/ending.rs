//! The last sentence of a deployment, and its exit code.

use std::process::ExitCode;

use testbed::ui;

use crate::follow::Followed;
use crate::outcome::DeployOutcome;

/// The exit code if the swarm rolled the update back: the servers are those of before.
const ROLLED_BACK: u8 = 2;

/// Prints the result of a deployment, and returns the exit code. `wanted` describes it, such as `trm_directus runs
/// directus:b`; `way_out` is what to do after a failure that the swarm does not roll back.
pub(crate) fn report(followed: &Followed, wanted: &str, way_out: &str) -> ExitCode {
    let (text, exit) = sentence(followed, wanted, way_out);
    if exit == 0 {
        ui::status("Deployed", &text);
    } else {
        ui::error(&text);
    }
    ExitCode::from(exit)
}

fn sentence(followed: &Followed, wanted: &str, way_out: &str) -> (String, u8) {
    let healthy = followed.healthy;
    let took = ui::seconds(followed.took);
    let because = match &followed.first_failure {
        Some((title, failure)) => failure.lines(&format!("{title} failed")),
        None => way_out.to_owned(),
    };
    match &followed.outcome {
        Some(DeployOutcome::Converged) => (format!("{wanted}, healthy after {took}"), 0),
        Some(DeployOutcome::RolledBack { service }) => (
            format!("the swarm rolled {service} back after {took}, {healthy} replicas are healthy; {because}"),
            ROLLED_BACK,
        ),
        Some(DeployOutcome::Paused { service, message }) => {
            (format!("the swarm stopped the update of {service} after {took} ({message}); {because}\n{way_out}"), 1)
        }
        Some(DeployOutcome::Failed { .. }) => (format!("failed after {took}; {because}\n{way_out}"), 1),
        Some(DeployOutcome::Working) | None => (
            format!("not healthy after {took}, and the swarm goes on; {because}\n`cargo xtask deploy status` has more"),
            1,
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::sentence;
    use crate::failure::TaskFailure;
    use crate::follow::Followed;
    use crate::outcome::DeployOutcome;

    fn followed(outcome: Option<DeployOutcome>) -> Followed {
        let failure = TaskFailure {
            cause: "exit code 31: A migration's SQL failed".to_owned(),
            last_line: Some("db-init: 004.sql:1:1: syntax error".to_owned()),
            remedy: Some("Correct the file."),
        };
        Followed {
            outcome,
            first_failure: Some(("directus.2 on a".to_owned(), failure)),
            healthy: 3,
            took: Duration::from_millis(12_340),
        }
    }

    #[test]
    fn only_a_converged_deployment_is_a_success() {
        let (text, exit) = sentence(&followed(Some(DeployOutcome::Converged)), "trm_directus runs directus:b", "x");
        assert_eq!((text.as_str(), exit), ("trm_directus runs directus:b, healthy after 12.3 s", 0));
    }

    #[test]
    fn a_rollback_has_its_own_exit_code_and_the_reason_of_the_first_failed_replica() {
        let outcome = DeployOutcome::RolledBack { service: "trm_directus".to_owned() };
        let (text, exit) = sentence(&followed(Some(outcome)), "", "x");
        assert_eq!(exit, 2);
        assert_eq!(
            text,
            "the swarm rolled trm_directus back after 12.3 s, 3 replicas are healthy; directus.2 on a failed: exit code 31: A \
             migration's SQL failed\n  last line: db-init: 004.sql:1:1: syntax error\n  what to do: Correct the file."
        );
    }

    #[test]
    fn a_failure_and_a_deadline_end_with_the_way_out() {
        let failed = DeployOutcome::Failed { task: "t".to_owned() };
        let (text, exit) = sentence(&followed(Some(failed)), "", "correct the image, then update");
        assert_eq!(exit, 1);
        assert!(
            text.starts_with("failed after 12.3 s; directus.2 on a failed") && text.ends_with("then update"),
            "{text}"
        );
        let (text, exit) = sentence(&followed(None), "", "");
        assert_eq!(exit, 1);
        assert!(text.ends_with("`cargo xtask deploy status` has more"), "{text}");
    }
}
