//! Mutants: deliberately broken images, which the checks must catch for the right reason. A check that cannot fail proves
//! nothing.
//!
//! [`MUTANTS`] lists, for every check, ways to break the image and the words that the check must then report. Each
//! mutant is an image built from the subject and removed afterwards. The unbroken image boots the databases that checks
//! start from.

mod list;
mod mutant;

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;
use tokio::sync::{OnceCell, Semaphore};

use self::list::MUTANTS;
use self::mutant::Mutant;
use super::check::Check;
use super::model::{CheckStatus, TestedImage};
use super::runner::status_of;
use crate::servers::Servers;
use crate::suite_context::SuiteContext;
use crate::test_context::TestContext;
use testbed::cmd::Cmd;
use testbed::ui;
use testbed::workspace;

/// Time limit of a check for one mutant.
const LIMIT: Duration = Duration::from_secs(300);

/// Results of the suite, in the format of the JSON result.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MutantReport {
    /// Version of this format.
    schema: u32,
    run: String,
    /// The unbroken image.
    image: String,
    image_id: String,
    seconds: f64,
    #[serde(rename = "breakages")]
    mutants: Vec<MutantOutcome>,
}

/// Result of one mutant.
#[derive(Clone, Debug, Serialize)]
struct MutantOutcome {
    check: &'static str,
    how: &'static str,
    /// Words that the reason must contain.
    expect: &'static str,
    verdict: MutantVerdict,
    /// Reason of the check's failure.
    reason: Option<String>,
    seconds: f64,
}

impl MutantOutcome {
    fn row(&self) -> [String; 5] {
        let MutantOutcome { check, how, verdict, reason, seconds, .. } = self;
        let reason = ui::shorten(reason.as_deref().unwrap_or_default());
        [(*check).to_owned(), (*how).to_owned(), verdict.name().to_owned(), format!("{seconds:.0}"), reason]
    }
}

/// Result of a check for one mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum MutantVerdict {
    /// The check failed for the right reason.
    #[serde(rename = "noticed")]
    Caught,
    /// The check passed.
    #[serde(rename = "missed")]
    Survived,
    /// The check failed for another reason.
    WrongReason,
    NotRun,
}

impl MutantVerdict {
    fn of(status: CheckStatus, reason: Option<&str>, expect: &str) -> MutantVerdict {
        match status {
            CheckStatus::Pass => MutantVerdict::Survived,
            CheckStatus::NotRun => MutantVerdict::NotRun,
            CheckStatus::Fail if reason.is_some_and(|reason| reason.contains(expect)) => MutantVerdict::Caught,
            CheckStatus::Fail => MutantVerdict::WrongReason,
        }
    }

    fn name(self) -> &'static str {
        match self {
            MutantVerdict::Caught => "caught",
            MutantVerdict::Survived => "SURVIVED",
            MutantVerdict::WrongReason => "WRONG REASON",
            MutantVerdict::NotRun => "not run",
        }
    }
}

impl MutantReport {
    /// Returns true if every mutant was caught; unless `strict`, checks that could not run do not count.
    pub(crate) fn ok(&self, strict: bool) -> bool {
        self.mutants.iter().all(|outcome| match outcome.verdict {
            MutantVerdict::Caught => true,
            MutantVerdict::NotRun => !strict,
            MutantVerdict::Survived | MutantVerdict::WrongReason => false,
        })
    }

    /// Returns a table with one row per mutant, and the totals.
    pub(crate) fn render(&self) -> String {
        let header = ["check", "mutant", "verdict", "s", "reason"].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(header).chain(self.mutants.iter().map(MutantOutcome::row)).collect();
        let caught = self.mutants.iter().filter(|outcome| outcome.verdict == MutantVerdict::Caught).count();
        let rest = self.mutants.len() - caught;
        format!("{}\n{caught} mutants caught, {rest} not, in {:.0} s", ui::columns(&rows), self.seconds)
    }

    /// Writes the report as JSON.
    pub(crate) fn write(&self, path: &Utf8Path) -> anyhow::Result<()> {
        let folder = path.parent().context("the path of the report has no parent")?;
        std::fs::create_dir_all(folder).with_context(|| format!("failed to create {folder}"))?;
        let text = format!("{}\n", serde_json::to_string_pretty(self)?);
        std::fs::write(path, text).with_context(|| format!("failed to write {path}"))
    }
}

/// Returns the mutants of a check.
fn mutants_of(check: &'static Check) -> impl Iterator<Item = &'static Mutant> {
    MUTANTS.iter().filter(move |mutant| mutant.check == check.name)
}

/// Runs the checks against their mutants, each mutant separately.
pub(crate) async fn run(
    suite: Rc<SuiteContext>,
    checks: &[&'static Check],
    jobs: usize,
) -> anyhow::Result<MutantReport> {
    let began = Instant::now();
    for check in checks {
        ensure!(mutants_of(check).next().is_some(), "the check `{}` has no mutant", check.name);
    }
    let servers = Rc::new(Servers::new(&suite));
    let permits = Semaphore::new(jobs);
    let spinner = ui::Spinner::start();
    let selected = checks.iter().flat_map(|check| mutants_of(check).map(move |mutant| (*check, mutant)));
    let mut running: FuturesUnordered<_> = selected
        .enumerate()
        .map(|(index, (check, mutant))| {
            let (permits, spinner, suite, servers) = (&permits, &spinner, &suite, &servers);
            async move {
                let permit = permits.acquire().await;
                spinner.update(&format!("{}: {}", check.name, mutant.how));
                let outcome = run_one(suite, servers, check, mutant, index).await;
                drop(permit);
                anyhow::Ok((index, outcome.with_context(|| format!("{}: {}", check.name, mutant.how))?))
            }
        })
        .collect();
    let mut outcomes = Vec::new();
    while let Some(outcome) = running.next().await {
        let (index, outcome) = outcome?;
        let reason = outcome.reason.as_deref().unwrap_or("it passed");
        let text = format!("{}: {} ({:.1} s)", outcome.check, outcome.how, outcome.seconds);
        spinner.line(|| match outcome.verdict {
            MutantVerdict::Caught => ui::status("Caught", &text),
            MutantVerdict::NotRun => ui::warning(&format!("{text}: not run: {reason}")),
            MutantVerdict::Survived | MutantVerdict::WrongReason => {
                ui::error(&format!("{text}\n{:>13}expected `{}`, but: {reason}", "", outcome.expect));
            }
        });
        outcomes.push((index, outcome));
    }
    outcomes.sort_by_key(|(index, _)| *index);
    Ok(MutantReport {
        schema: 1,
        run: suite.session.id().to_owned(),
        image: suite.subject.image.clone(),
        image_id: suite.subject.image_id.clone(),
        seconds: ui::json_seconds(began.elapsed()),
        mutants: outcomes.into_iter().map(|(_, outcome)| outcome).collect(),
    })
}

async fn run_one(
    suite: &SuiteContext,
    servers: &Rc<Servers>,
    check: &Check,
    mutant: &Mutant,
    index: usize,
) -> anyhow::Result<MutantOutcome> {
    let began = Instant::now();
    // Networks and databases have this name; several mutants of a check may run at once. Leaks a few bytes per mutant.
    let name: &'static str = format!("{}-{index}", check.name).leak();
    let image = build(suite, mutant, name).await?;
    let info = suite.engine.image(&image).await?.with_context(|| format!("the image {image} does not exist"))?;
    let base = info.labels.get("org.opencontainers.image.base.name").cloned().unwrap_or_default();
    let broken = Rc::new(SuiteContext {
        engine: suite.engine.clone(),
        session: Rc::clone(&suite.session),
        subject: TestedImage { image: image.clone(), image_id: info.id, base, ..suite.subject.clone() },
        migrations: Rc::clone(&suite.migrations),
        secrets: suite.secrets.clone(),
        contents: OnceCell::new(),
        added_files: OnceCell::new(),
    });
    let mut test = TestContext::new(broken, Rc::clone(servers), name);
    let result = match tokio::time::timeout(LIMIT, (check.run)(&mut test)).await {
        Ok(result) => result,
        Err(_) => Err(anyhow::anyhow!("it did not end within {} s", LIMIT.as_secs())),
    };
    let (status, reason) = status_of(result);
    test.remove().await?;
    suite.engine.remove_image(&image).await?;
    Ok(MutantOutcome {
        check: check.name,
        how: mutant.how,
        expect: mutant.expect,
        verdict: MutantVerdict::of(status, reason.as_deref(), mutant.expect),
        reason,
        seconds: ui::json_seconds(began.elapsed()),
    })
}

/// Builds the image of a mutant. Its labels assign it to the run, which removes it at the end.
async fn build(suite: &SuiteContext, mutant: &Mutant, name: &str) -> anyhow::Result<String> {
    let (dockerfile, script) = mutant.change.context(&suite.subject.image);
    let folder: Utf8PathBuf = workspace::target_dir().join("verify/mutants").join(name);
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {folder}"))?;
    for (name, content) in [("Dockerfile", Some(dockerfile)), ("entrypoint", script)] {
        let Some(content) = content else { continue };
        let path = folder.join(name);
        std::fs::write(&path, content).with_context(|| format!("failed to write {path}"))?;
    }
    let tag = format!("trm-mutant/{name}:{}", suite.session.id());
    let mut cmd = Cmd::new("docker").args(["buildx", "build", "--load", "--quiet", "--provenance=false"]);
    for (name, value) in suite.session.labels() {
        cmd = cmd.arg("--label").arg(format!("{name}={value}"));
    }
    // Only the engine's own builder can use local images.
    cmd.args(["--tag", &tag]).env("BUILDX_BUILDER", "default").arg(&folder).read().await?;
    Ok(tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks;

    #[test]
    fn every_check_has_a_mutant() {
        for check in checks::of(false).chain(checks::of(true)) {
            assert!(mutants_of(check).next().is_some(), "{}", check.name);
        }
    }

    #[test]
    fn every_mutant_has_a_description_and_expected_words() {
        for mutant in MUTANTS {
            assert!(!mutant.how.is_empty() && !mutant.how.ends_with('.'), "{}", mutant.how);
            assert!(mutant.expect.len() > 5, "{}: too short to be specific", mutant.how);
        }
    }

    #[test]
    fn only_a_failure_for_the_right_reason_catches_a_mutant() {
        assert_eq!(MutantVerdict::of(CheckStatus::Fail, Some("exit 0, not 23"), "not 23"), MutantVerdict::Caught);
        assert_eq!(MutantVerdict::of(CheckStatus::Fail, Some("no network"), "not 23"), MutantVerdict::WrongReason);
        assert_eq!(MutantVerdict::of(CheckStatus::Pass, None, "not 23"), MutantVerdict::Survived);
        assert_eq!(MutantVerdict::of(CheckStatus::NotRun, Some("no Chromium"), "not 23"), MutantVerdict::NotRun);
    }
}
