//! A database of a run, and queries of it from this machine.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use testbed::postgres;
use tokio_postgres::{Config, NoTls};

use crate::suite_context::PATIENCE;

/// The role that owns all tables.
pub const USER: &str = "directus";
/// The first database of each server.
pub(crate) const FIRST: &str = "directus";
/// Time limit for a server to answer.
pub(crate) const START: Duration = Duration::from_secs(120);

/// A database with its addresses in the containers' network and on this machine.
#[derive(Clone, Debug)]
pub struct TestDatabase {
    /// Host name of the server in the networks of the checks.
    pub host: String,
    /// The database's name.
    pub name: String,
    /// Session options (`PGOPTIONS`) with which a boot does without extensions that the server does not offer.
    pub(crate) options: Option<String>,
    port: u16,
    password: String,
}

impl TestDatabase {
    /// Connects from this machine.
    pub async fn connect(&self) -> anyhow::Result<tokio_postgres::Client> {
        let connected = self.config().connect(NoTls).await;
        let (client, connection) = connected.with_context(|| format!("failed to connect to database {}", self.name))?;
        tokio::spawn(async move {
            // Checks kill servers on purpose; the queries of the client then return an error.
            connection.await.ok();
        });
        Ok(client)
    }

    /// Its address on this machine.
    pub(crate) fn config(&self) -> Config {
        let mut config = postgres::config(self.port, USER, &self.password, &self.name);
        // Distinguishes these sessions from those of the boots.
        config.application_name("verify");
        config
    }

    /// Evaluates a scalar query; returns its value as text, empty for NULL.
    pub async fn value(&self, query: &str) -> anyhow::Result<String> {
        let client = self.connect().await?;
        let row = client.query_one(&format!("select ({query})::text"), &[]).await;
        let row = row.with_context(|| format!("failed to query {query}"))?;
        Ok(row.get::<_, Option<String>>(0).unwrap_or_default())
    }

    /// Runs SQL statements, separated by semicolons.
    pub async fn execute(&self, statements: &str) -> anyhow::Result<()> {
        let client = self.connect().await?;
        client.batch_execute(statements).await.with_context(|| format!("failed to run {statements}"))
    }

    /// Waits until a query returns true; for faults that are triggered by the state of the database.
    pub async fn wait_until(&self, query: &str) -> anyhow::Result<()> {
        let client = self.connect().await?;
        let began = Instant::now();
        loop {
            let row = client.query_one(&format!("select ({query})::boolean"), &[]).await;
            if row.with_context(|| format!("failed to query {query}"))?.get::<_, Option<bool>>(0) == Some(true) {
                return Ok(());
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "the query did not become true within {} s: {query}",
                PATIENCE.as_secs()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the database answers again: a server that was frozen or killed may have to recover first.
    pub async fn answers(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while let Err(error) = self.value("1").await {
            ensure!(began.elapsed() < START, "the database does not answer again: {error:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// The first database of a server with this published port.
    pub(crate) fn first(host: &str, port: u16, password: String) -> TestDatabase {
        TestDatabase { host: host.to_owned(), name: FIRST.to_owned(), options: None, port, password }
    }

    /// The first database of a server of the same image that does not exist yet, for the configuration of containers.
    pub(crate) fn not_started(&self, host: &str) -> TestDatabase {
        TestDatabase { host: host.to_owned(), port: 0, ..self.other(FIRST) }
    }

    /// The same database with the port that its server has after a restart.
    pub fn at(&self, port: u16) -> TestDatabase {
        TestDatabase { port, ..self.clone() }
    }

    /// The server's published address on this machine.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Makes the database one that is only copied: bars connections to it, and ends those that exist. PostgreSQL does not
    /// copy a database that has a session, and TimescaleDB's launcher keeps a worker connected to each that it may.
    pub async fn become_template(&self) -> anyhow::Result<()> {
        let first = self.other(FIRST);
        first.execute(&format!(r#"alter database "{}" allow_connections false"#, self.name)).await?;
        let end = "select count(pg_terminate_backend(pid)) = 0 from pg_stat_activity where datname";
        first.wait_until(&format!("{end} = '{}'", self.name)).await
    }

    /// Creates an empty database on its server, as a copy of template0, which bars connections. TimescaleDB's launcher
    /// connects a worker to template1 from time to time.
    pub async fn create_empty(&self, name: &str) -> anyhow::Result<TestDatabase> {
        self.other("template0").copy(name).await
    }

    /// Copies the database, which must be a template, on its server.
    pub async fn copy(&self, name: &str) -> anyhow::Result<TestDatabase> {
        let first = self.other(FIRST);
        first.execute(&format!(r#"create database "{name}" template "{}""#, self.name)).await?;
        Ok(self.other(name))
    }

    /// Drops the database, and ends all of its sessions.
    pub async fn remove(self) -> anyhow::Result<()> {
        self.other(FIRST).execute(&format!(r#"drop database "{}" with (force)"#, self.name)).await
    }

    /// Another database on the same server.
    pub fn other(&self, name: &str) -> TestDatabase {
        TestDatabase { name: name.to_owned(), ..self.clone() }
    }
}
