//! The acceptance gate: every promise of the README, proven on real containers.
//!
//! [`check`] is what a check is, and `checks` the acceptance list; `runner` runs them. [`case`] is where one looks: at
//! [`container`]s, at the [`database`]s of [`servers`], at the [`end_state`] of a boot. [`model`] is what was found,
//! `critical_path` what a run waited for, and the folder `report` shows it. `sweep` and `search` are also commands.

pub mod case;
pub mod check;
mod checks;
mod columns;
pub mod commands;
pub mod container;
mod critical_path;
pub mod database;
pub mod end_state;
mod hold;
mod leaks;
pub mod model;
mod negative;
mod report;
mod rows;
mod runner;
mod sample;
pub(crate) mod search;
pub mod servers;
pub mod setting;
pub(crate) mod sweep;

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use camino::Utf8PathBuf;
use tokio::sync::OnceCell;

use testbed::base_images;
use testbed::base_images::BaseImage;
use testbed::engine::Engine;
use testbed::image::Built;
use testbed::migrations::Migrations;
use testbed::run::Run;
use testbed::ui;
use testbed::workspace;
use testbed::{machine, time};

pub(crate) use self::check::Check;
pub(crate) use self::model::Subject;
use self::model::{CheckReport, Evidence, Figure, Machine, Summary};
pub(crate) use self::model::{Report, Status};
pub(crate) use self::report::{announce, waited_for, write};
use self::runner::Options;
use self::servers::Servers;
use crate::setting::Secrets;
use crate::setting::Setting;

/// What a run is to look at.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// Names of checks, or parts of names; empty: all.
    pub(crate) only: Vec<String>,
    /// Names of checks, or parts of names, that are left out.
    pub(crate) skip: Vec<String>,
}

impl Selection {
    /// The checks that are meant, in the order of the acceptance list.
    ///
    /// # Errors
    /// A word that is part of no check's name.
    pub(crate) fn checks(&self) -> anyhow::Result<Vec<&'static Check>> {
        let all = || checks::ALL.iter().copied().flatten();
        for word in self.only.iter().chain(&self.skip) {
            if !all().any(|check| check.name.contains(word.as_str())) && !BUILDS.0.contains(word.as_str()) {
                bail!("no check has `{word}` in its name; `cargo xtask verify --list` shows them all");
            }
        }
        let named = |words: &[String], check: &Check| words.iter().any(|word| check.name.contains(word.as_str()));
        Ok(all()
            .filter(|check| self.only.is_empty() || named(&self.only, check))
            .filter(|check| !named(&self.skip, check))
            .collect())
    }
}

/// Where reports and their pictures go.
pub(crate) fn folder() -> Utf8PathBuf {
    workspace::target_dir().join("verify")
}

/// The acceptance list, for `--list`.
pub(crate) fn list() -> String {
    let checks = checks::ALL.iter().copied().flatten().map(|check| (check.name, check.promise));
    let rows: Vec<[String; 2]> =
        std::iter::once(BUILDS).chain(checks).map(|(name, promise)| [name.to_owned(), promise.to_owned()]).collect();
    ui::columns(&rows)
}

/// The first promise, which is looked at before there is anything to run the others on: its name and itself.
const BUILDS: (&str, &str) = ("builds", "The image builds from this checkout.");

/// The report on [`BUILDS`]; without it, an image was given.
pub(crate) fn judge_build(result: &anyhow::Result<Built>, took: Duration) -> CheckReport {
    let mut evidence = Evidence::default();
    if let Ok(built) = result {
        let figure = |name: &str, value: String| Figure { name: name.to_owned(), value };
        evidence.figures = vec![figure("image", built.id.to_owned()), figure("built in", ui::seconds(took))];
    }
    CheckReport {
        name: BUILDS.0,
        promise: BUILDS.1,
        status: if result.is_ok() { Status::Pass } else { Status::Fail },
        reason: result.as_ref().err().map(|error| format!("{error:#}")),
        began: 0.0,
        seconds: ui::json_seconds(took),
        evidence,
        logs: Vec::new(),
    }
}

/// The report of a run that had no image to judge, because that did not build.
pub(crate) async fn without_image(
    engine: &Engine,
    image: &str,
    checks: &[&'static Check],
    build: CheckReport,
) -> anyhow::Result<Report> {
    let not_run = |check: &&'static Check| CheckReport {
        name: check.name,
        promise: check.promise,
        status: Status::NotRun,
        reason: Some("there is no image to judge".to_owned()),
        began: build.seconds,
        seconds: 0.0,
        evidence: Evidence::default(),
        logs: Vec::new(),
    };
    let subject = Subject { image: image.to_owned(), base: BaseImage::directus()?.name, ..Subject::default() };
    let seconds = build.seconds;
    let checks: Vec<CheckReport> = std::iter::once(build.clone()).chain(checks.iter().map(not_run)).collect();
    report(engine, String::new(), (SystemTime::now(), seconds), subject, 0, checks).await
}

/// Judges an image that is here. `build` is the report on its build, if it was built for this run.
pub(crate) async fn verify(
    engine: &Engine,
    image: &str,
    checks: &[&'static Check],
    (jobs, keep): (Option<usize>, bool),
    build: Option<CheckReport>,
) -> anyhow::Result<Report> {
    let jobs = jobs.unwrap_or(bearable(machine::cores(), engine.memory().await?)).max(1);
    let database = BaseImage::postgres().await?.resolve(engine).await?;
    let subject = subject(engine, image, &database).await?;
    let run = Rc::new(Run::start(engine, "verify").await?);
    let (id, began, wall_clock) = (run.id().to_owned(), Instant::now(), SystemTime::now());
    let setting = Rc::new(setting(engine, run, subject.clone(), &database)?);
    let judged = runner::run(&setting, &Rc::new(Servers::new(&setting)), checks, Options { jobs, keep }, began).await;
    let checks = build.into_iter().chain(judged).collect();
    report(engine, id, (wall_clock, ui::json_seconds(began.elapsed())), subject, jobs, checks).await
}

/// Sweeps boots of an image that is here.
pub(crate) async fn sweep_all(
    engine: &Engine,
    image: &str,
    scenarios: &[grammar::Scenario],
    density: sweep::Density,
    jobs: Option<usize>,
) -> anyhow::Result<sweep::Report> {
    let jobs = jobs.unwrap_or(bearable(machine::cores(), engine.memory().await?)).max(1);
    let database = BaseImage::postgres().await?.resolve(engine).await?;
    let subject = subject(engine, image, &database).await?;
    let run = Rc::new(Run::start(engine, "sweep").await?);
    let began = Instant::now();
    let setting = Rc::new(setting(engine, run, subject, &database)?);
    let scenarios = sweep::sweep(&setting, &Rc::new(Servers::new(&setting)), scenarios, density, jobs).await?;
    Ok(sweep::Report::new(image, began.elapsed(), scenarios))
}

/// Searches with an image that is here.
pub(crate) async fn search_all(
    engine: &Engine,
    image: &str,
    selection: search::Selection,
    jobs: usize,
) -> anyhow::Result<search::Report> {
    let database = BaseImage::postgres().await?.resolve(engine).await?;
    let subject = subject(engine, image, &database).await?;
    let run = Rc::new(Run::start(engine, "search").await?);
    let setting = Rc::new(setting(engine, run, subject, &database)?);
    let network = engine.create_network(&format!("{}-net", setting.run.id()), setting.run.labels()).await?;
    let lab = search::Lab::prepare(&setting, &Servers::new(&setting), &network, "search").await?;
    search::search(&lab, selection, jobs).await
}

async fn report(
    engine: &Engine,
    run: String,
    (began, seconds): (SystemTime, f64),
    subject: Subject,
    jobs: usize,
    checks: Vec<CheckReport>,
) -> anyhow::Result<Report> {
    let (summary, critical_path) = (Summary::of(&checks), critical_path::critical_path(&checks));
    Ok(Report {
        schema: Report::SCHEMA,
        run,
        began: time::rfc3339(began.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()),
        seconds,
        ok: summary.fail == 0,
        subject,
        machine: Machine { engine: engine.version().await?, cores: machine::cores(), jobs },
        summary,
        critical_path,
        checks,
    })
}

/// How many checks a machine bears at once: one a processor, one more because each of them waits for a while (for a
/// timeout, for the engine), and each with the memory of a server or two.
fn bearable(cores: usize, memory: u64) -> usize {
    /// A server with its pm2 takes 0.4 GB, a database with a booted schema 0.1, and some checks have two of each.
    const EACH: u64 = 1_000_000_000;
    (cores + 1).min(usize::try_from(memory / EACH).unwrap_or(usize::MAX)).max(1)
}

/// Breaks the image or its surroundings in every way that is known, and says whether the checks notice.
pub(crate) async fn negative(
    engine: &Engine,
    image: &str,
    checks: &[&'static Check],
    jobs: Option<usize>,
) -> anyhow::Result<negative::Report> {
    let database = BaseImage::postgres().await?.resolve(engine).await?;
    let subject = subject(engine, image, &database).await?;
    let run = Rc::new(Run::start(engine, "negative").await?);
    let jobs = jobs.unwrap_or(bearable(machine::cores(), engine.memory().await?)).max(1);
    negative::run(Rc::new(setting(engine, run, subject, &database)?), checks, jobs).await
}

/// What all that a run does with an image has in common.
///
/// # Errors
/// Everything that is wrong with the SQL files of the checkout.
pub fn setting(
    engine: &Engine,
    run: Rc<Run>,
    subject: Subject,
    database: &testbed::base_images::Resolved,
) -> anyhow::Result<Setting> {
    let migrations = Migrations::read()?;
    Ok(Setting {
        engine: engine.clone(),
        secrets: Secrets::new(run.id()),
        run,
        subject,
        options: migrations.options_for(database),
        migrations: Rc::new(migrations),
        contents: OnceCell::new(),
        added_files: OnceCell::new(),
    })
}

/// What an image says of itself.
pub async fn subject(
    engine: &Engine,
    image: &str,
    database: &testbed::base_images::Resolved,
) -> anyhow::Result<Subject> {
    let info = engine.image(image).await?.with_context(|| format!("there is no image {image}"))?;
    let label = |name: &str| info.labels.get(&format!("org.opencontainers.image.{name}")).cloned().unwrap_or_default();
    let base = label("base.name");
    // Without the label it is no image of ours; that is for the checks to say.
    let base_info = if base.is_empty() { None } else { engine.image(&base).await? };
    Ok(Subject {
        image: image.to_owned(),
        image_id: info.id.clone(),
        image_digest: info.digest.clone(),
        version: format!("{}@{}", label("version"), label("revision")),
        size_bytes: info.size,
        base_is_stand_in: base_info.as_ref().is_some_and(base_images::is_stand_in),
        base,
        database: database.name.clone(),
        database_is_stand_in: database.stand_in,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_names_are_unique_and_promises_are_sentences() {
        let all: Vec<&Check> = checks::ALL.iter().copied().flatten().collect();
        for (index, check) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|other| other.name != check.name), "{} twice", check.name);
            assert!(check.promise.ends_with('.'), "{}: no full stop", check.name);
        }
    }

    #[test]
    fn an_image_that_does_not_build_fails_the_first_check_with_the_reason() {
        let failed = Err(anyhow::anyhow!("no such file").context("`docker buildx build` failed"));
        let check = judge_build(&failed, Duration::from_millis(1500));
        assert_eq!((check.name, check.status, check.seconds), ("builds", Status::Fail, 1.5));
        assert_eq!(check.reason.as_deref(), Some("`docker buildx build` failed: no such file"));
    }

    #[test]
    fn checks_are_bounded_by_processors_and_by_memory() {
        assert_eq!(bearable(2, 24_000_000_000), 3);
        assert_eq!(bearable(16, 4_000_000_000), 4);
        assert_eq!(bearable(4, 500_000_000), 1);
    }

    #[test]
    fn a_word_that_names_no_check_is_an_error() {
        let selection = Selection { only: vec!["no-such-check".to_owned()], skip: Vec::new() };
        assert!(selection.checks().is_err());
    }
}
