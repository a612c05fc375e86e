//! A first boot, and one on a database that is as it should be.

use anyhow::ensure;
use entrypoint::contract::Phase;

use crate::verify::case::{Case, timeline};
use crate::verify::check::{Check, Need};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "fresh-boot",
        promise: "A first boot applies every migration and the snapshot, and serves.",
        needs: Need::Nothing,
        run: |case| Box::pin(fresh_boot(case)),
    },
    Check {
        name: "warm-boot",
        promise: "A boot of an up-to-date database changes nothing, and serves the same rows.",
        needs: Need::Nothing,
        run: |case| Box::pin(warm_boot(case)),
    },
];

async fn fresh_boot(case: &mut Case) -> anyhow::Result<()> {
    let database = case.empty_database().await?;
    let container = case.start(case.boot("cold", &database)).await?;
    let ready = container.healthy().await?;
    let log = container.log().await?;
    case.evidence.boots.push(timeline("cold", &log, Some(ready)));
    for (phase, message) in [(Phase::DbInit, "3 applied, 0 skipped"), (Phase::PostSchema, "2 applied, 0 skipped")] {
        ensure!(
            case.evidence.boots[0]
                .phases
                .iter()
                .any(|done| done.phase == phase.name() && done.message.contains(message)),
            "{phase} did not say `{message}`"
        );
    }
    container.api().await?;
    case.figure("container start to healthy", format!("{:.1} s", ready.as_secs_f64()));
    Ok(())
}

async fn warm_boot(case: &mut Case) -> anyhow::Result<()> {
    let database = case.booted_database().await?;
    let ended = case.boot_once("warm", &database).await?;
    ended.expect(Phase::DbInit, "0 applied, 3 skipped")?;
    ended.expect(Phase::Schema, "no changes")?;
    ended.expect(Phase::PostSchema, "0 applied, 2 skipped")?;
    Ok(())
}
