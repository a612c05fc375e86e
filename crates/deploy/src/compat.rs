//! Asks an image about a roll: `compat` before it, `contract` after it.

use std::time::Duration;

use anyhow::{Context as _, bail};
use contract::ExitCode;
use grammar::CompatFlags;
use testbed::engine::SwarmService;
use testbed::ui;

use crate::failure::TaskFailure;
use crate::swarm::Swarm;

/// The image's command that answers if it may start while servers of another image run.
const COMPAT: &str = "compat";
/// The image's command that makes the changes that wait for the end of the servers of other images.
const CONTRACT: &str = "contract";
/// Time for the answer, including the pull of the image.
const ANSWER: Duration = Duration::from_secs(600);
/// The exit code of an answer, and of `deploy`: the servers of other images must stop first.
pub(crate) const STOP_FIRST: u8 = 3;

/// The answer of an image to the question if it may roll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CompatAnswer {
    /// It may start while servers of the other image run.
    Roll,
    /// They must stop first.
    StopFirst,
    /// It must not start, or could not find out; with the exit code.
    No(i64),
    /// It has no such command.
    CannotAnswer,
}

/// The way to replace the servers of an image by those of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// One after the other, as the service is configured.
    Rolling,
    /// All of them stop, then the new ones start.
    StopFirst,
}

/// A refusal to roll, with the exit code of `deploy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RollRefusal {
    pub(crate) message: String,
    pub(crate) exit: u8,
}

impl CompatAnswer {
    fn of(code: i64) -> CompatAnswer {
        match code {
            0 => CompatAnswer::Roll,
            _ if code == i64::from(STOP_FIRST) => CompatAnswer::StopFirst,
            // An older boot runs an unknown command as a program, which does not exist.
            _ if [ExitCode::NotFound, ExitCode::Usage].iter().any(|exit| i64::from(exit.code()) == code) => {
                CompatAnswer::CannotAnswer
            }
            _ => CompatAnswer::No(code),
        }
    }

    /// Decides on the order by the answer and the flags.
    fn decide(self, image: &str, flags: &CompatFlags) -> Result<Order, RollRefusal> {
        match self {
            CompatAnswer::Roll => Ok(Order::Rolling),
            CompatAnswer::StopFirst if flags.stop_first => Ok(Order::StopFirst),
            CompatAnswer::CannotAnswer if flags.unasked && flags.stop_first => Ok(Order::StopFirst),
            CompatAnswer::CannotAnswer if flags.unasked => Ok(Order::Rolling),
            CompatAnswer::StopFirst => Err(RollRefusal {
                message: format!(
                    "{image} must not serve next to the running image, for the reasons above; nothing was changed: repeat the \
                     command with --stop-first, which stops all replicas before it starts the new ones"
                ),
                exit: STOP_FIRST,
            }),
            CompatAnswer::CannotAnswer => Err(RollRefusal {
                message: format!(
                    "{image} cannot be asked if it may roll: it is too old to have the command `{COMPAT}`; nothing was changed: \
                     --unasked goes on without its answer, --stop-first --unasked stops all replicas before"
                ),
                exit: 1,
            }),
            CompatAnswer::No(code) => {
                let exit = ExitCode::from_code(code);
                let meaning = exit.map_or("a code that is not the boot's", ExitCode::meaning).trim_end_matches('.');
                let remedy = exit.map_or("see the lines above", ExitCode::remedy);
                Err(RollRefusal {
                    message: format!(
                        "{image} does not roll: exit code {code}: {meaning}; nothing was changed\n  what to do: {remedy}"
                    ),
                    exit: u8::try_from(code).unwrap_or(1),
                })
            }
        }
    }
}

/// Asks an image if it may replace the servers of a service, with that service's own variables and secrets.
pub(crate) async fn ask(
    swarm: &Swarm,
    service: &SwarmService,
    image: &str,
    flags: &CompatFlags,
) -> anyhow::Result<Result<Order, RollRefusal>> {
    let answer = CompatAnswer::of(run(swarm, service, image, COMPAT, ANSWER).await?);
    if answer == CompatAnswer::CannotAnswer && flags.unasked {
        ui::warning(&format!("{image} is not asked if it may roll: it is too old to have the command `{COMPAT}`"));
    }
    Ok(answer.decide(image, flags))
}

/// Makes the changes that waited for the end of the servers of other images. A failure is a warning, because the servers
/// serve in any case.
pub(crate) async fn contract(swarm: &Swarm, service: &SwarmService, image: &str, deadline: Duration) {
    let reason = match run(swarm, service, image, CONTRACT, deadline).await.map(CompatAnswer::of) {
        Ok(CompatAnswer::Roll) => return ui::status("Contracted", "nothing waits for the end of older servers"),
        // Such an image has made all of its changes in its boot.
        Ok(CompatAnswer::CannotAnswer) => return,
        Ok(CompatAnswer::StopFirst) => "servers of another image still run".to_owned(),
        Ok(CompatAnswer::No(code)) => {
            let exit = ExitCode::from_code(code);
            let meaning = exit.map_or("not a code of the boot", ExitCode::meaning).trim_end_matches('.');
            format!("exit code {code}: {meaning}")
        }
        Err(error) => format!("{error:#}"),
    };
    ui::warning(&format!(
        "changes that wait for the end of older servers were not made: {reason}; the next boot of {image} makes them"
    ));
}

/// Runs a command of an image with the environment of a service, shows its output, and returns its exit code.
async fn run(
    swarm: &Swarm,
    service: &SwarmService,
    image: &str,
    command: &str,
    deadline: Duration,
) -> anyhow::Result<i64> {
    ui::command(&format!("{image} {command}"));
    let spinner = ui::Spinner::start();
    spinner.restart(&format!("waiting for the answer of {image} {command}"));
    let (task, output) = swarm.engine.run_as_task(&swarm.stack, service, image, command, deadline).await?;
    drop(spinner);
    let Some(code) = task.exit_code() else {
        let failure = TaskFailure::of(&task, true, &output);
        bail!("{}", failure.lines(&format!("`{command}` of {image} did not run")));
    };
    if CompatAnswer::of(code) != CompatAnswer::CannotAnswer {
        let text = output.iter().map(|line| format!("    {line}\n")).collect::<String>();
        ui::status("Answered", &format!("exit code {code}\n{}", text.trim_end()));
    }
    Ok(code)
}

/// Returns the number of replicas that a service is to have: its own, or, after an update that stopped them and failed, that
/// of the service before.
pub(crate) async fn wanted_replicas(swarm: &Swarm, service: &SwarmService) -> anyhow::Result<u64> {
    let name = service.name();
    match service.replicas() {
        Some(0) => {
            let previous = swarm.engine.previous(service).await?.and_then(|previous| previous.replicas);
            previous
                .filter(|replicas| *replicas > 0)
                .with_context(|| format!("{name} has no replicas: give it some with `docker service scale {name}=3`"))
        }
        Some(replicas) => Ok(replicas),
        None => {
            bail!("{name} runs on every node, but `deploy` supports a number of replicas only (`deploy: replicas`)")
        }
    }
}

#[cfg(test)]
mod tests {
    use grammar::CompatFlags;

    use super::{CompatAnswer, Order};

    fn decide(code: i64, stop_first: bool, unasked: bool) -> Result<Order, (u8, String)> {
        let flags = CompatFlags { stop_first, unasked };
        CompatAnswer::of(code).decide("directus:b", &flags).map_err(|refusal| (refusal.exit, refusal.message))
    }

    #[test]
    fn an_image_that_may_roll_rolls_with_any_flags() {
        for (stop_first, unasked) in [(false, false), (true, false), (false, true)] {
            assert_eq!(decide(0, stop_first, unasked), Ok(Order::Rolling));
        }
    }

    #[test]
    fn servers_stop_first_only_by_the_flag() {
        let (exit, message) = decide(3, false, true).unwrap_err();
        assert_eq!(exit, 3);
        assert!(message.contains("nothing was changed: repeat the command with --stop-first"), "{message}");
        assert_eq!(decide(3, true, false), Ok(Order::StopFirst));
    }

    #[test]
    fn a_refusal_has_no_way_around_it_and_keeps_its_exit_code_and_remedy() {
        for code in [43, 45, 21, 1] {
            let (exit, message) = decide(code, true, true).unwrap_err();
            assert_eq!(i64::from(exit), code);
            assert!(message.contains("nothing was changed\n  what to do: "), "{message}");
        }
    }

    #[test]
    fn an_older_image_cannot_be_asked_and_rolls_only_by_the_flag() {
        for code in [127, 64] {
            let (exit, message) = decide(code, true, false).unwrap_err();
            assert_eq!(exit, 1);
            assert!(
                message.contains("too old to have the command `compat`; nothing was changed: --unasked"),
                "{message}"
            );
            assert_eq!(decide(code, false, true), Ok(Order::Rolling));
            assert_eq!(decide(code, true, true), Ok(Order::StopFirst));
        }
    }
}
