//! The program that `cargo xtask bench` runs inside containers: a clock for other programs, and the lower bound that
//! they are compared with. An example, so that it is built exactly like the boot binary, and no image contains it.
//!
//! - `probe witness N` reads the catalog before and after N transactions, like the boot, and prints the seconds.
//! - `probe connect` opens one authenticated connection to PostgreSQL with the variables `DB_*`, ends it, and exits.
//! - `probe clock TIMES -- COMMAND…` runs a command repeatedly, and prints one JSON object: the seconds of each run, the
//!   peak memory of the container in bytes, and the output of the command if it failed.
//! - `probe wait SECONDS LOOK` computes a thousand waits for a lock that is held for these seconds, with looks that take
//!   LOOK seconds and the boot's own pauses: the mean number of looks, the share of the time that a waiting boot is
//!   connected, and how much later than the lock is free it goes on (mean, and 99 of 100).
//! - `probe crowd NUMBER -- COMMAND…` starts a command NUMBER times at once, each time with another host name, and prints
//!   one JSON object: the seconds until the last process has ended, and of each process the exit code, its peak memory in
//!   bytes, and its output.

use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use entrypoint::backoff;
use entrypoint::witness::{DirectusMigrations, LastCatalog, Link, Witness};
use serde_json::json;
use tokio_postgres::{Client, NoTls};

/// Files with the peak memory of this container in bytes: of cgroup v2, and of v1.
const PEAKS: [&str; 2] = ["/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["connect"] => connect(),
        ["witness", transactions] => witness(transactions),
        ["clock", times, "--", program, arguments @ ..] => clock(times, program, arguments),
        ["wait", seconds, look] => wait(seconds, look),
        ["crowd", number, "--", program, arguments @ ..] => crowd(number, program, arguments),
        _ => Err(
            "usage: probe connect | witness N | wait SECONDS LOOK | clock TIMES -- COMMAND… | crowd NUMBER -- COMMAND…"
                .to_owned(),
        ),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn connect() -> Result<(), String> {
    run(async |client| {
        drop(client);
        Ok(())
    })
}

/// Times the witness: the first transaction reads the whole catalog, later ones the changes since. Each transaction
/// creates a table, adds a column to another and fills that, like SQL files; this work is not part of the time.
fn witness(transactions: &str) -> Result<(), String> {
    let transactions: usize = transactions.parse().map_err(|error| format!("{transactions}: {error}"))?;
    run(async |client| {
        let last = LastCatalog::default();
        let mut seconds = 0.0;
        let mut link = Link::Session(&client);
        query(&mut link, "drop schema if exists probe cascade; create schema probe; create table probe.t0 (id int)")
            .await?;
        for number in 1..=transactions {
            let before = number - 1;
            query(&mut link, "begin").await?;
            let began = Instant::now();
            let witness = Witness::begin(&mut link, &last, &[]).await.map_err(|error| error.to_string())?;
            seconds += began.elapsed().as_secs_f64();
            let work = format!(
                "create table probe.t{number} (id int primary key, name text); alter table probe.t{before} add lap int;
                 insert into probe.t{before} (id, lap) values (1, 1), (2, 1)"
            );
            query(&mut link, &work).await?;
            let began = Instant::now();
            witness.end(&mut link, &DirectusMigrations).await.map_err(|error| error.to_string())?;
            seconds += began.elapsed().as_secs_f64();
            query(&mut link, "commit").await?;
        }
        query(&mut link, "drop schema probe cascade").await?;
        println!("{}", json!({ "seconds": [seconds], "peak_bytes": null, "failure": null }));
        Ok(())
    })
}

async fn query(link: &mut Link<'_>, sql: &str) -> Result<(), String> {
    link.rows(sql).await.map(drop).map_err(|error| error.to_string())
}

/// Connects with the variables `DB_*`, does the work, and ends the connection.
fn run(work: impl AsyncFnOnce(Client) -> Result<(), String>) -> Result<(), String> {
    let mut config = tokio_postgres::Config::new();
    config
        .host(variable("DB_HOST")?)
        .port(variable("DB_PORT")?.parse().map_err(|error| format!("DB_PORT: {error}"))?)
        .user(variable("DB_USER")?)
        .password(variable("DB_PASSWORD")?)
        .dbname(variable("DB_DATABASE")?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let (client, connection) = config.connect(NoTls).await.map_err(|error| error.to_string())?;
        let connection = tokio::spawn(connection);
        work(client).await?;
        connection.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    })
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|error| format!("{name}: {error}"))
}

fn clock(times: &str, program: &str, arguments: &[&str]) -> Result<(), String> {
    let times: usize = times.parse().map_err(|error| format!("{times}: {error}"))?;
    let mut seconds = Vec::new();
    let mut failure = None;
    for _ in 0..times {
        let began = Instant::now();
        let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
        seconds.push(began.elapsed().as_secs_f64());
        if !output.status.success() {
            let text = [output.stdout, output.stderr].concat();
            failure = Some(format!("{program}: {}: {}", output.status, String::from_utf8_lossy(&text).trim_end()));
            break;
        }
    }
    let peak = PEAKS.iter().find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    println!("{}", json!({ "seconds": seconds, "peak_bytes": peak, "failure": failure }));
    Ok(())
}

/// Number of computed waits.
const WAITS: usize = 1000;

fn wait(seconds: &str, look: &str) -> Result<(), String> {
    let parse = |text: &str| text.parse().map(Duration::from_secs_f64).map_err(|error| format!("{text}: {error}"));
    let (held, look) = (parse(seconds)?, parse(look)?);
    let (mut looks, mut later) = (0, Vec::new());
    for _ in 0..WAITS {
        let mut waited = backoff::pause(Duration::ZERO, Duration::ZERO) + look;
        looks += 1;
        while waited < held {
            waited += backoff::pause(waited, look) + look;
            looks += 1;
        }
        later.push((waited - held).as_secs_f64());
    }
    later.sort_by(f64::total_cmp);
    let (looks, mean) = (looks as f64 / WAITS as f64, later.iter().sum::<f64>() / WAITS as f64);
    let connected = looks * look.as_secs_f64() / (held.as_secs_f64() + mean);
    println!(
        "{looks:.1} looks, connected for {:.2} % of the time, goes on {mean:.1} s later, 99 of 100 within {:.1} s",
        connected * 100.0,
        later[WAITS * 99 / 100]
    );
    Ok(())
}

/// Interval between two readings of the peak memory of a running process. The kernel keeps the peak, so a reading misses
/// only what a process needs after the last one.
const MEMORY_INTERVAL: Duration = Duration::from_millis(100);

fn crowd(number: &str, program: &str, arguments: &[&str]) -> Result<(), String> {
    let number: usize = number.parse().map_err(|error| format!("{number}: {error}"))?;
    let began = Instant::now();
    let started = (1..=number).map(|index| {
        let mut command = Command::new(program);
        command.args(arguments).env("HOSTNAME", format!("boot-{index}")).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().map_err(|error| format!("{program}: {error}"))
    });
    let children = started.collect::<Result<Vec<Child>, String>>()?;
    let watched: Vec<_> = children.into_iter().map(|child| thread::spawn(|| ended(child))).collect();
    let processes = watched.into_iter().map(|process| process.join().map_err(|_| "a thread panicked".to_owned())?);
    let processes = processes.collect::<Result<Vec<_>, String>>()?;
    println!("{}", json!({ "seconds": began.elapsed().as_secs_f64(), "processes": processes }));
    Ok(())
}

/// Waits for the end of a process.
fn ended(child: Child) -> Result<serde_json::Value, String> {
    let id = child.id();
    let output = thread::spawn(|| child.wait_with_output());
    let mut peak = None;
    while !output.is_finished() {
        peak = peak_memory(id).or(peak);
        thread::sleep(MEMORY_INTERVAL);
    }
    let output = output.join().map_err(|_| "a thread panicked".to_owned())?.map_err(|error| error.to_string())?;
    let text = [output.stdout, output.stderr].concat();
    Ok(json!({ "code": output.status.code(), "peak_bytes": peak, "output": String::from_utf8_lossy(&text) }))
}

/// The peak of a process's resident memory in bytes, without its children.
fn peak_memory(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?;
    Some(kilobytes.parse::<u64>().ok()? * 1024)
}
