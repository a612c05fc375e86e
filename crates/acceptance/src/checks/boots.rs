//! A first boot, a boot of an up-to-date database, a hardened container, and extensions.

use std::rc::Rc;

use anyhow::{Context as _, ensure};
use contract::{EXTENSIONS_DIR, Phase, WORK_DIR};
use serde_json::json;

use crate::check::{Check, Need};
use crate::container::{Container, expect_done, timeline};
use crate::data_integrity;
use crate::test_context::TestContext;
use testbed::api::{Api, ApiResponse};
use testbed::schema::DataModel;
use testbed::ui;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "fresh-boot",
        promise: "A first boot applies every migration, creates the collections of the snapshot, and serves.",
        needs: Need::Nothing,
        run: |test| Box::pin(fresh_boot(test)),
    },
    Check {
        name: "warm-boot",
        promise: "A boot of an up-to-date database changes nothing and serves the same rows.",
        needs: Need::Nothing,
        run: |test| Box::pin(warm_boot(test)),
    },
    Check {
        name: "read-only-root",
        promise: "The image serves with a read-only root file system, without capabilities or new privileges.",
        needs: Need::Nothing,
        run: |test| Box::pin(read_only_root(test)),
    },
    Check {
        name: "arbitrary-user",
        promise: "The image serves as a user that it does not know and that has no home folder, as on OpenShift.",
        needs: Need::Nothing,
        run: |test| Box::pin(arbitrary_user(test)),
    },
    Check {
        name: "extension",
        promise: "Extensions in their folder are loaded: an endpoint answers, and a display is bundled for the app.",
        needs: Need::Nothing,
        run: |test| Box::pin(extension(test)),
    },
];

async fn fresh_boot(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.empty_database("main").await?;
    let container = test.start(test.boot("cold", &database)).await?;
    let api = serves(test, &container, "cold").await?;
    let log = container.log().await?;
    let (snapshot, live) = (DataModel::snapshot()?, DataModel::live(&api).await?);
    let migrations = Rc::clone(&test.suite.migrations);
    for (phase, message) in [
        (Phase::DbInit, migrations.all_applied(Phase::DbInit)),
        (Phase::Bootstrap, "installed".to_owned()),
        (Phase::Schema, format!("applied {} collection", snapshot.own_collections())),
        (Phase::PostSchema, migrations.all_applied(Phase::PostSchema)),
    ] {
        test.line(expect_done(&log, phase, &message)?.to_text());
    }

    let differences = snapshot.differences(&live);
    ensure!(differences.is_empty(), "the schema differs from the snapshot: {}", differences.join("; "));
    for table in snapshot.tables() {
        let rows = api.get(&format!("/items/{table}")).await?;
        ensure!(rows == json!([]), "{table} is not empty in a new database: {rows}");
    }
    let (fields, relations) = snapshot.size();
    test.figure(
        "as in the snapshot",
        format!("{} collections, {fields} fields, {relations} relations", snapshot.with_fields().len()),
    );
    Ok(())
}

async fn warm_boot(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.booted_database("main").await?;
    data_integrity::fill(&database).await?;
    let before = data_integrity::fingerprints(&database).await?;

    let container = test.start(test.boot("warm", &database)).await?;
    let api = serves(test, &container, "warm").await?;
    let log = container.log().await?;
    let migrations = Rc::clone(&test.suite.migrations);
    for (phase, message) in [
        (Phase::DbInit, migrations.all_skipped(Phase::DbInit)),
        (Phase::Bootstrap, "nothing to do".to_owned()),
        (Phase::Schema, "no changes".to_owned()),
        (Phase::PostSchema, migrations.all_skipped(Phase::PostSchema)),
    ] {
        test.line(expect_done(&log, phase, &message)?.to_text());
    }
    data_integrity::served(&api, &database).await?;
    data_integrity::unchanged(&before, &data_integrity::fingerprints(&database).await?)?;
    test.figure("rows", data_integrity::describe(&before));
    Ok(())
}

async fn arbitrary_user(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.booted_database("main").await?;
    let spec = test.boot("arbitrary", &database).with(|spec| spec.user = Some("1000650000:0".to_owned()));
    let container = test.start(spec).await?;
    serves(test, &container, "arbitrary user").await?;
    let (code, output) = container.exec(&[contract::BINARY, "healthcheck", "ready"]).await?;
    ensure!(code == 0, "it is not ready: {output}");
    Ok(())
}

async fn read_only_root(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.booted_database("main").await?;
    let container = test.start(test.boot("read-only", &database)).await?;
    let api = serves(test, &container, "read-only").await?;

    // Inspects the server itself, not only the engine's configuration.
    let (_, status) = container.exec(&["cat", "/proc/1/status"]).await?;
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let set = status_field(&status, name)?;
        ensure!(set.trim_matches('0').is_empty(), "the server has capabilities: {name} {set}");
    }
    let (privileges, user) = (status_field(&status, "NoNewPrivs")?, status_field(&status, "Uid")?);
    ensure!(privileges == "1", "the server may gain privileges: NoNewPrivs {privileges}");
    ensure!(user.split_whitespace().all(|id| id == "1000"), "the server runs as {user}, not as node (1000)");
    let effective = status_field(&status, "CapEff")?;
    test.figure("/proc/1/status", format!("CapEff {effective}, NoNewPrivs {privileges}, Uid {user}"));

    for folder in [WORK_DIR, EXTENSIONS_DIR, "/", "/home/node"] {
        let path = format!("{}/x", folder.trim_end_matches('/'));
        let (code, output) = container.exec(&["touch", &path]).await?;
        ensure!(code != 0, "{path} is writable");
        ensure!(output.contains("Read-only file system"), "writing {path} fails for another reason: {output}");
        test.line(output);
    }

    // Operations that may write files: a new row, and a session.
    api.post("/folders", json!({ "name": "Club" })).await?;
    let log = container.log().await?;
    let words = ["EROFS", "ENOENT", "EACCES", "EPERM", "ead-only file system", "ermission denied"];
    let error = log.iter().find(|line| words.iter().any(|word| line.contains(word)));
    ensure!(error.is_none(), "the log has a file error: {}", error.map_or("", String::as_str));
    test.figure("log", format!("{} lines without a file error", log.len()));
    Ok(())
}

async fn extension(test: &mut TestContext) -> anyhow::Result<()> {
    const ENDPOINT: &str = "trm-verify-endpoint";
    const DISPLAY: &str = "trm-verify-display";
    /// The app's extensions, bundled at the start of the server.
    const BUNDLED: &str = "/extensions/sources/index.js";
    let endpoint = format!(
        "export default {{ id: '{ENDPOINT}', handler: (router) => router.get('/', (_, response) => response.json({{ data: \
         'loaded' }})) }};\n"
    );
    // The app has its own copy of vue, whose path is only known to the server that bundles.
    let display = format!(
        "import {{ h }} from 'vue';\nexport default {{ id: '{DISPLAY}', name: 'Display', component: () => h('i'), \
         options: null, types: ['string'] }};\n"
    );
    let database = test.booted_database("main").await?;
    let mut spec = test.boot("extended", &database);
    for (name, kind, code) in [(ENDPOINT, "endpoint", endpoint), (DISPLAY, "display", display)] {
        let manifest = json!({
            "name": name,
            "version": "1.0.0",
            "type": "module",
            "directus:extension": {
                "type": kind, "path": "dist/index.js", "source": "src/index.js", "host": "*",
            },
        });
        let folder = format!("{EXTENSIONS_DIR}/{name}");
        spec = spec
            .file(&format!("{folder}/package.json"), manifest.to_string())
            .file(&format!("{folder}/dist/index.js"), code);
    }
    let container = test.start(spec).await?;
    let api = serves(test, &container, "with extensions").await?;
    let log = container.log().await?;
    let about: Vec<&str> = log.iter().map(String::as_str).filter(|line| line.contains("xtension")).collect();
    let about = about.join("; ");
    let loaded =
        log.iter().find(|line| ["Loaded extensions", ENDPOINT, DISPLAY].iter().all(|part| line.contains(part)));
    let loaded =
        loaded.with_context(|| format!("the log has no `Loaded extensions: {ENDPOINT}, {DISPLAY}`, but: {about}"))?;
    test.line(loaded.trim());
    let answer = api.get(&format!("/{ENDPOINT}")).await?;
    ensure!(answer == "loaded", "the endpoint answers {answer}");
    test.figure(format!("GET /{ENDPOINT}"), "200");
    let ApiResponse { status, body } = api.call("GET", BUNDLED, None).await?;
    let bundled = body.as_str().unwrap_or_default();
    ensure!(status == 200 && bundled.contains(DISPLAY), "{BUNDLED} answers {status}, without {DISPLAY}: {about}");
    ensure!(!bundled.contains("\"vue\""), "{BUNDLED} imports vue by its name, which no browser can resolve");
    test.figure(format!("GET {BUNDLED}"), format!("200, {} bytes", bundled.len()));
    Ok(())
}

/// Waits until a server serves, adds its boot to the evidence, and logs in.
async fn serves(test: &mut TestContext, container: &Container, name: &str) -> anyhow::Result<Api> {
    let ready = container.serving().await?;
    let log = container.log().await?;
    test.evidence.boots.push(timeline(name, &log, Some(ready)));
    test.figure("container start to first ping", ui::seconds(ready));
    container.api().await
}

/// A field of `/proc/1/status`.
fn status_field<'a>(status: &'a str, name: &str) -> anyhow::Result<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map(str::trim).with_context(|| format!("/proc/1/status has no {name}: {status}"))
}
