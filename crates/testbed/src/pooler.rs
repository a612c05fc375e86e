//! PgBouncers in front of a test's PostgreSQL, each in a container of its own, in several pool modes.

use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::time::timeout;

use crate::base_images::Resolved;
use crate::engine::{ContainerSpec, Engine};
use crate::postgres::{NAME, PASSWORD, USER};
use crate::session::EngineSession;

const DEADLINE: Duration = Duration::from_secs(20);
const PORT: u16 = 6432;
const CONFIG: &str = "/etc/pgbouncer/test.ini";
const USERS: &str = "/etc/pgbouncer/test-users";

/// The poolers: a name, and lines of the configuration.
const POOLERS: [(&str, &str); 5] = [
    ("session", "pool_mode = session"),
    ("statement", "pool_mode = statement"),
    ("transaction", "pool_mode = transaction"),
    ("one-connection", "pool_mode = transaction\ndefault_pool_size = 1"),
    // Each statement reaches another connection of the server.
    ("round-robin", "pool_mode = transaction\nserver_round_robin = 1\ndefault_pool_size = 5\nmin_pool_size = 5"),
];

/// Starts the poolers in front of the server in `network`; they live as long as the session. Every database of the server
/// is reached by its own name. Returns `name=host:port` for each, separated by spaces.
pub async fn start(
    engine: &Engine,
    session: &EngineSession,
    image: &Resolved,
    network: &str,
) -> anyhow::Result<String> {
    let started = POOLERS.map(|(name, settings)| start_one(engine, session, image, network, name, settings));
    Ok(try_join_all(started).await?.join(" "))
}

async fn start_one(
    engine: &Engine,
    session: &EngineSession,
    image: &Resolved,
    network: &str,
    name: &str,
    settings: &str,
) -> anyhow::Result<String> {
    let config = format!(
        "[databases]\n* = host={NAME} port=5432\n\
         [pgbouncer]\nlisten_addr = *\nlisten_port = {PORT}\nunix_socket_dir =\n\
         auth_type = plain\nauth_file = {USERS}\n{settings}\n",
    );
    let spec = ContainerSpec {
        image: image.name.clone(),
        // The published image's own entry point writes a configuration from variables.
        entrypoint: Some(vec!["pgbouncer".to_owned()]),
        command: Some(vec![CONFIG.to_owned()]),
        port: Some(PORT),
        network: Some((network.to_owned(), format!("pooler-{name}"))),
        files: vec![
            (CONFIG.to_owned(), config.into_bytes()),
            (USERS.to_owned(), format!("\"{USER}\" \"{PASSWORD}\"\n").into_bytes()),
        ],
        ..ContainerSpec::default()
    };
    let id = engine.create(session, spec).await?;
    engine.start(&id).await?;
    let started = timeout(DEADLINE, listens(engine, &id)).await.context("no answer in time").and_then(|result| result);
    started.with_context(|| format!("the pooler {name} does not listen"))?;
    let port = engine.published_port(&id, PORT).await?;
    Ok(format!("{name}=127.0.0.1:{port}"))
}

/// Waits for the line that PgBouncer logs once its socket is open.
async fn listens(engine: &Engine, id: &str) -> anyhow::Result<()> {
    let mut log = engine.log(id).boxed();
    while let Some(line) = log.try_next().await? {
        if line.contains("process up") {
            return Ok(());
        }
    }
    bail!("it ended; its last lines:\n{}", engine.last_lines(id, 20).await?)
}
