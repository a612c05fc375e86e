//! Initial database and snapshot of every case: the rich model that Directus itself saved, additional tables of SQL,
//! and rows in every table.

use anyhow::Context as _;
use serde_json::Value;

use super::case::List;
use crate::columns::TableColumn;
use crate::database::TestDatabase;

const SNAPSHOT: &str = include_str!("../versions/11.17.4.yaml");
/// SQL file for db-init, before the schema.
pub(super) const BASE_SQL: &str = include_str!("base.sql");
/// SQL file for post-schema.
pub(super) const BASE_POST_SQL: &str = include_str!("base-post.sql");
const FILL: &str = include_str!("fill.sql");
/// Number of rows in each table that the snapshot describes.
const ROWS: usize = 4;

/// The unedited snapshot.
pub(super) struct Model {
    pub(super) snapshot: Value,
}

impl Model {
    pub(super) fn new() -> anyhow::Result<Model> {
        Ok(Model { snapshot: serde_saphyr::from_str(SNAPSHOT).context("failed to parse the model's snapshot")? })
    }

    /// Returns the entries of a list.
    pub(super) fn entries(&self, list: List) -> &[Value] {
        self.snapshot[list.key()].as_array().map_or(&[], Vec::as_slice)
    }

    /// Returns the fields with a column that is not a primary key.
    pub(super) fn columns(&self) -> Vec<&Value> {
        let fields = self.entries(List::Fields).iter();
        fields.filter(|field| field["schema"].is_object() && field["schema"]["is_primary_key"] != true).collect()
    }

    /// Returns the collections with a table.
    pub(super) fn tables(&self) -> Vec<&str> {
        let tables = self.entries(List::Collections).iter().filter(|entry| entry["schema"].is_object());
        tables.filter_map(|entry| entry["collection"].as_str()).collect()
    }
}

/// Inserts rows into every table of a booted database.
pub(super) async fn fill(database: &TestDatabase, model: &Model) -> anyhow::Result<()> {
    database.execute(FILL).await?;
    let client = database.connect().await?;
    let columns = TableColumn::all(&client).await?;
    let mut references = Vec::new();
    for table in model.tables() {
        let (mut names, mut values) = (Vec::new(), Vec::new());
        let own: Vec<&TableColumn> = columns.iter().filter(|column| column.table == table).collect();
        let key = own.iter().find(|column| column.is_key).map_or("id", |column| column.name.as_str());
        for column in own {
            let value = match &column.target {
                // Set below, once the target has rows; a default might refer to a missing row.
                Some((target, id)) if !column.is_required => {
                    references.push((table, key, column.name.as_str(), target.as_str(), id.as_str()));
                    Some("null".to_owned())
                }
                _ => column.value(),
            };
            if let Some(value) = value {
                values.push(value);
                names.push(format!("\"{}\"", column.name));
            }
        }
        let insert = if names.is_empty() {
            format!("insert into \"{table}\" select from generate_series(1, {ROWS}) i")
        } else {
            let (names, values) = (names.join(", "), values.join(", "));
            format!("insert into \"{table}\" ({names}) select {values} from generate_series(1, {ROWS}) i")
        };
        client.batch_execute(&insert).await.with_context(|| format!("failed to fill {table}: {insert}"))?;
    }
    for (table, key, name, target, column) in references {
        let update = format!(
            "update \"{table}\" t set \"{name}\" = x.v from
             (select {key} as k, row_number() over (order by {key}) as n from \"{table}\") o
             join (select \"{column}\" as v, row_number() over (order by \"{column}\") as n from {target}) x on x.n = o.n
             where t.{key} = o.k and o.n < {ROWS}"
        );
        client.batch_execute(&update).await.with_context(|| format!("failed to fill {table}: {update}"))?;
    }
    // Custom fields of Directus' own tables.
    let own = "update directus_users set phone = '+355 ' || email, home_venue = (select min(code) from venues) where email like 'user%';
               update directus_files set alt_text = 'Alternative'";
    client.batch_execute(own).await.context("failed to fill system fields")?;
    client.batch_execute("vacuum analyze").await.context("failed to analyze")
}
