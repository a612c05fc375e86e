//! Fills in a form of the admin UI with mouse and keyboard.

use anyhow::Context as _;
use serde::Deserialize;
use testbed::chromium::Chromium;

/// One action of an operator in a form.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum FormStep {
    /// Types into a text field.
    Type { field: String, text: String },
    /// Opens a dropdown and chooses an entry.
    Choose { field: String, choice: String },
    /// Opens the list of a relation, and picks the row that contains this text.
    Pick { field: String, row: String },
    /// Opens the list of existing items for a list of related ones, and picks the row that contains this text.
    Select { field: String, row: String },
    /// Adds an item to a list of related ones, with a form of its own.
    Add { field: String, form: Vec<FormStep> },
}

/// The drawer on top, or the page.
const TOP: &str = "([...document.querySelectorAll('.v-drawer')].at(-1) ?? document)";

/// Performs the steps in the form on top.
pub(super) async fn fill_in(browser: &mut Chromium, steps: &[FormStep]) -> anyhow::Result<()> {
    for step in steps {
        Box::pin(step.perform(browser)).await.with_context(|| format!("failed to {step}"))?;
    }
    Ok(())
}

/// Clicks the button with a check mark of the page or drawer on top.
pub(super) async fn confirm(browser: &mut Chromium) -> anyhow::Result<()> {
    browser.click("button with the check mark", &check_mark()).await
}

/// Returns the enabled button with a check mark of the page or drawer on top, as an expression.
pub(in crate::checks) fn check_mark() -> String {
    let mark = "button.querySelector('[data-icon=check]') && !button.disabled";
    format!("[...{TOP}.querySelectorAll('button')].find((button) => {mark})")
}

/// Returns the row with this text of the list on top, as an expression.
pub(super) fn row(text: &str) -> String {
    format!("[...{TOP}.querySelectorAll('tr.table-row')].find((row) => row.innerText.includes({text:?}))")
}

/// Returns the first cell with this text of the list on top, as an expression.
pub(super) fn cell(text: &str) -> String {
    format!("[...{TOP}.querySelectorAll('tr.table-row td')].find((cell) => cell.innerText.includes({text:?}))")
}

impl FormStep {
    async fn perform(&self, browser: &mut Chromium) -> anyhow::Result<()> {
        match self {
            FormStep::Type { field, text } => browser.fill(&format!("[data-field={field}] input"), text).await,
            FormStep::Choose { field, choice } => {
                let menu = "[...document.querySelectorAll('.v-menu-content .v-list-item')]";
                browser.click("dropdown", &within(field, ".interface .v-input")).await?;
                let entry = format!("{menu}.find((entry) => entry.innerText.includes({choice:?}))");
                browser.click(choice, &entry).await
            }
            FormStep::Pick { field, row } => from_list(browser, &within(field, ".v-list-item"), row).await,
            FormStep::Select { field, row } => from_list(browser, &button(field, "playlist_add"), row).await,
            FormStep::Add { field, form } => {
                let drawers = drawers(browser).await?;
                open_drawer(browser, "button to add", &button(field, "add"), drawers).await?;
                fill_in(browser, form).await?;
                confirm(browser).await?;
                wait_for_drawers(browser, drawers).await
            }
        }
    }
}

impl std::fmt::Display for FormStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FormStep::Type { field, text } => write!(f, "type {text} into {field}"),
            FormStep::Choose { field, choice } => write!(f, "choose {choice} for {field}"),
            FormStep::Pick { field, row } | FormStep::Select { field, row } => write!(f, "pick {row} for {field}"),
            FormStep::Add { field, .. } => write!(f, "add an item to {field}"),
        }
    }
}

/// Opens a list in a drawer, and confirms one row.
async fn from_list(browser: &mut Chromium, opener: &str, text: &str) -> anyhow::Result<()> {
    let drawers = drawers(browser).await?;
    open_drawer(browser, "field", opener, drawers).await?;
    browser.click(&format!("row with {text}"), &row(text)).await?;
    confirm(browser).await?;
    wait_for_drawers(browser, drawers).await
}

/// Returns an expression that is true if a field is visible in the form of the page.
pub(super) fn is_shown(field: &str) -> String {
    format!("document.querySelector('[data-field={field}]')?.checkVisibility() === true")
}

async fn open_drawer(browser: &mut Chromium, what: &str, opener: &str, drawers: u64) -> anyhow::Result<()> {
    let is_open = format!("document.querySelectorAll('.v-drawer').length > {drawers}");
    browser.click_until(what, opener, &is_open).await
}

async fn drawers(browser: &mut Chromium) -> anyhow::Result<u64> {
    let number = browser.evaluate("document.querySelectorAll('.v-drawer').length").await?;
    number.as_u64().context("the page has no number of drawers")
}

async fn wait_for_drawers(browser: &mut Chromium, number: u64) -> anyhow::Result<()> {
    let expression = format!("document.querySelectorAll('.v-drawer').length === {number}");
    browser.wait_for(&format!("change to {number} open drawers"), &expression).await
}

fn within(field: &str, selector: &str) -> String {
    format!("{TOP}.querySelector('[data-field={field}] {selector}')")
}

fn button(field: &str, icon: &str) -> String {
    within(field, &format!(".interface button:has([data-icon={icon}])"))
}
