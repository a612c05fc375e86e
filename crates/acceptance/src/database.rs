//! The database servers of a run: one that the checks share, each with a database of its own on it, and those of checks
//! that harm theirs.
//!
//! A booted database is a copy of one that was booted once: PostgreSQL copies it in a fraction of a second, where a cold
//! boot takes many.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use tokio::sync::OnceCell;
use tokio_postgres::NoTls;

use super::case::{BootSpec, Ended, PATIENCE, Setting};
use super::end_state::EndState;
use testbed::engine::{ContainerSpec, Engine, State};
use testbed::postgres;

/// The role that owns everything.
pub const USER: &str = "directus";
/// The database that a server begins with.
const FIRST: &str = "directus";
/// The booted database that others are copied from.
const TEMPLATE: &str = "booted";
const START: Duration = Duration::from_secs(120);

/// The servers of a run.
pub struct Servers {
    /// The image that boots the database that others are copied from: what is judged, or, if that is broken on purpose,
    /// what it was made from.
    image: String,
    shared: OnceCell<Shared>,
    /// Or why there is none: once tried, it fails for every check with the same words.
    template: OnceCell<Result<Template, String>>,
    joined: RefCell<BTreeSet<String>>,
}

/// The boot that others are copied from.
struct Template {
    ended: Ended,
    /// From before its container was made until it had ended.
    took: Duration,
    /// What it left.
    state: EndState,
}

struct Shared {
    container: String,
    database: Database,
}

/// A database, as containers and as this machine reach it.
#[derive(Clone, Debug)]
pub struct Database {
    /// The server's name in the networks of cases.
    pub host: String,
    /// The database's name.
    pub name: String,
    port: u16,
    password: String,
}

impl Database {
    /// A connection from this machine.
    pub async fn connect(&self) -> anyhow::Result<tokio_postgres::Client> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user(USER).password(&self.password).dbname(&self.name);
        // Told apart from the boots that are looked at.
        config.application_name("verify");
        let (client, connection) =
            config.connect(NoTls).await.with_context(|| format!("failed to connect to database {}", self.name))?;
        tokio::spawn(async move {
            // Checks kill servers on purpose; whoever uses the client sees it.
            connection.await.ok();
        });
        Ok(client)
    }

    /// The first column of the first row, as text.
    pub async fn value(&self, query: &str) -> anyhow::Result<String> {
        let client = self.connect().await?;
        let row = client.query_one(&format!("select ({query})::text"), &[]).await;
        let row = row.with_context(|| format!("failed to ask {query}"))?;
        Ok(row.get::<_, Option<String>>(0).unwrap_or_default())
    }

    /// Runs statements.
    pub async fn execute(&self, statements: &str) -> anyhow::Result<()> {
        let client = self.connect().await?;
        client.batch_execute(statements).await.with_context(|| format!("failed to run {statements}"))
    }

    /// Waits until a query says true; for faults that are triggered by what is seen.
    pub async fn wait_until(&self, query: &str) -> anyhow::Result<()> {
        let client = self.connect().await?;
        let began = Instant::now();
        loop {
            let row = client.query_one(&format!("select ({query})::boolean"), &[]).await;
            if row.with_context(|| format!("failed to ask {query}"))?.get::<_, Option<bool>>(0) == Some(true) {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "never became true: {query}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it answers again: a server that was frozen may first have to recover.
    pub async fn answers(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while let Err(error) = self.value("1").await {
            ensure!(began.elapsed() < START, "it does not answer again: {error:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// The first database of a server that is not there yet: what containers are told about it.
    pub fn to_come(host: &str) -> Database {
        Database { host: host.to_owned(), name: FIRST.to_owned(), port: 0, password: String::new() }
    }

    /// The same database, of a server that was started again and is published on another port since.
    pub fn at(&self, port: u16) -> Database {
        Database { port, ..self.clone() }
    }

    /// Where its server is published on this machine.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Makes a copy on the same server. Nobody may be connected to this one.
    pub async fn copy(&self, name: &str) -> anyhow::Result<Database> {
        let first = self.other(FIRST);
        first.execute(&format!(r#"create database "{name}" template "{}""#, self.name)).await?;
        Ok(self.other(name))
    }

    /// Removes it, whoever is connected.
    pub async fn remove(self) -> anyhow::Result<()> {
        self.other(FIRST).execute(&format!(r#"drop database "{}" with (force)"#, self.name)).await
    }

    /// Another database of the same server.
    pub fn other(&self, name: &str) -> Database {
        Database { name: name.to_owned(), ..self.clone() }
    }
}

impl Servers {
    /// No servers yet.
    pub fn new(image: &str) -> Servers {
        let (shared, template, joined) = Default::default();
        Servers { image: image.to_owned(), shared, template, joined }
    }

    /// What the boot said that others are copied from; nothing, if none was wanted yet.
    pub fn template_log(&self) -> Vec<String> {
        self.made().map(|template| template.ended.lines.clone()).unwrap_or_default()
    }

    /// How long that boot took, from before its container was made until it had ended.
    pub fn template_took(&self) -> Option<Duration> {
        self.made().map(|template| template.took)
    }

    /// Starts a server, in a network if one is given, and waits until it answers.
    pub async fn start(
        &self,
        setting: &Rc<Setting>,
        network: Option<(String, String)>,
    ) -> anyhow::Result<(String, Database)> {
        // A client that is killed is noticed as in production; durability is nobody's concern here, except after a crash
        // of the server alone, for which the operating system's cache is enough.
        self.start_with(setting, network, &["-c", "fsync=off"]).await
    }

    /// The same with other settings than the checks', given as arguments of the server.
    pub async fn start_with(
        &self,
        setting: &Rc<Setting>,
        network: Option<(String, String)>,
        settings: &[&str],
    ) -> anyhow::Result<(String, Database)> {
        let password = setting.secrets.database.clone();
        let host = network.as_ref().map_or("db", |(_, name)| name).to_owned();
        let spec = ContainerSpec {
            command: Some(
                [&["postgres", "-c", "max_connections=300"], settings]
                    .concat()
                    .into_iter()
                    .map(str::to_owned)
                    .collect(),
            ),
            network,
            ..postgres::server(&setting.subject.database, USER, &password, FIRST)
        };
        let id = setting.engine.create(&setting.run, spec).await?;
        setting.engine.start(&id).await?;
        let port = setting.engine.published_port(&id, 5432).await?;
        let database = Database { host, name: FIRST.to_owned(), port, password };
        let began = Instant::now();
        // Over TCP: the temporary server of an image's first start answers over the socket only.
        while let Err(error) = database.value("select 1").await {
            if let State::Exited(code) = setting.engine.state(&id).await? {
                let lines = setting.engine.last_lines(&id, 20).await?;
                bail!("the database ended with {code}; its last lines:\n{lines}");
            }
            if began.elapsed() > START {
                return Err(error.context(format!("the database does not answer within {} s", START.as_secs())));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok((id, database))
    }

    /// An empty database of that name on the shared server.
    pub async fn empty(&self, setting: &Rc<Setting>, network: &str, name: &str) -> anyhow::Result<Database> {
        let shared = self.shared(setting, network).await?;
        shared.database.execute(&format!(r#"create database "{name}""#)).await?;
        Ok(shared.database.other(name))
    }

    /// A database of that name on the shared server, as a finished boot leaves it.
    pub async fn booted(&self, setting: &Rc<Setting>, network: &str, name: &str) -> anyhow::Result<Database> {
        self.template(setting, network).await?;
        let shared = self.shared(setting, network).await?;
        shared.database.execute(&format!(r#"create database "{name}" template {TEMPLATE}"#)).await?;
        Ok(shared.database.other(name))
    }

    /// Boots it in that network, unless that was done before.
    async fn template(&self, setting: &Rc<Setting>, network: &str) -> anyhow::Result<&Template> {
        let template = async {
            let shared = self.shared(setting, network).await?;
            // A check that was given up may have begun it.
            shared.database.execute(&format!("drop database if exists {TEMPLATE} with (force)")).await?;
            shared.database.execute(&format!("create database {TEMPLATE}")).await?;
            let database = shared.database.other(TEMPLATE);
            let spec = BootSpec::new(setting, "template", &database).command(["boot"]);
            let spec = spec.with(|spec| spec.image.clone_from(&self.image));
            let began = Instant::now();
            let container = spec.start(setting, Some(network.to_owned())).await?;
            let ended = container.ended(PATIENCE).await?;
            let took = began.elapsed();
            setting.engine.remove(&container.id).await?;
            ensure!(ended.code == 0, "the boot that others are copied from failed: {}", ended.last_line());
            // Before anybody wants a copy: a database that somebody is connected to cannot be copied.
            let state = EndState::of(&database).await?;
            anyhow::Ok(Template { ended, took, state })
        };
        let template = async { template.await.map_err(|error| format!("{error:#}")) };
        self.template.get_or_init(|| template).await.as_ref().map_err(|reason| anyhow!("{reason}"))
    }

    fn made(&self) -> Option<&Template> {
        self.template.get()?.as_ref().ok()
    }

    /// What a boot that nothing disturbed leaves.
    pub async fn undisturbed(&self, setting: &Rc<Setting>, network: &str) -> anyhow::Result<EndState> {
        Ok(self.template(setting, network).await?.state.clone())
    }

    async fn shared(&self, setting: &Rc<Setting>, network: &str) -> anyhow::Result<&Shared> {
        let start = async {
            let (container, database) = self.start(setting, None).await?;
            anyhow::Ok(Shared { container, database })
        };
        let shared = self.shared.get_or_try_init(|| start).await?;
        let is_new = self.joined.borrow_mut().insert(network.to_owned());
        if is_new {
            setting.engine.connect_network(&shared.container, network, &shared.database.host).await?;
        }
        Ok(shared)
    }

    /// What `pg_dump` writes of a database on the shared server.
    pub async fn dump(&self, engine: &Engine, database: &Database) -> anyhow::Result<String> {
        let shared = self.shared.get().context("there is no shared server yet")?;
        let command = ["pg_dump", "--username", USER, "--dbname", &database.name];
        let (code, text) = engine.exec(&shared.container, &command).await?;
        ensure!(code == 0, "pg_dump of {} ended with {code}: {text}", database.name);
        // Newer ones fence the dump with a word that is made anew each time.
        let fence = |line: &&str| line.starts_with("\\restrict") || line.starts_with("\\unrestrict");
        Ok(text.lines().filter(|line| !fence(line)).collect::<Vec<_>>().join("\n"))
    }

    /// Takes the shared server out of a network that is about to go.
    pub async fn leave(&self, engine: &Engine, network: &str) -> anyhow::Result<()> {
        let joined = self.joined.borrow_mut().remove(network);
        if let (true, Some(shared)) = (joined, self.shared.get()) {
            engine.disconnect_network(&shared.container, network).await?;
        }
        Ok(())
    }
}
