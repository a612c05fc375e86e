//! The admin UI in a real browser.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::check::{Check, Need, NotRun};
use crate::database::TestDatabase;
use crate::model::Picture;
use crate::suite_context::ADMIN;
use crate::test_context::TestContext;
use testbed::chromium::Chromium;
use testbed::schema::DataModel;
use testbed::setup;
use testbed::ui;

pub(crate) const CHECKS: &[Check] = &[Check {
    name: "admin-ui",
    promise: "A user can log in through the form of the admin UI and sees the collections.",
    needs: Need::Browser,
    run: |test| Box::pin(admin_ui(test)),
}];

pub(super) const SIZE: (u32, u32) = (1280, 900);
/// A page that shows the same for so long has loaded.
const STILL: Duration = Duration::from_millis(400);
/// An expression that is true once the login form is ready.
pub(super) const IS_EMPTY: &str = "document.querySelector('input[type=email]')?.value === ''";
/// An expression that is true if a link to a collection shows one of its names and is not covered. The app has other
/// links with the same address, too, and dialogs that cover everything.
const IS_SEEN: &str = "[...document.querySelectorAll('a[href$=\"/PATH/COLLECTION\"]')].some((link) => {
    const { x, y, width, height } = link.getBoundingClientRect();
    const top = document.elementFromPoint(x + width / 2, y + height / 2);
    const uncovered = top !== null && (link.contains(top) || top.contains(link));
    return uncovered && NAMES.some((name) => link.innerText.toLowerCase().includes(name));
})";

async fn admin_ui(test: &mut TestContext) -> anyhow::Result<()> {
    let program = program()?;
    let database = test.booted_database("main").await?;
    set_owner(&database).await?;
    let container = test.start(test.boot("directus", &database)).await?;
    container.serving().await?;
    let url = container.url().await?;

    let began = Instant::now();
    let mut browser = Chromium::start(program, &format!("{}-{}", test.suite.session.id(), "admin-ui"), SIZE).await?;
    let version = browser.version().await?;
    test.figure("browser", version);
    browser.open(&format!("{url}/admin")).await?;
    log_in(&mut browser, ADMIN, &test.suite.secrets.admin).await?;
    test.figure("logged in after", ui::seconds(began.elapsed()));

    let (snapshot, document) = (DataModel::snapshot()?, DataModel::snapshot_document()?);
    for (name, path, file) in
        [("content module", "content", "admin-ui-content.png"), ("data model", "settings/data-model", "admin-ui.png")]
    {
        browser.open(&format!("{url}/admin/{path}")).await?;
        for collection in snapshot.tables() {
            let shown = shown_names(&document, collection);
            let is_seen = IS_SEEN.replace("PATH", path).replace("COLLECTION", collection).replace("NAMES", &shown);
            browser.wait_for(&format!("{collection} in the {name}"), &is_seen).await?;
        }
        picture(test, &mut browser, file, &format!("the {name}, logged in")).await?;
        test.figure(name, format!("{} collections visible", snapshot.tables().len()));
    }
    let errors = browser.page_errors();
    ensure!(errors.is_empty(), "errors in the page: {}", errors.join("; "));
    if browser.reloads() > 0 {
        test.figure("pages reloaded because the machine's network changed", browser.reloads().to_string());
    }
    test.figure("browser start to last screenshot", ui::seconds(began.elapsed()));
    Ok(())
}

/// Returns the browser of this machine.
pub(super) fn program() -> anyhow::Result<&'static str> {
    let missing = "no Chromium is on the PATH; `cargo xtask setup --yes --browser` installs it";
    setup::browser().ok_or_else(|| NotRun(missing.to_owned()).into())
}

/// Gives the project an owner. Without one, a dialog that asks for it covers the whole page.
pub(super) async fn set_owner(database: &TestDatabase) -> anyhow::Result<()> {
    let owner = "insert into directus_settings (id, project_owner) values (1, 'owner@example.com')
                 on conflict (id) do update set project_owner = excluded.project_owner";
    database.execute(owner).await
}

/// Adds a screenshot to the report.
pub(super) async fn picture(
    test: &mut TestContext,
    browser: &mut Chromium,
    file: &str,
    name: &str,
) -> anyhow::Result<()> {
    let picture = still_picture(browser).await?;
    let path = crate::folder().join(file);
    std::fs::create_dir_all(crate::folder()).context("failed to create the report's folder")?;
    std::fs::write(&path, picture).with_context(|| format!("failed to write {path}"))?;
    test.evidence.pictures.push(Picture { name: name.to_owned(), file: file.to_owned() });
    Ok(())
}

/// Takes a screenshot once the page no longer changes, or after some seconds.
async fn still_picture(browser: &mut Chromium) -> anyhow::Result<Vec<u8>> {
    let mut picture = browser.screenshot().await?;
    for _ in 0..10 {
        tokio::time::sleep(STILL).await;
        let next = browser.screenshot().await?;
        if std::mem::replace(&mut picture, next.clone()) == next {
            break;
        }
    }
    Ok(picture)
}

/// The names under which the app may show a collection, in lower case, as a JSON list: its translations, and its key
/// with and without underscores.
fn shown_names(snapshot: &Value, collection: &str) -> String {
    let all = snapshot["collections"].as_array().into_iter().flatten();
    let own = all.filter(|item| item["collection"] == collection);
    let translations = own.flat_map(|item| item["meta"]["translations"].as_array().into_iter().flatten());
    let translated = translations.filter_map(|translation| translation["translation"].as_str());
    let names = translated.map(str::to_lowercase).chain([collection.to_owned(), collection.replace('_', " ")]);
    Value::from_iter(names).to_string()
}

/// Fills in the form, and repeats that after a reload of the page. If the page was reloaded after the login, it knows
/// the user and only asks for a click.
pub(super) async fn log_in(browser: &mut Chromium, email: &str, password: &str) -> anyhow::Result<()> {
    const IS_IN: &str = "!location.pathname.startsWith('/admin/login')";
    const IS_KNOWN: &str = "document.querySelector('.continue-as button') !== null";
    const CONTINUE: &str = "document.querySelector('.continue-as button')?.click()";
    browser.wait_for("login form", IS_EMPTY).await?;
    for _ in 0..5 {
        browser.fill("input[type=email]", email).await?;
        browser.fill("input[type=password]", password).await?;
        browser.click("button to log in", "document.querySelector('button[type=submit]')").await?;
        browser.wait_for("page behind the login", &format!("{IS_IN} || {IS_EMPTY} || {IS_KNOWN}")).await?;
        if browser.evaluate(IS_KNOWN).await? == true {
            browser.evaluate(CONTINUE).await?;
            browser.wait_for("page behind the login", &format!("{IS_IN} || {IS_EMPTY}")).await?;
        }
        if browser.evaluate(IS_IN).await? == true {
            return Ok(());
        }
    }
    bail!("the login form is empty again after each attempt");
}
