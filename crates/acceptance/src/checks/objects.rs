//! Objects that SQL files created and that change by hand later, and extensions that the server no longer loads.

use anyhow::{Context as _, ensure};
use contract::{ExitCode, Phase};

use crate::check::{Check, Need, NotRun};
use crate::container::{Container, EndedContainer};
use crate::database::TestDatabase;
use crate::test_context::TestContext;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "sql-objects",
        promise: "A boot reports every object of the SQL files that was dropped by hand, with the statement that restores it.",
        needs: Need::Nothing,
        run: |test| Box::pin(sql_objects(test)),
    },
    Check {
        name: "unloaded-extension",
        promise: "A boot reports an extension that the server does not load or lacks the files of, and changes nothing.",
        needs: Need::Nothing,
        run: |test| Box::pin(unloaded_extension(test)),
    },
];

/// A table of an SQL file, with one object of each kind.
const OBJECTS: &str = "\
-- owns-table: probes
create table public.probes (id int primary key, depth real, constraint shallow check (depth < 100));
create index probes_depth on public.probes (depth);
create function public.probe() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger probe before insert on public.probes for each row execute function public.probe();
";
/// Drops one of them each; the first is the last that is dropped.
const DROPS: [&str; 4] = [
    "drop index public.probes_depth",
    "alter table public.probes drop constraint shallow",
    "drop trigger probe on public.probes",
    "alter table public.probes alter depth type double precision",
];
/// The words before the statement that restores an object.
const MISSING: &str = " is missing: ";
/// An extension of PostgreSQL that has to be preloaded, and one that must not be.
const PRELOADED: &str = "pg_stat_statements";
const ON_DEMAND: &str = "pg_trgm";

async fn sql_objects(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.booted_database("objects").await?;
    let first = boot(test, "first", &database, OBJECTS).await?;
    first.expect_success("the boot with the new file")?;
    let warm = boot(test, "warm", &database, OBJECTS).await?;
    warm.expect(Phase::Lock, "not needed")?;
    ensure!(warnings(&warm).is_empty(), "a boot without drift warns: {:?}", warnings(&warm));

    for drop in DROPS {
        database.execute(drop).await?;
    }
    let drifted = boot(test, "drifted", &database, OBJECTS).await?;
    drifted.expect_success("the boot with drift")?;
    drifted.expect(Phase::Lock, "not needed")?;
    let found = warnings(&drifted);
    ensure!(found.len() == DROPS.len(), "{} of {} differences are reported: {found:?}", found.len(), DROPS.len());
    // As an operator would: each statement as the log has it, and by hand where it names the two types.
    for warning in found {
        test.line(warning);
        match warning.split_once(MISSING) {
            Some((_, statement)) => database.execute(statement).await?,
            None => {
                ensure!(warning.contains("`double precision`") && warning.contains("`real`"), "{warning}");
                database.execute("alter table public.probes alter depth type real").await?;
            }
        }
    }
    let restored = boot(test, "restored", &database, OBJECTS).await?;
    restored.expect(Phase::Lock, "not needed")?;
    ensure!(warnings(&restored).is_empty(), "restored objects are still reported: {:?}", warnings(&restored));
    test.figure("objects restored by the statements of the log", DROPS.len().to_string());
    Ok(())
}

async fn unloaded_extension(test: &mut TestContext) -> anyhow::Result<()> {
    let (server, database) = test.own_server().await?;
    for name in [PRELOADED, ON_DEMAND] {
        let offered = format!("exists (select from pg_available_extensions where name = '{name}')");
        if database.value(&offered).await? != "true" {
            return Err(NotRun(format!("the server does not offer the extension {name}")).into());
        }
    }
    let libraries = database.value("current_setting('shared_preload_libraries')").await?;
    let libraries = libraries.split(',').map(str::trim).filter(|name| !name.is_empty()).chain([PRELOADED]);
    let libraries = libraries.map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    database.execute(&format!("alter system set shared_preload_libraries = {libraries}")).await?;
    let database = restart(test, &server, &database).await?;
    let file = format!(
        "-- requires-extension: {PRELOADED}\n-- requires-extension: {ON_DEMAND}\n\
         create extension {PRELOADED};\ncreate extension {ON_DEMAND};\n"
    );
    boot(test, "first", &database, &file).await?.expect_success("the boot with the extensions")?;

    database.execute("alter system reset shared_preload_libraries").await?;
    let control = format!("rm \"$(find / -name {ON_DEMAND}.control -not -path '/proc/*')\"");
    let (code, text) = server.exec(&["sh", "-c", &control]).await?;
    ensure!(code == 0, "{text}");
    let database = restart(test, &server, &database).await?;
    let warm = boot(test, "warm", &database, &file).await?;
    warm.expect_success("the boot without the libraries")?;
    warm.expect(Phase::Lock, "not needed")?;
    for words in [
        format!("the server no longer loads the extension {PRELOADED}, which the database uses: add it to"),
        format!("the server lacks the files of the extension {ON_DEMAND}, which the database uses: start an image"),
    ] {
        test.line_with(&warm.lines, &words)?;
    }

    // A boot with work to do changes nothing.
    let spec = test.boot("work", &database).command(["boot"]).file(&path("objects"), file.as_str());
    let refused = test.run(spec.file(&path("more"), "create table public.more (id int);\n")).await?;
    test.line(refused.last_line());
    let words = ["which the database uses", "nothing was changed", "shared_preload_libraries"];
    // The first of the two in alphabetical order.
    refused.expect_failure(Phase::DbInit, ExitCode::DatabaseRefused, &words)?;
    ensure!(database.value("to_regclass('more')").await?.is_empty(), "the refused boot has created a table");
    Ok(())
}

/// Boots with this SQL file.
async fn boot(
    test: &mut TestContext,
    name: &str,
    database: &TestDatabase,
    file: &str,
) -> anyhow::Result<EndedContainer> {
    test.run(test.boot(name, database).command(["boot"]).file(&path("objects"), file)).await
}

/// The path of an SQL file after all those of a data model.
fn path(name: &str) -> String {
    let number = if name == "objects" { 998 } else { 999 };
    format!("{}/{number}_{name}.sql", contract::DB_INIT_DIR)
}

/// The warnings of phase 4, without their beginning.
fn warnings(ended: &EndedContainer) -> Vec<&str> {
    let warnings = ended.lines.iter().filter_map(|line| line.split_once("db-init: warning: "));
    // A PostgreSQL without an optional extension is named by every boot.
    let of_drift = |warning: &&str| !warning.starts_with("the database has no extension ");
    warnings.map(|(_, warning)| warning).filter(of_drift).collect()
}

/// Restarts a server with other settings.
async fn restart(test: &TestContext, server: &Container, database: &TestDatabase) -> anyhow::Result<TestDatabase> {
    server.stop().await.context("the server does not stop")?;
    test.restart_server(server, database).await
}
