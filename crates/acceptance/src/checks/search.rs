//! Edits that nobody thought of.

use std::time::Duration;

use anyhow::ensure;

use crate::case::Case;
use crate::check::{Check, Need};
use crate::search::{Lab, Selection, search};

pub(crate) const CHECKS: &[Check] = &[Check {
    name: "search",
    promise: "Random legal edits of snapshot, database and SQL files lose nothing that was not announced and allowed.",
    needs: Need::Nothing,
    run: |case| Box::pin(searched(case)),
}];

/// How many cases; `cargo xtask search` takes as many as one likes.
const CASES: u64 = 200;
/// The same ones every time, so that a failure is the change's fault.
const SEED: u64 = 1;
/// So many failures say enough.
const MOST_FAILURES: usize = 5;
/// 200 cases take five minutes on two processors that have nothing else to do. A busy machine tries fewer.
const LIMIT: Duration = Duration::from_secs(420);
/// The fewest cases that prove anything.
const FEWEST: usize = 60;
/// How many at once.
const JOBS: usize = 2;

async fn searched(case: &mut Case) -> anyhow::Result<()> {
    let network = case.network().await?;
    let lab = Lab::prepare(&case.setting, &case.servers, &network, case.name()).await?;
    case.keep(lab.container());
    let selection = Selection {
        seed: SEED,
        cases: CASES,
        first: 0,
        only: None,
        fixed: true,
        most_failures: MOST_FAILURES,
        limit: LIMIT,
    };
    let report = search(&lab, selection, JOBS).await?;
    case.figure("cases", report.summary());
    let failures: Vec<String> = report
        .failures()
        .map(|failed| format!("{}: {}", failed.name, failed.failure.as_deref().unwrap_or_default()))
        .collect();
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    let tried = report.cases.len();
    ensure!(tried >= FEWEST, "only {tried} cases were tried within {} s", LIMIT.as_secs());
    Ok(())
}
