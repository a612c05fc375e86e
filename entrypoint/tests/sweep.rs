//! The sweep: a boot is cut off at each message of its conversation with PostgreSQL, or killed, or its server goes away
//! or falls silent. Whichever message it is, it ends in time and says why, and the next boot makes everything good.
//!
//! The bridge's double does nothing to the database, so these are the messages of the boot's own phases, all of them.
//! What Directus says is swept by `cargo xtask sweep`, with the image.
//!
//! `SWEEP_FULL=1` takes every kind of fault at every message, which takes an hour.

mod common;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Database, Image, run};
use contract::{Event, ExitCode, LogLine, Phase};
use pg_fault_proxy::{Action, Direction, Fault, Position, Proxy, Trace};

/// How long a boot may take to end after a fault, and the next one to make it good; measured, they take a second.
const BOUND: Duration = Duration::from_secs(15);
/// How many points are tried at once: a boot waits for PostgreSQL's disk more than it works.
const WORKERS: usize = 6;

/// What happens at a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The connection is broken.
    Reset,
    /// The connection is closed with half of the message passed.
    Half,
    /// The server is gone, for good.
    Down,
    /// The boot is killed with SIGKILL.
    Killed,
    /// Nothing is heard of the server any more.
    Frozen,
}

impl Kind {
    /// Every how many messages it is tried, beside the cuts where the conversation turns.
    fn every(self) -> usize {
        match self {
            Kind::Reset => 16,
            Kind::Killed => 12,
            Kind::Half => 24,
            Kind::Down => 32,
            Kind::Frozen => 96,
        }
    }

    /// The exit codes that are right, each in its phases. Done is right, too, if all is done: what was cut off may have
    /// been needed no more, or was tried again.
    fn is_right(self, phase: Phase, code: ExitCode) -> bool {
        match code {
            // A connection that is cut off while it is made is made again, as long as there is somebody to make it with.
            // The lock's phase makes a second one, to see whether a pooler stands between.
            ExitCode::DatabaseUnreachable => phase <= Phase::Lock && matches!(self, Kind::Down | Kind::Frozen),
            ExitCode::DatabaseLost => phase > Phase::Database,
            _ => false,
        }
    }
}

/// One fault.
#[derive(Clone, Copy, Debug)]
struct Point {
    kind: Kind,
    direction: Direction,
    n: usize,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at message {} {}", self.kind, self.n, self.direction)
    }
}

/// Every point of a boot that has said so much.
///
/// What is done and what is known of it changes where the conversation turns: with a question that has not come yet, and
/// with the first word of an answer that is not heard. The boot is cut off at every message, or at `every` so many of
/// these turns; the other faults come at fewer.
fn points(trace: &Trace, density: Density) -> Vec<Point> {
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
    let (cuts, every) = match density {
        Density::EveryMessage => (all.clone(), 3),
        Density::Turns(every) => (turns.into_iter().step_by(every).collect(), every),
    };
    let point = |kind, (direction, n)| Point { kind, direction, n };
    let mut points = Vec::new();
    if !full {
        points.extend(cuts.into_iter().map(|at| point(Kind::Reset, at)));
    }
    for kind in [Kind::Reset, Kind::Half, Kind::Down, Kind::Killed, Kind::Frozen] {
        // Odd, or it would meet one direction more often than the other.
        let every = if full { 1 } else { (kind.every() * every) | 1 };
        // The last one is always among them.
        points.extend(all.iter().rev().step_by(every).map(|at| point(kind, *at)));
    }
    points
}

/// Where a boot is cut off.
#[derive(Clone, Copy)]
enum Density {
    /// At every message.
    EveryMessage,
    /// At every so many turns of the conversation. Odd, or all would be of one direction.
    Turns(usize),
}

/// A boot that is to be swept: from that database, with these parts.
struct Scenario {
    name: &'static str,
    start: Database,
    image: Image,
    /// Where it is cut off.
    density: Density,
}

/// How a boot ended.
struct Ended {
    status: ExitStatus,
    took: Duration,
    output: String,
}

impl Ended {
    fn last_line(&self) -> Option<LogLine> {
        self.output.lines().last().and_then(LogLine::parse)
    }
}

/// What came of a sweep.
#[derive(Default)]
struct Found {
    tried: usize,
    hit: usize,
    failures: Vec<String>,
    slowest: Duration,
    slowest_heal: Duration,
    /// How often which exit code in which phase.
    ends: BTreeMap<String, usize>,
}

impl Scenario {
    /// Tries every point, and panics with all that was wrong.
    fn sweep(&self) {
        let (trace, undisturbed) = self.undisturbed();
        let points = points(&trace, self.density);
        println!("{}: {} points over {} messages", self.name, points.len(), trace.messages.len());
        let began = Instant::now();
        let (next, found) = (AtomicUsize::new(0), Mutex::new(Found::default()));
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    // One copy at a time is made of a database, so each worker copies one of its own.
                    let start = block_on(self.start.copy());
                    while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                        self.try_point(*point, &start, &undisturbed, &found);
                    }
                    block_on(async { drop(start) });
                });
            }
        });
        let found = found.into_inner().expect("no worker panics with it in its hand");
        println!(
            "{}: {} + {} messages, {} connections; {} points tried, {} hit, {} wrong, in {:.1} s; slowest end {:.2} s, \
             slowest healing boot {:.2} s; ends {:?}",
            self.name,
            trace.count(Direction::ToServer),
            trace.count(Direction::ToClient),
            trace.connections(),
            found.tried,
            found.hit,
            found.failures.len(),
            began.elapsed().as_secs_f64(),
            found.slowest.as_secs_f64(),
            found.slowest_heal.as_secs_f64(),
            found.ends,
        );
        assert_eq!(found.tried, points.len());
        // A boot on a busy machine may ask once less; a sweep that meets nothing proves nothing.
        assert!(found.hit * 10 >= found.tried * 9, "only {} of {} faults came", found.hit, found.tried);
        let failures = found.failures;
        assert!(failures.is_empty(), "{} of {}:\n\n{}", failures.len(), points.len(), failures.join("\n\n"));
    }

    /// What a boot says that nothing disturbs, and what it leaves.
    fn undisturbed(&self) -> (Trace, String) {
        block_on(async {
            let database = self.start.copy().await;
            let proxy = Proxy::start(loopback(), server(&database), None).expect("a free port");
            let ended = run(&mut self.image.boot(&through(&proxy, &database)));
            assert_eq!(ended.code, 0, "{}", ended.output);
            (proxy.trace(), end_state(&database).await)
        })
    }

    fn try_point(&self, point: Point, start: &Database, undisturbed: &str, found: &Mutex<Found>) {
        let database = block_on(start.copy());
        let (disturbed, hit) = self.disturbed(point, &database);
        let began = Instant::now();
        let result = match &disturbed {
            Err(reason) => Err(reason.clone()),
            Ok(ended) => self.judge(point, ended, &database, undisturbed),
        };
        let healing = began.elapsed();
        block_on(async { drop(database) });

        let mut found = found.lock().expect("no worker panics with it in its hand");
        found.tried += 1;
        found.hit += usize::from(hit);
        found.slowest_heal = found.slowest_heal.max(healing);
        let mut output = String::new();
        if let Ok(ended) = disturbed {
            found.slowest = found.slowest.max(ended.took);
            let end = match (ended.status.code(), ended.last_line()) {
                (Some(code), Some(line)) => format!("{code} in {}", line.phase),
                _ => "killed".to_owned(),
            };
            *found.ends.entry(end).or_default() += 1;
            output = ended.output;
        }
        if let Err(reason) = result {
            found.failures.push(format!("{}: {point}: {reason}\n{output}", self.name));
        }
    }

    /// A boot that meets the fault, and whether it has met it.
    fn disturbed(&self, point: Point, database: &Database) -> (Result<Ended, String>, bool) {
        let boot: Arc<OnceLock<Mutex<Child>>> = Arc::default();
        let (action, position) = match point.kind {
            Kind::Reset => (Action::Reset, Position::Before),
            Kind::Half => (Action::Close, Position::Middle),
            Kind::Down => (Action::Down, Position::Before),
            Kind::Frozen => (Action::Freeze, Position::Before),
            Kind::Killed => {
                let boot = Arc::clone(&boot);
                let kill = move || boot.wait().lock().expect("nobody panics with it").kill().expect("it is ours");
                (Action::Call(Box::new(kill)), Position::Before)
            }
        };
        let fault = Fault { direction: point.direction, n: point.n, position, action };
        let proxy = Proxy::start(loopback(), server(database), Some(fault)).expect("a free port");
        // Where there is nothing to wait for, waiting longer shows nothing more.
        let patience = if matches!(point.kind, Kind::Down | Kind::Frozen) { 1 } else { 10 };
        (self.boot(&through(&proxy, database), patience, &boot), proxy.hit().is_some())
    }

    /// A boot that waits for its database for `patience` seconds, and stands in `running` meanwhile. An error is one that
    /// did not end.
    fn boot(&self, url: &str, patience: u8, running: &OnceLock<Mutex<Child>>) -> Result<Ended, String> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let log = self.image.path(&format!("boot-{}.log", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let output = || std::fs::read_to_string(&log).expect("it was made here");
        let file = File::create(&log).expect("the temporary folder is writable");
        let mut boot = self.image.boot(url);
        boot.env("BOOT_DATABASE_TIMEOUT", patience.to_string()).env("BOOT_LOCK_TIMEOUT", "10").stdout(file);
        let began = Instant::now();
        let child = running.get_or_init(|| Mutex::new(boot.spawn().expect("the binary runs")));
        loop {
            let status = child.lock().expect("nobody panics with it").try_wait().expect("it is ours");
            if let Some(status) = status {
                return Ok(Ended { status, took: began.elapsed(), output: output() });
            }
            if began.elapsed() > BOUND {
                drop(child.lock().expect("nobody panics with it").kill());
                return Err(format!("it did not end within {} s:\n{}", BOUND.as_secs(), output()));
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// What is wrong with how a boot ended, or with what the next one makes of it.
    fn judge(&self, point: Point, ended: &Ended, database: &Database, undisturbed: &str) -> Result<(), String> {
        match ended.status.code() {
            None if point.kind == Kind::Killed => {}
            None => return Err(format!("it ended by {}", ended.status)),
            Some(0) => {
                same(undisturbed, &block_on(end_state(database))).map_err(|d| format!("it exited 0, but {d}"))?
            }
            Some(code) => {
                let line = ended.last_line().ok_or("its last line is none of the boot's")?;
                let exit = ExitCode::from_code(code.into()).ok_or("it has an unknown exit code")?;
                if line.event != Event::Failed(exit.code()) || !point.kind.is_right(line.phase, exit) {
                    return Err(format!("{code} is not the exit code, or {} not the phase", line.phase));
                }
                let causes = ["the connection to PostgreSQL was lost: ", "no answer from 127.0.0.1:"];
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
        same(undisturbed, &block_on(end_state(database)))
            .map_err(|difference| format!("the next boot left {difference}"))
    }
}

/// What is different, line by line.
fn same(undisturbed: &str, found: &str) -> Result<(), String> {
    let only = |one: &str, other: &str| -> Vec<String> {
        one.lines().filter(|line| !other.lines().any(|other| other == *line)).map(str::to_owned).collect()
    };
    if undisturbed == found {
        return Ok(());
    }
    Err(format!("another state: missing {:?}, too much {:?}", only(undisturbed, found), only(found, undisturbed)))
}

/// The catalogue and every row, as text. Of the boot's own tables without serial numbers and times, which differ between
/// two good boots, and of a fingerprint only whether it is there: it is made of transactions' numbers.
async fn end_state(database: &Database) -> String {
    const CATALOGUE: &str = r#"
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
        client.query(CATALOGUE, &[]).await.expect("a catalogue").iter().map(|row| row.get(0)).collect();
    let tables = "select oid::regclass::text, relnamespace = 'boot'::regnamespace from pg_class
                  where relnamespace::regnamespace::text in ('public', 'boot') and relkind = 'r' order by 1";
    for row in client.query(tables, &[]).await.expect("a catalogue") {
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

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

/// The server's address.
fn server(database: &Database) -> SocketAddr {
    let (_, rest) = database.url().rsplit_once('@').expect("a URL with a password");
    let (server, _) = rest.split_once('/').expect("a URL with a database");
    server.to_socket_addrs().expect("a server").next().expect("an address")
}

/// The database's URL through the proxy.
fn through(proxy: &Proxy, database: &Database) -> String {
    let (head, rest) = database.url().rsplit_once('@').expect("a URL with a password");
    let (_, name) = rest.split_once('/').expect("a URL with a database");
    format!("{head}@{}/{name}", proxy.address())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// The parts of the image that all scenarios begin with: four migrations before the schema, one with several statements
/// and one without a transaction, and two after it.
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

/// A database that these parts have been brought to, with rows of somebody's.
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
fn a_first_boot_heals_whichever_message_it_is_cut_off_at() {
    let start = block_on(Database::bootstrapped());
    Scenario { name: "first", start, image: image(), density: Density::EveryMessage }.sweep();
}

#[test]
fn an_upgrade_heals_whichever_message_it_is_cut_off_at() {
    let image = image();
    let start = booted(&image);
    image.write("db-init/005_lengths.sql", "alter table laps add column length int not null default 7;\n");
    image.write("schema.yaml", "version: 1 # with lengths\n");
    Scenario { name: "upgrade", start, image, density: Density::EveryMessage }.sweep();
}

#[test]
fn an_upgrade_of_sql_alone_heals_whichever_message_it_is_cut_off_at() {
    let image = image();
    let start = booted(&image);
    image.write("db-init/post-schema/003_check.sql", "alter table laps add check (speed > 0);\n");
    Scenario { name: "sql", start, image, density: Density::Turns(9) }.sweep();
}

#[test]
fn a_boot_with_nothing_to_do_heals_whichever_message_it_is_cut_off_at() {
    let image = image();
    Scenario { name: "warm", start: booted(&image), image, density: Density::EveryMessage }.sweep();
}
