//! Many boots at once on one server, as processes in one container: their connections and statements, how long the last
//! one takes, how many succeed, and their memory.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use contract::BINARY;
use serde::Deserialize;
use tokio_postgres::Client;

use acceptance::container::{BootSpec, Container};
use acceptance::database::TestDatabase;

use super::harness::{Harness, PROBE};
use super::metrics;
use super::model::{Figures, Subject};
use super::stats::{Measurements, Unit};
use grammar::BenchPart;
use testbed::ui;

/// Interval between two looks at the connections.
const SAMPLING_INTERVAL: Duration = Duration::from_millis(50);
/// The migration that a boot works on while the others wait.
const LONG_MIGRATION: (&str, &str) = ("/directus/db-init/900_long.sql", "select pg_sleep(20)");

/// The state of the database, and of its server.
struct CrowdScenario {
    part: BenchPart,
    title: &'static str,
    /// The server's `max_connections`.
    connections: &'static str,
    /// Numbers of boots. The first one is 1: its statements are those of the boot that works.
    counts: &'static [usize],
    is_booted: bool,
    has_migration: bool,
}

const SCENARIOS: [CrowdScenario; 4] = [
    CrowdScenario {
        part: BenchPart::Scale,
        title: "empty database",
        connections: "max_connections=100",
        counts: &[1, 3, 10, 30, 100],
        is_booted: false,
        has_migration: false,
    },
    CrowdScenario {
        part: BenchPart::ScaleWarm,
        title: "up-to-date database",
        connections: "max_connections=100",
        counts: &[1, 10, 30, 100],
        is_booted: true,
        has_migration: false,
    },
    CrowdScenario {
        part: BenchPart::ScaleWait,
        title: "a migration of 20 s",
        connections: "max_connections=100",
        counts: &[1, 10, 100],
        is_booted: true,
        has_migration: true,
    },
    CrowdScenario {
        part: BenchPart::ScaleLimit,
        title: "empty database, 20 connections",
        connections: "max_connections=20",
        counts: &[1, 100],
        is_booted: false,
        has_migration: false,
    },
];

/// Output of the probe.
#[derive(Debug, Deserialize)]
struct Crowd {
    seconds: f64,
    processes: Vec<CrowdProcess>,
}

#[derive(Debug, Deserialize)]
struct CrowdProcess {
    /// `None` if a signal ended it.
    code: Option<i32>,
    peak_bytes: Option<u64>,
    output: String,
}

/// Sums of PostgreSQL's statistics of a database.
struct DatabaseActivity {
    sessions: i64,
    /// Outside of a transaction, each statement is one.
    transactions: i64,
}

/// Measures the scenarios of a part, in turns with the image `against`.
pub(crate) async fn measure(
    harness: &Harness,
    figures: &mut Figures,
    runs: usize,
    part: BenchPart,
    against: Option<&str>,
) -> anyhow::Result<()> {
    let mut images = vec![(Subject::Ours, harness.suite.subject.image.clone())];
    images.extend(against.map(|image| (Subject::Against, image.to_owned())));
    for _ in 0..runs {
        for scenario in SCENARIOS.iter().filter(|scenario| scenario.part == part) {
            let (server, first) = harness.server_with("crowded", &["-c", scenario.connections]).await?;
            let mut crowds = Vec::new();
            for (subject, image) in &images {
                let booted =
                    CrowdPlace { harness, first: &first, scenario, image }.prepare(&format!("{subject:?}")).await?;
                crowds.push((*subject, image, booted, None));
            }
            for &count in scenario.counts {
                for (subject, image, template, alone) in &mut crowds {
                    let place = CrowdPlace { harness, first: &first, scenario, image };
                    let measured = place.crowd(template, count).await.with_context(|| format!("{count} boots"))?;
                    measured.add(figures, *subject, scenario, count, *alone);
                    alone.get_or_insert(measured.activity.transactions);
                }
            }
            harness.suite.engine.remove(&server).await?;
        }
    }
    Ok(())
}

/// A server on which an image boots.
struct CrowdPlace<'a> {
    harness: &'a Harness,
    first: &'a TestDatabase,
    scenario: &'a CrowdScenario,
    image: &'a str,
}

/// The results of one crowd.
struct CrowdResult {
    crowd: Crowd,
    connections: Measurements,
    activity: DatabaseActivity,
}

impl CrowdPlace<'_> {
    /// Creates the database that each crowd gets a copy of.
    async fn prepare(&self, name: &str) -> anyhow::Result<TestDatabase> {
        let database = self.first.create_empty(&name.to_lowercase()).await?;
        if self.scenario.is_booted {
            let container = self.idle(&database).await?;
            let (code, output) = container.exec(&[BINARY, "boot"]).await?;
            ensure!(code == 0, "the first boot ended with {code}: {output}");
            self.harness.remove(&container).await?;
        }
        database.become_template().await?;
        Ok(database)
    }

    async fn idle(&self, database: &TestDatabase) -> anyhow::Result<Container> {
        let spec = BootSpec::new(&self.harness.suite, "bench", database).with(|spec| {
            self.image.clone_into(&mut spec.image);
            spec.entrypoint = Some(vec!["sleep".to_owned()]);
            spec.command = Some(vec!["86400".to_owned()]);
            spec.hardened = false;
        });
        self.harness.start(self.harness.with_probe(spec)).await
    }

    /// Boots a number of times at once.
    async fn crowd(&self, template: &TestDatabase, count: usize) -> anyhow::Result<CrowdResult> {
        let database = template.copy(&format!("{}_{count}", template.name)).await?;
        let container = self.idle(&database).await?;
        if self.scenario.has_migration {
            let (path, sql) = LONG_MIGRATION;
            let engine = &self.harness.suite.engine;
            engine.upload(&container.id, &[(path.to_owned(), sql.into())]).await?;
            let (code, output) = engine.exec_as(&container.id, Some("root"), &[BINARY, "manifest"]).await?;
            ensure!(code == 0, "the manifest failed: {output}");
        }
        // Before the boots take all connections.
        let observer = self.first.connect().await?;
        let before = activity(&observer, &database.name).await?;
        let (mut connections, number) = (Measurements::default(), count.to_string());
        let command = [PROBE, "crowd", &number, "--", BINARY, "boot"];
        let (code, output) = tokio::select! {
            ended = container.exec(&command) => ended?,
            failed = sample(&observer, &database.name, &mut connections) => return Err(failed),
        };
        ensure!(code == 0, "the probe failed: {output}");
        let crowd = serde_json::from_str(&output).with_context(|| format!("no result in `{output}`"))?;
        self.harness.remove(&container).await?;
        // A session adds its last transactions when it ends. TimescaleDB's worker stays.
        let unused = format!(
            "not exists (select from pg_stat_activity where backend_type = 'client backend' and datname = '{}')",
            database.name
        );
        self.first.wait_until(&unused).await?;
        let after = activity(&observer, &database.name).await?;
        let activity = DatabaseActivity {
            sessions: after.sessions - before.sessions,
            transactions: after.transactions - before.transactions,
        };
        database.remove().await?;
        Ok(CrowdResult { crowd, connections, activity })
    }
}

/// Counts the connections to a database until the future is dropped. Returns only an error.
async fn sample(observer: &Client, database: &str, connections: &mut Measurements) -> anyhow::Error {
    let query = "select count(*) from pg_stat_activity where backend_type = 'client backend' and datname = $1";
    loop {
        match observer.query_one(query, &[&database]).await {
            Ok(row) => connections.push(row.get::<_, i64>(0) as f64),
            Err(error) => return error.into(),
        }
        tokio::time::sleep(SAMPLING_INTERVAL).await;
    }
}

async fn activity(observer: &Client, database: &str) -> anyhow::Result<DatabaseActivity> {
    let query = "select sessions, xact_commit + xact_rollback from pg_stat_database where datname = $1";
    let row = observer.query_one(query, &[&database]).await.context("failed to read PostgreSQL's statistics")?;
    Ok(DatabaseActivity { sessions: row.get(0), transactions: row.get(1) })
}

impl CrowdResult {
    /// `alone` is the number of transactions of a boot without others.
    fn add(&self, figures: &mut Figures, subject: Subject, scenario: &CrowdScenario, count: usize, alone: Option<i64>) {
        let CrowdResult { crowd: Crowd { seconds, processes }, connections, activity } = self;
        let mut add = |what: &str, unit: Unit, value: f64| {
            let what = metrics::of_crowd(count, scenario.title, what);
            // A run takes minutes.
            ui::status("Measured", &format!("{}: {what}: {}", subject.title(), unit.show(value)));
            figures.add(scenario.part, &what, subject, unit, value);
        };
        let succeeded = processes.iter().filter(|process| process.code == Some(0)).count();
        let refused = processes.iter().filter(|process| process.output.contains("(53300)")).count();
        add(metrics::CROWD_SECONDS, Unit::Seconds, *seconds);
        add(metrics::CROWD_SUCCEED, Unit::Count, succeeded as f64);
        add(metrics::CROWD_REFUSED, Unit::Count, refused as f64);
        add(metrics::CROWD_PEAK, Unit::Count, connections.max());
        add(metrics::CROWD_MEAN, Unit::Count, connections.mean());
        add(metrics::CROWD_SESSIONS, Unit::Count, activity.sessions as f64 / count as f64);
        if let Some(alone) = alone {
            let of_others = (activity.transactions - alone) as f64 / (count - 1) as f64;
            add(metrics::CROWD_STATEMENTS, Unit::Count, of_others);
            add(metrics::CROWD_RATE, Unit::Count, of_others / seconds);
        }
        if let Some(peak) = processes.iter().filter_map(|process| process.peak_bytes).max() {
            add(metrics::CROWD_MEMORY, Unit::Bytes, peak as f64);
        }
    }
}
