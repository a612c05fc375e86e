//! The negative suite: what is broken on purpose must be noticed, and for the right reason. A check that cannot fail
//! proves nothing.
//!
//! [`BREAKAGES`] says, for every check, how something is broken and what the check must then say. Most are an image made
//! from the one that is judged, and thrown away afterwards; databases that checks begin with are booted by the unbroken
//! image.

mod breakage;
mod breakages;

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;
use tokio::sync::{OnceCell, Semaphore};

use self::breakage::Breakage;
use self::breakages::BREAKAGES;
use super::check::Check;
use super::model::{Status, Subject};
use super::runner::judge;
use crate::case::Case;
use crate::servers::Servers;
use crate::setting::Setting;
use testbed::cmd::Cmd;
use testbed::ui;
use testbed::workspace;

/// What a breakage may take to be noticed.
const LIMIT: Duration = Duration::from_secs(300);

/// What came of it. The JSON result is exactly this.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// The form of this object.
    schema: u32,
    run: String,
    /// What was broken.
    image: String,
    image_id: String,
    seconds: f64,
    breakages: Vec<Outcome>,
}

/// What came of one breakage.
#[derive(Clone, Debug, Serialize)]
struct Outcome {
    check: &'static str,
    how: &'static str,
    /// What the reason must contain.
    expect: &'static str,
    verdict: Verdict,
    /// What the check said.
    reason: Option<String>,
    seconds: f64,
}

/// Whether a check noticed what was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    /// It failed, for the right reason.
    Noticed,
    /// It passed.
    Missed,
    /// It failed, for another reason.
    WrongReason,
    /// It was not run.
    NotRun,
}

impl Verdict {
    fn of(status: Status, reason: Option<&str>, expect: &str) -> Verdict {
        match status {
            Status::Pass => Verdict::Missed,
            Status::NotRun => Verdict::NotRun,
            Status::Fail if reason.is_some_and(|reason| reason.contains(expect)) => Verdict::Noticed,
            Status::Fail => Verdict::WrongReason,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Verdict::Noticed => "noticed",
            Verdict::Missed => "MISSED",
            Verdict::WrongReason => "WRONG REASON",
            Verdict::NotRun => "not run",
        }
    }
}

impl Report {
    /// Whether every check noticed.
    pub(crate) fn ok(&self, strict: bool) -> bool {
        let is_fine = |verdict| verdict == Verdict::Noticed || verdict == Verdict::NotRun && !strict;
        self.breakages.iter().all(|outcome| is_fine(outcome.verdict))
    }

    /// Check × breakage × verdict.
    pub(crate) fn render(&self) -> String {
        let header = ["check", "what is broken", "verdict", "s", "what the check says"].map(str::to_owned);
        let row = |outcome: &Outcome| {
            let Outcome { check, how, verdict, reason, seconds, .. } = outcome;
            let reason = ui::shorten(reason.as_deref().unwrap_or_default());
            [(*check).to_owned(), (*how).to_owned(), verdict.name().to_owned(), format!("{seconds:.0}"), reason]
        };
        let rows: Vec<_> = std::iter::once(header).chain(self.breakages.iter().map(row)).collect();
        let count = |verdict| self.breakages.iter().filter(|outcome| outcome.verdict == verdict).count();
        let noticed = count(Verdict::Noticed);
        let rest = self.breakages.len() - noticed;
        format!("{}\n{noticed} breakages noticed, {rest} not, in {:.0} s", ui::columns(&rows), self.seconds)
    }

    /// Writes it as JSON.
    pub(crate) fn write(&self, path: &Utf8Path) -> anyhow::Result<()> {
        let folder = path.parent().context("a report lies in a folder")?;
        std::fs::create_dir_all(folder).with_context(|| format!("failed to create {folder}"))?;
        let text = format!("{}\n", serde_json::to_string_pretty(self)?);
        std::fs::write(path, text).with_context(|| format!("failed to write {path}"))
    }
}

/// Breaks what the checks look at, each breakage alone.
pub(crate) async fn run(setting: Rc<Setting>, checks: &[&'static Check], jobs: usize) -> anyhow::Result<Report> {
    let began = Instant::now();
    let of_check = |name: &'static str| BREAKAGES.iter().filter(move |breakage| breakage.check == name);
    for check in checks {
        ensure!(of_check(check.name).next().is_some(), "nobody has said how to break what `{}` looks at", check.name);
    }
    let servers = Rc::new(Servers::new(&setting));
    let permits = Semaphore::new(jobs);
    let live = ui::Live::start();
    let wanted = checks.iter().flat_map(|check| of_check(check.name).map(move |breakage| (*check, breakage)));
    let mut running: FuturesUnordered<_> = wanted
        .enumerate()
        .map(|(index, (check, breakage))| {
            let (permits, live, setting, servers) = (&permits, &live, &setting, &servers);
            async move {
                let permit = permits.acquire().await;
                live.still(&format!("{}: {}", check.name, breakage.how));
                let outcome = one(setting, servers, check, breakage, index).await;
                drop(permit);
                anyhow::Ok((index, outcome.with_context(|| format!("{}: {}", check.name, breakage.how))?))
            }
        })
        .collect();
    let mut outcomes = Vec::new();
    while let Some(outcome) = running.next().await {
        let (index, outcome) = outcome?;
        let reason = outcome.reason.as_deref().unwrap_or("it passed");
        let text = format!("{}: {} ({:.1} s)", outcome.check, outcome.how, outcome.seconds);
        live.line(|| match outcome.verdict {
            Verdict::Noticed => ui::status("Noticed", &text),
            Verdict::NotRun => ui::warning(&format!("{text}: not run: {reason}")),
            Verdict::Missed | Verdict::WrongReason => {
                ui::error(&format!("{text}\n{:>13}`{}` expected, but: {reason}", "", outcome.expect));
            }
        });
        outcomes.push((index, outcome));
    }
    outcomes.sort_by_key(|(index, _)| *index);
    Ok(Report {
        schema: 1,
        run: setting.run.id().to_owned(),
        image: setting.subject.image.clone(),
        image_id: setting.subject.image_id.clone(),
        seconds: ui::json_seconds(began.elapsed()),
        breakages: outcomes.into_iter().map(|(_, outcome)| outcome).collect(),
    })
}

async fn one(
    setting: &Setting,
    servers: &Rc<Servers>,
    check: &Check,
    breakage: &Breakage,
    index: usize,
) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    // Networks and databases are named after it; a check may have several breakages at once. A few bytes each, for good.
    let name: &'static str = format!("{}-{index}", check.name).leak();
    let image = build(setting, breakage, name).await?;
    let info = setting.engine.image(&image).await?.with_context(|| format!("there is no image {image}"))?;
    let base = info.labels.get("org.opencontainers.image.base.name").cloned().unwrap_or_default();
    let broken = Rc::new(Setting {
        engine: setting.engine.clone(),
        run: Rc::clone(&setting.run),
        subject: Subject { image: image.clone(), image_id: info.id, base, ..setting.subject.clone() },
        migrations: Rc::clone(&setting.migrations),
        options: setting.options.clone(),
        secrets: setting.secrets.clone(),
        contents: OnceCell::new(),
        added_files: OnceCell::new(),
    });
    let mut case = Case::new(broken, Rc::clone(servers), name);
    let result = match tokio::time::timeout(LIMIT, (check.run)(&mut case)).await {
        Ok(result) => result,
        Err(_) => Err(anyhow::anyhow!("it did not end within {} s", LIMIT.as_secs())),
    };
    let (status, reason) = judge(result);
    case.remove().await?;
    setting.engine.remove_image(&image).await?;
    Ok(Outcome {
        check: check.name,
        how: breakage.how,
        expect: breakage.expect,
        verdict: Verdict::of(status, reason.as_deref(), breakage.expect),
        reason,
        seconds: ui::json_seconds(began.elapsed()),
    })
}

/// Builds the broken image, which goes with the run.
async fn build(setting: &Setting, breakage: &Breakage, name: &str) -> anyhow::Result<String> {
    let (dockerfile, script) = breakage.change.context(&setting.subject.image);
    let folder: Utf8PathBuf = workspace::target_dir().join("verify/negative").join(name);
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {folder}"))?;
    let file = |name: &str, content: &str| {
        let path = folder.join(name);
        std::fs::write(&path, content).with_context(|| format!("failed to write {path}"))
    };
    file("Dockerfile", &dockerfile)?;
    if let Some(script) = script {
        file("entrypoint", &script)?;
    }
    let tag = format!("trm-negative/{name}:{}", setting.run.id());
    let mut cmd = Cmd::new("docker").args(["buildx", "build", "--load", "--quiet", "--provenance=false"]);
    for (name, value) in setting.run.labels() {
        cmd = cmd.arg("--label").arg(format!("{name}={value}"));
    }
    // Another builder than the engine's own does not see images that are only here.
    cmd.args(["--tag", &tag]).env("BUILDX_BUILDER", "default").arg(&folder).read().await?;
    Ok(tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks;

    #[test]
    fn every_check_has_something_that_breaks_it() {
        for check in checks::ALL.iter().copied().flatten() {
            assert!(BREAKAGES.iter().any(|breakage| breakage.check == check.name), "{}", check.name);
        }
    }

    #[test]
    fn a_breakage_says_what_is_broken_and_what_must_be_said() {
        for breakage in BREAKAGES {
            assert!(!breakage.how.is_empty() && !breakage.how.ends_with('.'), "{}", breakage.how);
            assert!(breakage.expect.len() > 5, "{}: any reason would do", breakage.how);
        }
    }

    #[test]
    fn only_a_failure_for_the_right_reason_is_noticing() {
        assert_eq!(Verdict::of(Status::Fail, Some("exit 0, not 23"), "not 23"), Verdict::Noticed);
        assert_eq!(Verdict::of(Status::Fail, Some("no network"), "not 23"), Verdict::WrongReason);
        assert_eq!(Verdict::of(Status::Pass, None, "not 23"), Verdict::Missed);
        assert_eq!(Verdict::of(Status::NotRun, Some("no Chromium"), "not 23"), Verdict::NotRun);
    }
}
