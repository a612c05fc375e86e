//! Replicas on a swarm, deployed by the stack of the repository and rolled under load. `verify --swarm` runs them.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, anyhow, bail, ensure};
use contract::Phase;
use serde_json::json;
use testbed::engine::SwarmTask;
use testbed::ui;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::check::{Check, Need, NotRun};
use crate::failpoint::Failpoint;
use crate::model::{LoadPeriod, ReplicaTimeline, Roll};
use crate::sample::{self, Sample};
use crate::swarm::cluster::Cluster;
use crate::swarm::http::Target;
use crate::swarm::images::SwarmImages;
use crate::swarm::load::{Load, LoadRun, compare_writes};
use crate::swarm::second_engine::is_in_second_engine;
use crate::swarm::timeline::RollSources;
use crate::swarm::watch::since_1970;
use crate::test_context::TestContext;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "swarm-roll",
        promise: "Three replicas that start at once on an empty database roll to a newer image and back under load: no \
                  request fails, each acknowledged write is kept, and a new field is known to all replicas at once.",
        needs: Need::TheMachine,
        run: |test| Box::pin(roll(test)),
    },
    Check {
        name: "swarm-failed-update",
        promise: "An update whose migration fails is rolled back by the swarm: no replica stops, and no request fails.",
        needs: Need::TheMachine,
        run: |test| Box::pin(rollback(test)),
    },
    Check {
        name: "swarm-drain",
        promise: "A replica that is replaced answers the requests that it has accepted, also those that take seconds.",
        needs: Need::TheMachine,
        run: |test| Box::pin(drain(test)),
    },
    Check {
        name: "swarm-faults",
        promise: "Replicas survive a killed PostgreSQL and a killed Redis without a restart, and serve when they are back.",
        needs: Need::TheMachine,
        run: |test| Box::pin(faults(test)),
    },
    Check {
        name: "swarm-killed-boot",
        promise: "If the replica that sets up an empty database is killed, another one completes the setup; all serve.",
        needs: Need::TheMachine,
        run: |test| Box::pin(killed_boot(test)),
    },
];

const REPLICAS: usize = 3;
/// Requests per second.
const RATE: u32 = 20;
/// Duration of the load before the first update and after the last.
const CALM: Duration = Duration::from_secs(10);
/// The field that the newer image adds to `laps`.
const FIELD: &str = "tyre";
/// Interval between two requests with the new field.
const FIELD_INTERVAL: Duration = Duration::from_millis(150);
/// Requests in flight while their replica is replaced.
const SLOW_REQUESTS: usize = 5;
/// Time that they take after SIGTERM; longer than the defaults of Directus (1 s) and pm2 (1.6 s) allow.
const SLOW: Duration = Duration::from_secs(4);
/// Duration of a fault; longer than the health checks of the stack would need to kill a replica (3 × 5 s).
const OUTAGE: Duration = Duration::from_secs(22);
/// Time after a fault in which requests may still fail.
const RECOVERY: Duration = Duration::from_secs(10);

/// Two data models: that of A, and B's with one more SQL file and one more field.
fn models() -> anyhow::Result<[Sample; 2]> {
    let mut snapshot = sample::snapshot()?;
    let column = json!({ "data_type": "character varying", "max_length": 20 });
    let field = sample::field("laps", FIELD, "string", json!({ "sort": 6 }), Some(column));
    snapshot["fields"].as_array_mut().context("a snapshot has fields")?.push(field);
    let newer = Sample::new()?.file("002_weather.sql", "create table weather (at timestamptz, rain boolean);");
    Ok([Sample::new()?, newer.snapshot(snapshot)])
}

/// Deploys replicas of an image, in a second engine only.
async fn deploy(test: &mut TestContext, models: &[(&str, &Sample)], replicas: usize) -> anyhow::Result<Cluster> {
    if !is_in_second_engine() {
        return Err(NotRun("it needs an engine of its own: `cargo xtask verify --swarm`".to_owned()).into());
    }
    let images = SwarmImages::build(test, models).await?;
    Cluster::deploy(test, images, models[0].0, replicas).await
}

async fn roll(test: &mut TestContext) -> anyhow::Result<()> {
    let [older, newer] = models()?;
    let cluster = deploy(test, &[("a", &older), ("b", &newer)], REPLICAS).await?;
    let target = healthy(test, &cluster).await?;
    one_setup(test, &cluster).await?;

    let load = Load::start(target.clone(), "roll", RATE);
    let (mut moments, mut uses) = (Vec::new(), FieldUses::default());
    let is_over = Cell::new(false);
    let rolls = async {
        let result = there_and_back(&cluster, &mut moments).await;
        is_over.set(true);
        result
    };
    let (result, used) = tokio::join!(rolls, uses.repeat(&cluster, &target, &is_over));
    let run = load.stop().await?;
    let periods = ["before", "A → B", "B", "B → A", "after"];
    let roll = record(test, &cluster, &run, &moments, &periods, "A → B → A").await?;
    result.and(used)?;
    let is_stopped = |replica: &&ReplicaTimeline| replica.spans.iter().any(|span| span.phase == "stopping");
    let stopped = roll.replicas.iter().filter(is_stopped).count();
    ensure!(stopped == 2 * REPLICAS, "{stopped} replicas were replaced, not {}", 2 * REPLICAS);

    // Otherwise the check would measure more than the roll: a restarted Redis loses the messages to the replicas.
    for service in ["postgres", "redis", "proxy"] {
        ensure!(cluster.ended(service).is_empty(), "the deployment of another image restarted {service}");
    }

    no_failure(&run)?;
    writes_are_kept(test, &cluster, "roll", &run).await?;
    uses.judge(test, &cluster).await
}

/// Rolls to B and back, with calm before, between and after.
async fn there_and_back(cluster: &Cluster, moments: &mut Moments) -> anyhow::Result<()> {
    sleep(CALM).await;
    for (image, begin, end, calm) in [("b", "update to B", "all B", CALM / 2), ("a", "back to A", "all A", CALM)] {
        moments.push((now(), begin));
        let state = cluster.update(image).await?;
        ensure!(state == "completed", "the update to {image} ended as `{state}`");
        moments.push((now(), end));
        sleep(calm).await;
    }
    Ok(())
}

async fn rollback(test: &mut TestContext) -> anyhow::Result<()> {
    let [older, newer] = models()?;
    let failing = newer.file("003_broken.sql", "select * from no_such_table;");
    let cluster = deploy(test, &[("a", &older), ("c", &failing)], REPLICAS).await?;
    let target = healthy(test, &cluster).await?;
    let before = containers(&cluster.running("directus").await?);

    let load = Load::start(target, "rollback", RATE);
    sleep(CALM / 2).await;
    let mut moments = vec![(now(), "update to C")];
    let state = cluster.update("c").await;
    moments.push((now(), "rolled back"));
    sleep(CALM / 2).await;
    let run = load.stop().await?;
    record(test, &cluster, &run, &moments, &["before", "A → C → A", "after"], "A → C, which fails").await?;

    let state = state?;
    ensure!(state == "rollback_completed", "the update ended as `{state}`");
    let ended = cluster.ended("directus");
    let old = ended.iter().filter(|container| before.contains(*container)).count();
    ensure!(old == 0, "{old} of {REPLICAS} old replicas stopped");
    ensure!(!ended.is_empty(), "no replica of the newer image failed");
    test.figure("failed boots of the newer image", ended.len().to_string());
    let logs = cluster.logs().await?;
    let failed = |line: &&String| line.contains("003_broken.sql") && line.contains("(exit ");
    let line = logs.iter().flat_map(|(_, lines)| lines).find(failed);
    test.line(line.context("no log names the file that failed")?);
    no_failure(&run)?;
    writes_are_kept(test, &cluster, "rollback", &run).await?;
    let after = containers(&cluster.running("directus").await?);
    ensure!(after == before, "the replicas after the rollback are not those before the update");
    Ok(())
}

/// Requests that wait for a lock of the check are in flight while the swarm replaces their replica.
async fn drain(test: &mut TestContext) -> anyhow::Result<()> {
    let [older, _] = models()?;
    let cluster = deploy(test, &[("a", &older)], 1).await?;
    let target = healthy(test, &cluster).await?;
    let old = cluster.running("directus").await?.pop().context("a replica runs")?.container().to_owned();
    let lock = cluster.database.connect().await?;
    lock.batch_execute("begin; lock table cars in share mode").await.context("failed to lock a table")?;
    let mut requests = JoinSet::new();
    for number in 1..=SLOW_REQUESTS {
        let (target, name) = (target.clone(), format!("slow {number}"));
        requests.spawn(async move { target.send("POST", "/items/cars", Some(&json!({ "name": name }))).await });
    }
    let all_wait = format!("select count(*) >= {SLOW_REQUESTS} from pg_stat_activity where wait_event_type = 'Lock'");
    cluster.database.wait_until(&all_wait).await?;

    cluster.restart_replicas().await?;
    cluster.until_event(&old, "kill").await?;
    sleep(SLOW).await;
    lock.batch_execute("commit").await.context("failed to release the lock")?;
    let released = Instant::now();
    while let Some(answer) = requests.join_next().await {
        let answer = answer.context("a request panicked")?;
        let data = answer.and_then(|answer| answer.data().cloned());
        data.map_err(|reason| anyhow!("a request that was accepted before SIGTERM failed: {reason}"))?;
    }
    test.figure("requests in flight at SIGTERM, all answered", SLOW_REQUESTS.to_string());
    cluster.until_event(&old, "die").await?;
    test.figure("from the last answer to the end of the replica", ui::seconds(released.elapsed()));
    let rows = cluster.database.value("select count(*) from cars where name like 'slow %'").await?;
    ensure!(rows == SLOW_REQUESTS.to_string(), "{rows} rows of {SLOW_REQUESTS} requests are in the table");
    Ok(())
}

async fn faults(test: &mut TestContext) -> anyhow::Result<()> {
    let [older, _] = models()?;
    let mut cluster = deploy(test, &[("a", &older)], REPLICAS).await?;
    let target = healthy(test, &cluster).await?;
    let before = containers(&cluster.running("directus").await?);
    let load = Load::start(target.clone(), "faults", RATE);
    let mut moments = Vec::new();
    sleep(CALM / 2).await;

    moments.push((now(), "PostgreSQL killed"));
    cluster.outage("postgres", OUTAGE).await?;
    cluster.database = cluster.started_database().await?;
    moments.push((now(), "PostgreSQL back"));
    sleep(RECOVERY + CALM / 2).await;
    moments.push((now(), "Redis killed"));
    cluster.outage("redis", OUTAGE).await?;
    moments.push((now(), "Redis back"));
    sleep(RECOVERY + CALM / 2).await;

    let run = load.stop().await?;
    let periods = ["before", "no PostgreSQL", "PostgreSQL back", "no Redis", "Redis back"];
    record(test, &cluster, &run, &moments, &periods, "PostgreSQL and Redis killed").await?;
    let ended = cluster.ended("directus");
    ensure!(ended.is_empty(), "{} of {REPLICAS} replicas were restarted", ended.len());
    ensure!(containers(&cluster.running("directus").await?) == before, "a replica is not healthy");
    for (index, name) in [(1, "PostgreSQL"), (3, "Redis")] {
        let from = moments[index].0.saturating_sub(run.began) + RECOVERY;
        let to = moments.get(index + 1).map_or(Duration::MAX, |(at, _)| at.saturating_sub(run.began));
        let late = run.records.iter().filter(|record| record.at >= from && record.at < to);
        let failures: Vec<&str> = late.filter_map(|record| record.failure.as_deref()).collect();
        if let Some(first) = failures.first() {
            let (number, seconds) = (failures.len(), RECOVERY.as_secs());
            bail!("{number} requests failed more than {seconds} s after {name} was back: {first}");
        }
    }
    writes_are_kept(test, &cluster, "faults", &run).await?;
    field_by_bus(test, &cluster, &target).await
}

/// A field that one replica adds becomes known to the others over Redis.
async fn field_by_bus(test: &mut TestContext, cluster: &Cluster, target: &Target) -> anyhow::Result<()> {
    let replicas = cluster.running("directus").await?;
    let began = Instant::now();
    for (index, replica) in replicas.iter().enumerate() {
        let direct = Target { port: cluster.replica_port(replica).await?, ..target.clone() };
        if index == 0 {
            let field = json!({ "field": FIELD, "type": "string", "schema": { "max_length": 20 } });
            let answer = direct.send("POST", "/fields/laps", Some(&field)).await.map_err(|reason| anyhow!(reason))?;
            answer.data().map_err(|reason| anyhow!("the field could not be added: {reason}"))?;
        }
        while !matches!(use_field(&direct, "bus").await, FieldUse::Kept) {
            ensure!(
                began.elapsed() < RECOVERY,
                "a replica does not know a field {} s after it was added",
                RECOVERY.as_secs()
            );
            sleep(FIELD_INTERVAL).await;
        }
    }
    test.figure("a field added after that, known to all replicas after", ui::seconds(began.elapsed()));
    Ok(())
}

async fn killed_boot(test: &mut TestContext) -> anyhow::Result<()> {
    let [older, _] = models()?;
    let mut cluster = deploy(test, &[("a", &older)], 0).await?;
    let failpoint = Failpoint::in_phase(&cluster.database, Phase::Bootstrap).await?;
    cluster.scale(REPLICAS, "a").await?;
    cluster.database.wait_until(Failpoint::STOPPED).await?;
    // `boot of <host name>`, and the stack names a host by its service and the number of the replica.
    let holder = "select substring(application_name from '[0-9]+$') from pg_locks join pg_stat_activity using (pid)
        where locktype = 'advisory' and granted and application_name like 'boot of %' limit 1";
    let slot: i64 =
        cluster.database.value(holder).await?.parse().context("the holder of the boot lock has no number")?;
    let victim = cluster.container_in_slot(slot).await?;
    test.suite.engine.kill(&victim, "SIGKILL").await?;
    failpoint.lift(&cluster.database).await?;
    let began = Instant::now();
    healthy(test, &cluster).await?;
    test.figure("all healthy after the kill", ui::seconds(began.elapsed()));
    let ended = cluster.ended("directus");
    ensure!(ended.iter().eq([&victim]), "{} replicas ended, not only the one that was killed", ended.len());
    one_setup(test, &cluster).await
}

/// Times since 1970 with names.
type Moments = Vec<(Duration, &'static str)>;

fn now() -> Duration {
    since_1970(SystemTime::now())
}

fn containers(tasks: &[SwarmTask]) -> BTreeSet<String> {
    tasks.iter().map(|task| task.container().to_owned()).collect()
}

/// Waits until all replicas are healthy, and logs in at the proxy.
async fn healthy(test: &mut TestContext, cluster: &Cluster) -> anyhow::Result<Target> {
    let replicas = cluster.replicas().await?;
    let took = cluster.began.elapsed().unwrap_or_default();
    test.figure(
        "from the deployment until all replicas were healthy",
        format!("{}, {}", ui::seconds(took), replicas.len()),
    );
    cluster.target().await
}

/// Checks that the database was set up once.
async fn one_setup(test: &mut TestContext, cluster: &Cluster) -> anyhow::Result<()> {
    for (name, query) in [
        ("administrators", "select count(*) from directus_users"),
        ("rows in the ledger", "select count(*) from boot.migrations"),
        ("snapshots in the history", "select count(*) from boot.snapshots"),
    ] {
        let found = cluster.database.value(query).await?;
        ensure!(found == "1", "{found} {name} after the setup by {REPLICAS} replicas at once, not 1");
        test.figure(name, found);
    }
    Ok(())
}

/// Adds the picture and the figures of a roll to the evidence.
async fn record(
    test: &mut TestContext,
    cluster: &Cluster,
    run: &LoadRun,
    moments: &Moments,
    periods: &[&'static str],
    name: &str,
) -> anyhow::Result<Roll> {
    let events = cluster.watch.events(&cluster.service("directus"));
    let logs = cluster.logs().await?;
    let sources = RollSources {
        began: run.began,
        ended: now(),
        events: &events,
        logs: &logs,
        records: &run.records,
        moments,
        periods,
    };
    let roll = sources.roll(name);
    for period in &roll.periods {
        let LoadPeriod { name, from, to, requests, writes, failed, p50_ms, p99_ms, longest_ms } = period;
        test.figure(
            format!("load {name}"),
            format!(
                "{requests} requests ({writes} writes) in {:.1} s, {failed} failed; p50 {p50_ms} ms, p99 {p99_ms} ms, longest \
                 {longest_ms} ms",
                to - from
            ),
        );
    }
    test.evidence.rolls.push(roll.clone());
    Ok(roll)
}

/// Checks that no request failed; the error has the reasons of the first ones.
fn no_failure(run: &LoadRun) -> anyhow::Result<()> {
    let failed: Vec<String> = run
        .records
        .iter()
        .filter_map(|record| Some(format!("at {:.1} s: {}", record.at.as_secs_f64(), record.failure.as_ref()?)))
        .collect();
    let shown = failed.iter().take(5).cloned().collect::<Vec<_>>().join("; ");
    ensure!(failed.is_empty(), "{} of {} requests failed: {shown}", failed.len(), run.records.len());
    Ok(())
}

/// Checks that each acknowledged write is in the table exactly once.
async fn writes_are_kept(test: &mut TestContext, cluster: &Cluster, name: &str, run: &LoadRun) -> anyhow::Result<()> {
    let client = cluster.database.connect().await?;
    let pattern = format!("{name}-%");
    let rows =
        client.query("select note from laps where note like $1", &[&pattern]).await.context("failed to read rows")?;
    let rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let present = rows.len();
    let acknowledged = compare_writes(&run.records, rows)?;
    test.figure("writes", format!("{acknowledged} acknowledged, {present} rows"));
    Ok(())
}

/// The result of a write with the new field.
#[derive(Clone, Debug, PartialEq)]
enum FieldUse {
    /// The answer has the value.
    Kept,
    /// The write was accepted, and the answer lacks the field.
    Dropped,
    /// The write was refused.
    Refused,
    /// There was no answer: the replica is being replaced.
    Unreached,
}

/// Writes a row with the new field to one replica.
async fn use_field(replica: &Target, name: &str) -> FieldUse {
    let body = json!({ "note": format!("field-{name}"), FIELD: "soft" });
    match replica.send("POST", "/items/laps", Some(&body)).await {
        Err(_) => FieldUse::Unreached,
        Ok(answer) => match answer.data() {
            Ok(data) if data[FIELD] == "soft" => FieldUse::Kept,
            Ok(_) => FieldUse::Dropped,
            Err(_) => FieldUse::Refused,
        },
    }
}

/// The writes with the new field during a roll, in their order.
#[derive(Default)]
struct FieldUses {
    /// Container, image, time of the request, time of the answer, and result.
    uses: Vec<(SwarmTask, Instant, Instant, FieldUse)>,
}

impl FieldUses {
    /// Writes rows with the field to one replica after the other until it is over; the last answer is awaited.
    async fn repeat(&mut self, cluster: &Cluster, target: &Target, is_over: &Cell<bool>) -> anyhow::Result<()> {
        while !is_over.get() {
            for replica in cluster.running("directus").await? {
                // The container of a replica that was just removed has no port.
                let Ok(port) = cluster.replica_port(&replica).await else { continue };
                let sent = Instant::now();
                let result = use_field(&Target { port, ..target.clone() }, &self.uses.len().to_string()).await;
                self.uses.push((replica, sent, Instant::now(), result));
                sleep(FIELD_INTERVAL).await;
            }
        }
        Ok(())
    }

    /// Checks that the field was known to all replicas as soon as one knew it, also to those of the older image, and
    /// that each accepted value is in the table.
    async fn judge(&self, test: &mut TestContext, cluster: &Cluster) -> anyhow::Result<()> {
        let is = |result: &FieldUse| self.uses.iter().filter(|(.., found)| found == result).count();
        let (kept, dropped, refused) = (is(&FieldUse::Kept), is(&FieldUse::Dropped), is(&FieldUse::Refused));
        test.figure(
            "writes with the new field",
            format!("{kept} kept, {dropped} accepted without the field, {refused} refused"),
        );
        // Among the lines of the boots is a warning if the running servers were not notified.
        let logs = cluster.logs().await?;
        let changes = logs.iter().flat_map(|(_, lines)| lines);
        for line in changes.filter(|line| line.contains("6/8 schema") && !line.contains("no changes")) {
            test.line(line);
        }
        let first =
            self.uses.iter().filter(|(.., result)| *result == FieldUse::Kept).map(|(_, _, answered, _)| answered).min();
        let first = *first.context("no replica ever knew the new field")?;
        let late = self.uses.iter().find(|(_, sent, _, result)| *sent > first && *result == FieldUse::Dropped);
        if let Some((replica, sent, ..)) = late {
            bail!(
                "replica {} of {} accepted a write and dropped the new field {} ms after another replica had kept it",
                replica.slot(),
                replica.image(),
                (*sent - first).as_millis()
            );
        }
        // The same process without the field and then with it: it learned of it without a restart.
        let dropped: BTreeSet<&str> = self
            .uses
            .iter()
            .filter(|(.., result)| *result == FieldUse::Dropped)
            .map(|(task, ..)| task.container())
            .collect();
        let learned: BTreeSet<&str> = self
            .uses
            .iter()
            .filter(|(task, .., result)| *result == FieldUse::Kept && dropped.contains(task.container()))
            .map(|(task, ..)| task.container())
            .collect();
        ensure!(!learned.is_empty(), "no replica of the older image learned of the new field");
        test.figure("replicas of the older image that learned of the field while serving", learned.len().to_string());
        let rows =
            cluster.database.value("select count(*) from laps where note like 'field-%' and tyre = 'soft'").await?;
        ensure!(rows.parse() == Ok(kept), "{rows} rows have the new field, and {kept} writes of it were acknowledged");
        Ok(())
    }
}
