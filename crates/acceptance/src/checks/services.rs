//! Services other than PostgreSQL that the variables name.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use contract::{ExitCode, Phase};
use serde_json::json;
use testbed::api::items_path;
use testbed::base_images::BaseImage;
use testbed::engine::ContainerSpec;
use testbed::schema::DataModel;

use crate::check::{Check, Need};
use crate::container::{BootSpec, Container};
use crate::database::TestDatabase;
use crate::suite_context::PATIENCE;
use crate::test_context::TestContext;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "redis",
        promise: "A boot waits for the Redis that its variables name, and changes nothing while Redis does not answer.",
        needs: Need::Nothing,
        run: |test| Box::pin(redis(test)),
    },
    Check {
        name: "message-bus",
        promise: "A field that is added on one server is known to another one at once, over Redis.",
        needs: Need::Nothing,
        run: |test| Box::pin(message_bus(test)),
    },
];

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

/// The field that one server adds.
const FIELD: &str = "added_over_the_bus";
/// Time in which the other server must know it.
const NOTICE: Duration = Duration::from_secs(5);

async fn message_bus(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.booted_database("main").await?;
    start_redis(test).await?;
    let specs = ["one", "two"].map(|name| with_redis(test.boot(name, &database), PASSWORD));
    let servers = test.start_all(specs.into()).await?;
    let mut apis = Vec::new();
    for server in &servers {
        server.serving().await?;
        apis.push(server.api().await?);
    }
    let snapshot = DataModel::snapshot()?;
    let collection = *snapshot.tables().first().context("the snapshot has no collection with a table")?;
    // The other server has the schema in its memory.
    let path = format!("{}?limit=1&fields={FIELD}", items_path(collection));
    ensure!(apis[1].get(&path).await.is_err(), "{collection} has {FIELD} already");
    apis[0].post(&format!("/fields/{collection}"), json!({ "field": FIELD, "type": "string", "schema": {} })).await?;
    let began = Instant::now();
    while let Err(error) = apis[1].get(&path).await {
        let seconds = NOTICE.as_secs();
        ensure!(began.elapsed() < NOTICE, "the other server does not know the new field after {seconds} s: {error:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    test.figure("known to the other server after", format!("{} ms", began.elapsed().as_millis()));
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
