//! Many boots at once: a waiting boot holds no connection, and a server without a free one ends no boot.

mod common;

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::proxy::{loopback, server, through};
use common::{BootResult, Database, Image, run};
use contract::ExitCode;
use pg_fault_proxy::{Direction, Proxy, Trace};
use tokio::time::sleep;
use tokio_postgres::Client;

const SLOW_FILE: (&str, &str) = ("db-init/003_slow.sql", "select pg_sleep(1); create table only_once (id int);");

/// Takes the boot lock on a session of the test.
async fn hold_lock(database: &Database) -> Client {
    let holder = database.connect().await;
    holder.execute("set application_name = 'another boot'", &[]).await.expect("a name");
    holder.execute("select pg_advisory_lock($1)", &[&contract::LOCK_KEY]).await.expect("free");
    holder
}

/// Ends the transaction of that session, if there is one, and releases the lock.
async fn release(holder: Client) {
    holder.batch_execute("rollback; select pg_advisory_unlock_all()").await.expect("it is connected");
}

/// Returns the number of connections of boots to this database.
async fn connections(client: &Client) -> i64 {
    let query = "select count(*) from pg_stat_activity
                 where application_name like 'boot of %' and datname = current_database()";
    client.query_one(query, &[]).await.expect("an answer").get(0)
}

fn start(image: &Image, url: &str) -> Child {
    image.boot(url).stdout(Stdio::piped()).spawn().expect("the binary runs")
}

fn ended(boots: Vec<Child>) -> Vec<BootResult> {
    let ended: Vec<BootResult> =
        boots.into_iter().map(|boot| BootResult::of(boot.wait_with_output().expect("it ends"))).collect();
    for boot in &ended {
        assert_eq!(boot.code, 0, "{}", boot.output);
    }
    ended
}

#[tokio::test]
async fn twenty_boots_that_may_have_four_connections_all_succeed() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    image.write(SLOW_FILE.0, SLOW_FILE.1);
    let (client, parts) = (database.connect().await, database.connection_parts());
    let role = format!("crowd_{}", parts.database);
    let create = format!(
        "create role {role} login password 'p' connection limit 4;
         grant all on database {} to {role}; grant all on schema public to {role};
         grant all on all tables in schema public to {role}",
        parts.database
    );
    client.batch_execute(&create).await.expect("the test role is a superuser");
    let url = format!("postgres://{role}:p@{}/{}", parts.server(), parts.database);
    let ended = ended((0..20).map(|_| start(&image, &url)).collect());
    client.batch_execute(&format!("drop owned by {role}; drop role {role}")).await.expect("the role is ours");
    let applied = ended.iter().filter(|boot| boot.output.contains("db-init: 3 applied, 0 skipped")).count();
    assert_eq!(applied, 1);
    let refused = ended.iter().filter(|boot| boot.output.contains("(53300)")).count();
    assert!(refused > 0, "the limit was never reached");
}

#[tokio::test]
async fn waiting_boots_hold_no_connection_for_most_of_the_time() {
    const BOOTS: usize = 5;
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let holder = hold_lock(&database).await;
    let boots = (0..BOOTS).map(|_| start(&image, database.url())).collect();
    sleep(Duration::from_secs(3)).await;
    let mut open = Vec::new();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        open.push(connections(&holder).await);
        sleep(Duration::from_millis(20)).await;
    }
    release(holder).await;
    let mean = open.iter().sum::<i64>() as f64 / open.len() as f64;
    assert!(open.contains(&0) && mean < 1.0, "{mean} connections on average: {open:?}");
    let ended = ended(boots);
    for (line, expected) in [
        ("3/8 lock: waiting for another boot (pid ", BOOTS),
        ("3/8 lock: free now", 1),
        ("3/8 lock: not needed, another boot did the work", BOOTS - 1),
    ] {
        let number = ended.iter().filter(|boot| boot.output.contains(line)).count();
        assert!(number == expected, "{number} logs have `{line}`");
    }
}

#[tokio::test]
async fn locked_tables_do_not_keep_a_waiting_boot_connected() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    assert_eq!(run(&mut image.boot(database.url())).code, 0);
    image.write(SLOW_FILE.0, SLOW_FILE.1);
    // PostgreSQL shows a transaction the same activity until it ends.
    let (holder, observer) = (hold_lock(&database).await, database.connect().await);
    holder.batch_execute("begin; lock table directus_migrations").await.expect("the table exists");
    let boot = start(&image, database.url());
    let began = Instant::now();
    while connections(&observer).await == 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "the boot did not connect");
        sleep(Duration::from_millis(10)).await;
    }
    while connections(&observer).await > 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "the boot stays connected");
        sleep(Duration::from_millis(10)).await;
    }
    release(holder).await;
    for boot in ended(vec![boot]) {
        assert!(boot.output.contains("waiting for a session that has locked Directus' tables"), "{}", boot.output);
        assert!(boot.output.contains("db-init: 1 applied, 2 skipped"), "{}", boot.output);
    }
}

/// Returns the number of times that a connection waited for the server.
fn round_trips(trace: &Trace, connection: usize) -> usize {
    let directions = trace.messages.iter().filter(|message| message.connection == connection);
    let directions: Vec<Direction> = directions.map(|message| message.direction).collect();
    directions.windows(2).filter(|pair| *pair == [Direction::ToServer, Direction::ToClient]).count()
}

#[tokio::test]
async fn a_look_at_the_lock_takes_one_round_trip_more_than_a_connection() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    assert_eq!(run(&mut image.boot(database.url())).code, 0);
    let proxy = Proxy::start(loopback(), server(&database), None).expect("a free port");
    let warm = run(&mut image.boot(&through(&proxy, &database)));
    // Startup, two messages of SCRAM, the settings, and the query that finds everything in place.
    assert_eq!((warm.code, proxy.trace().connections(), round_trips(&proxy.trace(), 1)), (0, 1, 5), "{}", warm.output);

    image.write(SLOW_FILE.0, SLOW_FILE.1);
    let _holder = hold_lock(&database).await;
    let proxy = Proxy::start(loopback(), server(&database), None).expect("a free port");
    let ended = run(image.boot(&through(&proxy, &database)).env("BOOT_LOCK_TIMEOUT", "1"));
    ended.assert_failed("lock", ExitCode::LockTimeout, &["another boot", "BOOT_LOCK_TIMEOUT"]);
    let trace = proxy.trace();
    let looks: Vec<usize> = (1..=trace.connections()).map(|connection| round_trips(&trace, connection)).collect();
    // The first look also asks if there is work, and it and the last one for the holder.
    let [_, others @ .., _] = looks.as_slice() else { panic!("{looks:?}") };
    assert!(!others.is_empty() && others.iter().all(|&number| number == 5), "{looks:?}");
}
