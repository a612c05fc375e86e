//! Rows survive restarts, stale snapshots and repeated boots.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use contract::{ExitCode, Phase};
use serde_json::json;

use crate::check::{Check, Need};
use crate::container::EndedContainer;
use crate::data_integrity;
use crate::database::TestDatabase;
use crate::test_context::TestContext;
use testbed::api::Api;
use testbed::schema::is_system;
use testbed::ui;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "restart-keeps-rows",
        promise: "The rows of every table survive a restart and a boot of another container.",
        needs: Need::Nothing,
        run: |test| Box::pin(restart_keeps_rows(test)),
    },
    Check {
        name: "stale-snapshot",
        promise: "A snapshot that lacks collections is refused and destroys nothing unless that exact plan is allowed.",
        needs: Need::Nothing,
        run: |test| Box::pin(stale_snapshot(test)),
    },
    Check {
        name: "ten-boots",
        promise: "Every table keeps its rows through ten boots, even one that the image does not know.",
        needs: Need::Nothing,
        run: |test| Box::pin(ten_boots(test)),
    },
];

async fn restart_keeps_rows(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.booted_database("main").await?;
    data_integrity::fill(&database).await?;
    let before = data_integrity::fingerprints(&database).await?;
    let container = test.start(test.boot("directus", &database)).await?;
    container.serving().await?;

    let stopped = container.stop().await?;
    let restarted = Instant::now();
    container.restart().await?;
    container.serving().await?;
    test.figure(
        "restart",
        format!("stopped in {}, healthy after {}", ui::seconds(stopped), ui::seconds(restarted.elapsed())),
    );
    data_integrity::unchanged(&before, &data_integrity::fingerprints(&database).await?).context("after a restart")?;
    data_integrity::served(&container.api().await?, &database).await.context("after a restart")?;
    container.stop().await?;

    let ended = test.boot_once("another container", &database).await?;
    ended.expect(Phase::DbInit, &test.suite.migrations.all_skipped(Phase::DbInit))?;
    ended.expect(Phase::Schema, "no changes")?;
    data_integrity::unchanged(&before, &data_integrity::fingerprints(&database).await?)
        .context("after a boot of another container")?;
    test.figure("unchanged by count and SHA-256", data_integrity::describe(&before));
    Ok(())
}

async fn stale_snapshot(test: &mut TestContext) -> anyhow::Result<()> {
    const NEW: [&str; 5] = ["stages", "stage_times", "penalties", "checkpoints", "marshal_posts"];
    let database = test.booted_database("main").await?;
    data_integrity::fill(&database).await?;
    let container = test.start(test.boot("directus", &database)).await?;
    container.serving().await?;
    let api = container.api().await?;
    for collection in NEW {
        add_collection(&api, collection, 3).await?;
    }
    let before = data_integrity::fingerprints(&database).await?;
    let collections = collection_names(&api).await?;

    // The server still serves, as in a rolling update.
    let refused = test.run(test.boot("stale", &database).command(["boot"])).await?;
    let digest = refusal(&refused, &NEW)?;
    for collection in NEW {
        refused.expect_losses(&[&format!("delete collection {collection} (3 rows)")])?;
    }
    test.line(refused.last_line());
    data_integrity::unchanged(&before, &data_integrity::fingerprints(&database).await?)
        .context("after the refused boot")?;
    let after = collection_names(&api).await?;
    ensure!(after == collections, "the collections were {collections:?} and are {after:?}");
    for collection in NEW {
        let rows = api.get(&format!("/items/{collection}")).await?;
        ensure!(
            rows.as_array().is_some_and(|rows| rows.len() == 3),
            "{collection} serves {rows} after the refused boot"
        );
    }
    test.figure(
        "refused",
        format!("exit code {}, five collections named, all {} collections kept", refused.code, collections.len()),
    );
    test.figure("kept", data_integrity::describe(&before));

    // A digest allows one plan only: another plan is refused with another digest.
    add_collection(&api, "jury_decisions", 1).await?;
    let before = data_integrity::fingerprints(&database).await?;
    let other = boot_allowing(test, "other-plan", &database, &digest).await?;
    let other_digest = refusal(&other, &["jury_decisions"])?;
    ensure!(other_digest != digest, "two plans have the digest {digest}");
    data_integrity::unchanged(&before, &data_integrity::fingerprints(&database).await?)
        .context("after the second refused boot")?;
    container.stop().await?;

    let allowed = boot_allowing(test, "allowed", &database, &other_digest).await?;
    allowed.expect_success("the allowed plan")?;
    let mut expected = before;
    expected.retain(|table, _| !NEW.contains(&table.as_str()) && table != "jury_decisions");
    data_integrity::unchanged(&expected, &data_integrity::fingerprints(&database).await?)
        .context("after the allowed boot")?;
    test.line_with(&allowed.lines, "allowed by SCHEMA_ALLOW_DESTRUCTIVE")?;
    test.figure("allowed", format!("{digest} does not allow another plan, {other_digest} allows its own"));
    Ok(())
}

async fn ten_boots(test: &mut TestContext) -> anyhow::Result<()> {
    const BOOTS: u32 = 10;
    let database = test.booted_database("main").await?;
    data_integrity::fill(&database).await?;
    let before = data_integrity::fingerprints(&database).await?;
    let (began, mut longest) = (Instant::now(), Duration::ZERO);
    for number in 1..=BOOTS {
        let one = Instant::now();
        let ended = test.run(test.boot(&format!("boot-{number}"), &database).command(["boot"])).await?;
        ended.expect_success(&format!("boot {number}"))?;
        ended.expect(Phase::Schema, "no changes").with_context(|| format!("boot {number}"))?;
        longest = longest.max(one.elapsed());
    }
    let took = began.elapsed();
    let after = data_integrity::fingerprints(&database).await?;
    data_integrity::unchanged(&before, &after).context("after ten boots")?;
    let owned = test.suite.migrations.files().owned_tables().chain([data_integrity::UNTRACKED]);
    let names: Vec<String> = owned.map(|table| format!("'{table}'")).collect();
    let query = format!("select count(*) from directus_collections where collection in ({})", names.join(", "));
    ensure!(database.value(&query).await? == "0", "Directus tracks a table that is not its own");
    test.figure("before", data_integrity::describe(&before));
    test.figure("after", data_integrity::describe(&after));
    test.figure("ten boots", format!("{}, the longest {}", ui::seconds(took), ui::seconds(longest)));
    Ok(())
}

/// Boots with the plan of this digest allowed.
async fn boot_allowing(
    test: &mut TestContext,
    name: &str,
    database: &TestDatabase,
    digest: &str,
) -> anyhow::Result<EndedContainer> {
    test.run(test.boot(name, database).variable("SCHEMA_ALLOW_DESTRUCTIVE", digest).command(["boot"])).await
}

/// The digest of a refused plan, which must delete these collections.
fn refusal(ended: &EndedContainer, collections: &[&str]) -> anyhow::Result<String> {
    let (code, line) = (ended.code, ended.last_line());
    ensure!(code == i64::from(ExitCode::SchemaRefused.code()), "the stale snapshot ended with {code}: {line}");
    for collection in collections {
        ended.expect_losses(&[&format!("delete collection {collection}")])?;
    }
    ended.digest()
}

/// Creates a collection live, with rows in it.
async fn add_collection(api: &Api, name: &str, rows: u32) -> anyhow::Result<()> {
    let key = json!({ "field": "id", "type": "integer", "meta": { "hidden": true },
        "schema": { "is_primary_key": true, "has_auto_increment": true } });
    let note = json!({ "field": "note", "type": "string", "meta": { "interface": "input" }, "schema": {} });
    let collection = json!({ "collection": name, "meta": {}, "schema": {}, "fields": [key, note] });
    api.post("/collections", collection).await?;
    let items: Vec<_> = (1..=rows).map(|number| json!({ "note": format!("{name} {number}") })).collect();
    api.post(&format!("/items/{name}"), json!(items)).await.map(drop)
}

async fn collection_names(api: &Api) -> anyhow::Result<BTreeSet<String>> {
    let collections = api.get("/collections").await?;
    let names = collections.as_array().context("/collections does not answer with a list")?.iter();
    let names = names.filter_map(|collection| collection["collection"].as_str());
    Ok(names.filter(|name| !is_system(name)).map(str::to_owned).collect())
}
