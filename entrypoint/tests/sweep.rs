//! The sweep: faults at the messages between a boot and PostgreSQL. The connection is lost, the boot is killed, or the
//! server goes away or freezes. Each time the boot must end in time and name the cause, and the next boot must complete
//! the database.
//!
//! The bridge's stand-in does not change the database, so these are all messages of the boot's own phases, and no other.
//! `cargo xtask sweep` covers the messages of Directus, with the image.
//!
//! `SWEEP_FULL=1` injects every kind of fault at every message, which takes an hour; the nightly workflow does.

mod common;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::proxy::{loopback, server, through};
use common::{Database, Image, run};
use contract::{Event, ExitCode, LogLine, Phase};
use pg_fault_proxy::{Action, Direction, Fault, Position, Proxy, Trace};

/// The time limit for a boot with a fault, and for the next boot. Both usually take a second.
const BOUND: Duration = Duration::from_secs(15);
/// Number of boots at the same time: a boot mostly waits for PostgreSQL's disk.
const WORKERS: usize = 6;

/// The kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FaultKind {
    /// The connection is reset.
    Reset,
    /// The connection is closed after half of the message.
    Half,
    /// All connections are reset, and new ones refused.
    Down,
    /// The boot gets SIGKILL.
    Killed,
    /// The server sends nothing any more.
    Frozen,
}

impl FaultKind {
    /// Returns the step, in messages, at which this kind is injected, in addition to the resets at changes of direction.
    fn step(self) -> usize {
        match self {
            FaultKind::Reset => 16,
            FaultKind::Killed => 12,
            FaultKind::Half => 24,
            FaultKind::Down => 32,
            FaultKind::Frozen => 96,
        }
    }

    /// Returns true if a boot may fail with this code in this phase. It may also succeed, if the database is complete:
    /// the lost connection may no longer have been needed, or was opened again.
    fn allows(self, phase: Phase, code: ExitCode) -> bool {
        match code {
            // A connection that fails while it is opened is retried, until the deadline. The lock's phase opens a second
            // one, to detect a pooler.
            ExitCode::DatabaseUnreachable => {
                phase <= Phase::Lock && matches!(self, FaultKind::Down | FaultKind::Frozen)
            }
            ExitCode::DatabaseLost => phase > Phase::Database,
            _ => false,
        }
    }
}

/// A fault, and the message at which it is injected.
#[derive(Clone, Copy, Debug)]
struct FaultPoint {
    kind: FaultKind,
    direction: Direction,
    /// From 1, among the messages of this direction.
    n: usize,
}

impl fmt::Display for FaultPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at message {} {}", self.kind, self.n, self.direction)
    }
}

/// Returns the fault points for the messages of an undisturbed boot.
///
/// The state that a fault leaves depends on the changes of direction: the server has not received the next request yet,
/// or the boot has not received the first message of the reply. Connections are reset at every message, or at some of
/// these turns; other faults are injected at fewer messages.
fn fault_points(trace: &Trace, density: Density) -> Vec<FaultPoint> {
    let mut seen = [0; 2];
    let mut last = None;
    let (mut turns, mut all) = (Vec::new(), Vec::new());
    for message in &trace.messages {
        let direction = message.direction;
        seen[direction as usize] += 1;
        let numbered = (direction, seen[direction as usize]);
        all.push(numbered);
        if last.replace(direction) != Some(direction) {
            turns.push(numbered);
        }
    }
    let full = std::env::var_os("SWEEP_FULL").is_some();
    let (resets, factor) = match density {
        Density::EveryMessage => (all.clone(), 3),
        Density::Turns(step) => (turns.into_iter().step_by(step).collect(), step),
    };
    let mut points = Vec::new();
    if !full {
        points.extend(resets.into_iter().map(|(direction, n)| FaultPoint { kind: FaultKind::Reset, direction, n }));
    }
    for kind in [FaultKind::Reset, FaultKind::Half, FaultKind::Down, FaultKind::Killed, FaultKind::Frozen] {
        // Odd, since an even step would favour one direction.
        let step = if full { 1 } else { (kind.step() * factor) | 1 };
        // From the end, so that the last message is always included.
        points.extend(all.iter().rev().step_by(step).map(|&(direction, n)| FaultPoint { kind, direction, n }));
    }
    points
}

/// The messages at which connections are reset.
#[derive(Clone, Copy)]
enum Density {
    EveryMessage,
    /// Changes of direction, with this step. Odd, since an even step would meet one direction alone.
    Turns(usize),
}

/// A boot to sweep: of this image, from a copy of this database.
struct Scenario {
    name: &'static str,
    start: Database,
    image: Image,
    density: Density,
}

/// A boot that has ended.
struct FaultResult {
    status: ExitStatus,
    took: Duration,
    output: String,
}

impl FaultResult {
    fn last_line(&self) -> Option<LogLine> {
        self.output.lines().last().and_then(LogLine::parse)
    }
}

/// The results of a sweep.
#[derive(Default)]
struct SweepReport {
    tried: usize,
    /// Boots that reached their fault.
    hit: usize,
    failures: Vec<String>,
    slowest: Duration,
    /// The longest time for the next boot and the checks of its state.
    slowest_repair: Duration,
    /// Number of boots by exit code and phase.
    ends: BTreeMap<String, usize>,
}

impl Scenario {
    /// Tries every fault point, and panics with all failures.
    fn sweep(&self) {
        let (trace, undisturbed) = self.undisturbed();
        let points = fault_points(&trace, self.density);
        println!("{}: {} points over {} messages", self.name, points.len(), trace.messages.len());
        let began = Instant::now();
        let (next, report) = (AtomicUsize::new(0), Mutex::new(SweepReport::default()));
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    // PostgreSQL makes one copy of a database at a time, so each worker has its own to copy.
                    let start = block_on(self.start.copy());
                    while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                        self.try_point(*point, &start, &undisturbed, &report);
                    }
                    block_on(async { drop(start) });
                });
            }
        });
        let report = report.into_inner().expect("no worker panics while holding the lock");
        println!(
            "{}: {} + {} messages, {} connections; {} points tried, {} hit, {} wrong, in {:.1} s; slowest end {:.2} s, \
             slowest repair {:.2} s; ends {:?}",
            self.name,
            trace.count(Direction::ToServer),
            trace.count(Direction::ToClient),
            trace.connections(),
            report.tried,
            report.hit,
            report.failures.len(),
            began.elapsed().as_secs_f64(),
            report.slowest.as_secs_f64(),
            report.slowest_repair.as_secs_f64(),
            report.ends,
        );
        assert_eq!(report.tried, points.len());
        // A boot on a busy machine may send a few messages less, and end before its fault.
        assert!(report.hit * 10 >= report.tried * 9, "only {} of {} faults were injected", report.hit, report.tried);
        let failures = report.failures;
        assert!(failures.is_empty(), "{} of {}:\n\n{}", failures.len(), points.len(), failures.join("\n\n"));
    }

    /// Boots without a fault, and returns the messages and the state of the database.
    fn undisturbed(&self) -> (Trace, String) {
        block_on(async {
            let database = self.start.copy().await;
            let proxy = Proxy::start(loopback(), server(&database), None).expect("a free port");
            let ended = run(&mut self.image.boot(&through(&proxy, &database)));
            assert_eq!(ended.code, 0, "{}", ended.output);
            (proxy.trace(), end_state(&database).await)
        })
    }

    fn try_point(&self, point: FaultPoint, start: &Database, undisturbed: &str, report: &Mutex<SweepReport>) {
        let database = block_on(start.copy());
        let (outcome, hit) = self.inject(point, &database);
        let began = Instant::now();
        let result = match &outcome {
            Err(reason) => Err(reason.clone()),
            Ok(ended) => self.check(point, ended, &database, undisturbed),
        };
        let repair = began.elapsed();
        block_on(async { drop(database) });

        let mut report = report.lock().expect("no worker panics while holding the lock");
        report.tried += 1;
        report.hit += usize::from(hit);
        report.slowest_repair = report.slowest_repair.max(repair);
        let mut output = String::new();
        if let Ok(ended) = outcome {
            report.slowest = report.slowest.max(ended.took);
            let end = match (ended.status.code(), ended.last_line()) {
                (Some(code), Some(line)) => format!("{code} in {}", line.phase),
                _ => "killed".to_owned(),
            };
            *report.ends.entry(end).or_default() += 1;
            output = ended.output;
        }
        if let Err(reason) = result {
            report.failures.push(format!("{}: {point}: {reason}\n{output}", self.name));
        }
    }

    /// Boots with the fault. The second value is true if the boot reached it.
    fn inject(&self, point: FaultPoint, database: &Database) -> (Result<FaultResult, String>, bool) {
        let boot: Arc<OnceLock<Mutex<Child>>> = Arc::default();
        let (action, position) = match point.kind {
            FaultKind::Reset => (Action::Reset, Position::Before),
            FaultKind::Half => (Action::Close, Position::Middle),
            FaultKind::Down => (Action::Down, Position::Before),
            FaultKind::Frozen => (Action::Freeze, Position::Before),
            FaultKind::Killed => {
                let boot = Arc::clone(&boot);
                let kill = Action::Call(Box::new(move || lock(boot.wait()).kill().expect("a child of this test")));
                (kill, Position::Before)
            }
        };
        let fault = Fault { direction: point.direction, n: point.n, position, action };
        let proxy = Proxy::start(loopback(), server(database), Some(fault)).expect("a free port");
        // The server never comes back, so that a longer wait would not change the result.
        let timeout = if matches!(point.kind, FaultKind::Down | FaultKind::Frozen) { 1 } else { 10 };
        (self.boot(&through(&proxy, database), timeout, &boot), proxy.hit().is_some())
    }

    /// Boots with a database timeout in seconds. `running` holds the child, so that the proxy can kill it. Fails if
    /// the boot does not end within [`BOUND`].
    fn boot(&self, url: &str, timeout: u8, running: &OnceLock<Mutex<Child>>) -> Result<FaultResult, String> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let log = self.image.path(&format!("boot-{}.log", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let file = File::create(&log).expect("the temporary folder is writable");
        let mut boot = self.image.boot(url);
        boot.env("BOOT_DATABASE_TIMEOUT", timeout.to_string()).env("BOOT_LOCK_TIMEOUT", "10").stdout(file);
        let began = Instant::now();
        let child = running.get_or_init(|| Mutex::new(boot.spawn().expect("the binary runs")));
        loop {
            let status = lock(child).try_wait().expect("a child of this test");
            let took = began.elapsed();
            if status.is_none() && took <= BOUND {
                sleep(Duration::from_millis(5));
                continue;
            }
            let output = std::fs::read_to_string(&log).expect("a log");
            if let Some(status) = status {
                return Ok(FaultResult { status, took, output });
            }
            drop(lock(child).kill());
            return Err(format!("it did not end within {} s:\n{output}", BOUND.as_secs()));
        }
    }

    /// Checks the end of a boot, and the state of the database after the next boot.
    fn check(
        &self,
        point: FaultPoint,
        ended: &FaultResult,
        database: &Database,
        undisturbed: &str,
    ) -> Result<(), String> {
        match ended.status.code() {
            None if point.kind == FaultKind::Killed => {}
            None => return Err(format!("it ended by {}", ended.status)),
            Some(0) => {
                compare_states(undisturbed, &block_on(end_state(database)))
                    .map_err(|difference| format!("it exited with 0, but left {difference}"))?;
            }
            Some(code) => {
                let line = ended.last_line().ok_or("its last line is not one of the boot's")?;
                let exit = ExitCode::from_code(code.into()).ok_or("it has an unknown exit code")?;
                if line.event != Event::Failed(exit.code()) || !point.kind.allows(line.phase, exit) {
                    return Err(format!("exit code {code} is not allowed in the phase {}", line.phase));
                }
                let causes = ["the connection to PostgreSQL was lost: ", "no connection to 127.0.0.1:"];
                if !causes.iter().any(|cause| line.message.starts_with(cause)) {
                    return Err("its last line names no cause".to_owned());
                }
            }
        }
        let next =
            self.boot(database.url(), 10, &OnceLock::new()).map_err(|reason| format!("the next boot: {reason}"))?;
        if !next.status.success() {
            return Err(format!("the next boot ended by {}:\n{}", next.status, next.output));
        }
        compare_states(undisturbed, &block_on(end_state(database)))
            .map_err(|difference| format!("the next boot left {difference}"))
    }
}

/// Locks a child process.
fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().expect("no thread panics while holding the lock")
}

/// Fails with the lines that differ.
fn compare_states(expected: &str, found: &str) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let (missing, unexpected) = (lines_only_in(expected, found), lines_only_in(found, expected));
    Err(format!("another state: missing {missing:?}, unexpected {unexpected:?}"))
}

fn lines_only_in<'a>(text: &'a str, other: &str) -> Vec<&'a str> {
    text.lines().filter(|line| !other.lines().any(|other| other == *line)).collect()
}

/// Returns the catalog and every row, as text. The boot's own tables are without ids and times, which differ between
/// boots, and of a fingerprint, which contains transaction ids, only its presence is included.
async fn end_state(database: &Database) -> String {
    const CATALOG: &str = r#"
        select format('column %s.%s %s %s %s', c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod),
                      a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
        from pg_class c join pg_attribute a on a.attrelid = c.oid
        left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        where c.relnamespace::regnamespace::text in ('public', 'boot') and c.relkind in ('r', 'p', 'v', 'S')
          and a.attnum > 0 and not a.attisdropped
        union all
        select format('index %s %s', indexdef, indisvalid) from pg_indexes
        join pg_index on indexrelid = format('%I.%I', schemaname, indexname)::regclass
        where schemaname in ('public', 'boot')
        union all
        select format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) from pg_constraint
        where connamespace::regnamespace::text in ('public', 'boot')
        order by 1"#;
    let client = database.connect().await;
    let mut lines: Vec<String> =
        client.query(CATALOG, &[]).await.expect("a catalog").iter().map(|row| row.get(0)).collect();
    let tables = "select oid::regclass::text, relnamespace = 'boot'::regnamespace from pg_class
                  where relnamespace::regnamespace::text in ('public', 'boot') and relkind = 'r' order by 1";
    for row in client.query(tables, &[]).await.expect("a catalog") {
        let (table, ours): (String, bool) = (row.get(0), row.get(1));
        let content = if ours {
            "to_jsonb(t) - '{id,applied_at,started_at,finished_at,duration_ms,fingerprint,ledger}'::text[]
             || jsonb_build_object('finished', to_jsonb(t) -> 'finished_at' <> 'null',
                                   'sealed', to_jsonb(t) -> 'fingerprint' <> 'null',
                                   'counted', to_jsonb(t) -> 'ledger' <> 'null')"
        } else {
            "to_jsonb(t)"
        };
        let query = format!("select format('row of {table} %s', {content}) from {table} t order by 1");
        lines.extend(client.query(&query, &[]).await.expect("a table").iter().map(|row| row.get::<_, String>(0)));
    }
    lines.join("\n")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// Creates the image of all scenarios: four migrations before the schema, one with several statements and one without a
/// transaction, and two after it.
fn image() -> Image {
    let image = Image::new();
    image.write(
        "db-init/003_several.sql",
        "create table pits (id int primary key, note text);\n\
         insert into pits select n, 'pit ' || n from generate_series(1, 3) n;\n\
         do $$ begin raise notice 'three pits'; end $$;\n\
         create view busy as select * from pits;\n",
    );
    image.write(
        "db-init/004_alone.sql",
        "-- no-transaction\n\
         create index concurrently if not exists pits_note on pits (note);\n\
         reindex table concurrently pits;\n",
    );
    image.write("db-init/post-schema/002_index.sql", "create index on laps (id, speed);\n");
    image
}

/// Creates a database that this image has booted, with rows in a table.
fn booted(image: &Image) -> Database {
    block_on(async {
        let database = Database::bootstrapped().await;
        let ended = run(&mut image.boot(database.url()));
        assert_eq!(ended.code, 0, "{}", ended.output);
        let rows = "insert into laps select n, n * 1.5 from generate_series(1, 50) n";
        database.connect().await.batch_execute(rows).await.expect("a table");
        database
    })
}

#[test]
fn first_boot_can_be_repeated_after_a_fault_at_any_turn() {
    let start = block_on(Database::bootstrapped());
    Scenario { name: "first", start, image: image(), density: Density::Turns(1) }.sweep();
}

#[test]
fn upgrade_can_be_repeated_after_a_fault_at_any_turn() {
    let image = image();
    let start = booted(&image);
    image.write("db-init/005_lengths.sql", "alter table laps add column length int not null default 7;\n");
    image.write("schema.yaml", "version: 1 # with lengths\n");
    // Most of its messages are those of a first boot, too.
    Scenario { name: "upgrade", start, image, density: Density::Turns(3) }.sweep();
}

#[test]
fn upgrade_of_sql_alone_can_be_repeated_after_a_fault_at_any_turn() {
    let image = image();
    let start = booted(&image);
    image.write("db-init/post-schema/003_check.sql", "alter table laps add check (speed > 0);\n");
    Scenario { name: "sql", start, image, density: Density::Turns(9) }.sweep();
}

#[test]
fn boot_with_nothing_to_do_can_be_repeated_after_a_fault_at_any_message() {
    let image = image();
    Scenario { name: "warm", start: booted(&image), image, density: Density::EveryMessage }.sweep();
}
