//! Random legal edits, which find cases that no one thought of.

use std::time::Duration;

use anyhow::ensure;

use crate::check::{Check, Need};
use crate::search::{CaseSelection, SearchHarness, try_cases};
use crate::test_context::TestContext;

pub(crate) const CHECKS: &[Check] = &[Check {
    name: "search",
    promise: "Random edits of snapshot, database and SQL files lose no data that was not announced and allowed.",
    needs: Need::Nothing,
    run: |test| Box::pin(random_edits(test)),
}];

/// Number of cases; `cargo xtask search --cases` sets another one.
const CASES: u64 = 200;
/// A fixed seed, so that a failure is caused by a change and not by chance.
const SEED: u64 = 1;
/// Number of failures that end the search.
const MOST_FAILURES: usize = 5;
/// Time limit. 200 cases take five minutes on two idle processors; a busy machine tries fewer.
const LIMIT: Duration = Duration::from_secs(420);
/// Minimum number of cases for a pass.
const FEWEST: usize = 60;
/// Number of cases at once.
const JOBS: usize = 2;

async fn random_edits(test: &mut TestContext) -> anyhow::Result<()> {
    let network = test.network().await?;
    let harness = SearchHarness::prepare(&test.suite, &test.servers, &network, test.name()).await?;
    test.keep(harness.container());
    let selection = CaseSelection {
        seed: SEED,
        cases: CASES,
        first: 0,
        only: None,
        fixed: true,
        most_failures: MOST_FAILURES,
        limit: LIMIT,
    };
    let report = try_cases(&harness, selection, JOBS).await?;
    test.figure("cases", report.summary());
    let failures: Vec<String> = report
        .failures()
        .map(|failed| format!("{}: {}", failed.name, failed.failure.as_deref().unwrap_or_default()))
        .collect();
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    let tried = report.cases.len();
    ensure!(tried >= FEWEST, "only {tried} cases were tried within {} s", LIMIT.as_secs());
    Ok(())
}
