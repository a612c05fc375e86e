//! The stage of a rehearsal: a database server, a network, and containers of both images. All of it ends with the session.

use std::rc::Rc;
use std::time::{Duration, Instant};

use acceptance::container::{BootSpec, Container, EndedContainer, timeline};
use acceptance::database::TestDatabase;
use acceptance::servers::Servers;
use acceptance::suite_context::{PATIENCE, SuiteContext};
use contract::{Level, LogLine};
use testbed::base_images::Resolved;
use testbed::engine::{ContainerState, Engine};
use testbed::session::EngineSession;

use crate::report::{BootTime, PlanOutput};

/// Path of a snapshot in containers that boot with another one than that of their image.
const SNAPSHOT: &str = "/directus/rehearsal/schema.yaml";

/// The server, the network and the images.
pub(crate) struct RehearsalStage {
    pub(crate) from: Rc<SuiteContext>,
    pub(crate) to: Rc<SuiteContext>,
    servers: Servers,
    network: String,
}

/// A container that serves.
pub(crate) struct Serving {
    pub(crate) container: Container,
    pub(crate) time: BootTime,
    /// The boot's own lines.
    pub(crate) log: Vec<String>,
}

/// The result of a start.
pub(crate) enum Started {
    Serving(Box<Serving>),
    /// It ended, or was silent for too long; then the code is -1.
    Ended(EndedContainer),
}

impl RehearsalStage {
    /// Creates the network; the server starts with the first database.
    pub(crate) async fn open(
        engine: &Engine,
        session: &Rc<EngineSession>,
        database: &Resolved,
        images: [&str; 2],
    ) -> anyhow::Result<RehearsalStage> {
        let [from, to] = images;
        let from = acceptance::subject(engine, from, database).await?;
        let to = acceptance::subject(engine, to, database).await?;
        let from = Rc::new(acceptance::suite_context(engine, Rc::clone(session), from)?);
        let to = Rc::new(acceptance::suite_context(engine, Rc::clone(session), to)?);
        let network = engine.create_network(&format!("{}-net", session.id()), session.labels()).await?;
        Ok(RehearsalStage { servers: Servers::new(&from), from, to, network })
    }

    /// Creates an empty database.
    pub(crate) async fn empty_database(&self, name: &str) -> anyhow::Result<TestDatabase> {
        self.servers.empty(&self.network, name).await
    }

    /// A container of an image that serves this database.
    pub(crate) fn spec(&self, suite: &SuiteContext, name: &str, database: &TestDatabase) -> BootSpec {
        // On a busy machine it would refuse the samples.
        BootSpec::new(suite, name, database).variable("PRESSURE_LIMITER_ENABLED", "false")
    }

    /// Starts a container, and waits until it serves or ends.
    pub(crate) async fn start(
        &self,
        suite: &Rc<SuiteContext>,
        spec: BootSpec,
        boot: &'static str,
    ) -> anyhow::Result<Started> {
        let container = spec.start(suite, Some(self.network.clone())).await?;
        self.wait(suite, container, boot, 0, None).await
    }

    /// Stops a container and starts it again.
    pub(crate) async fn restart(
        &self,
        suite: &Rc<SuiteContext>,
        serving: Serving,
        boot: &'static str,
    ) -> anyhow::Result<Started> {
        let container = serving.container;
        container.stop().await?;
        let lines = container.log().await?.len();
        let began = Instant::now();
        container.restart().await?;
        self.wait(suite, container, boot, lines, Some(began)).await
    }

    async fn wait(
        &self,
        suite: &Rc<SuiteContext>,
        container: Container,
        boot: &'static str,
        lines_before: usize,
        began: Option<Instant>,
    ) -> anyhow::Result<Started> {
        let served = container.serving().await;
        let log: Vec<String> = container.log().await?.split_off(lines_before);
        let Ok(since_start) = served else {
            let code = match container.state().await? {
                ContainerState::Exited(code) => code,
                _ => -1,
            };
            self.remove(container).await?;
            return Ok(Started::Ended(EndedContainer { code, lines: log }));
        };
        let ready = began.map_or(since_start, |began| began.elapsed());
        let phases = timeline(boot, &log, Some(ready)).phases;
        let time = BootTime {
            boot,
            image: suite.subject.image.clone(),
            ready_ms: u64::try_from(ready.as_millis()).unwrap_or(u64::MAX),
            boot_ms: phases.iter().map(|phase| phase.ms).sum(),
        };
        let log = log.into_iter().filter(|line| LogLine::parse(line).is_some()).collect();
        Ok(Started::Serving(Box::new(Serving { container, time, log })))
    }

    /// Runs `plan` of an image against a database.
    pub(crate) async fn plan(&self, suite: &Rc<SuiteContext>, spec: BootSpec) -> anyhow::Result<PlanOutput> {
        let container = spec.command(["plan"]).start(suite, Some(self.network.clone())).await?;
        let EndedContainer { code, lines } = container.ended(PATIENCE).await?;
        self.remove(container).await?;
        // Without the boot's first lines, which name image and server.
        let is_plan = |line: &String| LogLine::parse(line).is_none_or(|line| line.level != Level::Info);
        Ok(PlanOutput { exit: code, lines: lines.into_iter().filter(is_plan).collect() })
    }

    /// Stops and removes a container.
    pub(crate) async fn remove(&self, container: Container) -> anyhow::Result<()> {
        self.from.engine.remove(&container.id).await
    }
}

/// Lets a container boot with this snapshot instead of that of its image.
pub(crate) fn with_snapshot(spec: BootSpec, snapshot: Option<&str>) -> BootSpec {
    match snapshot {
        None => spec,
        Some(text) => spec.variable("BOOT_SNAPSHOT_FILE", SNAPSHOT).file(SNAPSHOT, text.as_bytes()),
    }
}

/// Formats milliseconds as seconds.
pub(crate) fn seconds(ms: u64) -> String {
    testbed::ui::seconds(Duration::from_millis(ms))
}
