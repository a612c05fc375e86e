//! Brings a machine to where every other command works: a list of steps, each of which looks, and knows what it would do.

mod machine;
mod plan;
mod step;

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Serialize;

use self::machine::Machine;
pub use self::machine::{browser, musl_target};
use self::plan::Probe;
pub use self::plan::obtain;
use self::step::Step;
use crate::ui;

/// The outcome of a step.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The step's name.
    pub name: &'static str,
    /// Its state now.
    pub state: State,
    /// The finding.
    pub found: String,
    /// The action that would be taken, when it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would: Option<String>,
    /// The action that was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub did: Option<String>,
    /// Duration of looking and doing.
    pub seconds: f64,
}

/// The state of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All is well.
    Ok,
    /// Something is missing.
    Missing,
}

/// The parts of a machine's setup that are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Do what is missing, not only say it.
    pub act: bool,
    /// Also the parts that only tests need.
    pub tests: bool,
    /// A browser too, which only one check needs.
    pub browser: bool,
}

/// Goes through the steps. With `act`, does what is missing, and an action that fails is an error; each step's outcome is
/// shown as soon as it is known.
pub async fn go_through(Wanted { act, tests, browser }: Wanted) -> anyhow::Result<Vec<Outcome>> {
    let machine = Machine::detect();
    let mut outcomes = Vec::new();
    let steps = Step::ALL.into_iter().filter(|step| tests || *step != Step::PoolerImage);
    for step in steps.chain(browser.then_some(Step::Browser)) {
        let outcome = one(step, &machine, act).await.with_context(|| format!("setup: {}", step.name()))?;
        show(&outcome);
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

async fn one(step: Step, machine: &Machine, act: bool) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let outcome = |state, found, would, did| Outcome {
        name: step.name(),
        state,
        found,
        would,
        did,
        seconds: ui::json_seconds(began.elapsed()),
    };
    let (found, plan) = match step.probe(machine).await? {
        Probe::Ok(found) => return Ok(outcome(State::Ok, found, None, None)),
        Probe::Missing { found, plan } => (found, plan),
    };
    let description = plan.describe();
    if !act {
        return Ok(outcome(State::Missing, found, Some(description), None));
    }
    ui::status("Missing", &format!("{}: {found}", step.name()));
    plan.execute().await?;
    match step.probe(machine).await? {
        Probe::Ok(found) => Ok(outcome(State::Ok, found, None, Some(description))),
        Probe::Missing { found, .. } => bail!("still missing after its action: {found}"),
    }
}

fn show(outcome: &Outcome) {
    let Outcome { name, state, found, would, did, seconds } = outcome;
    let took = ui::seconds(Duration::from_secs_f64(*seconds));
    match (state, would) {
        (State::Missing, Some(would)) => ui::warning(&format!("{name}: {found}\n{:>13}would {would}", "")),
        (State::Missing, None) => ui::warning(&format!("{name}: {found}")),
        (State::Ok, _) if did.is_some() => ui::status("Done", &format!("{name}: {found} ({took})")),
        (State::Ok, _) => ui::status("Ok", &format!("{name}: {found}")),
    }
}
