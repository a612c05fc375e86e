//! The boot connects wherever Directus connects, and nowhere else.
//!
//! One container of the image runs both clients, the boot and Directus' own database module, against the same servers:
//! servers of its own with every kind of certificate, and a real PostgreSQL with every kind of authentication.

mod cells;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use contract::{Event, LogLine, Phase};
use serde::Deserialize;
use testbed::engine::ContainerSpec;

use self::cells::{Cell, Certificates, Expect};
use crate::check::{Check, Need};
use crate::database::TestDatabase;
use crate::test_context::{OWN_SERVER, TestContext};

pub(crate) const CHECKS: &[Check] = &[Check {
    name: "connections",
    promise: "The boot connects to each server that Directus connects to, and to no other: it makes no \
              difference which certificate, encryption and authentication the server has.",
    needs: Need::Nothing,
    run: |test| Box::pin(agrees_with_directus(test)),
}];

/// The servers and their clients.
const CLIENTS: &str = include_str!("connections/clients.mjs");
/// At least so many cells connect, and so many are refused: a server that refuses everything would prove nothing.
const LEAST: usize = 25;

/// The outcome of one cell, as clients.mjs prints it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum CellOutcome {
    Tried {
        name: String,
        directus: Client,
        boot: Client,
    },
    /// The container cannot have this server.
    Skipped {
        name: String,
    },
}

impl CellOutcome {
    fn name(&self) -> &str {
        match self {
            CellOutcome::Tried { name, .. } | CellOutcome::Skipped { name, .. } => name,
        }
    }
}

/// One client's attempt.
#[derive(Debug, Deserialize)]
struct Client {
    /// The exit code, or `hangs`.
    code: serde_json::Value,
    output: String,
}

impl Client {
    /// Returns true if Directus connected.
    fn is_connected(&self) -> bool {
        self.code == 0
    }

    /// The boot's line about phase 2, or about phase 1 if it did not get further.
    fn boot_line(&self) -> Option<LogLine> {
        let mut lines = self.output.lines().filter_map(LogLine::parse);
        lines.rfind(|line| matches!(line.phase, Phase::Config | Phase::Database))
    }
}

async fn agrees_with_directus(test: &mut TestContext) -> anyhow::Result<()> {
    let (_, database) = test.own_server().await?;
    let certificates = Certificates::read()?;
    prepare(&database, &certificates).await?;
    let cells = cells::all(&certificates);
    let mut disagreements = Vec::new();
    let mut counts = [0; 4];
    let mut outcomes = BTreeMap::new();
    let mut repeated = 0;
    // PostgreSQL shows one certificate at a time.
    for algorithm in cells::OWN_ALGORITHMS {
        use_certificate(&database, &certificates, algorithm).await?;
        let group: Vec<&Cell> = cells.iter().filter(|cell| cell.own_algorithm == algorithm).collect();
        let found = run(test, &group).await?;
        let disagrees = |cell: &&&Cell| found.get(&cell.name).is_some_and(|outcome| compare(cell, outcome).is_err());
        let again: Vec<Cell> = group.iter().filter(disagrees).map(|cell| cell.patient()).collect();
        outcomes.extend(found);
        if !again.is_empty() {
            repeated += again.len();
            outcomes.extend(run(test, &again.iter().collect::<Vec<_>>()).await?);
        }
    }
    for cell in &cells {
        let outcome = outcomes.remove(&cell.name).with_context(|| format!("no outcome of `{}`", cell.name))?;
        match compare(cell, &outcome) {
            Ok(agreement) => counts[agreement as usize] += 1,
            Err(disagreement) => disagreements.push(disagreement),
        }
    }
    let [connected, refused, documented, skipped] = counts;
    test.figure("servers that both connect to", connected.to_string());
    test.figure("servers that both refuse", refused.to_string());
    test.figure("servers that only the boot connects to, as documented", documented.to_string());
    test.figure("servers that the container cannot have (no IPv6)", skipped.to_string());
    test.figure("servers that were tried again with more time", repeated.to_string());
    ensure!(disagreements.is_empty(), "{} of {}:\n{}", disagreements.len(), cells.len(), disagreements.join("\n"));
    ensure!(connected >= LEAST && refused >= LEAST, "{connected} cells connect, {refused} are refused");
    Ok(())
}

/// The ways in which a cell is fine.
#[derive(Clone, Copy, Debug)]
enum Agreement {
    Connected,
    Refused,
    Documented,
    Skipped,
}

fn compare(cell: &Cell, outcome: &CellOutcome) -> Result<Agreement, String> {
    let (name, directus, boot) = match outcome {
        CellOutcome::Tried { name, directus, boot } => (name, directus, boot),
        CellOutcome::Skipped { .. } => return Ok(Agreement::Skipped),
    };
    let line = boot.boot_line();
    let message = line.as_ref().map_or(boot.output.as_str(), |line| line.message.as_str());
    let is_booted =
        line.as_ref().is_some_and(|line| line.phase == Phase::Database && matches!(line.event, Event::Done(_)));
    match (directus.is_connected(), is_booted, &cell.expect) {
        (true, true, Expect::Agreement | Expect::AtLeastTheBoot) => Ok(Agreement::Connected),
        (false, false, Expect::Agreement) if line.is_some() => Ok(Agreement::Refused),
        (false, true, Expect::OnlyTheBoot | Expect::AtLeastTheBoot) => Ok(Agreement::Documented),
        _ => Err(format!("{name}: Directus: {} ({}); boot: {message}", directus.output, directus.code)),
    }
}

/// Runs a group of cells in one container of the image.
async fn run(test: &mut TestContext, cells: &[&Cell]) -> anyhow::Result<BTreeMap<String, CellOutcome>> {
    let network = test.network().await?;
    let spec = ContainerSpec {
        image: test.suite.subject.image.clone(),
        entrypoint: Some(vec!["node".to_owned()]),
        command: Some(vec!["/tmp/clients.mjs".to_owned(), "/tmp/cells.json".to_owned()]),
        network: Some((network, "clients".to_owned())),
        files: vec![
            ("/tmp/clients.mjs".to_owned(), CLIENTS.as_bytes().to_vec()),
            ("/tmp/cells.json".to_owned(), serde_json::to_vec(cells)?),
        ],
        ..ContainerSpec::default()
    };
    let (code, output) = test.suite.engine.run_to_end(&test.suite.session, spec).await?;
    let lines: Vec<&str> = output.lines().collect();
    ensure!(code == 0, "the clients exited with {code}: {}", lines[lines.len().saturating_sub(8)..].join("\n"));
    let outcomes = lines.into_iter().map(serde_json::from_str::<CellOutcome>);
    let outcomes = outcomes.collect::<Result<Vec<_>, _>>().with_context(|| format!("not an outcome: {output}"))?;
    Ok(outcomes.into_iter().map(|outcome| (outcome.name().to_owned(), outcome)).collect())
}

/// Gives PostgreSQL the roles and rules of the cells, and an authority for clients' certificates.
async fn prepare(database: &TestDatabase, certificates: &Certificates) -> anyhow::Result<()> {
    for statement in cells::roles() {
        database.execute(&statement).await?;
    }
    write_file(database, "pg_hba.conf", cells::HBA).await?;
    write_file(database, "clients.crt", &certificates.pair("ca").certificate).await?;
    database.execute("alter system set ssl_ca_file = 'clients.crt'").await?;
    Ok(())
}

/// Has PostgreSQL show another certificate.
async fn use_certificate(database: &TestDatabase, certificates: &Certificates, algorithm: &str) -> anyhow::Result<()> {
    let pair = certificates.pair(&format!("{OWN_SERVER}-{algorithm}"));
    write_file(database, "server.crt", &pair.certificate).await?;
    write_file(database, "server.key", &pair.key).await?;
    database.execute("alter system set ssl = on").await?;
    let before = database.value("select clock_timestamp()::text").await?;
    database.execute("select pg_reload_conf()").await?;
    // A new session has the time from the process that accepted its connection.
    let is_loaded = format!("select (pg_conf_load_time() > '{before}')::text");
    for _ in 0..200 {
        if database.value(&is_loaded).await? == "true" {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("PostgreSQL has not read its configuration again");
}

/// Writes a file of PostgreSQL's data folder, readable by its owner alone, as PostgreSQL demands of keys.
async fn write_file(database: &TestDatabase, name: &str, content: &str) -> anyhow::Result<()> {
    let lines: Vec<String> = content.lines().map(|line| format!("('{line}')")).collect();
    let program = format!("umask 077; cat > {name}");
    database.execute(&format!("copy (values {}) to program '{program}'", lines.join(", "))).await?;
    Ok(())
}
