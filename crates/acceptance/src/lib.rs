//! The acceptance gate: every promise of the README, proven on real containers.
//!
//! [`check`] defines a check, `checks` is the acceptance list, and `runner` runs it. [`test_context`] is the context of a
//! check: its [`container`]s, and the [`database`]s of [`servers`]; [`end_state`] compares boots. [`model`] is the
//! result as data, `critical_path` finds the checks that bounded a run, and `report` renders both.

pub mod check;
mod checks;
mod columns;
pub mod commands;
pub mod container;
mod critical_path;
pub mod data_integrity;
pub mod database;
pub mod end_state;
mod failpoint;
pub mod model;
mod mutants;
mod report;
mod runner;
mod sample;
mod sbom;
pub(crate) mod search;
mod secret_scan;
pub mod servers;
pub mod suite_context;
pub(crate) mod swarm;
pub(crate) mod sweep;
pub mod test_context;

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::bail;
use camino::Utf8PathBuf;
use grammar::PostgresVersion;
use tokio::sync::OnceCell;

use testbed::base_images;
use testbed::base_images::BaseImage;
use testbed::engine::{Engine, ImageInfo, Pull};
use testbed::image::{self, BuiltImage, size};
use testbed::migrations::CheckoutMigrations;
use testbed::session::EngineSession;
use testbed::setup;
use testbed::ui;
use testbed::workspace;
use testbed::{machine, time};

pub(crate) use self::check::Check;
pub(crate) use self::model::TestedImage;
use self::model::{CheckReport, EngineMachine, Evidence, EvidenceFigure, Summary};
pub(crate) use self::model::{CheckStatus, VerifyReport};
pub(crate) use self::report::{announce, waited_for, write};
use self::runner::RunnerOptions;
use self::servers::Servers;
use crate::suite_context::Secrets;
use crate::suite_context::SuiteContext;

/// The checks that a run is limited to.
#[derive(Clone, Debug)]
pub(crate) struct CheckSelection {
    /// Names of checks or parts of names; empty means all.
    pub(crate) only: Vec<String>,
    /// Names of checks or parts of names to skip; they win over `only`.
    pub(crate) skip: Vec<String>,
    /// True for the checks of replicas on a swarm, false for all others.
    pub(crate) swarm: bool,
}

impl CheckSelection {
    /// The selected checks, in the order of the acceptance list.
    ///
    /// # Errors
    /// Fails if a word is not part of the name of any check.
    pub(crate) fn checks(&self) -> anyhow::Result<Vec<&'static Check>> {
        let all = || checks::of(self.swarm);
        for word in self.only.iter().chain(&self.skip) {
            if !all().any(|check| check.name.contains(word)) && !BUILDS.0.contains(word) {
                bail!("no check has `{word}` in its name; `cargo xtask verify --list` shows all checks");
            }
        }
        Ok(all()
            .filter(|check| self.only.is_empty() || contains_any(check.name, &self.only))
            .filter(|check| !contains_any(check.name, &self.skip))
            .collect())
    }
}

fn contains_any(name: &str, words: &[String]) -> bool {
    words.iter().any(|word| name.contains(word))
}

/// The folder of reports and their pictures.
pub(crate) fn folder() -> Utf8PathBuf {
    workspace::target_dir().join("verify")
}

/// The acceptance list, for `--list`.
pub(crate) fn list(swarm: bool) -> String {
    let checks = checks::of(swarm).map(|check| (check.name, check.promise));
    let rows: Vec<[String; 2]> =
        std::iter::once(BUILDS).chain(checks).map(|(name, promise)| [name.to_owned(), promise.to_owned()]).collect();
    ui::columns(&rows)
}

/// Name and promise of the first check, which has to pass before there is an image for the others.
const BUILDS: (&str, &str) = ("builds", "The image builds from this checkout.");

/// The report on [`BUILDS`], which is omitted if an image was given.
pub(crate) fn judge_build(result: &anyhow::Result<BuiltImage>, took: Duration) -> CheckReport {
    let mut evidence = Evidence::default();
    if let Ok(built) = result {
        evidence.figures =
            vec![EvidenceFigure::new("image", &*built.id), EvidenceFigure::new("built in", ui::seconds(took))];
    }
    CheckReport {
        name: BUILDS.0,
        promise: BUILDS.1,
        status: if result.is_ok() { CheckStatus::Pass } else { CheckStatus::Fail },
        reason: result.as_ref().err().map(|error| format!("{error:#}")),
        began: 0.0,
        seconds: ui::json_seconds(took),
        evidence,
        logs: Vec::new(),
    }
}

/// The report of a run whose image did not build.
pub(crate) async fn without_image(
    engine: &Engine,
    image: &str,
    checks: &[&'static Check],
    build: CheckReport,
) -> anyhow::Result<VerifyReport> {
    let subject = TestedImage { image: image.to_owned(), base: BaseImage::directus()?.name, ..TestedImage::default() };
    let seconds = build.seconds;
    let not_run = checks.iter().map(|check| CheckReport {
        name: check.name,
        promise: check.promise,
        status: CheckStatus::NotRun,
        reason: Some("the image did not build".to_owned()),
        began: seconds,
        seconds: 0.0,
        evidence: Evidence::default(),
        logs: Vec::new(),
    });
    let checks = std::iter::once(build).chain(not_run).collect();
    report(engine, String::new(), (SystemTime::now(), seconds), subject, 0, checks).await
}

/// Judges an image of the engine. `build` is the report on its build, if it was built for this run.
pub(crate) async fn verify(
    engine: &Engine,
    image: &str,
    checks: &[&'static Check],
    flags: &grammar::VerifyFlags,
    build: Option<CheckReport>,
) -> anyhow::Result<VerifyReport> {
    let jobs = number_of_jobs(engine, flags.jobs).await?;
    let suite = prepare(engine, image, flags.postgres, "verify").await?;
    let (began, wall_clock) = (Instant::now(), SystemTime::now());
    let judged =
        runner::run(&suite, &Rc::new(Servers::new(&suite)), checks, RunnerOptions { jobs, keep: flags.keep }, began)
            .await;
    let checks = build.into_iter().chain(judged).collect();
    let (id, subject) = (suite.session.id().to_owned(), suite.subject.clone());
    report(engine, id, (wall_clock, ui::json_seconds(began.elapsed())), subject, jobs, checks).await
}

/// Sweeps boots of an image of the engine.
pub(crate) async fn sweep_all(
    engine: &Engine,
    image: &str,
    scenarios: &[grammar::SweepScenario],
    density: sweep::SweepDensity,
    jobs: Option<usize>,
) -> anyhow::Result<sweep::SweepResults> {
    let jobs = number_of_jobs(engine, jobs).await?;
    let suite = prepare(engine, image, None, "sweep").await?;
    let began = Instant::now();
    let scenarios = sweep::sweep_scenarios(&suite, &Rc::new(Servers::new(&suite)), scenarios, density, jobs).await?;
    Ok(sweep::SweepResults::new(image, began.elapsed(), scenarios))
}

/// Searches with an image of the engine.
pub(crate) async fn search_all(
    engine: &Engine,
    image: &str,
    selection: search::CaseSelection,
    jobs: usize,
) -> anyhow::Result<search::SearchReport> {
    let suite = prepare(engine, image, None, "search").await?;
    let network = engine.create_network(&format!("{}-net", suite.session.id()), suite.session.labels()).await?;
    let harness = search::SearchHarness::prepare(&suite, &Servers::new(&suite), &network, "search").await?;
    search::try_cases(&harness, selection, jobs).await
}

async fn report(
    engine: &Engine,
    run: String,
    (began, seconds): (SystemTime, f64),
    subject: TestedImage,
    jobs: usize,
    checks: Vec<CheckReport>,
) -> anyhow::Result<VerifyReport> {
    let (summary, critical_path) = (Summary::of(&checks), critical_path::longest_chain(&checks));
    Ok(VerifyReport {
        schema: VerifyReport::SCHEMA,
        run,
        began: time::rfc3339(began.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()),
        seconds,
        ok: summary.fail == 0,
        subject,
        machine: EngineMachine { engine: engine.version().await?, cores: machine::cores(), jobs },
        summary,
        critical_path,
        checks,
    })
}

/// The number of checks at once, if `jobs` does not set it.
async fn number_of_jobs(engine: &Engine, jobs: Option<usize>) -> anyhow::Result<usize> {
    Ok(jobs.unwrap_or(bearable(machine::cores(), engine.memory().await?)).max(1))
}

/// The number of checks that a machine can bear at once: one per processor, one more because each check waits at times
/// (for a timeout, for the engine), and each with the memory of a server or two. `memory` is in bytes.
fn bearable(cores: usize, memory: u64) -> usize {
    /// A server with its pm2 takes 0.4 GB, a database with a booted schema 0.1 GB, and some checks have two of each.
    const EACH: u64 = 1_000_000_000;
    (cores + 1).min(usize::try_from(memory / EACH).unwrap_or(usize::MAX)).max(1)
}

/// Breaks the image or its database on purpose, and reports whether the checks fail.
pub(crate) async fn test_mutants(
    engine: &Engine,
    image: &str,
    checks: &[&'static Check],
    flags: &grammar::VerifyFlags,
) -> anyhow::Result<mutants::MutantReport> {
    // Each check of a swarm needs the whole machine.
    let jobs = if flags.swarm { 1 } else { number_of_jobs(engine, flags.jobs).await? };
    mutants::run(prepare(engine, image, flags.postgres, "mutants").await?, checks, jobs).await
}

/// Starts a run with an image of the engine; `kind` is part of the run's id.
async fn prepare(
    engine: &Engine,
    image: &str,
    postgres: Option<PostgresVersion>,
    kind: &str,
) -> anyhow::Result<Rc<SuiteContext>> {
    let database = setup::test_database(engine, postgres).await?;
    let subject = subject(engine, image, &database).await?;
    let session = Rc::new(EngineSession::start(engine, kind).await?);
    Ok(Rc::new(suite_context(engine, session, subject)?))
}

/// The context that all checks of a run share.
///
/// # Errors
/// Fails if the SQL files of the checkout are not valid; the error lists every problem.
pub fn suite_context(
    engine: &Engine,
    session: Rc<EngineSession>,
    subject: TestedImage,
) -> anyhow::Result<SuiteContext> {
    Ok(SuiteContext {
        engine: engine.clone(),
        secrets: Secrets::new(session.id()),
        session,
        subject,
        migrations: Rc::new(CheckoutMigrations::read()?),
        contents: OnceCell::new(),
        added_files: OnceCell::new(),
    })
}

/// The identity of an image, from its labels and its configuration.
pub async fn subject(
    engine: &Engine,
    image: &str,
    database: &testbed::base_images::Resolved,
) -> anyhow::Result<TestedImage> {
    let info = image::obtain(engine, image).await?;
    let base = label(&info, "base.name");
    // Without the label the image is not ours, which the checks report.
    let mut base_info = if base.is_empty() { None } else { engine.image(&base).await? };
    // An engine that pulled the image does not have the image's base.
    let pinned = BaseImage::directus()?;
    if base_info.is_none() && base == pinned.name && pinned.pull(engine).await? == Pull::Done {
        base_info = engine.image(&base).await?;
    }
    Ok(TestedImage {
        image: image.to_owned(),
        image_id: info.id.clone(),
        image_digest: info.digest.clone(),
        version: format!("{}@{}", label(&info, "version"), label(&info, "revision")),
        size_bytes: size::image_bytes(engine, image).await?,
        base_is_stand_in: base_info.as_ref().map_or(base_images::is_name_of_stand_in(&base), base_images::is_stand_in),
        base,
        database: database.name.clone(),
        database_is_stand_in: database.stand_in,
    })
}

fn label(info: &ImageInfo, name: &str) -> String {
    info.labels.get(&format!("org.opencontainers.image.{name}")).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_names_are_unique_and_promises_are_sentences() {
        let all: Vec<&Check> = checks::of(false).chain(checks::of(true)).collect();
        for (index, check) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|other| other.name != check.name), "{} is not unique", check.name);
            assert!(check.promise.ends_with('.'), "{}: the promise has no full stop", check.name);
        }
    }

    #[test]
    fn an_image_that_does_not_build_fails_the_first_check_with_the_reason() {
        let failed = Err(anyhow::anyhow!("no such file").context("`docker buildx build` failed"));
        let check = judge_build(&failed, Duration::from_millis(1500));
        assert_eq!((check.name, check.status, check.seconds), ("builds", CheckStatus::Fail, 1.5));
        assert_eq!(check.reason.as_deref(), Some("`docker buildx build` failed: no such file"));
    }

    #[test]
    fn checks_are_bounded_by_processors_and_by_memory() {
        assert_eq!(bearable(2, 24_000_000_000), 3);
        assert_eq!(bearable(16, 4_000_000_000), 4);
        assert_eq!(bearable(4, 500_000_000), 1);
    }

    #[test]
    fn a_word_that_matches_no_check_is_an_error() {
        let selection = CheckSelection { only: vec!["no-such-check".to_owned()], skip: Vec::new(), swarm: false };
        assert!(selection.checks().is_err());
    }
}
