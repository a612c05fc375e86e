//! A database of a run, and what is asked of it from this machine.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio_postgres::NoTls;

use crate::setting::PATIENCE;

/// The role that owns everything.
pub const USER: &str = "directus";
/// The database that a server begins with.
pub(crate) const FIRST: &str = "directus";
/// Time for a server to answer.
pub(crate) const START: Duration = Duration::from_secs(120);

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
            // Checks kill servers on purpose; the client's user sees it.
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

    /// The first database of a server that is published on that port.
    pub(crate) fn first(host: &str, port: u16, password: String) -> Database {
        Database { host: host.to_owned(), name: FIRST.to_owned(), port, password }
    }

    /// The first database of a server that is not there yet: what containers are told about it.
    pub fn to_come(host: &str) -> Database {
        Database { host: host.to_owned(), name: FIRST.to_owned(), port: 0, password: String::new() }
    }

    /// The same database, of a server that was started again and is published on another port since.
    pub fn at(&self, port: u16) -> Database {
        Database { port, ..self.clone() }
    }

    /// The address of its server on this machine.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Makes a copy on the same server. No session may be connected to this one.
    pub async fn copy(&self, name: &str) -> anyhow::Result<Database> {
        let first = self.other(FIRST);
        first.execute(&format!(r#"create database "{name}" template "{}""#, self.name)).await?;
        Ok(self.other(name))
    }

    /// Removes it, and ends all sessions in it.
    pub async fn remove(self) -> anyhow::Result<()> {
        self.other(FIRST).execute(&format!(r#"drop database "{}" with (force)"#, self.name)).await
    }

    /// Another database of the same server.
    pub fn other(&self, name: &str) -> Database {
        Database { name: name.to_owned(), ..self.clone() }
    }
}
