//! The database servers of a run: a shared one with a database for each check, and separate ones for checks that kill
//! or freeze their server.
//!
//! A booted database is a copy of a template, because a copy takes a fraction of a second and a cold boot many.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use testbed::engine::{ContainerSpec, ContainerState};
use testbed::postgres;
use tokio::sync::OnceCell;

use crate::container::{BootSpec, EndedContainer};
use crate::database::{FIRST, START, TestDatabase, USER};
use crate::end_state::EndState;
use crate::suite_context::{PATIENCE, SuiteContext};

/// Name of the booted database that others are copied from.
const TEMPLATE: &str = "booted";
/// Dumps the database `$2` as the role `$1`. Messages are printed only after a failure: pg_dump warns of TimescaleDB's
/// catalog, and the engine mixes that into the dump at random places.
const DUMP: &str = r#"exec 3>&1
    messages=$(pg_dump --username "$1" --dbname "$2" 2>&1 >&3) || { code=$?; echo "$messages"; exit $code; }"#;
/// TimescaleDB's background worker for it writes to its tables at a random time, between two dumps that are compared.
const WITHOUT_TELEMETRY: &str = "timescaledb.telemetry_level=off";
const NO_SERVER: &str = "there is no shared server yet";
/// Settings with which data survives a crash of the server, but not of the machine; no check needs more.
pub(crate) const WITHOUT_FSYNC: [&str; 2] = ["-c", "fsync=off"];

/// The servers of a run.
pub struct Servers {
    /// The image under test, or, for a mutant, the image that the broken one is built from.
    suite: Rc<SuiteContext>,
    shared: OnceCell<SharedServer>,
    /// Or the reason why its boot failed, which is the same for every check.
    template: OnceCell<Result<Template, String>>,
    /// The networks that the shared server is connected to.
    joined: RefCell<BTreeSet<String>>,
}

/// The boot of the template database.
struct Template {
    ended: EndedContainer,
    /// Time from before the container was created until it had ended.
    took: Duration,
    state: EndState,
}

struct SharedServer {
    container: String,
    database: TestDatabase,
}

impl Servers {
    /// Prepares the servers without starting any.
    pub fn new(suite: &Rc<SuiteContext>) -> Servers {
        let (shared, template, joined) = Default::default();
        Servers { suite: Rc::clone(suite), shared, template, joined }
    }

    /// The log of the template's boot; empty if it has not run yet.
    pub fn template_log(&self) -> Vec<String> {
        self.finished_template().map(|template| template.ended.lines.clone()).unwrap_or_default()
    }

    /// Duration of the template's boot, from before its container was created until it had ended.
    pub fn template_took(&self) -> Option<Duration> {
        self.finished_template().map(|template| template.took)
    }

    /// Starts a server and waits until it answers. `network` is a network and the host name in it.
    pub async fn start(&self, network: Option<(String, String)>) -> anyhow::Result<(String, TestDatabase)> {
        self.start_with(network, &WITHOUT_FSYNC).await
    }

    /// Starts a server like [`Servers::start`], with these arguments in place of the default settings.
    pub async fn start_with(
        &self,
        network: Option<(String, String)>,
        settings: &[&str],
    ) -> anyhow::Result<(String, TestDatabase)> {
        self.start_image(&self.suite.subject.database, network, settings).await
    }

    /// Starts a server of this image like [`Servers::start_with`].
    pub async fn start_image(
        &self,
        image: &str,
        network: Option<(String, String)>,
        settings: &[&str],
    ) -> anyhow::Result<(String, TestDatabase)> {
        let password = self.suite.secrets.database.clone();
        let host = network.as_ref().map_or("db", |(_, name)| name).to_owned();
        let spec = ContainerSpec {
            command: Some(
                [&["postgres", "-c", "max_connections=300", "-c", WITHOUT_TELEMETRY], settings]
                    .concat()
                    .into_iter()
                    .map(str::to_owned)
                    .collect(),
            ),
            network,
            ..postgres::server(image, USER, &password, FIRST)
        };
        let id = self.suite.engine.create(&self.suite.session, spec).await?;
        self.suite.engine.start(&id).await?;
        let port = self.suite.engine.published_port(&id, 5432).await?;
        let mut database = TestDatabase::first(&host, port, password);
        let began = Instant::now();
        // Connects over TCP: the temporary server of an image's first start only listens on the socket.
        while let Err(error) = database.value("select 1").await {
            if let ContainerState::Exited(code) = self.suite.engine.state(&id).await? {
                let lines = self.suite.engine.last_lines(&id, 20).await?;
                bail!("the database ended with {code}; its last lines:\n{lines}");
            }
            if began.elapsed() > START {
                return Err(error.context(format!("the database does not answer within {} s", START.as_secs())));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        database.options = self.suite.migrations.session_options_for(&database.config()).await?;
        Ok((id, database))
    }

    /// Creates an empty database on the shared server.
    pub async fn empty(&self, network: &str, name: &str) -> anyhow::Result<TestDatabase> {
        self.shared(network).await?.database.create_empty(name).await
    }

    /// Creates a database on the shared server, as a finished boot leaves it.
    pub async fn booted(&self, network: &str, name: &str) -> anyhow::Result<TestDatabase> {
        self.template(network).await?;
        self.shared(network).await?.database.other(TEMPLATE).copy(name).await
    }

    /// The template, which the first call boots in this network.
    async fn template(&self, network: &str) -> anyhow::Result<&Template> {
        let template =
            self.template.get_or_init(async || self.boot_template(network).await.map_err(|error| format!("{error:#}")));
        template.await.as_ref().map_err(|reason| anyhow!("{reason}"))
    }

    async fn boot_template(&self, network: &str) -> anyhow::Result<Template> {
        let shared = self.shared(network).await?;
        // A check that timed out may have left an unfinished template.
        shared.database.execute(&format!("drop database if exists {TEMPLATE} with (force)")).await?;
        let database = shared.database.create_empty(TEMPLATE).await?;
        let spec = BootSpec::new(&self.suite, "template", &database).command(["boot"]);
        let began = Instant::now();
        let container = spec.start(&self.suite, Some(network.to_owned())).await?;
        let ended = container.ended(PATIENCE).await?;
        let took = began.elapsed();
        self.suite.engine.remove(&container.id).await?;
        ensure!(ended.code == 0, "the boot of the template database failed: {}", ended.last_line());
        let state = EndState::of(&database).await?;
        database.become_template().await?;
        Ok(Template { ended, took, state })
    }

    fn finished_template(&self) -> Option<&Template> {
        self.template.get()?.as_ref().ok()
    }

    /// The end state of an undisturbed boot of the image.
    pub async fn undisturbed_state(&self, network: &str) -> anyhow::Result<EndState> {
        Ok(self.template(network).await?.state.clone())
    }

    async fn shared(&self, network: &str) -> anyhow::Result<&SharedServer> {
        let start = async {
            let (container, database) = self.start(None).await?;
            anyhow::Ok(SharedServer { container, database })
        };
        let shared = self.shared.get_or_try_init(|| start).await?;
        let is_new = self.joined.borrow_mut().insert(network.to_owned());
        if is_new {
            self.suite.engine.connect_network(&shared.container, network, &shared.database.host).await?;
        }
        Ok(shared)
    }

    /// The first database of a separate server that is started later, for the configuration of containers. There must be
    /// a shared server.
    pub fn not_started(&self, host: &str) -> anyhow::Result<TestDatabase> {
        Ok(self.shared.get().context(NO_SERVER)?.database.not_started(host))
    }

    /// The output of `pg_dump` for a database on the shared server.
    pub async fn dump(&self, database: &TestDatabase) -> anyhow::Result<String> {
        let shared = self.shared.get().context(NO_SERVER)?;
        let command = ["sh", "-c", DUMP, "dump", USER, &database.name];
        let (code, text) = self.suite.engine.exec(&shared.container, &command).await?;
        ensure!(code == 0, "pg_dump of {} ended with {code}: {text}", database.name);
        // Newer versions write `\restrict` and `\unrestrict` with a random key.
        let random = ["\\restrict", "\\unrestrict"];
        let lines = text.lines().filter(|line| !random.iter().any(|command| line.starts_with(command)));
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }

    /// Disconnects the shared server from a network that is about to be removed.
    pub async fn leave(&self, network: &str) -> anyhow::Result<()> {
        let joined = self.joined.borrow_mut().remove(network);
        if let (true, Some(shared)) = (joined, self.shared.get()) {
            self.suite.engine.disconnect_network(&shared.container, network).await?;
        }
        Ok(())
    }
}
