//! Connections to a database, and its ledger of applied files.

use anyhow::Context as _;
use contract::Phase;
use tokio_postgres::{Client, Config, NoTls};

/// The variable with session options, which PostgreSQL's own tools read too.
const OPTIONS: &str = "PGOPTIONS";

/// An applied file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedFile {
    /// The phase that applied it.
    pub phase: Phase,
    /// Its name without a folder.
    pub filename: String,
    /// SHA-256 of its text, in hex.
    pub checksum: String,
    /// The time, in UTC: `2026-11-26 10:59:47`.
    pub at: String,
    /// The image that applied it.
    pub image: String,
}

/// Connects without TLS, with the session options of `PGOPTIONS`.
///
/// # Errors
/// Fails if the URL is not valid, or the server does not let the role in.
pub async fn connect(url: &str) -> anyhow::Result<Client> {
    let mut config: Config = url
        .parse()
        .context("the database is not given as a URL such as postgres://user:password@localhost:5432/directus")?;
    config.application_name("cargo xtask migration");
    if let Ok(options) = std::env::var(OPTIONS).map(|options| options.trim().to_owned())
        && config.get_options().is_none()
        && !options.is_empty()
    {
        config.options(options);
    }
    // The URL has a password, so only host and name are shown.
    let name = config.get_dbname().unwrap_or_default().to_owned();
    let connected = config.connect(NoTls).await;
    let (client, connection) =
        connected.with_context(|| format!("failed to connect to database {name} without TLS"))?;
    // Its error is the error of the query that runs then.
    tokio::spawn(connection);
    Ok(client)
}

/// Reads the ledger of a database; empty if no boot has run on it.
///
/// # Errors
/// Fails if the role may not read the ledger.
pub async fn ledger(client: &Client) -> anyhow::Result<Vec<AppliedFile>> {
    let exists = client.query_one("select pg_catalog.to_regclass('boot.migrations') is not null", &[]).await;
    if !exists.context("failed to look for the ledger boot.migrations")?.get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    let rows = client
        .query(
            "select phase, filename, checksum, to_char(applied_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'), image
             from boot.migrations order by phase, filename collate \"C\"",
            &[],
        )
        .await
        .context("failed to read the ledger boot.migrations")?;
    let file = |row: &tokio_postgres::Row| {
        Some(AppliedFile {
            phase: Phase::from_name(row.get(0))?,
            filename: row.get(1),
            checksum: row.get(2),
            at: row.get(3),
            image: row.get(4),
        })
    };
    Ok(rows.iter().filter_map(file).collect())
}
