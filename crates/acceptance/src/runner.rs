//! Runs checks, as many at once as the machine bears, and turns what came of each into its report.

use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::check::{Check, Need, NotRun};
use super::model::{CheckReport, Status};
use crate::case::Case;
use crate::servers::Servers;
use crate::setting::Setting;
use testbed::ui;

/// What no check needs; one that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(600);

/// The checks that take about ten seconds and more on two processors, the longest first. `report.json` of any run says
/// which they are; a name that is missing here costs a few seconds at the end of a run.
const LONG: &[&str] = &[
    "search",
    "sweep",
    "frozen",
    "sound-snapshots",
    "attic",
    "rolled-back-apply",
    "undeclared-loss",
    "hanging-server",
    "admin-ui",
    "upstream",
    "dev-reset",
    "user",
    "sigterm-in-each-phase",
    "health",
];

/// How checks are run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// How many at once.
    pub(crate) jobs: usize,
    /// Whether the containers of a failed check stay.
    pub(crate) keep: bool,
}

/// Runs the checks and returns their reports, in the order of the checks.
pub(crate) async fn run(
    setting: &Rc<Setting>,
    servers: &Rc<Servers>,
    checks: &[&'static Check],
    options: Options,
    began: Instant,
) -> Vec<CheckReport> {
    let places = Semaphore::new(options.jobs);
    let view = View::new(checks.len());
    let order = order(checks);
    let (alone, others): (Vec<_>, Vec<_>) = order.into_iter().partition(|(_, check)| check.needs == Need::TheMachine);
    let mut reports = Vec::new();
    // First what wants the machine for itself: later it would have to wait until everything else has ended.
    for (index, check) in alone {
        view.begin(check);
        let report = one(setting, servers, check, options, began, None).await;
        view.end(check, &report);
        reports.push((index, report));
    }
    let mut running: FuturesUnordered<_> = others
        .into_iter()
        .map(|(index, check)| {
            let (places, view) = (&places, &view);
            async move {
                let place = places.acquire().await.ok();
                view.begin(check);
                let report = one(setting, servers, check, options, began, place).await;
                view.end(check, &report);
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

/// The checks with their places in the acceptance list, those that take long first: so none of them is left to run alone
/// when all others have ended.
fn order(checks: &[&'static Check]) -> Vec<(usize, &'static Check)> {
    let rank = |check: &Check| LONG.iter().position(|name| *name == check.name).unwrap_or(LONG.len());
    let mut order: Vec<_> = checks.iter().copied().enumerate().collect();
    order.sort_by_key(|(_, check)| rank(check));
    order
}

/// Makes one check; its place is free for the next one when its promise is judged, while its containers go.
async fn one(
    setting: &Rc<Setting>,
    servers: &Rc<Servers>,
    check: &'static Check,
    options: Options,
    began: Instant,
    place: Option<SemaphorePermit<'_>>,
) -> CheckReport {
    let start = Instant::now();
    let mut case = Case::new(Rc::clone(setting), Rc::clone(servers), check.name);
    let result = match tokio::time::timeout(LIMIT, (check.run)(&mut case)).await {
        Ok(result) => result,
        Err(_) => Err(anyhow::anyhow!("it did not end within {} s", LIMIT.as_secs())),
    };
    let (status, reason) = judge(result);
    // Logs before the containers go.
    let logs = if status == Status::Fail { case.excerpts().await } else { Vec::new() };
    let mut report = CheckReport {
        name: check.name,
        promise: check.promise,
        status,
        reason,
        began: ui::json_seconds(start.duration_since(began)),
        seconds: ui::json_seconds(start.elapsed()),
        evidence: std::mem::take(&mut case.evidence),
        logs,
    };
    drop(place);
    if status == Status::Fail && options.keep {
        setting.run.keep();
        report.evidence.lines.extend(case.how_to_look());
    } else if let Err(error) = case.remove().await {
        // What is left goes with the run; that it could not go now is still a defect of the check.
        report.status = Status::Fail;
        report.reason.get_or_insert_with(|| format!("its containers could not be removed: {error:#}"));
    }
    report
}

/// What a check's result means.
pub(super) fn judge(result: anyhow::Result<()>) -> (Status, Option<String>) {
    match result {
        Ok(()) => (Status::Pass, None),
        Err(error) => match error.downcast_ref::<NotRun>() {
            Some(NotRun(reason)) => (Status::NotRun, Some(reason.clone())),
            None => (Status::Fail, Some(format!("{error:#}"))),
        },
    }
}

/// What people see meanwhile: a line a finished check, and which ones run.
struct View {
    live: ui::Live,
    running: std::cell::RefCell<Vec<&'static str>>,
    done: std::cell::Cell<usize>,
    all: usize,
}

impl View {
    fn new(all: usize) -> View {
        View { live: ui::Live::start(), running: Default::default(), done: Default::default(), all }
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
        self.live.line(|| match report.status {
            Status::Pass => ui::status("Pass", &format!("{} ({took}): {}", check.name, check.promise)),
            Status::Fail => ui::error(&format!("{} ({took}): {}\n{:>13}{reason}", check.name, check.promise, "")),
            Status::NotRun => ui::warning(&format!("{} was not run: {reason}", check.name)),
        });
        self.show();
    }

    fn show(&self) {
        let running = self.running.borrow().join(", ");
        self.live.still(&format!("{}/{} {running}", self.done.get(), self.all));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks;

    #[test]
    fn long_checks_begin_first_and_the_others_in_the_order_of_the_list() {
        let all: Vec<&Check> = checks::ALL.iter().copied().flatten().collect();
        let names: Vec<&str> = order(&all).into_iter().map(|(_, check)| check.name).collect();
        assert!(names.starts_with(LONG), "a name in LONG is no check's: {names:?}");
        let rest: Vec<&str> = all.iter().map(|check| check.name).filter(|name| !LONG.contains(name)).collect();
        assert_eq!(names[LONG.len()..], rest);
    }

    #[test]
    fn an_error_is_a_failure_and_only_a_not_run_is_none() {
        assert_eq!(judge(Ok(())), (Status::Pass, None));
        assert_eq!(judge(Err(anyhow::anyhow!("a").context("b"))), (Status::Fail, Some("b: a".to_owned())));
        let not_run = anyhow::Error::new(NotRun("no Chromium".to_owned()));
        assert_eq!(judge(Err(not_run)), (Status::NotRun, Some("no Chromium".to_owned())));
    }
}
