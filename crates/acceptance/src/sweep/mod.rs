//! The sweep: real boots of the image with a proxy between them and PostgreSQL, each of which meets one fault at one
//! message. Whichever it is, the boot ends in time and says why, and the next one leaves what an undisturbed one leaves.
//!
//! [`point`] decides which faults, [`found`] is what came of them, [`html`] shows it.

mod found;
mod html;
mod point;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use contract::{DB_INIT_DIR, Event, ExitCode, LogLine, SNAPSHOT_FILE};
use futures_util::StreamExt as _;
use grammar::Scenario;
use pg_fault_proxy::{Action, Direction, Fault, Position, Proxy, Trace};
use serde_json::{Value, json};
use testbed::schema::Schema;
use tokio::sync::oneshot;

use super::database::Database;
use super::end_state::EndState;
use super::rows::{self, Fingerprint};
use crate::container::{BootSpec, Container, Ended};
use crate::servers::Servers;
use crate::setting::{PATIENCE, Setting};
use testbed::ui;

use self::found::{BOUND, Messages, Scenario as Swept};
pub(crate) use self::found::{Outcome, Report};
pub(crate) use self::html::page;
pub(crate) use self::point::{Density, Kind, Point, points};

/// What the boots are told to wait for a server that does not answer.
const ANSWER: u64 = 3;
/// Ends the Node process that works for the boot. The brackets keep the shell from finding itself.
const KILL_NODE: &str = r#"for p in /proc/[0-9]*; do if grep -qa 'bridge[.]mjs' $p/cmdline 2>/dev/null; then kill -9 ${p#/proc/}; fi; done"#;

/// Sweeps these scenarios, one after the other, and says how each point went.
pub(crate) async fn sweep(
    setting: &Rc<Setting>,
    servers: &Rc<Servers>,
    scenarios: &[Scenario],
    density: Density,
    jobs: usize,
) -> anyhow::Result<Vec<Swept>> {
    let network = setting.engine.create_network(&format!("{}-net", setting.run.id()), setting.run.labels()).await?;
    let mut swept = Vec::new();
    for scenario in scenarios {
        let name = scenario.name();
        ui::status("Preparing", &format!("the {name} boot"));
        let sweep = Sweep::prepare(setting, servers, &network, *scenario).await?;
        let points = points(&sweep.trace, density, &Kind::ALL);
        ui::status("Sweeping", &format!("{} points of {} messages", points.len(), sweep.trace.messages.len()));
        let live = ui::Live::start();
        let mut done = 0;
        let mut outcomes = sweep
            .run(&points, jobs, |outcome| {
                done += 1;
                live.still(&format!("{name} {done}/{}", points.len()));
                live.line(|| match &outcome.failure {
                    None => ui::status("Good", &format!("{name}: {}: {}", outcome.point(), outcome.words())),
                    Some(failure) => ui::error(&format!("{name}: {}: {failure}", outcome.point())),
                });
            })
            .await;
        outcomes.sort_by_key(|outcome| (outcome.direction, outcome.n, outcome.kind));
        let count = |direction| sweep.trace.count(direction);
        let messages = Messages {
            to_server: count(Direction::ToServer),
            to_client: count(Direction::ToClient),
            connections: sweep.trace.connections(),
        };
        swept.push(Swept { name, messages, points: outcomes });
    }
    Ok(swept)
}

/// A scenario, with what each of its boots begins with and is to end with.
pub(crate) struct Sweep {
    setting: Rc<Setting>,
    servers: Rc<Servers>,
    network: String,
    gateway: SocketAddr,
    scenario: Scenario,
    /// Nobody boots on this one: every boot gets a copy.
    start: Database,
    end: End,
    /// What an undisturbed boot says.
    pub(crate) trace: Trace,
}

/// What a boot leaves.
struct End {
    state: EndState,
    /// Rows are nobody's in a cold boot.
    rows: std::collections::BTreeMap<String, Fingerprint>,
}

impl End {
    async fn of(database: &Database) -> anyhow::Result<End> {
        Ok(End { state: EndState::of(database).await?, rows: rows::fingerprints(database).await? })
    }

    fn ensure_same_as(&self, undisturbed: &End) -> anyhow::Result<()> {
        self.state.ensure_same_as(&undisturbed.state)?;
        rows::unchanged(&undisturbed.rows, &self.rows)
    }
}

impl Sweep {
    /// Boots once undisturbed, in that network.
    ///
    /// # Errors
    /// That boot failed, or this machine is not in the engine's networks: [`NoGateway`].
    pub(crate) async fn prepare(
        setting: &Rc<Setting>,
        servers: &Rc<Servers>,
        network: &str,
        scenario: Scenario,
    ) -> anyhow::Result<Sweep> {
        let gateway = SocketAddr::from((setting.engine.gateway(network).await?, 0));
        std::net::TcpListener::bind(gateway).map_err(|error| NoGateway(gateway, error))?;
        let name = name(network, scenario);
        let start = match scenario {
            Scenario::Cold => servers.empty(network, &name).await?,
            Scenario::Upgrade => {
                let start = servers.booted(network, &name).await?;
                rows::fill(&start).await?;
                start
            }
        };
        let database = start.copy(&format!("{name}-undisturbed")).await?;
        let proxy = Proxy::start(gateway, database.address(), None)?;
        let boot = with_files(BootSpec::new(setting, "undisturbed", &database), scenario)?;
        let boot = through(boot, proxy.address()).start(setting, Some(network.to_owned())).await?;
        let ended = boot.ended(PATIENCE).await?;
        setting.engine.remove(&boot.id).await?;
        ensure!(ended.code == 0, "the undisturbed boot ended with {}: {}", ended.code, ended.last_line());
        let end = End::of(&database).await?;
        database.remove().await?;
        let (setting, servers, network, trace) =
            (Rc::clone(setting), Rc::clone(servers), network.to_owned(), proxy.trace());
        Ok(Sweep { setting, servers, network, gateway, scenario, start, end, trace })
    }

    /// Tries points, so many at once, and tells of each as it ends.
    pub(crate) async fn run(&self, points: &[Point], jobs: usize, mut tell: impl FnMut(&Outcome)) -> Vec<Outcome> {
        let tries = points.iter().enumerate().map(|(index, point)| self.try_point(index, *point));
        let mut running = futures_util::stream::iter(tries).buffer_unordered(jobs);
        let mut outcomes = Vec::new();
        while let Some(outcome) = running.next().await {
            tell(&outcome);
            outcomes.push(outcome);
        }
        outcomes
    }

    async fn try_point(&self, index: usize, point: Point) -> Outcome {
        let mut outcome = Outcome::of(point);
        let result = self.try_on_a_database(index, point, &mut outcome).await;
        outcome.failure = result.err().map(|error| format!("{error:#}"));
        if outcome.failure.is_none() {
            outcome.log.clear();
        }
        outcome
    }

    async fn try_on_a_database(&self, index: usize, point: Point, outcome: &mut Outcome) -> anyhow::Result<()> {
        let name = format!("{}-{index}", name(&self.network, self.scenario));
        if point.kind != Kind::ServerKilled {
            let database = self.start.copy(&name).await?;
            let result = self.disturb_and_heal(point, &database, None, &self.end, outcome).await;
            database.remove().await?;
            return result;
        }
        let (engine, servers) = (&self.setting.engine, &self.servers);
        let (server, database) = servers.start(Some((self.network.clone(), name))).await?;
        let result = async {
            if self.scenario == Scenario::Upgrade {
                self.boot(BootSpec::new(&self.setting, "first", &database)).await?;
                rows::fill(&database).await?;
            }
            // Some of these rows say when they were made: they are others than those of the undisturbed boot.
            let mut rows = rows::fingerprints(&database).await?;
            for (table, fingerprint) in &self.end.rows {
                rows.entry(table.clone()).or_insert_with(|| fingerprint.clone());
            }
            let end = End { state: self.end.state.clone(), rows };
            self.disturb_and_heal(point, &database, Some(&server), &end, outcome).await
        };
        let result = result.await;
        engine.remove(&server).await?;
        result
    }

    async fn disturb_and_heal(
        &self,
        point: Point,
        database: &Database,
        server: Option<&str>,
        undisturbed: &End,
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        let ended = self.disturbed(point, database, server, outcome).await?;
        outcome.log.clone_from(&ended.lines);
        outcome.ended(&ended);
        let mut database = database.clone();
        if let Some(server) = server {
            // Where the fault did not come, it still runs.
            self.setting.engine.start(server).await?;
            database = database.at(self.setting.engine.published_port(server, 5432).await?);
            database.answers().await?;
        }
        judge(point, &ended)?;
        if ended.code == 0 {
            let end = End::of(&database).await.context("it exited 0, but the database is not done")?;
            end.ensure_same_as(undisturbed).context("it exited 0, but the database is not done")?;
        }
        if let Some(took) = outcome.seconds
            && took > BOUND.as_secs_f64()
        {
            bail!("it took {took:.1} s to end, not {} s", BOUND.as_secs());
        }
        let began = Instant::now();
        let boot = with_files(BootSpec::new(&self.setting, "next", &database), self.scenario)?;
        let next = self.boot(boot).await.context("the next boot")?;
        outcome.healed = Some(ui::json_seconds(began.elapsed()));
        outcome.log.extend(next.lines);
        End::of(&database).await?.ensure_same_as(undisturbed).context("after the next boot")?;
        outcome.converged = true;
        Ok(())
    }

    /// A boot that meets the fault.
    async fn disturbed(
        &self,
        point: Point,
        database: &Database,
        server: Option<&str>,
        outcome: &mut Outcome,
    ) -> anyhow::Result<Ended> {
        let (come, coming) = oneshot::channel();
        let (done, wait) = mpsc::channel();
        let call = move || {
            // All messages wait until the deed is done, or the boot has ended and nobody is there to do it.
            if come.send(()).is_ok() {
                wait.recv_timeout(BOUND).ok();
            }
        };
        let (action, position) = match point.kind {
            Kind::Cut => (Action::Reset, Position::Before),
            Kind::CutInside => (Action::Close, Position::Middle),
            Kind::Frozen => (Action::Freeze, Position::Before),
            Kind::BootKilled | Kind::NodeKilled | Kind::ServerKilled => {
                (Action::Call(Box::new(call)), Position::Before)
            }
        };
        let fault = Fault { direction: point.direction, n: point.n, position, action };
        let proxy = Proxy::start(self.gateway, database.address(), Some(fault))?;
        let boot = through(BootSpec::new(&self.setting, "disturbed", database), proxy.address());
        let boot = with_files(boot, self.scenario)?.start(&self.setting, Some(self.network.clone())).await?;
        let ends = boot.ended(PATIENCE);
        tokio::pin!(ends);
        let ended = tokio::select! {
            ended = &mut ends => ended,
            Ok(()) = coming => {
                let result = self.harm(point.kind, &boot, server).await;
                done.send(()).ok();
                match result {
                    Ok(()) => ends.await,
                    Err(error) => Err(error),
                }
            }
        };
        let now = Instant::now();
        self.setting.engine.remove(&boot.id).await?;
        if let Some(hit) = proxy.hit() {
            outcome.hit = Some(hit.message.kind);
            outcome.seconds = Some(ui::json_seconds(now.duration_since(hit.at)));
        }
        ended
    }

    async fn harm(&self, kind: Kind, boot: &Container, server: Option<&str>) -> anyhow::Result<()> {
        match kind {
            Kind::BootKilled => boot.kill("KILL").await,
            // It may not run yet, or not any more: then the boot goes on.
            Kind::NodeKilled => boot.exec(&["sh", "-c", KILL_NODE]).await.map(drop),
            _ => self.setting.engine.kill(server.context("a server of its own")?, "KILL").await,
        }
    }

    /// A boot that nothing disturbs.
    async fn boot(&self, spec: BootSpec) -> anyhow::Result<Ended> {
        let boot = spec.command(["boot"]).start(&self.setting, Some(self.network.clone())).await?;
        let ended = boot.ended(PATIENCE).await;
        self.setting.engine.remove(&boot.id).await?;
        let ended = ended?;
        ensure!(ended.code == 0, "it ended with {}: {}", ended.code, ended.last_line());
        Ok(ended)
    }
}

/// A machine that is not in its engine's networks, so that no container reaches a proxy here.
#[derive(Debug)]
pub(crate) struct NoGateway(SocketAddr, std::io::Error);

impl std::fmt::Display for NoGateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "no proxy can listen at {}, this machine's address in the engine's network ({}): run it on the machine that \
             the engine runs on, not beside a virtual one",
            self.0.ip(),
            self.1
        )
    }
}

impl std::error::Error for NoGateway {}

/// What is wrong with how a disturbed boot ended.
fn judge(point: Point, ended: &Ended) -> anyhow::Result<()> {
    let last = ended.last_line();
    if ended.code == 0 || (point.kind == Kind::BootKilled && ended.code == 137) {
        return Ok(());
    }
    let line = LogLine::parse(last).with_context(|| format!("its last line is none of the boot's: {last}"))?;
    let exit = ExitCode::from_code(ended.code).with_context(|| format!("{} is no exit code", ended.code))?;
    ensure!(line.event == Event::Failed(exit.code()), "the last line says another exit code than {exit:?}: {last}");
    ensure!(point.kind.allows(line.phase, exit), "{exit:?} ({}) is wrong in {}: {last}", ended.code, line.phase);
    ensure!(!line.message.is_empty(), "the last line names no cause: {last}");
    Ok(())
}

/// Through the proxy, and with little patience.
fn through(boot: BootSpec, proxy: SocketAddr) -> BootSpec {
    boot.variable("DB_HOST", proxy.ip().to_string())
        .variable("DB_PORT", proxy.port().to_string())
        .variable("BOOT_DATABASE_TIMEOUT", ANSWER.to_string())
        .command(["boot"])
}

/// What an upgrade brings.
fn with_files(boot: BootSpec, scenario: Scenario) -> anyhow::Result<BootSpec> {
    if scenario == Scenario::Cold {
        return Ok(boot);
    }
    let migration = "create table public.swept (id integer primary key, note text);\n\
                     insert into public.swept values (1, 'before the sweep');\n";
    Ok(boot
        .file(SNAPSHOT_FILE, with_one_more_field(Schema::snapshot_document()?)?.to_string())
        .file(&format!("{DB_INIT_DIR}/900_swept.sql"), migration))
}

/// The snapshot with one more field, made of one that it has.
fn with_one_more_field(mut snapshot: Value) -> anyhow::Result<Value> {
    let fields = snapshot["fields"].as_array_mut().context("the snapshot has no fields")?;
    let is_plain = |field: &&Value| {
        let column = &field["schema"];
        column["is_nullable"] == true
            && column["is_unique"] == false
            && column["foreign_key_table"].is_null()
            && !field["collection"].as_str().unwrap_or_default().starts_with("directus_")
    };
    let mut field = fields.iter().find(is_plain).context("the snapshot has no plain field")?.clone();
    field["field"] = json!(NEW_FIELD);
    field["schema"]["name"] = json!(NEW_FIELD);
    field["meta"]["field"] = json!(NEW_FIELD);
    fields.push(field);
    Ok(snapshot)
}

/// The name of the field that an upgrade brings.
const NEW_FIELD: &str = "swept";

/// What a scenario's databases are called. Two sweeps may share a server, but no network.
fn name(network: &str, scenario: Scenario) -> String {
    format!("sweep-{}-{}", scenario.name(), network.chars().take(8).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_has_one_more_field_and_nothing_else() {
        let old = Schema::snapshot_document().unwrap();
        let mut new = with_one_more_field(old.clone()).unwrap();
        let field = new["fields"].as_array_mut().unwrap().pop().unwrap();
        assert_eq!(new, old);
        assert_eq!((&field["field"], &field["schema"]["name"]), (&json!("swept"), &json!("swept")));
    }

    fn ended(code: i64, line: &str) -> Ended {
        Ended { code, lines: vec![line.to_owned()] }
    }

    #[test]
    fn only_a_line_with_phase_and_the_right_code_will_do() {
        let cut = Point { kind: Kind::Cut, direction: pg_fault_proxy::Direction::ToServer, n: 1 };
        let lost = "[entrypoint] 5/8 bootstrap failed: the connection to PostgreSQL was lost: gone (exit 23)";
        assert!(judge(cut, &ended(23, lost)).is_ok());
        let wrong = |code, line| judge(cut, &ended(code, line)).unwrap_err().to_string();
        assert!(wrong(22, lost).contains("says another exit code"));
        assert!(wrong(1, "[entrypoint] 5/8 bootstrap failed: x (exit 1)").contains("is wrong in bootstrap"));
        assert!(wrong(137, "Killed").contains("none of the boot's"));
        assert!(judge(Point { kind: Kind::BootKilled, ..cut }, &ended(137, "anything")).is_ok());
    }
}
