//! Setup of a machine for the other commands: a list of steps that detect a missing part and can install it.

mod machine;
mod plan;
mod step;

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use grammar::PostgresVersion;
use serde::Serialize;

use self::machine::SetupMachine;
pub use self::machine::{browser, is_on_path, musl_target};
use self::plan::SetupProbe;
pub use self::plan::obtain;
use self::step::SetupStep;
use crate::base_images::{BaseImage, Resolved};
use crate::engine::Engine;
use crate::registry::Registry;
use crate::ui;

/// The outcome of a step, also as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct SetupOutcome {
    /// The step's name.
    pub name: &'static str,
    /// The state after the step.
    pub state: PartState,
    /// The version, path or name of the part, or the reason why it counts as missing.
    pub found: String,
    /// The purpose, as a phrase.
    pub purpose: &'static str,
    /// True for a part that only the commands that name it need.
    pub optional: bool,
    /// The command that installs a missing part, or the advice to the user where none can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The action that would install a missing part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would: Option<String>,
    /// The action that was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub did: Option<String>,
    /// Duration of the whole step.
    pub seconds: f64,
}

/// The state of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PartState {
    /// The part is present.
    Ok,
    /// The part is missing or too old.
    Missing,
}

/// The extent of a setup.
#[derive(Clone, Copy, Debug)]
pub struct SetupOptions {
    /// Install missing parts instead of only reporting them.
    pub install: bool,
    /// Include the parts that only releases and tests need.
    pub tests: bool,
    /// Include a browser, which only one check needs.
    pub browser: bool,
    /// Include a registry with the base images.
    pub registry: Option<Registry>,
}

/// Runs the steps and shows each outcome as soon as it is known. With `install`, installs missing parts; an action that fails
/// is an error.
pub async fn run(
    SetupOptions { install, tests, browser, registry }: SetupOptions,
) -> anyhow::Result<Vec<SetupOutcome>> {
    let machine = SetupMachine::detect();
    let mut outcomes = Vec::new();
    let steps = SetupStep::ALL.into_iter().filter(|step| tests || !step.is_for_tests());
    let registry = registry.map(|registry| [SetupStep::RustImage, SetupStep::Registry(registry)]);
    for step in steps.chain(browser.then_some(SetupStep::Browser)).chain(registry.into_iter().flatten()) {
        let began = Instant::now();
        let outcome = run_step(step, &machine, install).await.with_context(|| format!("setup: {}", step.name()))?;
        let outcome = SetupOutcome { seconds: ui::json_seconds(began.elapsed()), ..outcome };
        show(&outcome);
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// Looks for every part, also for those that `setup` includes only on request, and for the requirements that it does not
/// install. Installs and shows nothing. A part that cannot be examined is missing.
pub async fn inspect() -> Vec<SetupOutcome> {
    let machine = SetupMachine::detect();
    let mut outcomes = Vec::new();
    for step in SetupStep::every(Registry::default()) {
        let began = Instant::now();
        let outcome = run_step(step, &machine, false).await.unwrap_or_else(|error| SetupOutcome {
            state: PartState::Missing,
            ..SetupOutcome::new(step, format!("{error:#}"))
        });
        outcomes.push(SetupOutcome { seconds: ui::json_seconds(began.elapsed()), ..outcome });
    }
    outcomes
}

/// Returns the database for tests: a server of this version, which is pulled or built if it is missing, else the image of
/// the compose file.
pub async fn test_database(engine: &Engine, version: Option<PostgresVersion>) -> anyhow::Result<Resolved> {
    let image = match version {
        Some(version) => BaseImage::exact_postgres(version),
        None => return BaseImage::postgres().await?.resolve(engine).await,
    };
    obtained(engine, image).await
}

/// Returns an image, which is pulled or built if it is missing.
pub async fn obtained(engine: &Engine, image: BaseImage) -> anyhow::Result<Resolved> {
    if let SetupProbe::Missing { plan, .. } = step::image(Ok(image.clone())).await? {
        plan.execute().await?;
    }
    image.resolve(engine).await
}

/// Runs one step; the caller measures its duration.
async fn run_step(step: SetupStep, machine: &SetupMachine, install: bool) -> anyhow::Result<SetupOutcome> {
    let (found, plan) = match step.probe(machine).await? {
        SetupProbe::Ok(found) => return Ok(SetupOutcome::new(step, found)),
        SetupProbe::Missing { found, plan } => (found, plan),
    };
    let description = plan.describe();
    if !install {
        let remedy = if plan.is_advice() { description.clone() } else { format!("`{}`", step.command()) };
        return Ok(SetupOutcome {
            state: PartState::Missing,
            remedy: Some(remedy),
            would: Some(description),
            ..SetupOutcome::new(step, found)
        });
    }
    ui::status("Missing", &format!("{}: {found}", step.name()));
    plan.execute().await?;
    match step.probe(machine).await? {
        SetupProbe::Ok(found) => Ok(SetupOutcome { did: Some(description), ..SetupOutcome::new(step, found) }),
        SetupProbe::Missing { found, .. } => {
            bail!("still missing after its action: {found}; repeat it by hand: {description}")
        }
    }
}

impl SetupOutcome {
    /// A part that is present.
    fn new(step: SetupStep, found: String) -> SetupOutcome {
        SetupOutcome {
            name: step.name(),
            state: PartState::Ok,
            found,
            purpose: step.purpose(),
            optional: step.is_optional(),
            remedy: None,
            would: None,
            did: None,
            seconds: 0.0,
        }
    }
}

fn show(outcome: &SetupOutcome) {
    let SetupOutcome { name, state, found, purpose, would, did, seconds, .. } = outcome;
    let took = ui::seconds(Duration::from_secs_f64(*seconds));
    match (state, would) {
        (PartState::Missing, Some(would)) => {
            ui::warning(&format!("{name}: {found}\n{:>13}{purpose}\n{:>13}would {would}", "", ""))
        }
        (PartState::Missing, None) => ui::warning(&format!("{name}: {found}")),
        (PartState::Ok, _) if did.is_some() => ui::status("Done", &format!("{name}: {found} ({took})")),
        (PartState::Ok, _) => ui::status("Ok", &format!("{name}: {found}")),
    }
}
