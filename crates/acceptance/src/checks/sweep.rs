//! Faults at messages spread over a whole boot, in places that no other check aims at.

use anyhow::ensure;

use crate::check::{Check, Need, NotRun};
use crate::test_context::TestContext;
use grammar::SweepScenario;

use crate::sweep::{NoGateway, Sweep, SweepDensity, SweepFault, fault_points};

pub(crate) const CHECKS: &[Check] = &[Check {
    name: "sweep",
    promise: "A cold boot that is cut or killed at any of several messages ends in time, and the next boot completes.",
    needs: Need::Nothing,
    run: |test| Box::pin(faults_at_messages(test)),
}];

/// Number of fault points; `cargo xtask sweep --sample` sets another one.
const POINTS: usize = 6;
/// Faults that need no separate server and no timeout; the checks of faults cover the others.
const KINDS: [SweepFault; 3] = [SweepFault::Cut, SweepFault::NodeKilled, SweepFault::BootKilled];
/// Number of boots at once.
const JOBS: usize = 2;

async fn faults_at_messages(test: &mut TestContext) -> anyhow::Result<()> {
    let network = test.network().await?;
    let sweep = match Sweep::prepare(&test.suite, &test.servers, &network, SweepScenario::Cold).await {
        Err(error) if error.is::<NoGateway>() => return Err(NotRun(format!("{error:#}")).into()),
        sweep => sweep?,
    };
    test.figure("messages of an undisturbed boot", sweep.trace.messages.len().to_string());
    let points = fault_points(&sweep.trace, SweepDensity::Sample(POINTS), &KINDS);
    let outcomes = sweep.run(&points, JOBS, |_| {}).await;
    for outcome in &outcomes {
        test.figure(outcome.point(), outcome.words());
        test.line(outcome.last_line.clone());
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
