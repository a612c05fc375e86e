//! Common parts of the integration tests: databases on a real PostgreSQL, images, and runs of the boot binary.

// Each test binary uses only a part of this.
#![allow(dead_code)]

pub(crate) mod pgbouncer;
pub(crate) mod proxy;
pub(crate) mod tls;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use contract::{DIRECTUS_MIGRATIONS_SUBDIR, Event, LogLine};
use entrypoint::config::{Config, Env};
use entrypoint::database::{BootLock, Session, wait};
use entrypoint::log::{Log, LogStyle};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio_postgres::Client;

/// The variable with the server's URL, set by `cargo xtask test`.
const VARIABLE: &str = "TEST_DATABASE_URL";

/// Returns the server's superuser URL. Panics with instructions if it is not set.
pub(crate) fn server_url() -> String {
    std::env::var(VARIABLE).unwrap_or_else(|_| {
        panic!(
            "{VARIABLE} is not set: run `cargo xtask test`, which starts a PostgreSQL and sets it, or set a \
             superuser's URL yourself: {VARIABLE}=postgres://user:password@host:5432/database cargo test"
        )
    })
}

/// Returns true if the server has the files of TimescaleDB.
pub(crate) async fn offers_timescaledb(client: &Client) -> bool {
    let query = "select exists (select from pg_available_extensions where name = 'timescaledb')";
    client.query_one(query, &[]).await.expect("a catalog").get(0)
}

/// A database for one test, removed on drop.
pub(crate) struct Database {
    name: String,
    url: String,
    /// Set once connections to it are barred.
    template: OnceCell<()>,
}

impl Database {
    /// Creates an empty database. Not from template1, to which TimescaleDB's launcher connects a worker from time to time.
    pub(crate) async fn create() -> Database {
        Database::from_template("template0").await
    }

    /// Creates a copy of this database. The first copy bars connections to it and ends its sessions: PostgreSQL does not
    /// copy a database that has one, and TimescaleDB's launcher keeps a worker connected to each that it may.
    pub(crate) async fn copy(&self) -> Database {
        self.template.get_or_init(|| self.bar_connections()).await;
        Database::from_template(&self.name).await
    }

    async fn bar_connections(&self) {
        let (client, name) = (connect(&server_url()).await, &self.name);
        let bar = format!("alter database {name} allow_connections false");
        client.batch_execute(&bar).await.expect("the test role is a superuser");
        let end = "select count(pg_terminate_backend(pid, 10000)) from pg_stat_activity where datname = $1";
        while client.query_one(end, &[name]).await.expect("the test role is a superuser").get::<_, i64>(0) > 0 {}
    }

    async fn from_template(template: &str) -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let server = server_url();
        let client = connect(&server).await;
        let create = format!("create database {name} template {template}");
        client.batch_execute(&create).await.expect("the test role is a superuser");
        let (head, _) = server.rsplit_once('/').expect("a URL with a database");
        Database { url: format!("{head}/{name}"), name, template: OnceCell::new() }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the parts of its URL.
    pub(crate) fn connection_parts(&self) -> ConnectionParts {
        ConnectionParts::of(&self.url)
    }

    /// Returns its URL through a proxy that passes nothing on while `frozen`, but keeps the connections open.
    pub(crate) fn behind_a_freezer(&self, frozen: &Arc<AtomicBool>) -> String {
        let (head, rest) = self.url.rsplit_once('@').expect("a URL with a password");
        let (server, name) = rest.split_once('/').expect("a URL with a database");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (server, frozen) = (server.to_owned(), Arc::clone(frozen));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.expect("a client"), TcpStream::connect(&server).expect("a server"));
                let clones = (client.try_clone().expect("a descriptor"), server.try_clone().expect("a descriptor"));
                for (from, to) in [clones, (server, client)] {
                    let frozen = Arc::clone(&frozen);
                    std::thread::spawn(move || pass_on(from, to, &frozen));
                }
            }
        });
        format!("{head}@127.0.0.1:{port}/{name}")
    }

    /// Opens a connection that is not the boot's.
    pub(crate) async fn connect(&self) -> Client {
        connect(&self.url).await
    }

    /// Creates a database with those results of a bootstrap that the boot reads: a migration and an administrator.
    pub(crate) async fn bootstrapped() -> Database {
        let database = Database::create().await;
        let client = database.connect().await;
        client.batch_execute(include_str!("bootstrapped.sql")).await.expect("an empty database");
        database
    }

    /// Opens a session in the same way as the boot.
    pub(crate) async fn session(&self) -> Session {
        let config = self.config();
        let session = wait(&config.database, config.timeouts.database, &log()).await.expect("the test server answers");
        session.ready(&config.database).await.expect("it answers");
        session
    }

    /// Returns the smallest configuration with which the boot reaches this database.
    pub(crate) fn config(&self) -> Config {
        let env: Env = [("DB_CLIENT", "pg"), ("DB_CONNECTION_STRING", &self.url), ("SECRET", "s")]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Config::from_env(&env).expect("a good configuration")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (server_url(), self.name.clone());
        // A test may end inside a runtime, where blocking on another one is not allowed.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let client = connect(&server).await;
                client
                    .batch_execute(&format!("drop database {name} with (force)"))
                    .await
                    .expect("the database is ours");
            });
        });
        dropped.join().expect("the database is dropped");
    }
}

/// The parts of a database's URL.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionParts {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) database: String,
}

impl ConnectionParts {
    /// Parses a plain `postgres://user:password@host:port/database`.
    fn of(url: &str) -> ConnectionParts {
        let (userinfo, rest) = url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).expect("a password");
        let (user, password) = userinfo.split_once(':').expect("a password");
        let (server, database) = rest.split_once('/').expect("a database");
        let (host, port) = server.rsplit_once(':').expect("a port");
        let port = port.parse().expect("a number");
        ConnectionParts {
            host: host.into(),
            port,
            user: user.into(),
            password: password.into(),
            database: database.into(),
        }
    }

    /// Returns `host:port`.
    pub(crate) fn server(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Sets these parts as a boot's variables, instead of a URL.
    pub(crate) fn set_variables(&self, boot: &mut Command) {
        boot.env_remove("DB_CONNECTION_STRING")
            .env("DB_HOST", &self.host)
            .env("DB_PORT", self.port.to_string())
            .env("DB_USER", &self.user)
            .env("DB_PASSWORD", &self.password)
            .env("DB_DATABASE", &self.database);
    }
}

/// Copies bytes until one end is closed.
fn pass_on(mut from: TcpStream, mut to: TcpStream, frozen: &AtomicBool) {
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut chunk) {
        while frozen.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
        if to.write_all(&chunk[..read]).is_err() {
            break;
        }
    }
    // The other side may have closed it already.
    drop(to.shutdown(Shutdown::Both));
}

/// Returns a log for tests that do not check it.
pub(crate) fn log() -> Log {
    Log::new(LogStyle::Text)
}

async fn connect(url: &str) -> Client {
    let (client, connection) =
        tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("the test server answers");
    tokio::spawn(async move {
        // Tests end connections on purpose; the caller gets the error from the client.
        drop(connection.await);
    });
    client
}

/// Acquires the boot lock of a database.
pub(crate) async fn boot_lock(config: &Config) -> BootLock {
    let session = wait(&config.database, config.timeouts.database, &log()).await.expect("the test server answers");
    BootLock::acquire(session, config.timeouts.lock, &log()).await.expect("the lock is free")
}

/// A folder with the parts of an image, removed on drop.
pub(crate) struct Image {
    dir: TempDir,
}

impl Image {
    /// Creates two migrations before the schema, one after it, a snapshot, and the stand-in for the bridge.
    pub(crate) fn new() -> Image {
        let image = Image { dir: tempfile::tempdir().expect("the temporary folder is writable") };
        image.write("db-init/001_laps.sql", "create table laps (id int);\n");
        image.write("db-init/002_speed.sql", "alter table laps add column speed real;\n");
        image.write("db-init/post-schema/001_unique.sql", "alter table laps add unique (id);\n");
        image.write("schema.yaml", "version: 1\n");
        image.write("scripts/bridge.mjs", include_str!("bridge.mjs"));
        image.write("directus/package.json", r#"{"name": "directus", "version": "0"}"#);
        image.write(&format!("directus/{DIRECTUS_MIGRATIONS_SUBDIR}/20200101A-first.js"), "");
        image
    }

    /// The version of the migration that [`Image::needs_bootstrap`] adds to Directus.
    pub(crate) const PENDING: &str = "20210101A";

    /// Adds a migration to Directus that no database has.
    pub(crate) fn needs_bootstrap(&self) {
        self.write(&format!("directus/{DIRECTUS_MIGRATIONS_SUBDIR}/{}-second.js", Image::PENDING), "");
    }

    /// Writes a file below the image's folder.
    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().expect("inside the folder")).expect("the temporary folder is writable");
        fs::write(path, content).expect("the temporary folder is writable");
    }

    /// Returns the absolute path of a file in the image's folder.
    pub(crate) fn path(&self, path: &str) -> String {
        self.dir.path().join(path).to_str().expect("a UTF-8 path").to_owned()
    }

    /// Returns the command `boot` with this image and a database.
    pub(crate) fn boot(&self, database_url: &str) -> Command {
        self.command(database_url, &["boot"])
    }

    /// Boots with a bridge that sends these replies, see `bridge.mjs`.
    pub(crate) fn run_with(&self, database: &Database, replies: &serde_json::Value) -> BootResult {
        run(self.boot(database.url()).env("BRIDGE_REPLIES", replies.to_string()))
    }

    /// Returns a subcommand with this image and a database.
    pub(crate) fn command(&self, database_url: &str, subcommand: &[&str]) -> Command {
        let mut command = binary();
        command
            .args(subcommand)
            .env("DB_CLIENT", "pg")
            .env("DB_CONNECTION_STRING", database_url)
            .env("SECRET", "hunter2-secret");
        self.set_paths(&mut command);
        command
    }

    /// Sets the variables with the paths of this image.
    pub(crate) fn set_paths(&self, command: &mut Command) {
        command
            .env("BOOT_DB_INIT_DIR", self.path("db-init"))
            .env("BOOT_SNAPSHOT_FILE", self.path("schema.yaml"))
            .env("BOOT_SCRIPTS_DIR", self.path("scripts"))
            .env("BOOT_DIRECTUS_DIR", self.path("directus"));
    }
}

/// Returns the boot binary, with PATH as its only variable.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_entrypoint"));
    command.env_clear().env("PATH", std::env::var_os("PATH").expect("a PATH"));
    command
}

/// A boot that has ended.
#[derive(Debug)]
pub(crate) struct BootResult {
    /// The exit code.
    pub(crate) code: i32,
    /// The whole of stdout.
    pub(crate) output: String,
    /// The last line of stdout, parsed.
    pub(crate) last: LogLine,
}

impl BootResult {
    /// Parses the output of a boot. Panics if its last line is not one of the boot's.
    pub(crate) fn of(output: Output) -> BootResult {
        let text = String::from_utf8(output.stdout).expect("the log is UTF-8");
        let errors = String::from_utf8_lossy(&output.stderr);
        let last = text.lines().last().and_then(LogLine::parse);
        BootResult {
            code: output.status.code().expect("it exited by itself"),
            last: last.unwrap_or_else(|| panic!("the last line is not the boot's:\n{text}\n{errors}")),
            output: text,
        }
    }

    /// Asserts that the boot failed in this phase with this code, and that its last line contains `words`.
    #[track_caller]
    pub(crate) fn assert_failed(&self, phase: &str, exit: contract::ExitCode, words: &[&str]) {
        assert_eq!(self.last.event, Event::Failed(exit.code()), "{}", self.output);
        assert_eq!(self.code, i32::from(exit.code()), "{}", self.output);
        assert_eq!(self.last.phase.name(), phase, "{}", self.output);
        for word in words {
            assert!(self.last.message.contains(word), "`{word}` is not in: {}", self.last.message);
        }
        assert!(!self.output.contains("hunter2"), "a secret is in the log:\n{}", self.output);
    }
}

/// Runs a command and waits for its end.
pub(crate) fn run(command: &mut Command) -> BootResult {
    BootResult::of(command.output().expect("the binary runs"))
}
