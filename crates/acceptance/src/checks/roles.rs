//! Two database roles: the boot's may change the schema, the server's may not.

use anyhow::{Context as _, ensure};
use contract::{ExitCode, Phase};
use serde_json::{Value, json};
use testbed::api::Api;
use testbed::chromium::Chromium;
use testbed::schema::DataModel;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use super::browser;
use super::registration::form;
use crate::check::{Check, Need};
use crate::container::{BootSpec, Container};
use crate::data_integrity;
use crate::database::TestDatabase;
use crate::suite_context::ADMIN;
use crate::test_context::TestContext;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "two-roles",
        promise: "A server with a database role of its own serves everything and cannot change the schema.",
        needs: Need::Nothing,
        run: |test| Box::pin(two_roles(test)),
    },
    Check {
        name: "two-roles-admin-ui",
        promise: "The admin UI of such a server saves settings, and explains why it does not change the data model.",
        needs: Need::Browser,
        run: |test| Box::pin(two_roles_in_admin_ui(test)),
    },
];

/// The beginning of the refusal.
const REFUSAL: &str = "The data model of this server is changed by releases, not here";
/// Expressions: the menu of the first field of a collection, and its entry to hide or show it.
const MENU: &str = "document.querySelector('main button [data-icon=more_vert]')";
const ENTRY: &str =
    "[...document.querySelectorAll('.v-list-item')].find((entry) => /Field on Detail/.test(entry.innerText))";
const PASSWORDS: [&str; 2] = ["hunter2-role-of-the-boot", "hunter2-role-of-the-server"];

/// A database with both roles.
struct SeparateRoles {
    database: TestDatabase,
    /// Owns the database, and is no superuser.
    boot: String,
    server: String,
}

async fn two_roles(test: &mut TestContext) -> anyhow::Result<()> {
    let roles = SeparateRoles::create(test).await?;
    let container = test.start(roles.spec(test, "directus")).await?;
    container.serving().await?;
    let log = container.log().await?;
    test.line_with(&log, "got its privileges")?;
    ensure!(!log.iter().any(|line| line.contains("could change the schema")), "a warning about two separate roles");
    let status = roles.status(test, &container).await?;
    ensure!(status["separate"] == true, "`status` reports {status}");

    data_integrity::fill(&roles.database).await?;
    let api = container.api().await?;
    data_integrity::served(&api, &roles.database).await?;
    let items = write_items(&api, &roles.database).await?;
    test.figure("collections of the data model with a deleted item", items.to_string());
    let kinds = write_system_items(&api).await?;
    test.figure("kinds of system items created, changed and deleted", kinds.to_string());

    let edits = edits(&api).await?;
    let refused = refuse_edits(&container, &edits).await?;
    test.figure("changes of the data model refused with a sentence", refused.to_string());
    refuse_statements(&roles.connect().await?).await?;

    // A grant by hand is named by the next boot, by `status` and by its statement.
    let server = format!("\"{}\"", roles.server);
    roles.database.execute(&format!("grant create on schema public to {server}")).await?;
    let status = roles.status(test, &container).await?;
    let statement = format!("REVOKE CREATE ON schema public FROM {server}");
    ensure!(status["separate"] == false, "`status` misses CREATE on the schema: {status}");
    ensure!(status["findings"][0]["statement"] == statement.as_str(), "`status` reports {status}");
    let warned = test.run(roles.spec(test, "warned").command(["boot"])).await?;
    warned.expect_success("the boot with a grant by hand")?;
    warned.expect(Phase::Lock, "not needed")?;
    test.line_with(&warned.lines, "may create objects in schema public")?;
    roles.database.execute(&statement).await?;

    let wrong = roles.spec(test, "wrong").variable("BOOT_DB_PASSWORD", "hunter2-wrong").command(["boot"]);
    let words = ["password authentication failed", "correct BOOT_DB_USER or BOOT_DB_PASSWORD"];
    test.run(wrong).await?.expect_failure(Phase::Database, ExitCode::DatabaseRefused, &words)?;
    for line in container.log().await? {
        ensure!(!PASSWORDS.iter().any(|password| line.contains(password)), "the log contains a password");
    }
    Ok(())
}

async fn two_roles_in_admin_ui(test: &mut TestContext) -> anyhow::Result<()> {
    let program = browser::program()?;
    let roles = SeparateRoles::create(test).await?;
    let container = test.start(roles.spec(test, "directus")).await?;
    container.serving().await?;
    browser::set_owner(&roles.database).await?;
    let (api, url) = (container.api().await?, format!("{}/admin", container.url().await?));
    let name = format!("{}-two-roles", test.suite.session.id());
    let mut page = Chromium::start(program, &name, browser::SIZE).await?;
    page.open(&url).await?;
    browser::log_in(&mut page, ADMIN, &test.suite.secrets.admin).await?;

    page.open(&format!("{url}/settings/project")).await?;
    page.fill("[data-field=project_name] input", "Rally of two roles").await?;
    let save = form::check_mark();
    page.click_until("button to save", &save, &format!("!({save})")).await?;
    let saved = api.get("/settings?fields=project_name").await?["project_name"].to_string();
    ensure!(saved.contains("Rally of two roles"), "the name of the project is {saved} after saving another one");

    let model = DataModel::snapshot()?;
    let collection = *model.tables().first().context("the snapshot has no collection")?;
    let before = api.get("/schema/snapshot").await?;
    page.open(&format!("{url}/settings/data-model/{collection}")).await?;
    page.click_until("menu of a field", MENU, &format!("!!{ENTRY}")).await?;
    let is_explained = format!("document.body.innerText.includes({REFUSAL:?})");
    page.click_until("entry to hide or show the field", ENTRY, &is_explained).await?;
    browser::picture(test, &mut page, "two-roles.png", "an edit of the data model on a server with two roles").await?;
    ensure!(api.get("/schema/snapshot").await? == before, "the edit was refused and has changed the data model");
    Ok(())
}

impl SeparateRoles {
    /// Creates an empty database that belongs to the boot's role, with the extensions that need a superuser.
    async fn create(test: &mut TestContext) -> anyhow::Result<SeparateRoles> {
        let database = test.empty_database("main").await?;
        let roles = SeparateRoles {
            boot: format!("boot-{}", database.name),
            server: format!("server-{}", database.name),
            database,
        };
        let SeparateRoles { database, boot, server } = &roles;
        let [boots, servers] = PASSWORDS;
        database
            .execute(&format!(
                r#"create role "{boot}" login password '{boots}'; create role "{server}" login password '{servers}';
                   alter database "{}" owner to "{boot}"; alter schema public owner to "{boot}";
                   revoke create on schema public from public"#,
                database.name
            ))
            .await?;
        for extension in test.suite.migrations.files().required_extensions() {
            let name = &extension.name;
            let offered = format!("exists (select from pg_available_extensions where name = '{name}')");
            if database.value(&offered).await? == "true" {
                database.execute(&format!("create extension if not exists \"{name}\"")).await?;
            }
        }
        Ok(roles)
    }

    /// A container with both roles.
    fn spec(&self, test: &TestContext, name: &str) -> BootSpec {
        test.boot(name, &self.database)
            .variable("DB_USER", &self.server)
            .variable("DB_PASSWORD", PASSWORDS[1])
            .variable("BOOT_DB_USER", &self.boot)
            .variable("BOOT_DB_PASSWORD", PASSWORDS[0])
            .variable("MCP_ENABLED", "true")
    }

    /// Connects with the server's credentials.
    async fn connect(&self) -> anyhow::Result<Client> {
        let mut config = self.database.config();
        config.user(&self.server).password(PASSWORDS[1]);
        let (client, connection) = config.connect(NoTls).await.context("the server's role cannot log in")?;
        tokio::spawn(async move { connection.await.ok() });
        Ok(client)
    }

    /// The part of `status` about the roles.
    async fn status(&self, test: &mut TestContext, container: &Container) -> anyhow::Result<Value> {
        let (code, status) = container.json(&["status", "--json"]).await?;
        ensure!(code == 0, "`status` ended with {code}");
        let (_, text) = container.exec(&[contract::BINARY, "status"]).await?;
        let lines: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("roles ")).collect();
        let end = lines.iter().skip(1).position(|line| !line.starts_with(' ')).map_or(lines.len(), |end| end + 1);
        for line in &lines[..end] {
            test.line(*line);
        }
        Ok(status["roles"].clone())
    }
}

/// Deletes an item of each collection of the data model, unless another one refers to it, and creates it again if it is
/// valid. Returns the number of collections with a deleted item.
async fn write_items(api: &Api, database: &TestDatabase) -> anyhow::Result<usize> {
    let mut number = 0;
    for collection in DataModel::snapshot()?.tables() {
        let of_table = format!("where table_schema = 'public' and table_name = '{collection}'");
        let columns = database
            .value(&format!("select string_agg(column_name, ',') from information_schema.columns {of_table}"))
            .await?;
        let key = database
            .value(&format!(
                "select attname from pg_index join pg_attribute on attrelid = indrelid and attnum = indkey[0]
                 where indrelid = 'public.\"{collection}\"'::regclass and indisprimary"
            ))
            .await?;
        let items = api.get(&format!("/items/{collection}?fields={columns}&sort=-{key}&limit=1")).await?;
        let Some(item) = items.get(0) else { continue };
        let id = item[&key].as_str().map_or_else(|| item[&key].to_string(), str::to_owned);
        let path = format!("/items/{collection}/{id}");
        let deleted = api.call("DELETE", &path, None).await?;
        if deleted.status == 204 {
            number += 1;
            let created = api.call("POST", &format!("/items/{collection}"), Some(item.clone())).await?;
            // The rows of the test need not satisfy the validation of the data model.
            let is_invalid = created.body["errors"][0]["extensions"]["code"] == "FAILED_VALIDATION";
            ensure!(created.status == 200 || is_invalid, "POST of {path} answers {}: {}", created.status, created.body);
        } else {
            let is_referenced = deleted.body.to_string().contains("foreign key constraint");
            ensure!(is_referenced, "DELETE {path} answers {}: {}", deleted.status, deleted.body);
            api.patch(&path, json!({})).await?;
        }
    }
    ensure!(number > 0, "no item could be deleted");
    Ok(number)
}

/// Creates, changes and deletes an item of each kind that an administrator works with. Returns the number of kinds.
async fn write_system_items(api: &Api) -> anyhow::Result<usize> {
    let user = api.get("/users/me").await?["id"].clone();
    let policy = api.post("/policies", json!({ "name": "two roles" })).await?["id"].clone();
    let dashboard = api.post("/dashboards", json!({ "name": "two roles" })).await?["id"].clone();
    let flow = api.post("/flows", json!({ "name": "two roles", "trigger": "manual" })).await?["id"].clone();
    let panel =
        json!({ "dashboard": dashboard, "type": "label", "position_x": 1, "position_y": 1, "width": 1, "height": 1 });
    let operation = json!({ "flow": flow, "key": "o", "type": "log", "position_x": 1, "position_y": 1 });
    let kinds = [
        ("/roles", json!({ "name": "a" }), json!({ "name": "b" })),
        ("/policies", json!({ "name": "a" }), json!({ "name": "b" })),
        (
            "/permissions",
            json!({ "policy": policy, "collection": "directus_files", "action": "read" }),
            json!({ "fields": ["id"] }),
        ),
        ("/users", json!({ "email": "a@example.com" }), json!({ "first_name": "b" })),
        ("/folders", json!({ "name": "a" }), json!({ "name": "b" })),
        (
            "/files",
            json!({ "storage": "local", "type": "text/plain", "filename_download": "a.txt", "filename_disk": "two-roles.txt" }),
            json!({ "title": "b" }),
        ),
        ("/presets", json!({ "collection": "directus_users", "user": user }), json!({ "bookmark": "b" })),
        ("/dashboards", json!({ "name": "a" }), json!({ "name": "b" })),
        ("/panels", panel, json!({ "name": "b" })),
        ("/flows", json!({ "name": "a", "trigger": "manual" }), json!({ "status": "inactive" })),
        ("/operations", operation, json!({ "name": "b" })),
        ("/translations", json!({ "language": "en-US", "key": "a", "value": "a" }), json!({ "value": "b" })),
        ("/notifications", json!({ "recipient": user, "subject": "a" }), json!({ "status": "archived" })),
        (
            "/comments",
            json!({ "collection": "directus_users", "item": user, "comment": "a" }),
            json!({ "comment": "b" }),
        ),
    ];
    for (path, new, change) in &kinds {
        let id = api.post(path, new.clone()).await?["id"].clone();
        let item = format!("{path}/{}", id.as_str().map_or_else(|| id.to_string(), str::to_owned));
        api.patch(&item, change.clone()).await?;
        api.delete(&item).await?;
    }
    api.patch("/settings", json!({ "project_name": "two roles", "mcp_enabled": true, "mcp_allow_deletes": true }))
        .await?;
    api.post("/utils/cache/clear?system", json!({})).await?;
    Ok(kinds.len())
}

/// Requests that change the data model: method, path and body.
async fn edits(api: &Api) -> anyhow::Result<Vec<(&'static str, String, Value)>> {
    let model = DataModel::snapshot()?;
    let collection = *model.tables().first().context("the snapshot has no collection")?;
    let fields = api.get(&format!("/fields/{collection}")).await?;
    let fields = fields.as_array().context("fields are a list")?;
    let field = fields.iter().find(|field| field["schema"].is_object() && field["schema"]["is_primary_key"] == false);
    let field = field.with_context(|| format!("{collection} has no other field than its key"))?;
    let name = field["field"].as_str().context("a field has a name")?;
    let [of_collection, of_fields] = ["collections", "fields"].map(|kind| format!("/{kind}/{collection}"));
    let of_field = format!("{of_fields}/{name}");
    let new_field = json!({ "field": "invented", "type": "string", "schema": {}, "meta": {} });
    let mut other_note = field.clone();
    other_note["meta"]["note"] = json!("invented");

    let mut snapshot = api.get("/schema/snapshot").await?;
    snapshot["collections"][0]["meta"]["note"] = json!("invented");
    let diff = api.post("/schema/diff", snapshot).await?;
    let graphql = |mutation: String| {
        ("POST", "/graphql/system".to_owned(), json!({ "query": format!("mutation {{ {mutation} }}") }))
    };
    let tool = |name: &str, arguments: Value| {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": name, "arguments": arguments } });
        ("POST", "/mcp".to_owned(), call)
    };
    let mut edits = vec![
        ("POST", "/collections".to_owned(), json!({ "collection": "invented", "schema": {}, "meta": {} })),
        ("POST", "/collections".to_owned(), json!([{ "collection": "invented", "schema": {}, "meta": {} }])),
        ("POST", "/collections".to_owned(), json!({ "collection": "invented", "schema": null, "meta": {} })),
        ("PATCH", "/collections".to_owned(), json!([{ "collection": collection, "meta": { "sort": 9 } }])),
        ("PATCH", of_collection.clone(), json!({ "meta": { "note": "invented" } })),
        ("DELETE", of_collection, Value::Null),
        ("POST", of_fields.clone(), new_field.clone()),
        ("POST", of_fields.clone(), json!({ "field": "invented", "type": "alias", "meta": {} })),
        ("PATCH", of_fields, json!([{ "field": name, "meta": { "sort": 9 } }])),
        ("PATCH", of_field.clone(), json!({ "meta": { "note": "invented" } })),
        ("PATCH", of_field.clone(), other_note),
        ("PATCH", "/fields/directus_users/email".to_owned(), json!({ "schema": { "is_indexed": true } })),
        ("DELETE", of_field, Value::Null),
        (
            "POST",
            "/relations".to_owned(),
            json!({ "collection": collection, "field": name, "related_collection": "directus_users" }),
        ),
        ("POST", "/schema/apply".to_owned(), diff),
        graphql(format!("delete_collections_item(collection: \"{collection}\") {{ collection }}")),
        graphql(format!("delete_fields_item(collection: \"{collection}\", field: \"{name}\") {{ field }}")),
        tool("fields", json!({ "action": "create", "collection": collection, "data": [new_field] })),
        tool("collections", json!({ "action": "delete", "keys": [collection] })),
    ];
    let relations = api.get("/relations").await?;
    let own = relations
        .as_array()
        .into_iter()
        .flatten()
        .find(|relation| relation["collection"].as_str().is_some_and(|name| model.tables().contains(name)));
    if let Some((collection, field)) = own.and_then(|own| Some((own["collection"].as_str()?, own["field"].as_str()?))) {
        let path = format!("/relations/{collection}/{field}");
        edits.push(("PATCH", path.clone(), json!({ "meta": { "sort_field": null } })));
        edits.push(("DELETE", path, Value::Null));
    }
    Ok(edits)
}

/// Checks that each change is refused with the sentence, and that the data model is the same afterwards. Returns their
/// number.
async fn refuse_edits(container: &Container, edits: &[(&'static str, String, Value)]) -> anyhow::Result<usize> {
    let api = container.api().await?;
    let before = api.get("/schema/snapshot").await?;
    for (method, path, body) in edits {
        let body = (!body.is_null()).then(|| body.clone());
        let answer = api.call(method, path, body).await?;
        let text = answer.body.to_string();
        ensure!(text.contains(REFUSAL), "{method} {path} answers {}: {text}", answer.status);
        // GraphQL and MCP have errors of their own form.
        let is_rest = !matches!(path.as_str(), "/graphql/system" | "/mcp");
        let code = &answer.body["errors"][0]["extensions"]["code"];
        ensure!(
            !is_rest || (answer.status == 403 && code == "FORBIDDEN"),
            "{method} {path} answers {}: {text}",
            answer.status
        );
    }
    ensure!(api.get("/schema/snapshot").await? == before, "a refused change has changed the data model");
    let log = container.log().await?;
    let denied = log.iter().find(|line| line.contains("permission denied") || line.contains("must be owner"));
    ensure!(
        denied.is_none(),
        "a request reached PostgreSQL and was refused there: {}",
        denied.map_or("", String::as_str)
    );
    Ok(edits.len())
}

/// Checks that PostgreSQL refuses each change of the schema with the server's credentials.
async fn refuse_statements(client: &Client) -> anyhow::Result<()> {
    for statement in [
        "create table public.invented ()",
        "create schema invented",
        "alter table public.directus_users add column invented text",
        "drop table public.directus_users",
        "create index on public.directus_users (email)",
        "insert into public.directus_fields (collection, field) values ('invented', 'invented')",
        "update boot.migrations set checksum = ''",
    ] {
        let refused = match client.batch_execute(statement).await {
            Ok(()) => false,
            Err(error) => error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE),
        };
        ensure!(refused, "the server's role may run `{statement}`");
    }
    Ok(())
}
