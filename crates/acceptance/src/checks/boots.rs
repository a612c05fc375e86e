//! A first boot, one on a database that is as it should be, and what a container in production has beside it.

use std::time::Duration;

use std::rc::Rc;

use anyhow::{Context as _, ensure};
use contract::{EXTENSIONS_DIR, Event, LogLine, Phase, WORK_DIR};
use serde_json::json;

use crate::case::Case;
use crate::check::{Check, Need};
use crate::container::{Container, timeline};
use crate::rows;
use testbed::api::{Answer, Api};
use testbed::schema::Schema;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "fresh-boot",
        promise: "A first boot applies every migration, makes the collections as the snapshot has them, and serves.",
        needs: Need::Nothing,
        run: |case| Box::pin(fresh_boot(case)),
    },
    Check {
        name: "warm-boot",
        promise: "A boot of an up-to-date database changes nothing, and serves the same rows.",
        needs: Need::Nothing,
        run: |case| Box::pin(warm_boot(case)),
    },
    Check {
        name: "read-only-root",
        promise: "It serves with a read-only root file system, no capability and no way to new privileges.",
        needs: Need::Nothing,
        run: |case| Box::pin(read_only_root(case)),
    },
    Check {
        name: "extension",
        promise: "Extensions that lie in the extensions folder are loaded: an endpoint answers, and what is for the app is bundled for it.",
        needs: Need::Nothing,
        run: |case| Box::pin(extension(case)),
    },
];

async fn fresh_boot(case: &mut Case) -> anyhow::Result<()> {
    let database = case.empty_database().await?;
    let container = case.start(case.boot("cold", &database)).await?;
    let api = serves(case, &container, "cold").await?;
    let log = container.log().await?;
    let (snapshot, live) = (Schema::snapshot()?, Schema::live(&api).await?);
    let migrations = Rc::clone(&case.setting.migrations);
    for (phase, message) in [
        (Phase::DbInit, migrations.all_applied(Phase::DbInit)),
        (Phase::Bootstrap, "installed".to_owned()),
        (Phase::Schema, format!("applied {} collection", snapshot.own_collections())),
        (Phase::PostSchema, migrations.all_applied(Phase::PostSchema)),
    ] {
        let line = expect(&log, phase, &message)?;
        case.line(line);
    }

    let differences = snapshot.differences(&live);
    ensure!(differences.is_empty(), "not as in the snapshot: {}", differences.join("; "));
    for table in snapshot.tables() {
        let rows = api.get(&format!("/items/{table}")).await?;
        ensure!(rows == json!([]), "{table} is not empty in a new database: {rows}");
    }
    let (fields, relations) = snapshot.size();
    case.figure(
        "as in the snapshot",
        format!("{} collections, {fields} fields, {relations} relations", snapshot.with_fields().len()),
    );
    Ok(())
}

async fn warm_boot(case: &mut Case) -> anyhow::Result<()> {
    let database = case.booted_database().await?;
    rows::fill(&database).await?;
    let before = rows::fingerprints(&database).await?;

    let container = case.start(case.boot("warm", &database)).await?;
    let api = serves(case, &container, "warm").await?;
    let log = container.log().await?;
    let migrations = Rc::clone(&case.setting.migrations);
    for (phase, message) in [
        (Phase::DbInit, migrations.all_skipped(Phase::DbInit)),
        (Phase::Bootstrap, "nothing to do".to_owned()),
        (Phase::Schema, "no changes".to_owned()),
        (Phase::PostSchema, migrations.all_skipped(Phase::PostSchema)),
    ] {
        let line = expect(&log, phase, &message)?;
        case.line(line);
    }
    rows::served(&api, &database).await?;
    rows::unchanged(&before, &rows::fingerprints(&database).await?)?;
    case.figure("rows", rows::describe(&before));
    Ok(())
}

async fn read_only_root(case: &mut Case) -> anyhow::Result<()> {
    let database = case.booted_database().await?;
    let container = case.start(case.boot("read-only", &database)).await?;
    let api = serves(case, &container, "read-only").await?;

    // The server itself, not only what the engine was asked for.
    let (_, status) = container.exec(&["cat", "/proc/1/status"]).await?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim).with_context(|| format!("/proc/1/status has no {name}: {status}"))
    };
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let set = field(name)?;
        ensure!(set.trim_matches('0').is_empty(), "the server has capabilities: {name} {set}");
    }
    let (privileges, user) = (field("NoNewPrivs")?, field("Uid")?);
    ensure!(privileges == "1", "the server may gain privileges: NoNewPrivs {privileges}");
    ensure!(user.split_whitespace().all(|id| id == "1000"), "the server runs as {user}, not as node (1000)");
    case.figure("/proc/1/status", format!("CapEff {}, NoNewPrivs {privileges}, Uid {user}", field("CapEff")?));

    for folder in [WORK_DIR, EXTENSIONS_DIR, "/", "/home/node"] {
        let path = format!("{}/x", folder.trim_end_matches('/'));
        let (code, said) = container.exec(&["touch", &path]).await?;
        ensure!(code != 0, "{path} could be written");
        ensure!(said.contains("Read-only file system"), "{path} is not read-only but refused otherwise: {said}");
        case.line(said);
    }

    // What needs a place to write: a row, and a session.
    api.post("/folders", json!({ "name": "Club" })).await?;
    let log = container.log().await?;
    let complaint = ["EROFS", "ENOENT", "EACCES", "EPERM", "ead-only file system", "ermission denied"];
    let complaining = log.iter().find(|line| complaint.iter().any(|word| line.contains(word)));
    ensure!(complaining.is_none(), "it complains: {}", complaining.map_or("", String::as_str));
    case.figure("log", format!("{} lines, none of them a complaint about files", log.len()));
    Ok(())
}

async fn extension(case: &mut Case) -> anyhow::Result<()> {
    const ENDPOINT: &str = "trm-verify-endpoint";
    const DISPLAY: &str = "trm-verify-display";
    /// Where the app gets all of its extensions, bundled when the server started.
    const BUNDLED: &str = "/extensions/sources/index.js";
    let endpoint = format!(
        "export default {{ id: '{ENDPOINT}', handler: (router) => router.get('/', (_, response) => response.json({{ data: \
         'loaded' }})) }};\n"
    );
    // The app has its own copy of vue, by a path that only the bundling server knows.
    let display = format!(
        "import {{ h }} from 'vue';\nexport default {{ id: '{DISPLAY}', name: 'Display', component: () => h('i'), \
         options: null, types: ['string'] }};\n"
    );
    let database = case.booted_database().await?;
    let mut spec = case.boot("extended", &database);
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
    let container = case.start(spec).await?;
    let api = serves(case, &container, "with extensions").await?;
    let log = container.log().await?;
    let about = || log.iter().filter(|line| line.contains("xtension")).cloned().collect::<Vec<_>>().join("; ");
    let loaded =
        log.iter().find(|line| ["Loaded extensions", ENDPOINT, DISPLAY].iter().all(|part| line.contains(part)));
    let names = format!("{ENDPOINT}, {DISPLAY}");
    let loaded = loaded.with_context(|| format!("the log has no `Loaded extensions: {names}`, but: {}", about()))?;
    case.line(loaded.trim());
    let answer = api.get(&format!("/{ENDPOINT}")).await?;
    ensure!(answer == "loaded", "its endpoint answers {answer}");
    case.figure(format!("GET /{ENDPOINT}"), "200");
    let Answer { status, body } = api.call("GET", BUNDLED, None).await?;
    let bundled = body.as_str().unwrap_or_default();
    ensure!(status == 200 && bundled.contains(DISPLAY), "{BUNDLED} answers {status}, without {DISPLAY}: {}", about());
    ensure!(!bundled.contains("\"vue\""), "{BUNDLED} imports vue by its name, which no browser finds");
    case.figure(format!("GET {BUNDLED}"), format!("200, {} bytes", bundled.len()));
    Ok(())
}

/// Waits until a server serves, and notes its boot; it must answer a login, too.
async fn serves(case: &mut Case, container: &Container, name: &str) -> anyhow::Result<Api> {
    let ready = container.serving().await?;
    let log = container.log().await?;
    case.evidence.boots.push(timeline(name, &log, Some(ready)));
    case.figure("container start to first ping", seconds(ready));
    container.api().await
}

/// The line that ended a phase, which must say this.
fn expect(log: &[String], phase: Phase, message: &str) -> anyhow::Result<String> {
    let done = |line: &LogLine| line.phase == phase && matches!(line.event, Event::Done(_));
    let said = log.iter().filter_map(|line| LogLine::parse(line)).find(done);
    let said = said.with_context(|| format!("{phase} was not done"))?;
    ensure!(said.message.contains(message), "{phase} said `{}`, not `{message}`", said.message);
    Ok(said.to_text())
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
