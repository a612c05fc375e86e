//! A boot that meets a fault at any of its messages, where no other check aims.

use anyhow::ensure;

use crate::case::Case;
use crate::check::{Check, Need, NotRun};
use grammar::Scenario;

use crate::sweep::{Density, Kind, NoGateway, Sweep, points};

pub(crate) const CHECKS: &[Check] = &[Check {
    name: "sweep",
    promise: "Cut off or killed at messages spread over a whole cold boot: it ends in time, and the next one is good.",
    needs: Need::Nothing,
    run: |case| Box::pin(swept(case)),
}];

/// How many points; `cargo xtask sweep` takes as many as one likes.
const POINTS: usize = 6;
/// What needs no server of its own, and no waiting for a timeout: the other checks of faults have those.
const KINDS: [Kind; 3] = [Kind::Cut, Kind::NodeKilled, Kind::BootKilled];
/// How many at once.
const JOBS: usize = 2;

async fn swept(case: &mut Case) -> anyhow::Result<()> {
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
    let came = outcomes.iter().filter(|outcome| outcome.hit.is_some()).count();
    ensure!(came + 1 >= POINTS, "only {came} of {POINTS} faults came");
    Ok(())
}
