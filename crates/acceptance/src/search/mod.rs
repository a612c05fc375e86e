//! Search for unknown defects: random legal edits against the real image, with an oracle independent of the boot's
//! witness.
//!
//! A [`case`] is data that [`generate`] derives from a seed. [`trial`] boots it on a copy of a filled database
//! ([`model`]). [`judge`] and [`oracle`] compare [`state`]s by content, [`permits`] lists the permitted changes,
//! [`described`] compares database and snapshot.

mod case;
mod described;
mod fixed;
mod generate;
mod judge;
mod model;
mod oracle;
mod permits;
mod report;
mod rng;
mod state;
mod trial;

use grammar::EditKind;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;

use testbed::ui;

use self::case::{SearchCase, SearchEdit};
use self::report::CaseResult;
pub(crate) use self::report::SearchReport;
pub(crate) use self::trial::SearchHarness;

/// Selection of the cases to try.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CaseSelection {
    pub(crate) seed: u64,
    /// Number of random cases.
    pub(crate) cases: u64,
    /// Number of the first random case.
    pub(crate) first: u64,
    pub(crate) only: Option<EditKind>,
    /// Fixed cases are tried before the random ones.
    pub(crate) fixed: bool,
    /// Number of failures after which no further case starts.
    pub(crate) most_failures: usize,
    /// Time after which no further case starts.
    pub(crate) limit: Duration,
}

/// Tries cases, up to `jobs` at once, and minimises those that fail.
pub(crate) async fn try_cases(
    harness: &SearchHarness,
    selection: CaseSelection,
    jobs: usize,
) -> anyhow::Result<SearchReport> {
    let began = Instant::now();
    let CaseSelection { seed, cases, first, only, fixed, most_failures, limit } = selection;
    let mut all: Vec<SearchCase> = if fixed { fixed::cases()? } else { Vec::new() };
    all.extend((first..first + cases).map(|number| generate::random_case(&harness.model, seed, number, only)));
    let (count, spinner) = (all.len(), ui::Spinner::start());
    let tries = all.into_iter().enumerate().take_while(|_| began.elapsed() < limit);
    let tries = tries.map(|(index, case)| try_and_minimise(harness, case, index));
    let mut running = futures_util::stream::iter(tries).buffer_unordered(jobs.max(1));
    let mut results = Vec::new();
    while let Some(result) = running.next().await {
        spinner.update(&format!("{}/{count}", results.len() + 1));
        if let Some(failure) = &result.failure {
            spinner.line(|| ui::error(&format!("{}: {failure}\n{}", result.name, result.case)));
        }
        results.push(result);
        if results.iter().filter(|result| result.failure.is_some()).count() >= most_failures {
            break;
        }
    }
    results.sort_by_key(|result| result.index);
    Ok(SearchReport::new(seed, began.elapsed(), results))
}

async fn try_and_minimise(harness: &SearchHarness, case: SearchCase, index: usize) -> CaseResult {
    let mut tried = harness.try_case(&case).await;
    let mut smallest = case;
    let mut boots = tried.boots;
    // Drop edits one by one while the case still fails.
    let mut at = 0;
    while tried.failure.is_some() && smallest.edits.len() > 1 && at < smallest.edits.len() {
        let edits: Vec<SearchEdit> =
            smallest.edits.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, edit)| edit.clone()).collect();
        let smaller = SearchCase { name: smallest.name.clone(), edits };
        let again = harness.try_case(&smaller).await;
        boots += again.boots;
        if again.failure.is_some() {
            (smallest, tried) = (smaller, again);
        } else {
            at += 1;
        }
    }
    CaseResult {
        index,
        name: smallest.name.clone(),
        code: tried.code,
        message: tried.message,
        boots,
        failure: tried.failure,
        case: smallest,
        log: trial::own_lines(&tried.log),
    }
}
