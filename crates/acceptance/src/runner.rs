//! Runs checks, as many at once as the machine can bear, and turns each result into a report.

use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::check::{Check, Need, NotRun};
use super::model::{CheckReport, CheckStatus};
use crate::servers::Servers;
use crate::suite_context::SuiteContext;
use crate::test_context::TestContext;
use testbed::ui;

/// Time limit of a check; no check needs that long unless it hangs.
const LIMIT: Duration = Duration::from_secs(600);

/// The checks that take about ten seconds or more on two processors, the longest first, according to the `report.json`
/// of a run. A missing name costs a few seconds at the end of a run.
const LONG: &[&str] = &[
    "reproducible",
    "search",
    "sweep",
    "frozen",
    "sound-snapshots",
    "dev-reset",
    "attic",
    "rolled-back-apply",
    "undeclared-loss",
    "hanging-server",
    "admin-ui",
    "registration",
    "upstream",
    "user",
    "sigterm-in-each-phase",
    "health",
];

/// Options of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunnerOptions {
    /// Number of checks at once.
    pub(crate) jobs: usize,
    /// True if the containers of a failed check are kept.
    pub(crate) keep: bool,
}

/// Runs the checks and returns their reports, in the order of the checks.
pub(crate) async fn run(
    suite: &Rc<SuiteContext>,
    servers: &Rc<Servers>,
    checks: &[&'static Check],
    options: RunnerOptions,
    began: Instant,
) -> Vec<CheckReport> {
    let permits = Semaphore::new(options.jobs);
    let progress = CheckProgress::new(checks.len());
    let (alone, others): (Vec<_>, Vec<_>) =
        longest_first(checks).into_iter().partition(|(_, check)| check.needs == Need::TheMachine);
    let mut reports = Vec::new();
    // Checks that need the whole machine come first: later they would have to wait for all others to end.
    for (index, check) in alone {
        progress.begin(check);
        let report = run_check(suite, servers, check, options, began, None).await;
        progress.end(check, &report);
        reports.push((index, report));
    }
    let mut running: FuturesUnordered<_> = others
        .into_iter()
        .map(|(index, check)| {
            let (permits, progress) = (&permits, &progress);
            async move {
                let permit = permits.acquire().await.ok();
                progress.begin(check);
                let report = run_check(suite, servers, check, options, began, permit).await;
                progress.end(check, &report);
                (index, report)
            }
        })
        .collect();
    while let Some(report) = running.next().await {
        reports.push(report);
    }
    reports.sort_by_key(|(index, _)| *index);
    reports.into_iter().map(|(_, report)| report).collect()
}

/// The checks with their positions in the acceptance list. Long ones come first, so that none of them is left to run
/// alone after all others have ended.
fn longest_first(checks: &[&'static Check]) -> Vec<(usize, &'static Check)> {
    let mut order: Vec<_> = checks.iter().copied().enumerate().collect();
    order.sort_by_key(|(_, check)| LONG.iter().position(|name| *name == check.name).unwrap_or(LONG.len()));
    order
}

/// Runs one check. Its permit is free again as soon as the promise is judged, while its containers are still removed.
async fn run_check(
    suite: &Rc<SuiteContext>,
    servers: &Rc<Servers>,
    check: &'static Check,
    options: RunnerOptions,
    began: Instant,
    permit: Option<SemaphorePermit<'_>>,
) -> CheckReport {
    let start = Instant::now();
    let mut test = TestContext::new(Rc::clone(suite), Rc::clone(servers), check.name);
    let result = match tokio::time::timeout(LIMIT, (check.run)(&mut test)).await {
        Ok(result) => result,
        Err(_) => Err(anyhow::anyhow!("it did not end within {} s", LIMIT.as_secs())),
    };
    let (status, reason) = status_of(result);
    // Logs are read before the containers are removed.
    let logs = if status == CheckStatus::Fail { test.excerpts().await } else { Vec::new() };
    let mut report = CheckReport {
        name: check.name,
        promise: check.promise,
        status,
        reason,
        began: ui::json_seconds(start.duration_since(began)),
        seconds: ui::json_seconds(start.elapsed()),
        evidence: std::mem::take(&mut test.evidence),
        logs,
    };
    drop(permit);
    if status == CheckStatus::Fail && options.keep {
        suite.session.keep();
        report.evidence.lines.extend(test.log_commands());
    } else if let Err(error) = test.remove().await {
        // The run removes the rest at its end, but a failed removal is still a defect of the check.
        report.status = CheckStatus::Fail;
        report.reason.get_or_insert_with(|| format!("its containers could not be removed: {error:#}"));
    }
    report
}

/// The status of a check's result, and the reason if it is not a pass.
pub(super) fn status_of(result: anyhow::Result<()>) -> (CheckStatus, Option<String>) {
    match result {
        Ok(()) => (CheckStatus::Pass, None),
        Err(error) => match error.downcast_ref::<NotRun>() {
            Some(NotRun(reason)) => (CheckStatus::NotRun, Some(reason.clone())),
            None => (CheckStatus::Fail, Some(format!("{error:#}"))),
        },
    }
}

/// The progress on the terminal: one line for each finished check, and the names of those that run.
struct CheckProgress {
    spinner: ui::Spinner,
    running: std::cell::RefCell<Vec<&'static str>>,
    done: std::cell::Cell<usize>,
    all: usize,
}

impl CheckProgress {
    fn new(all: usize) -> CheckProgress {
        CheckProgress { spinner: ui::Spinner::start(), running: Default::default(), done: Default::default(), all }
    }

    fn begin(&self, check: &Check) {
        self.running.borrow_mut().push(check.name);
        self.show();
    }

    fn end(&self, check: &Check, report: &CheckReport) {
        self.running.borrow_mut().retain(|name| *name != check.name);
        self.done.set(self.done.get() + 1);
        let took = ui::seconds(Duration::from_secs_f64(report.seconds));
        let reason = report.reason.as_deref().unwrap_or_default();
        self.spinner.line(|| match report.status {
            CheckStatus::Pass => ui::status("Pass", &format!("{} ({took}): {}", check.name, check.promise)),
            CheckStatus::Fail => ui::error(&format!("{} ({took}): {}\n{:>13}{reason}", check.name, check.promise, "")),
            CheckStatus::NotRun => ui::warning(&format!("{} was not run: {reason}", check.name)),
        });
        self.show();
    }

    fn show(&self) {
        let running = self.running.borrow().join(", ");
        self.spinner.update(&format!("{}/{} {running}", self.done.get(), self.all));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks;

    #[test]
    fn long_checks_begin_first_and_the_others_follow_in_the_order_of_the_list() {
        let all: Vec<&Check> = checks::of(false).collect();
        let names: Vec<&str> = longest_first(&all).into_iter().map(|(_, check)| check.name).collect();
        assert!(names.starts_with(LONG), "LONG contains a name without a check: {names:?}");
        let rest: Vec<&str> = all.iter().map(|check| check.name).filter(|name| !LONG.contains(name)).collect();
        assert_eq!(names[LONG.len()..], rest);
    }

    #[test]
    fn every_error_but_not_run_is_a_failure() {
        assert_eq!(status_of(Ok(())), (CheckStatus::Pass, None));
        assert_eq!(status_of(Err(anyhow::anyhow!("a").context("b"))), (CheckStatus::Fail, Some("b: a".to_owned())));
        let not_run = anyhow::Error::new(NotRun("no Chromium".to_owned()));
        assert_eq!(status_of(Err(not_run)), (CheckStatus::NotRun, Some("no Chromium".to_owned())));
    }
}
