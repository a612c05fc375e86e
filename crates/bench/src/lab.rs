//! Where one measures: a network, one PostgreSQL server with production's durability, the two images, and a program that
//! keeps time inside containers. All of it carries the run's label and goes with it.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::sync::OnceCell;

use acceptance::container::BootSpec;
use acceptance::container::Container;
use acceptance::container::Ended;
use acceptance::database::Database;
use acceptance::servers::Servers;
use acceptance::setting::Setting;
use testbed::base_images::{BaseImage, Resolved};
use testbed::cmd::Cmd;
use testbed::engine::Engine;
use testbed::run::Run;
use testbed::setup;
use testbed::ui;
use testbed::workspace;

use super::baseline::{self, Contender};
use super::model::Subject;
use super::moment::Moment;

/// How long anything may take before the benchmark gives up on it. Ten shells at once on two processors take minutes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(900);
/// The server's name in the network.
const SERVER: &str = "db";
/// Where the program that keeps time lies in containers.
pub(crate) const PROBE: &str = "/bench/probe";
/// What a build, or a copy of the checkout, is made of.
const PARTS: [&str; 13] = [
    ".cargo",
    ".dockerignore",
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    "bench",
    "db-init",
    "entrypoint",
    "extensions",
    "pg_fault_proxy",
    "scripts",
    "snapshots",
    "xtask",
];

/// Where one measures.
pub(crate) struct Lab {
    pub(crate) setting: Rc<Setting>,
    /// What both images are built on.
    pub(crate) base: Resolved,
    /// The database's image.
    pub(crate) database: Resolved,
    /// A copy of the checkout, to be changed at will.
    pub(crate) tree: Utf8PathBuf,
    network: String,
    server: Database,
    probe: Vec<u8>,
    booted: [OnceCell<Database>; 2],
    databases: Cell<usize>,
}

/// What the program that keeps time said.
#[derive(Debug, Deserialize)]
pub(crate) struct Clocked {
    /// How long each run took.
    pub(crate) seconds: Vec<f64>,
    /// The most memory that the container has had, where the kernel tells.
    pub(crate) peak_bytes: Option<u64>,
    /// Why the last run failed.
    failure: Option<String>,
}

impl Clocked {
    /// Reads what it said, and makes a failed run an error.
    pub(crate) fn read(line: &str) -> anyhow::Result<Clocked> {
        let clocked: Clocked = serde_json::from_str(line).with_context(|| format!("no times: {line}"))?;
        match clocked.failure {
            Some(failure) => bail!("{failure}"),
            None => Ok(clocked),
        }
    }
}

impl Lab {
    /// Builds what is needed and starts the server.
    pub(crate) async fn open(engine: &Engine, image: &str) -> anyhow::Result<Lab> {
        ensure!(
            cfg!(target_os = "linux"),
            "the benchmark's clock is built for the containers by this machine's cargo, \
                which needs Linux here"
        );
        let base = BaseImage::directus()?.resolve(engine).await?;
        let database = BaseImage::postgres().await?.resolve(engine).await?;
        let subject = acceptance::subject(engine, image, &database).await?;
        let run = Rc::new(Run::start(engine, "bench").await?);
        let setting = Rc::new(acceptance::setting(engine, Rc::clone(&run), subject, &database)?);
        let probe = build_probe().await?;
        let tree = workspace::target_dir().join("bench/tree");
        copy_checkout(&tree).context("failed to copy the checkout")?;
        ui::status("Building", "the image that the shell pipeline has");
        let label = label(&run);
        baseline::build_command(tree.as_str(), &shell_tag(&run), &label, &base, &database).read().await?;
        let network = engine.create_network(run.id(), run.labels()).await?;
        // Durable, as in production.
        let (_, server) = Servers::new(&setting).start_with(Some((network.clone(), SERVER.to_owned())), &[]).await?;
        Ok(Lab {
            setting,
            base,
            database,
            tree,
            network,
            server,
            probe,
            booted: Default::default(),
            databases: Cell::new(0),
        })
    }

    /// What is measured.
    pub(crate) async fn subject(&self) -> anyhow::Result<Subject> {
        let acceptance::model::Subject { image, image_id, version, .. } = self.setting.subject.clone();
        let id = async |name: &str| {
            let image = self.setting.engine.image(name).await?;
            anyhow::Ok(image.with_context(|| format!("there is no image {name}"))?.id)
        };
        Ok(Subject {
            image,
            image_id,
            version,
            shell_id: id(&self.image(Contender::Shell)).await?,
            base_id: id(&self.base.name).await?,
            base: self.base.name.clone(),
            base_is_stand_in: self.base.stand_in,
            database_id: id(&self.database.name).await?,
            database: self.database.name.clone(),
            database_is_stand_in: self.database.stand_in,
            postgres: self.server.value("current_setting('server_version')").await?,
        })
    }

    /// The image of one of the two.
    pub(crate) fn image(&self, who: Contender) -> String {
        match who {
            Contender::Ours => self.setting.subject.image.clone(),
            Contender::Shell => shell_tag(&self.setting.run),
        }
    }

    /// A label, as `key=value`, with which what others make goes with this run.
    pub(crate) fn label(&self) -> String {
        label(&self.setting.run)
    }

    /// An empty database.
    pub(crate) async fn empty(&self) -> anyhow::Result<Database> {
        let database = self.next_database();
        self.server.execute(&format!("create database {}", database.name)).await?;
        Ok(database)
    }

    /// A database as a boot of one of the two leaves it.
    pub(crate) async fn booted(&self, who: Contender) -> anyhow::Result<Database> {
        let boot = async {
            let database = self.empty().await?;
            let container = self.start(self.boot_only(who, &database)).await?;
            let ended = self.ended(&container).await?;
            ensure!(ended.code == 0, "the first boot of {:?} ended with {}: {}", who, ended.code, ended.last_line());
            self.remove(&container).await?;
            Ok(database)
        };
        let template = self.booted[who as usize].get_or_try_init(|| boot).await?;
        let database = self.next_database();
        let statement = format!("create database {} template {}", database.name, template.name);
        self.server.execute(&statement).await?;
        Ok(database)
    }

    fn next_database(&self) -> Database {
        self.databases.set(self.databases.get() + 1);
        self.server.other(&format!("bench_{}", self.databases.get()))
    }

    /// Removes a database, whoever is connected to it.
    pub(crate) async fn drop_database(&self, database: &Database) -> anyhow::Result<()> {
        self.server.execute(&format!("drop database {} with (force)", database.name)).await
    }

    /// A container of one of the two that boots on that database; with the image's own health check and a root file
    /// system that can be written, as the shell's is.
    pub(crate) fn container(&self, who: Contender, database: &Database) -> BootSpec {
        BootSpec::new(&self.setting, "bench", database).with(|spec| {
            spec.image = self.image(who);
            spec.check_every = None;
            spec.hardened = false;
        })
    }

    /// The same, ending when the boot is done.
    pub(crate) fn boot_only(&self, who: Contender, database: &Database) -> BootSpec {
        self.container(who, database).with(|spec| spec.command = Some(vec![who.boot_only().to_owned()]))
    }

    /// Starts a container.
    pub(crate) async fn start(&self, spec: BootSpec) -> anyhow::Result<Container> {
        spec.start(&self.setting, Some(self.network.clone())).await
    }

    /// Makes a container without starting it.
    pub(crate) async fn create(&self, spec: BootSpec) -> anyhow::Result<Container> {
        spec.create(&self.setting, Some(self.network.clone())).await
    }

    /// Removes a container.
    pub(crate) async fn remove(&self, container: &Container) -> anyhow::Result<()> {
        self.setting.engine.remove(&container.id).await
    }

    /// When a container was started.
    pub(crate) async fn started(&self, container: &Container) -> anyhow::Result<Moment> {
        Moment::parse(&self.setting.engine.started_at(&container.id).await?)
    }

    /// Waits for a line of a container's log, and returns when it was written; `None` if the container ended before.
    pub(crate) async fn said(
        &self,
        container: &Container,
        wanted: impl Fn(&str) -> bool,
    ) -> anyhow::Result<Option<Moment>> {
        let mut log = pin!(self.setting.engine.timed_log(&container.id));
        let search = async {
            while let Some(line) = log.next().await {
                let line = line?;
                if let Some((time, text)) = line.split_once(' ')
                    && wanted(text)
                {
                    return Moment::parse(time).map(Some);
                }
            }
            Ok(None)
        };
        let said = tokio::time::timeout(PATIENCE, search).await;
        said.with_context(|| format!("nothing was said within {} s", PATIENCE.as_secs()))?
    }

    /// Waits until a container has ended. By its log: asking the engine again and again would be work of its own.
    pub(crate) async fn ended(&self, container: &Container) -> anyhow::Result<Ended> {
        self.said(container, |_| false).await?;
        container.ended(PATIENCE).await
    }

    /// Waits until a boot is over, and returns when it was. A container that ends before is an error.
    pub(crate) async fn ready(&self, who: Contender, container: &Container) -> anyhow::Result<Moment> {
        if let Some(moment) = self.said(container, |line| who.is_ready(line)).await? {
            return Ok(moment);
        }
        let ended = container.ended(PATIENCE).await?;
        bail!("a boot of {who:?} ended with {}: {}", ended.code, ended.last_line())
    }

    /// A container of one of the two that does nothing, with the clock in it and `psql`'s variables set.
    pub(crate) async fn idle(&self, who: Contender, database: &Database) -> anyhow::Result<Container> {
        let spec = self.with_probe(self.container(who, database)).with(|spec| {
            spec.entrypoint = Some(vec!["sleep".to_owned()]);
            // Nothing in it could be healthy, and asking takes time from what is measured.
            spec.check_every = Some(Duration::from_secs(86_400));
            spec.command = Some(vec!["86400".to_owned()]);
        });
        let spec = spec
            .variable("PGHOST", &database.host)
            .variable("PGDATABASE", &database.name)
            .variable("PGUSER", acceptance::database::USER)
            .variable("PGPASSWORD", &self.setting.secrets.database);
        self.start(spec).await
    }

    /// Puts the clock into a container.
    pub(crate) fn with_probe(&self, spec: BootSpec) -> BootSpec {
        spec.file(PROBE, self.probe.clone())
    }

    /// Runs a command in a container again and again, on a clock in that container.
    pub(crate) async fn clock(&self, container: &Container, times: usize, command: &[&str]) -> anyhow::Result<Clocked> {
        let times = times.to_string();
        let (code, output) = container.exec(&[&[PROBE, "clock", &times, "--"], command].concat()).await?;
        ensure!(code == 0, "the clock failed: {output}");
        Clocked::read(&output).with_context(|| format!("failed to run {}", command.join(" ")))
    }
}

fn shell_tag(run: &Run) -> String {
    format!("{}:shell", run.id())
}

fn label(run: &Run) -> String {
    run.labels().iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// Builds the program that keeps time, as the boot binary is built.
async fn build_probe() -> anyhow::Result<Vec<u8>> {
    let target = setup::musl_target();
    Cmd::cargo()
        .args(["build", "--locked", "--profile", "image", "--package", "entrypoint", "--example", "probe"])
        .args(["--target", &target])
        .run()
        .await?;
    let path = workspace::target_dir().join(&target).join("image/examples/probe");
    std::fs::read(&path).with_context(|| format!("failed to read {path}"))
}

/// Copies what builds need, so that the checkout is never touched.
fn copy_checkout(to: &Utf8Path) -> anyhow::Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to).with_context(|| format!("failed to remove {to}"))?;
    }
    std::fs::create_dir_all(to).with_context(|| format!("failed to make {to}"))?;
    for part in PARTS {
        copy(workspace::path(part).as_std_path(), to.join(part).as_std_path())?;
    }
    Ok(())
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> anyhow::Result<()> {
    let context = || format!("failed to copy {}", from.display());
    if !from.is_dir() {
        return std::fs::copy(from, to).map(|_| ()).with_context(context);
    }
    std::fs::create_dir_all(to).with_context(context)?;
    for entry in std::fs::read_dir(from).with_context(context)? {
        let entry = entry.with_context(context)?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Clocked;

    #[test]
    fn a_run_that_failed_is_an_error_with_what_it_said() {
        let clocked = Clocked::read(r#"{"seconds":[0.5],"peak_bytes":null,"failure":null}"#).unwrap();
        assert_eq!((clocked.seconds, clocked.peak_bytes), (vec![0.5], None));
        let error = Clocked::read(r#"{"seconds":[],"peak_bytes":1,"failure":"psql: exit status: 2: no"}"#).unwrap_err();
        assert_eq!(error.to_string(), "psql: exit status: 2: no");
    }
}
