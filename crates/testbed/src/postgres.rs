//! A PostgreSQL server for tests: the image of the development stack with its data in memory, on a free loopback port.

use std::time::Duration;

use anyhow::Context as _;
use tokio_postgres::{Config, NoTls};

use crate::base_images::Resolved;
use crate::engine::{ContainerSpec, Engine};
use crate::session::EngineSession;

/// Name of the server in its network.
pub(crate) const NAME: &str = "postgres";
pub(crate) const USER: &str = "test";
pub(crate) const PASSWORD: &str = "test";
const DATABASE: &str = "test";
const DEADLINE: Duration = Duration::from_secs(120);

/// A server that creates a superuser and a database on its first start; its port is published.
pub fn server(image: &str, user: &str, password: &str, database: &str) -> ContainerSpec {
    let variables = [
        ("POSTGRES_USER", user),
        ("POSTGRES_PASSWORD", password),
        ("POSTGRES_DB", database),
        ("PGDATA", "/home/postgres/pgdata/data"),
    ];
    ContainerSpec {
        image: image.to_owned(),
        variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        port: Some(5432),
        ..ContainerSpec::default()
    }
}

/// The address of a database on a port of this machine.
#[must_use]
pub fn config(port: u16, user: &str, password: &str, database: &str) -> Config {
    let mut config = Config::new();
    config.host("127.0.0.1").port(port).user(user).password(password).dbname(database);
    config
}

/// Returns the names of the extensions that a server offers.
pub(crate) async fn available_extensions(server: &Config) -> anyhow::Result<Vec<String>> {
    let (client, connection) = server.connect(NoTls).await.context("failed to connect to PostgreSQL")?;
    tokio::spawn(connection);
    let query = "select array(select name::text from pg_catalog.pg_available_extensions)";
    let row = client.query_one(query, &[]).await.context("failed to read the extensions that PostgreSQL offers")?;
    Ok(row.get(0))
}

/// Starts a server in a network, which is removed with the session, and returns its URL. The user is a superuser.
pub async fn start(
    engine: &Engine,
    session: &EngineSession,
    image: &Resolved,
    network: &str,
) -> anyhow::Result<String> {
    // No durability: test data need not survive a crash. Many connections: tests run concurrently.
    let command = ["postgres", "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=300"];
    let spec = ContainerSpec {
        command: Some(command.map(str::to_owned).to_vec()),
        // Writable for all: the image's user, which is not root, creates the data folder in it.
        tmpfs: vec![("/home/postgres/pgdata", "mode=1777")],
        // Over TCP: the temporary server of the first start already answers on the socket.
        healthcheck: Some(r#"PGPASSWORD="$POSTGRES_PASSWORD" psql -h 127.0.0.1 -U "$POSTGRES_USER" -Atc 'select 1'"#),
        network: Some((network.to_owned(), NAME.to_owned())),
        ..server(&image.name, USER, PASSWORD, DATABASE)
    };
    let id = engine.create(session, spec).await?;
    engine.start(&id).await?;
    engine.wait_healthy(&id, DEADLINE).await?;
    let port = engine.published_port(&id, 5432).await?;
    Ok(format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/{DATABASE}"))
}
