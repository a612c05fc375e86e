//! Faults at messages spread over a whole boot, in places that no other check aims at.

use anyhow::ensure;

use crate::case::Case;
use crate::check::{Check, Need, NotRun};
use grammar::Scenario;

use crate::sweep::{Density, Kind, NoGateway, Sweep, points};

pub(crate) const CHECKS: &[Check] = &[Check {
    name: "sweep",
    promise: "A cold boot that is cut or killed at any of several messages ends in time, and the next boot completes.",
    needs: Need::Nothing,
    run: |case| Box::pin(faults_at_messages(case)),
}];

/// Number of fault points; `cargo xtask sweep --sample` sets another one.
const POINTS: usize = 6;
/// Faults that need no separate server and no timeout; the checks of faults cover the others.
const KINDS: [Kind; 3] = [Kind::Cut, Kind::NodeKilled, Kind::BootKilled];
/// Number of boots at once.
const JOBS: usize = 2;

async fn faults_at_messages(case: &mut Case) -> anyhow::Result<()> {
    let network = case.network().await?;
    let sweep = match Sweep::prepare(&case.setting, &case.servers, &network, Scenario::Cold).await {
        Err(error) if error.is::<NoGateway>() => return Err(NotRun(format!("{error:#}")).into()),
        sweep => sweep?,
    };
    case.figure("messages of an undisturbed boot", sweep.trace.messages.len().to_string());
    let points = points(&sweep.trace, Density::Sample(POINTS), &KINDS);
    let outcomes = sweep.run(&points, JOBS, |_| {}).await;
    for outcome in &outcomes {
        case.figure(outcome.point(), outcome.words());
        case.line(outcome.said.clone());
    }
    let failures: Vec<String> = outcomes
        .iter()
        .filter_map(|outcome| Some(format!("{}: {}", outcome.point(), outcome.failure.as_ref()?)))
        .collect();
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    let hits = outcomes.iter().filter(|outcome| outcome.hit.is_some()).count();
    ensure!(hits + 1 >= POINTS, "only {hits} of {POINTS} faults were injected");
    Ok(())
}
