//! The sweep: real boots of the image through a proxy to PostgreSQL that injects one fault at one message. For every
//! message and fault the boot must end in time and report the cause, and the next boot must produce the same database
//! as an undisturbed one.
//!
//! [`fault_point`] chooses the fault points, [`report`] holds the results, [`html`] renders them.

mod fault_point;
mod html;
mod report;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use contract::{DB_INIT_DIR, Event, ExitCode, LogLine, SNAPSHOT_FILE};
use futures_util::StreamExt as _;
use grammar::SweepScenario;
use pg_fault_proxy::{Action, Direction, Fault, Position, Proxy, Trace};
use serde_json::{Value, json};
use testbed::schema::{DataModel, is_system};
use tokio::sync::oneshot;

use super::data_integrity::{self, Fingerprint};
use super::database::TestDatabase;
use super::end_state::EndState;
use crate::container::{BootSpec, Container, EndedContainer};
use crate::servers::Servers;
use crate::suite_context::{PATIENCE, SuiteContext};
use testbed::ui;

use self::fault_point::SweepPoint;
pub(crate) use self::fault_point::{SweepDensity, SweepFault, fault_points};
pub(crate) use self::html::page;
use self::report::{BOUND, Messages, ScenarioReport};
pub(crate) use self::report::{PointOutcome, SweepResults};

/// `BOOT_DATABASE_TIMEOUT` of the boots, in seconds.
const ANSWER: u64 = 3;
const INCOMPLETE: &str = "it ended with 0, but the database is incomplete";
/// Kills the boot's Node process. The brackets prevent the shell from matching its own command line.
const KILL_NODE: &str = r#"for p in /proc/[0-9]*; do if grep -qa 'bridge[.]mjs' $p/cmdline 2>/dev/null; then kill -9 ${p#/proc/}; fi; done"#;

/// Sweeps scenarios one after the other, and reports each point as it ends.
pub(crate) async fn sweep_scenarios(
    suite: &Rc<SuiteContext>,
    servers: &Rc<Servers>,
    scenarios: &[SweepScenario],
    density: SweepDensity,
    jobs: usize,
) -> anyhow::Result<Vec<ScenarioReport>> {
    let network = suite.engine.create_network(&format!("{}-net", suite.session.id()), suite.session.labels()).await?;
    let mut reports = Vec::new();
    for scenario in scenarios {
        let name = scenario.name();
        ui::status("Preparing", &format!("the {name} boot"));
        let sweep = Sweep::prepare(suite, servers, &network, *scenario).await?;
        let points = fault_points(&sweep.trace, density, &SweepFault::ALL);
        ui::status("Sweeping", &format!("{} points of {} messages", points.len(), sweep.trace.messages.len()));
        let spinner = ui::Spinner::start();
        let mut done = 0;
        let mut outcomes = sweep
            .run(&points, jobs, |outcome| {
                done += 1;
                spinner.update(&format!("{name} {done}/{}", points.len()));
                spinner.line(|| match &outcome.failure {
                    None => ui::status("Converged", &format!("{name}: {}: {}", outcome.point(), outcome.words())),
                    Some(failure) => ui::error(&format!("{name}: {}: {failure}", outcome.point())),
                });
            })
            .await;
        outcomes.sort_by_key(|outcome| (outcome.direction, outcome.n, outcome.kind));
        let messages = Messages {
            to_server: sweep.trace.count(Direction::ToServer),
            to_client: sweep.trace.count(Direction::ToClient),
            connections: sweep.trace.connections(),
        };
        reports.push(ScenarioReport { name, messages, points: outcomes });
    }
    Ok(reports)
}

/// A scenario, with the database before each of its boots and the expected result.
pub(crate) struct Sweep {
    suite: Rc<SuiteContext>,
    servers: Rc<Servers>,
    network: String,
    gateway: SocketAddr,
    scenario: SweepScenario,
    /// Template: every boot gets a copy of this database.
    start: TestDatabase,
    undisturbed: Content,
    /// Messages of an undisturbed boot.
    pub(crate) trace: Trace,
}

/// Content of a database after a boot.
struct Content {
    state: EndState,
    /// Rows of the tables that are not Directus' own, by table.
    rows: std::collections::BTreeMap<String, Fingerprint>,
}

impl Content {
    async fn of(database: &TestDatabase) -> anyhow::Result<Content> {
        Ok(Content { state: EndState::of(database).await?, rows: data_integrity::fingerprints(database).await? })
    }

    fn ensure_same_as(&self, undisturbed: &Content) -> anyhow::Result<()> {
        self.state.ensure_same_as(&undisturbed.state)?;
        data_integrity::unchanged(&undisturbed.rows, &self.rows)
    }
}

impl Sweep {
    /// Boots once undisturbed, in the given network.
    ///
    /// # Errors
    /// If that boot failed, or this machine is not in the engine's networks ([`NoGateway`]).
    pub(crate) async fn prepare(
        suite: &Rc<SuiteContext>,
        servers: &Rc<Servers>,
        network: &str,
        scenario: SweepScenario,
    ) -> anyhow::Result<Sweep> {
        let gateway = SocketAddr::from((suite.engine.gateway(network).await?, 0));
        std::net::TcpListener::bind(gateway).map_err(|error| NoGateway(gateway, error))?;
        let name = name(network, scenario);
        let start = match scenario {
            SweepScenario::Cold => servers.empty(network, &name).await?,
            SweepScenario::Upgrade => {
                let start = servers.booted(network, &name).await?;
                data_integrity::fill(&start).await?;
                start
            }
        };
        start.become_template().await?;
        let database = start.copy(&format!("{name}-undisturbed")).await?;
        let proxy = Proxy::start(gateway, database.address(), None)?;
        let boot = with_files(BootSpec::new(suite, "undisturbed", &database), scenario)?;
        let boot = through(boot, proxy.address()).start(suite, Some(network.to_owned())).await?;
        let ended = boot.ended(PATIENCE).await?;
        suite.engine.remove(&boot.id).await?;
        ensure!(ended.code == 0, "the undisturbed boot ended with {}: {}", ended.code, ended.last_line());
        let undisturbed = Content::of(&database).await?;
        database.remove().await?;
        let (suite, servers, network, trace) =
            (Rc::clone(suite), Rc::clone(servers), network.to_owned(), proxy.trace());
        Ok(Sweep { suite, servers, network, gateway, scenario, start, undisturbed, trace })
    }

    /// Tries points, up to `jobs` at once, and calls `report` for each as it ends.
    pub(crate) async fn run(
        &self,
        points: &[SweepPoint],
        jobs: usize,
        mut report: impl FnMut(&PointOutcome),
    ) -> Vec<PointOutcome> {
        let tries = points.iter().enumerate().map(|(index, point)| self.try_point(index, *point));
        let mut running = futures_util::stream::iter(tries).buffer_unordered(jobs);
        let mut outcomes = Vec::new();
        while let Some(outcome) = running.next().await {
            report(&outcome);
            outcomes.push(outcome);
        }
        outcomes
    }

    async fn try_point(&self, index: usize, point: SweepPoint) -> PointOutcome {
        let mut outcome = PointOutcome::of(point);
        let result = self.try_on_a_database(index, point, &mut outcome).await;
        outcome.failure = result.err().map(|error| format!("{error:#}"));
        if outcome.failure.is_none() {
            outcome.log.clear();
        }
        outcome
    }

    async fn try_on_a_database(
        &self,
        index: usize,
        point: SweepPoint,
        outcome: &mut PointOutcome,
    ) -> anyhow::Result<()> {
        let name = format!("{}-{index}", name(&self.network, self.scenario));
        if point.kind != SweepFault::ServerKilled {
            let database = self.start.copy(&name).await?;
            let result = self.disturb_and_boot_again(point, &database, None, &self.undisturbed, outcome).await;
            database.remove().await?;
            return result;
        }
        let (engine, servers) = (&self.suite.engine, &self.servers);
        let (server, database) = servers.start(Some((self.network.clone(), name))).await?;
        let result = async {
            if self.scenario == SweepScenario::Upgrade {
                self.boot(BootSpec::new(&self.suite, "first", &database)).await?;
                data_integrity::fill(&database).await?;
            }
            // Some of these rows contain their creation time, so they differ from those of the undisturbed boot.
            let mut rows = data_integrity::fingerprints(&database).await?;
            for (table, fingerprint) in &self.undisturbed.rows {
                rows.entry(table.clone()).or_insert_with(|| fingerprint.clone());
            }
            let undisturbed = Content { state: self.undisturbed.state.clone(), rows };
            self.disturb_and_boot_again(point, &database, Some(&server), &undisturbed, outcome).await
        };
        let result = result.await;
        engine.remove(&server).await?;
        result
    }

    async fn disturb_and_boot_again(
        &self,
        point: SweepPoint,
        database: &TestDatabase,
        server: Option<&str>,
        undisturbed: &Content,
        outcome: &mut PointOutcome,
    ) -> anyhow::Result<()> {
        let ended = self.disturbed(point, database, server, outcome).await?;
        outcome.log.clone_from(&ended.lines);
        outcome.ended(&ended);
        let mut database = database.clone();
        if let Some(server) = server {
            // The server is still running if the boot did not reach the message.
            self.suite.engine.start(server).await?;
            database = database.at(self.suite.engine.published_port(server, 5432).await?);
            database.answers().await?;
        }
        check_exit(point, &ended)?;
        if ended.code == 0 {
            let content = Content::of(&database).await.context(INCOMPLETE)?;
            content.ensure_same_as(undisturbed).context(INCOMPLETE)?;
        }
        if let Some(took) = outcome.seconds
            && took > BOUND.as_secs_f64()
        {
            bail!("it ended {took:.1} s after the fault; the bound is {} s", BOUND.as_secs());
        }
        let began = Instant::now();
        let boot = with_files(BootSpec::new(&self.suite, "next", &database), self.scenario)?;
        let next = self.boot(boot).await.context("the next boot")?;
        outcome.next_boot_seconds = Some(ui::json_seconds(began.elapsed()));
        outcome.log.extend(next.lines);
        Content::of(&database).await?.ensure_same_as(undisturbed).context("after the next boot")?;
        outcome.converged = true;
        Ok(())
    }

    /// Boots with the fault.
    async fn disturbed(
        &self,
        point: SweepPoint,
        database: &TestDatabase,
        server: Option<&str>,
        outcome: &mut PointOutcome,
    ) -> anyhow::Result<EndedContainer> {
        let (reach, reached) = oneshot::channel();
        let (done, wait) = mpsc::channel();
        let (action, position) = match point.kind {
            SweepFault::Cut => (Action::Reset, Position::Before),
            SweepFault::CutInside => (Action::Close, Position::Middle),
            SweepFault::Frozen => (Action::Freeze, Position::Before),
            SweepFault::BootKilled | SweepFault::NodeKilled | SweepFault::ServerKilled => {
                // All messages wait until the fault is injected. After the end of the boot the receiver is gone.
                let call = Action::Call(Box::new(move || {
                    if reach.send(()).is_ok() {
                        wait.recv_timeout(BOUND).ok();
                    }
                }));
                (call, Position::Before)
            }
        };
        let fault = Fault { direction: point.direction, n: point.n, position, action };
        let proxy = Proxy::start(self.gateway, database.address(), Some(fault))?;
        let boot = through(BootSpec::new(&self.suite, "disturbed", database), proxy.address());
        let boot = with_files(boot, self.scenario)?.start(&self.suite, Some(self.network.clone())).await?;
        let ends = boot.ended(PATIENCE);
        tokio::pin!(ends);
        let ended = tokio::select! {
            ended = &mut ends => ended,
            Ok(()) = reached => {
                let result = self.inject(point.kind, &boot, server).await;
                done.send(()).ok();
                match result {
                    Ok(()) => ends.await,
                    Err(error) => Err(error),
                }
            }
        };
        let now = Instant::now();
        self.suite.engine.remove(&boot.id).await?;
        if let Some(hit) = proxy.hit() {
            outcome.hit = Some(hit.message.kind);
            outcome.seconds = Some(ui::json_seconds(now.duration_since(hit.at)));
        }
        ended
    }

    async fn inject(&self, kind: SweepFault, boot: &Container, server: Option<&str>) -> anyhow::Result<()> {
        match kind {
            SweepFault::BootKilled => boot.kill("KILL").await,
            // If Node is not running at this message, the boot continues.
            SweepFault::NodeKilled => boot.exec(&["sh", "-c", KILL_NODE]).await.map(drop),
            _ => self.suite.engine.kill(server.context("this fault needs a separate server")?, "KILL").await,
        }
    }

    /// Boots without a fault.
    async fn boot(&self, spec: BootSpec) -> anyhow::Result<EndedContainer> {
        let boot = spec.command(["boot"]).start(&self.suite, Some(self.network.clone())).await?;
        let ended = boot.ended(PATIENCE).await;
        self.suite.engine.remove(&boot.id).await?;
        let ended = ended?;
        ensure!(ended.code == 0, "it ended with {}: {}", ended.code, ended.last_line());
        Ok(ended)
    }
}

/// Error: this machine is not in the networks of the engine, so containers cannot reach a proxy here.
#[derive(Debug)]
pub(crate) struct NoGateway(SocketAddr, std::io::Error);

impl std::fmt::Display for NoGateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "failed to listen at {}, this machine's address in the engine's network ({}): run the sweep on the machine of the \
             engine; an engine in a virtual machine does not work",
            self.0.ip(),
            self.1
        )
    }
}

impl std::error::Error for NoGateway {}

/// Checks the exit code and the last line of a disturbed boot.
fn check_exit(point: SweepPoint, ended: &EndedContainer) -> anyhow::Result<()> {
    let last = ended.last_line();
    if ended.code == 0 || (point.kind == SweepFault::BootKilled && ended.code == 137) {
        return Ok(());
    }
    let line = LogLine::parse(last).with_context(|| format!("the last line is not from the boot: {last}"))?;
    let exit = ExitCode::from_code(ended.code).with_context(|| format!("unknown exit code {}", ended.code))?;
    ensure!(line.event == Event::Failed(exit.code()), "the last line does not report {exit:?}: {last}");
    ensure!(point.kind.allows(line.phase, exit), "{exit:?} ({}) is wrong in {}: {last}", ended.code, line.phase);
    ensure!(!line.message.is_empty(), "the last line names no cause: {last}");
    Ok(())
}

/// Directs a boot to the proxy, with a short timeout.
fn through(boot: BootSpec, proxy: SocketAddr) -> BootSpec {
    boot.variable("DB_HOST", proxy.ip().to_string())
        .variable("DB_PORT", proxy.port().to_string())
        .variable("BOOT_DATABASE_TIMEOUT", ANSWER.to_string())
        .command(["boot"])
}

/// Adds the files of an upgrade: a SQL file, and a snapshot with one more field.
fn with_files(boot: BootSpec, scenario: SweepScenario) -> anyhow::Result<BootSpec> {
    if scenario == SweepScenario::Cold {
        return Ok(boot);
    }
    let migration = "create table public.swept (id integer primary key, note text);\n\
                     insert into public.swept values (1, 'before the sweep');\n";
    Ok(boot
        .file(SNAPSHOT_FILE, with_one_more_field(DataModel::snapshot_document()?)?.to_string())
        .file(&format!("{DB_INIT_DIR}/900_swept.sql"), migration))
}

/// Returns true for a nullable column without constraints in a table that is not Directus' own.
fn is_plain(field: &Value) -> bool {
    let column = &field["schema"];
    column["is_nullable"] == true
        && column["is_unique"] == false
        && column["foreign_key_table"].is_null()
        && !is_system(field["collection"].as_str().unwrap_or_default())
}

/// Adds a copy of a plain field to a snapshot, under a new name.
fn with_one_more_field(mut snapshot: Value) -> anyhow::Result<Value> {
    let fields = snapshot["fields"].as_array_mut().context("the snapshot has no fields")?;
    let mut field = fields.iter().find(|field| is_plain(field)).context("the snapshot has no plain field")?.clone();
    field["field"] = json!(NEW_FIELD);
    field["schema"]["name"] = json!(NEW_FIELD);
    field["meta"]["field"] = json!(NEW_FIELD);
    fields.push(field);
    Ok(snapshot)
}

/// Name of the field that an upgrade adds.
const NEW_FIELD: &str = "swept";

/// Returns the prefix of a scenario's databases. Two sweeps may share a server, but not a network.
fn name(network: &str, scenario: SweepScenario) -> String {
    format!("sweep-{}-{}", scenario.name(), network.chars().take(8).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_adds_exactly_one_field() {
        let old = DataModel::snapshot_document().unwrap();
        let mut new = with_one_more_field(old.clone()).unwrap();
        let field = new["fields"].as_array_mut().unwrap().pop().unwrap();
        assert_eq!(new, old);
        assert_eq!((&field["field"], &field["schema"]["name"]), (&json!("swept"), &json!("swept")));
    }

    fn ended(code: i64, line: &str) -> EndedContainer {
        EndedContainer { code, lines: vec![line.to_owned()] }
    }

    const CUT: SweepPoint = SweepPoint { kind: SweepFault::Cut, direction: Direction::ToServer, n: 1 };

    fn error_after_a_cut(code: i64, line: &str) -> String {
        check_exit(CUT, &ended(code, line)).unwrap_err().to_string()
    }

    #[test]
    fn the_last_line_must_name_the_phase_and_the_exit_code() {
        let lost = "[entrypoint] 5/8 bootstrap failed: the connection to PostgreSQL was lost: gone (exit 23)";
        assert!(check_exit(CUT, &ended(23, lost)).is_ok());
        assert!(error_after_a_cut(22, lost).contains("does not report"));
        let internal = "[entrypoint] 5/8 bootstrap failed: x (exit 1)";
        assert!(error_after_a_cut(1, internal).contains("is wrong in bootstrap"));
        assert!(error_after_a_cut(137, "Killed").contains("is not from the boot"));
        assert!(check_exit(SweepPoint { kind: SweepFault::BootKilled, ..CUT }, &ended(137, "anything")).is_ok());
    }
}
