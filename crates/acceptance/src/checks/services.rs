//! Services other than PostgreSQL that the variables name.

use anyhow::ensure;
use contract::{ExitCode, Phase};
use testbed::base_images::BaseImage;
use testbed::engine::ContainerSpec;

use crate::check::{Check, Need};
use crate::container::{BootSpec, Container};
use crate::database::TestDatabase;
use crate::suite_context::PATIENCE;
use crate::test_context::TestContext;

pub(crate) const CHECKS: &[Check] = &[Check {
    name: "redis",
    promise: "A boot waits for the Redis that its variables name, and changes nothing while Redis does not answer.",
    needs: Need::Nothing,
    run: |test| Box::pin(redis(test)),
}];

/// Host name of Redis in the check's network.
const HOST: &str = "redis";
const PASSWORD: &str = "hunter2-redis";
/// Variables of a Directus that keeps its caches and its bus in Redis.
const STORES: [(&str, &str); 3] =
    [("SYNCHRONIZATION_STORE", "redis"), ("CACHE_STORE", "redis"), ("RATE_LIMITER_STORE", "redis")];

async fn redis(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.empty_database("redis").await?;
    let absent = with_redis(test.boot("absent", &database), PASSWORD).variable("BOOT_DATABASE_TIMEOUT", "2");
    let ended = test.run(absent).await?;
    test.line(ended.last_line());
    let words = ["no connection to Redis at redis:6379 within 2 s", "nothing was changed", "check that Redis runs"];
    ended.expect_failure(Phase::Database, ExitCode::ServiceUnreachable, &words)?;
    untouched(&database).await?;

    // Redis starts after the boot.
    let early = test.start(with_redis(test.boot("early", &database), PASSWORD)).await?;
    test.line(early.wait_for_text("waiting for Redis at redis:6379").await?);
    untouched(&database).await?;
    let server = start_redis(test).await?;
    early.serving().await?;
    test.line(early.wait_for_text("Redis at redis:6379 answers").await?);
    let api = early.api().await?;
    api.get("/users/me").await?;
    let (_, keys) = server.exec(&["redis-cli", "-a", PASSWORD, "--no-auth-warning", "dbsize"]).await?;
    ensure!(keys.trim().parse::<u64>().is_ok_and(|keys| keys > 0), "Directus wrote nothing to Redis: {keys}");
    test.figure("keys of Directus in Redis", keys.trim());

    let ended = test.run(with_redis(test.boot("refused", &database), "hunter2-wrong")).await?;
    test.line(ended.last_line());
    let words = ["Redis at redis:6379 refuses the connection: WRONGPASS", "correct the user and the password"];
    ended.expect_failure(Phase::Database, ExitCode::ServiceUnreachable, &words)?;
    for log in [early.log().await?, ended.lines] {
        ensure!(!log.iter().any(|line| line.contains("hunter2-redis")), "a log contains the password of Redis");
    }
    Ok(())
}

fn with_redis(spec: BootSpec, password: &str) -> BootSpec {
    let spec = spec.variable("REDIS", format!("redis://:{password}@{HOST}:6379"));
    STORES.iter().fold(spec, |spec, (name, value)| spec.variable(name, *value))
}

async fn start_redis(test: &mut TestContext) -> anyhow::Result<Container> {
    let image = BaseImage::redis().resolve(&test.suite.engine).await?;
    let command = ["redis-server", "--bind", "*", "--requirepass", PASSWORD];
    let spec = ContainerSpec {
        image: image.name,
        command: Some(command.map(str::to_owned).to_vec()),
        network: Some((test.network().await?, HOST.to_owned())),
        ..ContainerSpec::default()
    };
    let id = test.suite.engine.create(&test.suite.session, spec).await?;
    let server = Container::of_server(id, HOST, &test.suite);
    test.keep(server.clone());
    server.restart().await?;
    tokio::time::timeout(PATIENCE, server.wait_for_text("Ready to accept connections")).await??;
    Ok(server)
}

/// The boot has created nothing.
async fn untouched(database: &TestDatabase) -> anyhow::Result<()> {
    let tables = database.value("select count(*) from pg_tables where schemaname in ('public', 'boot')").await?;
    ensure!(tables == "0", "the boot created {tables} tables before Redis answered");
    Ok(())
}
