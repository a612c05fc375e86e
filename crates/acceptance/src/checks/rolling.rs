//! Servers of an older and a newer image side by side: the additions of the newer boot, the work that waits, and the
//! answers of `compat`.

use anyhow::{Context as _, ensure};
use contract::{ExitCode, Phase, SNAPSHOT_FILE};
use serde_json::{Value, json};

use crate::check::{Check, Need};
use crate::container::{BootSpec, Container};
use crate::data_integrity;
use crate::database::TestDatabase;
use crate::test_context::TestContext;
use testbed::api::items_path;
use testbed::schema::DataModel;

pub(crate) const CHECKS: &[Check] = &[Check {
    name: "side-by-side",
    promise: "Next to a server of an older image a boot only adds, and both serve; removals wait for its end.",
    needs: Need::Nothing,
    run: |test| Box::pin(side_by_side(test)),
}];

/// The field that the newer image adds.
const ADDED: &str = "added_by_newer";

/// A field of the snapshot that can be removed alone, and the name of its collection.
struct Removed {
    collection: String,
    field: String,
}

impl Removed {
    /// The first field that may be NULL and that nothing refers to.
    fn of_snapshot(snapshot: &Value) -> anyhow::Result<Removed> {
        let fields = snapshot["fields"].as_array().context("the snapshot has no fields")?;
        let relations = snapshot["relations"].as_array().cloned().unwrap_or_default();
        let has_relation = |field: &Value| {
            relations.iter().any(|one| one["collection"] == field["collection"] && one["field"] == field["field"])
        };
        let is_free = |field: &&Value| {
            let column = &field["schema"];
            column["is_nullable"] == true
                && column["is_primary_key"] != true
                && column["is_unique"] != true
                && field["type"] == "string"
                && !has_relation(field)
        };
        let field = fields.iter().find(is_free).context("the snapshot has no text field that may be NULL")?;
        let name = |key: &str| field[key].as_str().map(str::to_owned).context("a field without a name");
        Ok(Removed { collection: name("collection")?, field: name("field")? })
    }

    /// The snapshot without this field, and with another one.
    fn newer(&self, snapshot: &Value) -> anyhow::Result<String> {
        let mut snapshot = snapshot.clone();
        let fields = snapshot["fields"].as_array_mut().context("the snapshot has no fields")?;
        let index = fields
            .iter()
            .position(|field| field["collection"] == self.collection && field["field"] == self.field)
            .context("the field is in the snapshot")?;
        // The removed field, by another name.
        let mut added = fields.remove(index);
        added["field"] = json!(ADDED);
        added["meta"]["field"] = json!(ADDED);
        added["schema"]["name"] = json!(ADDED);
        fields.push(added);
        Ok(snapshot.to_string())
    }
}

async fn side_by_side(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.booted_database("main").await?;
    data_integrity::fill(&database).await?;
    let snapshot = DataModel::snapshot_document()?;
    let removed = Removed::of_snapshot(&snapshot)?;
    let Removed { collection, field } = &removed;
    let newer = removed.newer(&snapshot)?;

    let older = test.start(test.boot("older", &database).variable("BOOT_IMAGE", "1.0@older")).await?;
    older.serving().await?;
    let spec = |test: &TestContext, name: &str, database: &TestDatabase| {
        test.boot(name, database).variable("BOOT_IMAGE", "2.0@newer").file(SNAPSHOT_FILE, newer.clone())
    };
    let asking = test.start(spec(test, "asking", &database).command(["sleep", "600"])).await?;
    wait_for_server(&older, &asking).await?;

    // Without the operator's digest the deletion is refused; with it, it may wait.
    let (code, plan) = asking.json(&["plan", "--json"]).await?;
    let digest =
        plan["schema"]["digest"].as_str().with_context(|| format!("plan ended with {code}: {plan}"))?.to_owned();
    let refused = i64::from(ExitCode::SchemaRefused.code());
    let report = compat(&asking, refused).await?;
    ensure!(report["items"].to_string().contains(&digest), "compat does not name the digest: {report}");
    let allowed = |spec: BootSpec| spec.variable("SCHEMA_ALLOW_DESTRUCTIVE", digest.clone());
    let deciding = test.start(allowed(spec(test, "deciding", &database)).command(["sleep", "600"])).await?;
    let report = compat(&deciding, 0).await?;
    let waiting = format!("- field {collection}.{field}");
    ensure!(report["waiting"] == json!([waiting]), "compat does not say that the deletion waits: {report}");
    test.figure("compat", "43 for a deletion, 0 once it is allowed");

    let server = test.start(allowed(spec(test, "newer", &database))).await?;
    server.serving().await?;
    let log = server.log().await?;
    test.line_with(&log, "waiting: 1 field")?;
    test.line_with(&log, &format!("{waiting} waits for the end of 1 server of 1.0@older"))?;
    let values = count(&database, collection, field).await?;
    ensure!(values != "0", "the test data has no value in {collection}.{field}");

    // Both read and write: the older one the field that waits, the newer one the field that was added.
    for (container, own) in [(&older, field.as_str()), (&server, ADDED)] {
        let api = container.api().await?;
        let path = format!("{}?limit=1&fields=*", items_path(collection));
        let item = api.get(&path).await?[0].clone();
        ensure!(item.get(own).is_some(), "{} does not show {collection}.{own}: {item}", container.name);
        let key = key_of(&snapshot, collection)?;
        let one = item[&key].as_str().map_or_else(|| item[&key].to_string(), str::to_owned);
        let path = format!("{}/{one}", items_path(collection));
        let written = api.patch(&path, json!({ own: "side by side" })).await?;
        ensure!(written[own] == "side by side", "{} does not write {collection}.{own}: {written}", container.name);
    }
    test.figure("side by side", "both images read and write");

    let waits = test.run(allowed(spec(test, "too-early", &database)).command(["contract"])).await?;
    waits.expect_failure(Phase::Exec, ExitCode::STOP_FIRST, &["1 change waits for 1 server of 1.0@older"])?;
    test.line(waits.last_line());
    older.stop().await?;
    let done = test.run(allowed(spec(test, "contract", &database)).command(["contract"])).await?;
    done.expect_success("contract")?;
    done.expect(Phase::Schema, "applied 1 field")?;
    let query =
        format!("select count(*) from boot.attic where table_name = '{collection}' and column_name = '{field}'");
    ensure!(database.value(&query).await? == "1", "the values of {collection}.{field} are not in the attic");
    let (_, status) = deciding.json(&["status", "--json"]).await?;
    ensure!(status["waiting"] == json!([]), "something waits after contract: {status}");
    server.api().await?.get(&items_path(collection)).await.context("the newer server, after contract")?;

    // Back to the older image: it would miss the field.
    let back = test.start(test.boot("back", &database).command(["sleep", "600"])).await?;
    let report = compat(&back, refused).await?;
    ensure!(report["items"].to_string().contains("is gone"), "compat does not name the missing field: {report}");
    test.figure("compat of the older image, after contract", "43");
    Ok(())
}

/// Waits until the container's server holds its lock, as `status` in another one shows it.
async fn wait_for_server(server: &Container, asking: &Container) -> anyhow::Result<()> {
    let began = std::time::Instant::now();
    loop {
        let (_, status) = asking.json(&["status", "--json"]).await?;
        if status["servers"][0]["image"] == "1.0@older" {
            return Ok(());
        }
        ensure!(began.elapsed().as_secs() < 30, "{} does not hold the lock of a server: {status}", server.name);
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

async fn compat(container: &Container, exit: i64) -> anyhow::Result<Value> {
    let (code, report) = container.json(&["compat", "--json"]).await?;
    ensure!(code == exit, "compat ended with {code}, not {exit}: {report}");
    Ok(report)
}

async fn count(database: &TestDatabase, collection: &str, field: &str) -> anyhow::Result<String> {
    database.value(&format!("select count(\"{field}\") from \"{collection}\"")).await
}

/// The primary key's field of a collection.
fn key_of(snapshot: &Value, collection: &str) -> anyhow::Result<String> {
    let fields = snapshot["fields"].as_array().context("the snapshot has no fields")?;
    let key = fields.iter().find(|one| one["collection"] == collection && one["schema"]["is_primary_key"] == true);
    key.and_then(|key| key["field"].as_str()).map(str::to_owned).with_context(|| format!("{collection} has no key"))
}
