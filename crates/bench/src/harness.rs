//! Test harness: a network, one PostgreSQL server with the durability of production, the two images, and a probe that
//! measures time inside containers. Containers, images and networks carry the label of the session and are removed with it.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use futures_util::StreamExt as _;
use grammar::PostgresVersion;
use serde::Deserialize;
use tokio::sync::OnceCell;

use acceptance::container::BootSpec;
use acceptance::container::Container;
use acceptance::container::EndedContainer;
use acceptance::database::TestDatabase;
use acceptance::servers::Servers;
use acceptance::suite_context::SuiteContext;
use testbed::base_images::{BaseImage, Resolved};
use testbed::cmd::Cmd;
use testbed::engine::Engine;
use testbed::session::EngineSession;
use testbed::setup;
use testbed::ui;
use testbed::workspace;

use super::baseline::{self, Contender};
use super::model::Images;
use super::timestamp::Timestamp;

/// Time limit of every wait. Ten shells at once on two processors take minutes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(900);
/// Host name of the server in the network.
const SERVER: &str = "db";
/// Path of the probe in containers.
pub(crate) const PROBE: &str = "/bench/probe";
/// Files and folders of the checkout that builds need.
const PARTS: [&str; 12] = [
    ".cargo",
    ".dockerignore",
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    "crates",
    "db-init",
    "entrypoint",
    "extensions",
    "scripts",
    "snapshots",
    "xtask",
];

pub(crate) struct Harness {
    pub(crate) suite: Rc<SuiteContext>,
    /// Base image of both images.
    pub(crate) base: Resolved,
    /// Image of the database server.
    pub(crate) database: Resolved,
    /// Copy of the checkout, which measurements may change.
    pub(crate) tree: Utf8PathBuf,
    network: String,
    server: TestDatabase,
    probe: Vec<u8>,
    booted: [OnceCell<TestDatabase>; 2],
    databases: Cell<usize>,
}

/// Output of the probe.
#[derive(Debug, Deserialize)]
pub(crate) struct Timings {
    /// Duration of each run.
    pub(crate) seconds: Vec<f64>,
    /// Peak memory of the container, if the kernel reports it.
    pub(crate) peak_bytes: Option<u64>,
    /// Error of the last run.
    failure: Option<String>,
}

impl Timings {
    /// Parses the output of the probe.
    ///
    /// # Errors
    /// If the output is not valid, or a run failed.
    pub(crate) fn read(line: &str) -> anyhow::Result<Timings> {
        let timings: Timings = serde_json::from_str(line).with_context(|| format!("no timings in `{line}`"))?;
        match timings.failure {
            Some(failure) => bail!("{failure}"),
            None => Ok(timings),
        }
    }
}

impl Harness {
    /// Builds the probe and, if it is measured, the shell's image, and starts the server.
    pub(crate) async fn open(engine: &Engine, image: &str, with_shell: bool) -> anyhow::Result<Harness> {
        ensure!(
            cfg!(target_os = "linux"),
            "the benchmark needs Linux: the cargo of this machine builds the probe for the containers"
        );
        let base = BaseImage::directus()?.resolve(engine).await?;
        let database = BaseImage::postgres().await?.resolve(engine).await?;
        let subject = acceptance::subject(engine, image, &database).await?;
        let session = Rc::new(EngineSession::start(engine, "bench").await?);
        let suite = Rc::new(acceptance::suite_context(engine, Rc::clone(&session), subject)?);
        let probe = build_probe().await?;
        let tree = workspace::target_dir().join("bench/tree");
        copy_checkout(&tree).context("failed to copy the checkout")?;
        if with_shell {
            ui::status("Building", "the image of the shell pipeline");
            let label = label(&session);
            // On a stand-in, psql comes from an image that runs on an older C library than that of the database's stand-in.
            let psql = match base.stand_in {
                true => setup::test_database(engine, Some(PostgresVersion::OLDEST)).await?,
                false => database.clone(),
            };
            baseline::build_command(tree.as_str(), &shell_tag(&session), &label, &base, &psql).read().await?;
        }
        let network = engine.create_network(session.id(), session.labels()).await?;
        // Without options, PostgreSQL is as durable as in production.
        let (_, server) = Servers::new(&suite).start_with(Some((network.clone(), SERVER.to_owned())), &[]).await?;
        Ok(Harness {
            suite,
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

    /// Describes the measured images.
    pub(crate) async fn images(&self) -> anyhow::Result<Images> {
        let acceptance::model::TestedImage { image, image_id, version, .. } = self.suite.subject.clone();
        Ok(Images {
            image,
            image_id,
            version,
            shell_id: self.suite.engine.image(&self.image(Contender::Shell)).await?.map(|image| image.id),
            base_id: self.image_id(&self.base.name).await?,
            base: self.base.name.clone(),
            base_is_stand_in: self.base.stand_in,
            database_id: self.image_id(&self.database.name).await?,
            database: self.database.name.clone(),
            database_is_stand_in: self.database.stand_in,
            postgres: self.server.value("current_setting('server_version')").await?,
        })
    }

    /// Starts another server in the same network. Returns its container and its first database.
    pub(crate) async fn server_with(&self, host: &str, settings: &[&str]) -> anyhow::Result<(String, TestDatabase)> {
        let network = Some((self.network.clone(), host.to_owned()));
        Servers::new(&self.suite).start_with(network, settings).await
    }

    async fn image_id(&self, name: &str) -> anyhow::Result<String> {
        let image = self.suite.engine.image(name).await?;
        Ok(image.with_context(|| format!("the image {name} does not exist"))?.id)
    }

    pub(crate) fn image(&self, who: Contender) -> String {
        match who {
            Contender::Ours => self.suite.subject.image.clone(),
            Contender::Shell => shell_tag(&self.suite.session),
        }
    }

    /// Returns the label of the session as `key=value`; images with it are removed with it.
    pub(crate) fn label(&self) -> String {
        label(&self.suite.session)
    }

    /// Creates an empty database.
    pub(crate) async fn empty(&self) -> anyhow::Result<TestDatabase> {
        self.server.create_empty(&self.next_database().name).await
    }

    /// Creates a database in the state after a first boot.
    pub(crate) async fn booted(&self, who: Contender) -> anyhow::Result<TestDatabase> {
        let boot = async {
            let database = self.empty().await?;
            let container = self.start(self.boot_only(who, &database)).await?;
            let ended = self.ended(&container).await?;
            ensure!(ended.code == 0, "the first boot of {:?} ended with {}: {}", who, ended.code, ended.last_line());
            self.remove(&container).await?;
            database.become_template().await?;
            Ok(database)
        };
        let template = self.booted[who as usize].get_or_try_init(|| boot).await?;
        template.copy(&self.next_database().name).await
    }

    fn next_database(&self) -> TestDatabase {
        self.databases.set(self.databases.get() + 1);
        self.server.other(&format!("bench_{}", self.databases.get()))
    }

    /// Drops a database and terminates its sessions.
    pub(crate) async fn drop_database(&self, database: &TestDatabase) -> anyhow::Result<()> {
        self.server.execute(&format!("drop database {} with (force)", database.name)).await
    }

    /// Returns a container that boots on a database, with the image's own health check. Its root file system is
    /// writable, because the shell needs that.
    pub(crate) fn container(&self, who: Contender, database: &TestDatabase) -> BootSpec {
        BootSpec::new(&self.suite, "bench", database).with(|spec| {
            spec.image = self.image(who);
            spec.health_interval = None;
            spec.hardened = false;
        })
    }

    /// Returns the same container, which ends after the boot.
    pub(crate) fn boot_only(&self, who: Contender, database: &TestDatabase) -> BootSpec {
        self.container(who, database).with(|spec| spec.command = Some(vec![who.boot_only().to_owned()]))
    }

    pub(crate) async fn start(&self, spec: BootSpec) -> anyhow::Result<Container> {
        spec.start(&self.suite, Some(self.network.clone())).await
    }

    /// Creates a container without starting it.
    pub(crate) async fn create(&self, spec: BootSpec) -> anyhow::Result<Container> {
        spec.create(&self.suite, Some(self.network.clone())).await
    }

    pub(crate) async fn remove(&self, container: &Container) -> anyhow::Result<()> {
        self.suite.engine.remove(&container.id).await
    }

    /// Returns the time at which the engine started a container.
    pub(crate) async fn started(&self, container: &Container) -> anyhow::Result<Timestamp> {
        Timestamp::parse(&self.suite.engine.started_at(&container.id).await?)
    }

    /// Waits for a line of a container's log, and returns its time; `None` if the container ends without it.
    pub(crate) async fn wait_for_line(
        &self,
        container: &Container,
        wanted: impl Fn(&str) -> bool,
    ) -> anyhow::Result<Option<Timestamp>> {
        let mut log = pin!(self.suite.engine.timed_log(&container.id));
        let search = async {
            while let Some(line) = log.next().await {
                let line = line?;
                if let Some((time, text)) = line.split_once(' ')
                    && wanted(text)
                {
                    return Timestamp::parse(time).map(Some);
                }
            }
            Ok(None)
        };
        let found = tokio::time::timeout(TIMEOUT, search).await;
        found.with_context(|| format!("the container did not log the line within {} s", TIMEOUT.as_secs()))?
    }

    /// Waits until a container ends. Follows its log, because polling the engine would disturb the measurement.
    pub(crate) async fn ended(&self, container: &Container) -> anyhow::Result<EndedContainer> {
        self.wait_for_line(container, |_| false).await?;
        container.ended(TIMEOUT).await
    }

    /// Waits until a boot is done, and returns the time of its last line.
    ///
    /// # Errors
    /// If the container ends first.
    pub(crate) async fn ready(&self, who: Contender, container: &Container) -> anyhow::Result<Timestamp> {
        if let Some(time) = self.wait_for_line(container, |line| who.is_ready(line)).await? {
            return Ok(time);
        }
        let ended = container.ended(TIMEOUT).await?;
        bail!("a boot of {who:?} ended with {}: {}", ended.code, ended.last_line())
    }

    /// Starts an idle container with the probe and the variables of `psql`.
    pub(crate) async fn idle(&self, who: Contender, database: &TestDatabase) -> anyhow::Result<Container> {
        let spec = self.with_probe(self.container(who, database)).with(|spec| {
            spec.entrypoint = Some(vec!["sleep".to_owned()]);
            // Without a server the health check can only fail, and it would disturb the measurement.
            spec.health_interval = Some(Duration::from_secs(86_400));
            spec.command = Some(vec!["86400".to_owned()]);
        });
        let spec = spec
            .variable("PGHOST", &database.host)
            .variable("PGDATABASE", &database.name)
            .variable("PGUSER", acceptance::database::USER)
            .variable("PGPASSWORD", &self.suite.secrets.database);
        self.start(spec).await
    }

    /// Adds the probe to a container.
    pub(crate) fn with_probe(&self, spec: BootSpec) -> BootSpec {
        spec.file(PROBE, self.probe.clone())
    }

    /// Runs a command a number of times in a container, and measures each run inside it.
    pub(crate) async fn clock(&self, container: &Container, times: usize, command: &[&str]) -> anyhow::Result<Timings> {
        let times = times.to_string();
        let (code, output) = container.exec(&[&[PROBE, "clock", &times, "--"], command].concat()).await?;
        ensure!(code == 0, "the probe failed: {output}");
        Timings::read(&output).with_context(|| format!("failed to run {}", command.join(" ")))
    }
}

fn shell_tag(session: &EngineSession) -> String {
    format!("{}:shell", session.id())
}

fn label(session: &EngineSession) -> String {
    session.labels().iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// Builds the probe with the profile and target of the boot binary.
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

/// Copies the parts of the checkout that builds need, so that measurements do not change the checkout.
fn copy_checkout(to: &Utf8Path) -> anyhow::Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to).with_context(|| format!("failed to remove {to}"))?;
    }
    std::fs::create_dir_all(to).with_context(|| format!("failed to create {to}"))?;
    for part in PARTS {
        copy(workspace::path(part).as_std_path(), to.join(part).as_std_path())?;
    }
    Ok(())
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> anyhow::Result<()> {
    if from.is_dir() {
        copy_folder(from, to)
    } else {
        std::fs::copy(from, to).map(drop).with_context(|| format!("failed to copy {}", from.display()))
    }
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("failed to create {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("failed to list {}", from.display()))? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{PARTS, Timings};
    use testbed::workspace;

    #[test]
    fn every_part_of_the_copy_exists() {
        assert_eq!(PARTS.into_iter().find(|part| !workspace::path(part).exists()), None);
    }

    #[test]
    fn a_failed_run_is_an_error_with_its_message() {
        let timings = Timings::read(r#"{"seconds":[0.5],"peak_bytes":null,"failure":null}"#).unwrap();
        assert_eq!((timings.seconds, timings.peak_bytes), (vec![0.5], None));
        let error = Timings::read(r#"{"seconds":[],"peak_bytes":1,"failure":"psql: exit status: 2: no"}"#).unwrap_err();
        assert_eq!(error.to_string(), "psql: exit status: 2: no");
    }
}
