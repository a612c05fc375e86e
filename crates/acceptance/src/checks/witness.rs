//! Losses: data that a boot destroys without announcement is restored by a rollback, for any cause.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use contract::{BINARY, ExitCode, LOCK_KEY, Phase};
use serde_json::{Value, json};

use crate::check::{Check, Need};
use crate::data_integrity;
use crate::database::TestDatabase;
use crate::failpoint::IN_SLOW_FILE;
use crate::sample::{self, Sample, entry};
use crate::suite_context::PATIENCE;
use crate::test_context::TestContext;
use testbed::ui;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "undeclared-loss",
        promise: "An SQL file that destroys data fails the boot and is rolled back, unless it declares the loss.",
        needs: Need::Nothing,
        run: |test| Box::pin(undeclared_loss(test)),
    },
    Check {
        name: "rolled-back-apply",
        promise: "A schema apply that is incomplete or loses unannounced data is rolled back completely.",
        needs: Need::Nothing,
        run: |test| Box::pin(rolled_back_apply(test)),
    },
    Check {
        name: "lock-is-kept",
        promise: "No SQL file can release the boot lock, and a boot that loses it rolls back.",
        needs: Need::Nothing,
        run: |test| Box::pin(lock_is_kept(test)),
    },
    Check {
        name: "rehearse",
        promise: "A plan waits for no reader, a rehearsal reports real losses and locks, and neither changes anything.",
        needs: Need::Nothing,
        run: |test| Box::pin(rehearse(test)),
    },
];

/// Statements that destroy data of the sample, each with the directive that declares the loss and the loss as reported.
/// As files with directives, they can be applied in this order.
const LOSSES: &[(&str, &str, &str)] = &[
    (
        "alter table sponsors alter budget type integer",
        "column sponsors.budget",
        "column sponsors.budget (numeric to integer) (7 values)",
    ),
    (
        "alter table sponsors alter name type varchar(4) using left(name, 4)",
        "column sponsors.name",
        "column sponsors.name (text to character varying(4)) (7 values)",
    ),
    ("delete from sponsors where id > 4", "rows of sponsors", "rows of sponsors (3 rows)"),
    ("alter table sponsors drop column name", "column sponsors.name", "column sponsors.name (7 values)"),
    ("truncate visits", "rows of visits", "rows of visits (5 rows)"),
    ("drop table sponsors", "table sponsors", "table sponsors (7 rows)"),
];

/// Statements that need no directive, because they destroy no value.
const HARMLESS: &str = "update sponsors set name = name || ' Ltd' where id <= 2;
    alter table sponsors drop column logo;
    alter table sponsors alter id type bigint;
    alter table empty drop column note;
    create table scratch (id integer);
    drop table scratch;
    create table moved as select * from visits;
    drop table moved;";

async fn undeclared_loss(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.empty_database("main").await?;
    test.run(Sample::new()?.boot(test, "first", &database)).await?.expect_success("the first boot")?;
    let before = test.dump(&database).await?;
    for (number, (statement, directive, loss)) in LOSSES.iter().enumerate() {
        let name = file_name(number);
        let sample = Sample::new()?.file(&name, statement);
        let ended = test.run(sample.boot(test, &format!("undeclared-{number}"), &database)).await?;
        let words = [name.as_str(), loss, &format!("`-- destroys: {directive}`"), "rolled back"];
        ended
            .expect_failure(Phase::DbInit, ExitCode::SchemaRefused, &words)
            .with_context(|| (*statement).to_owned())?;
        test.expect_same_dump(&database, &before, &format!("refused, but not undone: {statement}")).await?;
        test.line(ended.last_line());
    }
    test.figure("refused with pg_dump identical", LOSSES.len().to_string());

    for (number, (sql, words)) in REFUSED.iter().enumerate() {
        let sample = Sample::new()?.file("020_refused.sql", sql);
        let ended = test.run(sample.boot(test, &format!("refused-{number}"), &database)).await?;
        let code = i64::from(ExitCode::MigrationsInvalid.code());
        ensure!(ended.code == code, "the exit code is {}, not {code}: {sql}: {}", ended.code, ended.last_line());
        ensure!(ended.last_line().contains(words), "the last line does not contain `{words}`: {}", ended.last_line());
        test.expect_same_dump(&database, &before, &format!("refused, but not undone: {sql}")).await?;
        test.line(ended.last_line());
    }

    let mut sample = Sample::new()?.file("010_harmless.sql", HARMLESS);
    for (number, (statement, directive, _)) in LOSSES.iter().enumerate() {
        sample = sample.file(&file_name(number), &format!("-- destroys: {directive}\n{statement}"));
    }
    let sample = sample.file("990_idle.sql", "-- destroys: table sponsors, rows of empty\nselect 1");
    let ended = test.run(sample.boot(test, "declared", &database)).await?;
    ended.expect_success("the declared losses")?;
    ended.expect(Phase::DbInit, &format!("{} applied", LOSSES.len() + 2))?;
    test.line_with(&ended.lines, "010_harmless.sql: updated 2 rows of sponsors")?;
    for idle in ["table sponsors", "rows of empty"] {
        test.line_with(&ended.lines, &format!("warning: 990_idle.sql: it declares `-- destroys: {idle}`"))?;
    }
    let left =
        database.value("select format('%s, %s', to_regclass('sponsors'), (select count(*) from visits))").await?;
    ensure!(left == ", 0", "the declared losses were not carried out: {left}");
    Ok(())
}

/// Files that a rollback cannot undo, or that hide their losses, each with words of the error. None of them is run.
const REFUSED: &[(&str, &str)] = &[
    ("-- no-transaction\ndelete from visits", "DELETE does not need `-- no-transaction`"),
    ("-- no-transaction\ndo $$ begin truncate visits; commit; end $$", "TRUNCATE in a DO block that commits"),
    ("-- no-transaction\n-- destroys: rows of visits\nvacuum visits", "may not destroy anything"),
    ("-- no-transaction\ndiscard all", "DISCARD ALL"),
    ("set track_counts = off;\ndelete from visits", "track_counts"),
];

/// The name of the file with the loss of this index in [`LOSSES`].
fn file_name(number: usize) -> String {
    format!("9{number}0_loss.sql")
}

/// A trigger that does something unannounced in every transaction that inserts into `directus_fields`.
fn trap(body: &str) -> String {
    format!(
        "create function trap() returns trigger language plpgsql as $trap$ begin {body} end $trap$;
         create trigger trap before insert on directus_fields for each row execute function trap()"
    )
}

/// Losses in the transaction of an apply. Directus tracks the rows only, so that a second plan notices no other loss.
const TRAP: &str = "drop table if exists visits;
    alter table sponsors drop column if exists budget, drop constraint if exists sponsors_pkey;
    delete from laps where id > 8;
    return new;";
/// The losses of [`TRAP`] as reported.
const TRAPPED: &[&str] = &[
    "table visits (5 rows)",
    "column sponsors.budget (7 values)",
    "primary key sponsors_pkey on sponsors (id)",
    "rows of laps (4 rows)",
];

async fn rolled_back_apply(test: &mut TestContext) -> anyhow::Result<()> {
    let source = test.empty_database("main").await?;
    test.run(Sample::new()?.boot(test, "first", &source)).await?.expect_success("the first boot")?;
    source.execute(sample::ROWS).await?;
    source.become_template().await?;
    let sample = Sample::new()?.snapshot(with_wind()?);

    let trapped = source.copy(&format!("{}-trapped", source.name)).await?;
    trapped.execute(&trap(TRAP)).await?;
    let (before, rows_before) = (content(test, &trapped).await?, data_integrity::fingerprints(&trapped).await?);
    let ended = test.run(sample.boot(test, "unannounced", &trapped)).await?;
    data_integrity::unchanged(&rows_before, &data_integrity::fingerprints(&trapped).await?)
        .context("after unannounced losses")?;
    let words = ["rolled back", "SCHEMA_ALLOW_DESTRUCTIVE="];
    ended.expect_failure(Phase::Schema, ExitCode::SchemaRefused, &words).context("unannounced losses")?;
    ended.expect_losses(TRAPPED).context("unannounced losses")?;
    test.line(ended.last_line());
    ensure!(content(test, &trapped).await? == before, "unannounced losses: refused, but pg_dump differs");
    test.figure("unannounced losses rolled back", TRAPPED.join(", "));

    let digest = ended.digest()?;
    let allowed = sample.boot(test, "allowed", &trapped).variable("SCHEMA_ALLOW_DESTRUCTIVE", &digest);
    test.run(allowed).await?.expect_success(&format!("allowed by {digest}, the losses"))?;
    let left = trapped.value("select format('%s %s', to_regclass('visits'), (select count(*) from laps))").await?;
    ensure!(left == " 8", "allowed by {digest}, the table visits and the rows of laps are `{left}`");

    // The row for the new field is never inserted.
    let database = source.copy(&format!("{}-diverged", source.name)).await?;
    database.execute(&trap("if new.field = 'wind' then return null; end if; return new;")).await?;
    let before = content(test, &database).await?;
    let ended = test.run(sample.boot(test, "diverged", &database)).await?;
    let words = ["laps.wind", "rolled back"];
    ended.expect_failure(Phase::Schema, ExitCode::SchemaDiverged, &words)?;
    test.line(ended.last_line());
    ensure!(content(test, &database).await? == before, "not applied as planned, but pg_dump differs");
    test.figure("exit code 44", "pg_dump identical before and after");
    lossy_installation(test).await
}

/// Directus' installation destroys a table that does not belong to Directus.
async fn lossy_installation(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.empty_database("installation").await?;
    let trap = "create function trap() returns event_trigger language plpgsql as $trap$ begin
            if to_regclass('public.directus_settings') is not null then drop table if exists sponsors; end if;
        end $trap$;
        create event trigger trap on ddl_command_end when tag in ('CREATE TABLE') execute function trap()";
    let sample = Sample::new()?.file("002_trap.sql", trap);
    for name in ["installation", "installation-again"] {
        let ended = test.run(sample.boot(test, name, &database)).await?;
        let words = ["table sponsors (7 rows)", "rolled back"];
        ended.expect_failure(Phase::Bootstrap, ExitCode::SchemaRefused, &words)?;
        test.line(ended.last_line());
        let left = "select format('%s %s', (select count(*) from sponsors), to_regclass('directus_settings'))";
        let left = database.value(left).await?;
        ensure!(left == "7 ", "after {name}, rows of sponsors and Directus' settings are `{left}`");
    }
    Ok(())
}

/// The sample's snapshot with one more field.
fn with_wind() -> anyhow::Result<Value> {
    let mut snapshot = sample::snapshot()?;
    let wind = sample::field(
        "laps",
        "wind",
        "float",
        json!({ "sort": 6 }),
        Some(json!({ "data_type": "real", "numeric_precision": 24 })),
    );
    snapshot["fields"].as_array_mut().context("the snapshot has no fields")?.push(wind);
    entry(&mut snapshot, "collections", "laps", None)["meta"]["note"] = json!("With the wind");
    Ok(snapshot)
}

/// A dump without the state of sequences, which a rollback does not reset.
async fn content(test: &TestContext, database: &TestDatabase) -> anyhow::Result<String> {
    let dump = test.dump(database).await?;
    Ok(dump.lines().filter(|line| !line.starts_with("SELECT pg_catalog.setval(")).collect::<Vec<_>>().join("\n"))
}

/// SQL files that release every lock of their session and then block the boot.
const RELEASES: [(&str, &str); 2] = [
    ("in a transaction", "select pg_advisory_unlock_all();\ncreate table half (id int);\nselect pg_sleep(600)"),
    (
        "without a transaction",
        "-- no-transaction\ndo $$ begin perform pg_advisory_unlock_all(); commit; perform pg_sleep(600); end $$",
    ),
];

async fn lock_is_kept(test: &mut TestContext) -> anyhow::Result<()> {
    for (index, (name, sql)) in RELEASES.into_iter().enumerate() {
        let database = test.empty_database(&index.to_string()).await?;
        let first = Sample::new()?.file("002_releases.sql", sql);
        let first = test.start(first.boot(test, &format!("first-{index}"), &database)).await?;
        first.wait_until(&database, IN_SLOW_FILE).await.with_context(|| name.to_owned())?;
        let second = Sample::new()?.file("002_quick.sql", "select 1").boot(test, &format!("second-{index}"), &database);
        let ended = test.run(second.variable("BOOT_LOCK_TIMEOUT", "1")).await?;
        ended
            .expect_failure(Phase::Lock, ExitCode::LockTimeout, &["another boot"])
            .with_context(|| format!("{name}, a second boot"))?;
        test.line(format!("{name}: {}", ended.last_line()));

        let began = Instant::now();
        let killed = database.value(&terminate_holder()).await?;
        ensure!(killed == "1", "{name}: {killed} sessions held the boot lock, not 1");
        let ended = first.ended(PATIENCE).await?;
        ended
            .expect_failure(Phase::DbInit, ExitCode::DatabaseLost, &["lock"])
            .with_context(|| format!("{name}, without its lock"))?;
        test.line(ended.last_line());
        test.figure(format!("{name}: lock lost to exit"), ui::seconds(began.elapsed()));
        let half = database.value("select to_regclass('half')").await?;
        let recorded =
            database.value("select count(*) from boot.migrations where filename = '002_releases.sql'").await?;
        ensure!(half.is_empty() && recorded == "0", "{name}: a boot without its lock committed");
    }
    Ok(())
}

/// A query that ends the sessions that hold the boot lock, and returns their number.
fn terminate_holder() -> String {
    format!(
        "select count(pg_terminate_backend(pid)) from pg_locks
         where locktype = 'advisory' and granted and (classid::bigint << 32) + objid::bigint = {LOCK_KEY}
           and database = (select oid from pg_database where datname = current_database())"
    )
}

/// Time limit of a plan while a reader's transaction is open.
const PLAN: Duration = Duration::from_secs(30);

async fn rehearse(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.empty_database("main").await?;
    test.run(Sample::new()?.boot(test, "first", &database)).await?.expect_success("the first boot")?;
    database.execute(sample::ROWS).await?;
    let mut snapshot = with_wind()?;
    snapshot["fields"].as_array_mut().context("the snapshot has no fields")?.retain(|field| field["field"] != "notes");
    let sample = Sample::new()?
        .file("002_announced.sql", "-- destroys: table visits\ndrop table visits")
        .file("003_loss.sql", "delete from sponsors where id > 4")
        .file("004_apart.sql", "-- no-transaction\nvacuum sponsors")
        .snapshot(snapshot);
    let container = test.start(sample.container(test, "rehearsal", &database).command(["sleep", "600"])).await?;
    let before = content(test, &database).await?;

    let mut reader = database.connect().await?;
    let reading = reader.transaction().await?;
    reading.batch_execute(READ_EVERYTHING).await?;
    let began = Instant::now();
    let plan = tokio::time::timeout(PLAN, container.json(&["plan", "--json"])).await;
    let (code, document) = plan.context("plan waits for a reader's transaction")??;
    ensure!(code == i64::from(ExitCode::SchemaRefused.code()), "plan ended with {code}: {document}");
    test.figure("plan during a reader's open transaction", ui::seconds(began.elapsed()));
    ensure!(content(test, &database).await? == before, "plan has changed the database");
    drop(reading);

    let rehearsal = ["plan", "--rehearse", "--timeout", "60", "--json"];
    let (code, document) = container.json(&rehearsal).await?;
    ensure!(content(test, &database).await? == before, "the rehearsal has changed the database");
    ensure!(code == i64::from(ExitCode::SchemaRefused.code()), "the rehearsal ended with {code}: {document}");
    for (list, words) in [
        ("losses", "table visits"),
        ("losses", "column cars.notes"),
        ("unannounced", "rows of sponsors"),
        ("locks", "laps: AccessExclusiveLock"),
        ("locks", "cars: AccessExclusiveLock"),
        ("skipped", "004_apart.sql"),
    ] {
        let lines = document[list].as_array().with_context(|| format!("the rehearsal has no {list}: {document}"))?;
        let line = lines.iter().filter_map(Value::as_str).find(|line| line.starts_with(words));
        let line = line.with_context(|| format!("the rehearsal's {list} do not contain {words}: {document}"))?;
        test.line(format!("{list}: {line}"));
    }

    let slow = Sample::new()?.file("002_slow.sql", "create table slow (id int);\nselect pg_sleep(600)");
    let container = test.start(slow.container(test, "slow", &database).command(["sleep", "600"])).await?;
    let began = Instant::now();
    let (code, output) = container.exec(&[BINARY, "plan", "--rehearse", "--timeout", "3"]).await?;
    let took = began.elapsed();
    ensure!(code == i64::from(ExitCode::SchemaFailed.code()), "the endless rehearsal ended with {code}: {output}");
    ensure!(took < Duration::from_secs(20), "with --timeout 3 the rehearsal took {}", ui::seconds(took));
    database.wait_until(&format!("not {IN_SLOW_FILE}")).await?;
    ensure!(content(test, &database).await? == before, "the interrupted rehearsal has changed the database");
    test.figure("a rehearsal with --timeout 3", ui::seconds(took));
    Ok(())
}

/// Locks every table like a reader.
const READ_EVERYTHING: &str = "do $$ declare t text; begin
    for t in select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('public', 'boot')
    loop execute 'lock table ' || t || ' in access share mode'; end loop; end $$";
