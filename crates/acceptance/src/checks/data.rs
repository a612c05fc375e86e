//! Rows never vanish, whatever boots.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use contract::{ExitCode, Phase};
use serde_json::json;

use crate::case::Case;
use crate::check::{Check, Need};
use crate::container::{BootSpec, Ended};
use crate::rows;
use crate::setting::PATIENCE;
use testbed::api::Api;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "restart-keeps-rows",
        promise: "Rows of every table survive a restart, and a boot of another container.",
        needs: Need::Nothing,
        run: |case| Box::pin(restart_keeps_rows(case)),
    },
    Check {
        name: "stale-snapshot",
        promise: "A snapshot that lacks collections is refused and destroys nothing, unless that very plan is allowed.",
        needs: Need::Nothing,
        run: |case| Box::pin(stale_snapshot(case)),
    },
    Check {
        name: "ten-boots",
        promise: "A table that it does not know, and all others, keep their rows through ten boots.",
        needs: Need::Nothing,
        run: |case| Box::pin(ten_boots(case)),
    },
];

async fn restart_keeps_rows(case: &mut Case) -> anyhow::Result<()> {
    let database = case.booted_database().await?;
    rows::fill(&database).await?;
    let before = rows::fingerprints(&database).await?;
    let container = case.start(case.boot("directus", &database)).await?;
    container.serving().await?;

    let stopped = container.stop().await?;
    let again = Instant::now();
    container.restart().await?;
    container.serving().await?;
    case.figure("restart", format!("stopped in {}, healthy after {}", seconds(stopped), seconds(again.elapsed())));
    rows::unchanged(&before, &rows::fingerprints(&database).await?).context("after a restart")?;
    rows::served(&container.api().await?, &database).await.context("after a restart")?;
    container.stop().await?;

    let ended = case.boot_once("another container", &database).await?;
    ended.expect(Phase::DbInit, &case.setting.migrations.all_skipped(Phase::DbInit))?;
    ended.expect(Phase::Schema, "no changes")?;
    rows::unchanged(&before, &rows::fingerprints(&database).await?).context("after a boot of another container")?;
    case.figure("the same by count and SHA-256", rows::describe(&before));
    Ok(())
}

async fn stale_snapshot(case: &mut Case) -> anyhow::Result<()> {
    const NEW: [&str; 5] = ["stages", "stage_times", "penalties", "checkpoints", "marshal_posts"];
    let database = case.booted_database().await?;
    rows::fill(&database).await?;
    let container = case.start(case.boot("directus", &database)).await?;
    container.serving().await?;
    let api = container.api().await?;
    for collection in NEW {
        add_collection(&api, collection, 3).await?;
    }
    let before = rows::fingerprints(&database).await?;
    let collections = collection_names(&api).await?;

    // Beside the server that still serves, as in a rolling update.
    let refused = boot(case, case.boot("stale", &database)).await?;
    let digest = refusal(&refused, &NEW)?;
    for collection in NEW {
        let words = format!("delete collection {collection} (3 rows)");
        ensure!(refused.last_line().contains(&words), "the refusal does not say `{words}`: {}", refused.last_line());
    }
    case.line(refused.last_line());
    rows::unchanged(&before, &rows::fingerprints(&database).await?).context("after the refused boot")?;
    let after = collection_names(&api).await?;
    ensure!(after == collections, "collections were {collections:?} and are {after:?}");
    for collection in NEW {
        let rows = api.get(&format!("/items/{collection}")).await?;
        ensure!(
            rows.as_array().is_some_and(|rows| rows.len() == 3),
            "{collection} serves {rows} after the refused boot"
        );
    }
    case.figure(
        "refused",
        format!(
            "exit {}, five collections named, all {} tables that Directus sees kept",
            refused.code,
            collections.len()
        ),
    );
    case.figure("kept", rows::describe(&before));

    // The digest names that plan alone: another one is refused with another digest.
    add_collection(&api, "jury_decisions", 1).await?;
    let before = rows::fingerprints(&database).await?;
    let allowing =
        |case: &Case, name: &str, digest: &str| case.boot(name, &database).variable("SCHEMA_ALLOW_DESTRUCTIVE", digest);
    let other = boot(case, allowing(case, "other-plan", &digest)).await?;
    let other_digest = refusal(&other, &["jury_decisions"])?;
    ensure!(other_digest != digest, "two plans have the digest {digest}");
    rows::unchanged(&before, &rows::fingerprints(&database).await?).context("after the second refused boot")?;
    container.stop().await?;

    let allowed = boot(case, allowing(case, "allowed", &other_digest)).await?;
    ensure!(allowed.code == 0, "the allowed plan ended with {}: {}", allowed.code, allowed.last_line());
    let mut wanted = before;
    wanted.retain(|table, _| !NEW.contains(&table.as_str()) && table != "jury_decisions");
    rows::unchanged(&wanted, &rows::fingerprints(&database).await?).context("after the allowed boot")?;
    let said = allowed.lines.iter().find(|line| line.contains("allowed by SCHEMA_ALLOW_DESTRUCTIVE"));
    case.line(said.context("the allowed plan is not said to be allowed")?);
    case.figure("allowed", format!("{digest} not for another plan, {other_digest} for the one it names"));
    Ok(())
}

async fn ten_boots(case: &mut Case) -> anyhow::Result<()> {
    const BOOTS: u32 = 10;
    let database = case.booted_database().await?;
    rows::fill(&database).await?;
    let before = rows::fingerprints(&database).await?;
    let (began, mut longest) = (Instant::now(), Duration::ZERO);
    for number in 1..=BOOTS {
        let one = Instant::now();
        let ended = boot(case, case.boot(&format!("boot-{number}"), &database)).await?;
        ensure!(ended.code == 0, "boot {number} ended with {}: {}", ended.code, ended.last_line());
        ended.expect(Phase::Schema, "no changes").with_context(|| format!("boot {number}"))?;
        longest = longest.max(one.elapsed());
    }
    let took = began.elapsed();
    let after = rows::fingerprints(&database).await?;
    rows::unchanged(&before, &after).context("after ten boots")?;
    let owned = case.setting.migrations.files().owned_tables().chain([rows::UNTRACKED]);
    let names: Vec<String> = owned.map(|table| format!("'{table}'")).collect();
    let query = format!("select count(*) from directus_collections where collection in ({})", names.join(", "));
    ensure!(database.value(&query).await? == "0", "Directus has taken a table that is none of its own");
    case.figure("before", rows::describe(&before));
    case.figure("after", rows::describe(&after));
    case.figure("ten boots", format!("{}, the longest {}", seconds(took), seconds(longest)));
    Ok(())
}

/// Boots to the end, however that is.
async fn boot(case: &mut Case, spec: BootSpec) -> anyhow::Result<Ended> {
    case.start(spec.command(["boot"])).await?.ended(PATIENCE).await
}

/// The digest of a refused plan, which must name these collections.
fn refusal(ended: &Ended, collections: &[&str]) -> anyhow::Result<String> {
    let (code, line) = (ended.code, ended.last_line());
    ensure!(code == i64::from(ExitCode::SchemaRefused.code()), "the stale snapshot ended with {code}: {line}");
    for collection in collections {
        ensure!(line.contains(&format!("delete collection {collection}")), "the refusal names no {collection}: {line}");
    }
    let rest = line.split_once("SCHEMA_ALLOW_DESTRUCTIVE=").map(|(_, rest)| rest);
    let digest = rest.and_then(|rest| rest.split_whitespace().next());
    digest.map(str::to_owned).with_context(|| format!("the refusal names no digest: {line}"))
}

/// A collection that is made live, and rows in it.
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
    let names = collections.as_array().context("/collections answers no list")?.iter();
    let names = names.filter_map(|collection| collection["collection"].as_str());
    Ok(names.filter(|name| !name.starts_with("directus_")).map(str::to_owned).collect())
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
