//! The demo data, and an operator who registers an item with related ones through the form of the admin UI.

pub(super) mod form;

use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::Value;

use self::form::FormStep;
use super::browser;
use crate::check::{Check, Need, NotRun};
use crate::container::Container;
use crate::data_integrity;
use crate::database::TestDatabase;
use crate::test_context::TestContext;
use testbed::api::Api;
use testbed::chromium::Chromium;
use testbed::schema::{DataModel, is_system};
use testbed::seed::{DemoData, SeedStep, seed};
use testbed::ui;

pub(crate) const CHECKS: &[Check] = &[Check {
    name: "registration",
    promise: "With the demo data, an operator registers an item with all related ones in one form of the admin UI.",
    needs: Need::Browser,
    run: |test| Box::pin(registration(test)),
}];

const SIZE: (u32, u32) = (1680, 945);
/// Number of times that the form is filled in if the machine's network changes meanwhile.
const ATTEMPTS: u32 = 8;

/// The actions of the operator, and the item that they create.
#[derive(Debug, Deserialize)]
struct Registration {
    collection: String,
    /// Fields of the form that must be visible.
    fields: Vec<String>,
    /// A text in the item's row of the list.
    listed: String,
    form: Vec<FormStep>,
    saved: Value,
}

async fn registration(test: &mut TestContext) -> anyhow::Result<()> {
    let program = browser::program()?;
    let data = DemoData::own()?;
    let snapshot = DataModel::snapshot()?;
    if let Some(other) = data.collections().find(|name| !snapshot.with_fields().contains(name) && !is_system(name)) {
        return Err(NotRun(format!("the demo data is of another data model: there is no collection {other}")).into());
    }
    let registration: Registration =
        serde_json::from_str(include_str!("registration.json")).context("registration.json is not a registration")?;
    let database = test.booted_database("main").await?;
    browser::set_owner(&database).await?;
    let container = test.start(test.boot("directus", &database)).await?;
    container.serving().await?;
    let api = container.api().await?;
    seed_twice(test, &api, &database, &data).await?;

    let began = Instant::now();
    let mut page = Chromium::start(program, &format!("{}-registration", test.suite.session.id()), SIZE).await?;
    register(test, &mut page, &container, &data, &registration).await?;
    test.figure("registered within", ui::seconds(began.elapsed()));
    check_saved(&api, &registration).await?;
    test.figure("saved", registration.saved.to_string());
    let errors = page.page_errors();
    ensure!(errors.is_empty(), "errors in the page: {}", errors.join("; "));
    Ok(())
}

/// Seeds the server, and again, which must change nothing.
async fn seed_twice(test: &mut TestContext, api: &Api, database: &TestDatabase, data: &DemoData) -> anyhow::Result<()> {
    let began = Instant::now();
    let steps = seed(api, &database.config(), data, |_| ()).await?;
    test.figure("seeded", format!("{} in {}", summary(&steps), ui::seconds(began.elapsed())));
    ensure!(steps.iter().all(|step| step.created > 0), "the first run created nothing: {}", summary(&steps));
    let before = data_integrity::fingerprints(database).await?;
    let activity = "select count(*) from directus_activity where action <> 'login'";
    let actions = database.value(activity).await?;

    let again = Instant::now();
    let steps = seed(api, &database.config(), data, |_| ()).await?;
    ensure!(steps.iter().all(|step| step.created == 0), "the second run created {}", summary(&steps));
    data_integrity::unchanged(&before, &data_integrity::fingerprints(database).await?)
        .context("after a second seed")?;
    ensure!(database.value(activity).await? == actions, "the second run changed something");
    test.figure("second run", format!("no change in {}", ui::seconds(again.elapsed())));
    Ok(())
}

fn summary(steps: &[SeedStep]) -> String {
    let created = steps.iter().filter(|step| step.created > 0);
    created.map(|step| format!("{} {}", step.created, step.name)).collect::<Vec<_>>().join(", ")
}

/// Logs in as an operator of the demo data, and fills in the form.
async fn register(
    test: &mut TestContext,
    page: &mut Chromium,
    container: &Container,
    data: &DemoData,
    registration: &Registration,
) -> anyhow::Result<()> {
    let (url, collection) = (format!("{}/admin", container.url().await?), &registration.collection);
    let (email, password) = *data.logins().first().context("the demo data has no user who can log in")?;
    page.open(&url).await?;
    page.wait_for("login form", browser::IS_EMPTY).await?;
    browser::picture(test, page, "guide-login.png", "the login page").await?;
    browser::log_in(page, email, password).await?;

    // Requests that are lost may also be those that save.
    let mut attempt = 0;
    loop {
        attempt += 1;
        page.keep_page(true);
        let saved = fill_in_and_save(test, page, &url, registration).await;
        page.keep_page(false);
        let is_lost = saved.is_err() && page.is_disturbed() && attempt < ATTEMPTS;
        if !is_lost {
            break saved?;
        }
        if check_saved(&container.api().await?, registration).await.is_ok() {
            break;
        }
    }
    page.open(&format!("{url}/content/{collection}")).await?;
    let row = form::row(&registration.listed);
    page.wait_for("saved item in the list", &format!("!!{row}")).await?;
    browser::picture(test, page, "guide-list.png", "the list, with the new item").await?;
    let is_open = format!("!location.pathname.endsWith('/content/{collection}')");
    page.click_until("saved item", &form::cell(&registration.listed), &is_open).await?;
    for field in &registration.fields {
        page.wait_for(&format!("{field} of the saved item"), &form::is_shown(field)).await?;
    }
    browser::picture(test, page, "guide-saved.png", "the saved item").await
}

/// Opens an empty form, fills it in and saves it.
async fn fill_in_and_save(
    test: &mut TestContext,
    page: &mut Chromium,
    url: &str,
    registration: &Registration,
) -> anyhow::Result<()> {
    test.evidence.pictures.truncate(1);
    page.open(&format!("{url}/content/{}", registration.collection)).await?;
    let is_empty_form = "location.pathname.endsWith('/+')";
    page.click_until("button to create", "document.querySelector('a[href$=\"/+\"]')", is_empty_form).await?;
    for field in &registration.fields {
        page.wait_for(&format!("{field} in the form"), &form::is_shown(field)).await?;
    }
    form::fill_in(page, &registration.form).await?;
    browser::picture(test, page, "guide-form.png", "the form, filled in").await?;
    form::confirm(page).await?;
    let list = format!("location.pathname.endsWith('/content/{}')", registration.collection);
    page.wait_for("list after saving", &list).await
}

/// Checks the saved item by the API.
async fn check_saved(api: &Api, registration: &Registration) -> anyhow::Result<()> {
    let items = api.get(&format!("/items/{}?limit=-1&fields=*,*.*,*.*.*", registration.collection)).await?;
    let items = items.as_array().map_or(&[][..], Vec::as_slice);
    let is_saved = items.iter().any(|item| contains(item, &registration.saved));
    ensure!(is_saved, "no item is as the operator entered it: {}", Value::from(items.to_vec()));
    Ok(())
}

/// Returns true if a value contains all that is expected; lists in any order, without further items.
fn contains(value: &Value, expected: &Value) -> bool {
    match (value, expected) {
        (Value::Object(value), Value::Object(expected)) => {
            expected.iter().all(|(name, expected)| value.get(name).is_some_and(|value| contains(value, expected)))
        }
        (Value::Array(values), Value::Array(expected)) => {
            values.len() == expected.len()
                && expected.iter().all(|expected| values.iter().any(|value| contains(value, expected)))
        }
        _ => value == expected,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Registration, contains};

    #[test]
    fn the_registration_is_well_formed() {
        let registration: Registration = serde_json::from_str(include_str!("registration.json")).unwrap();
        assert!(!registration.form.is_empty());
    }

    #[test]
    fn a_saved_item_may_have_more_fields_but_not_more_related_items() {
        let saved = json!({ "id": 1, "crew": [{ "role": "rider" }, { "role": "mechanic" }] });
        assert!(contains(&saved, &json!({ "crew": [{ "role": "mechanic" }, { "role": "rider" }] })));
        assert!(!contains(&saved, &json!({ "crew": [{ "role": "rider" }] })));
        assert!(!contains(&saved, &json!({ "team": null })));
    }
}
