//! The database and the snapshot that every case begins with: the rich model that Directus itself saved, tables of SQL beside it, and
//! rows in every table.

use anyhow::Context as _;
use serde_json::Value;

use super::case::List;
use crate::database::Database;

const SNAPSHOT: &str = include_str!("../versions/11.17.4.yaml");
/// The SQL file before the schema.
pub(super) const BASE_SQL: &str = include_str!("base.sql");
/// The SQL file after it.
pub(super) const BASE_POST_SQL: &str = include_str!("base-post.sql");
const FILL: &str = include_str!("fill.sql");
/// Rows of each table that the snapshot describes.
const ROWS: usize = 4;

/// The snapshot, for edits to begin with.
pub(super) struct Model {
    pub(super) snapshot: Value,
}

impl Model {
    pub(super) fn new() -> anyhow::Result<Model> {
        Ok(Model { snapshot: serde_saphyr::from_str(SNAPSHOT).context("the model's snapshot cannot be read")? })
    }

    /// The entries of one of its lists.
    pub(super) fn entries(&self, list: List) -> &[Value] {
        self.snapshot[list.key()].as_array().map_or(&[], Vec::as_slice)
    }

    /// Fields with a column that is not a primary key.
    pub(super) fn columns(&self) -> Vec<&Value> {
        let is_column = |field: &&Value| field["schema"].is_object() && field["schema"]["is_primary_key"] != true;
        self.entries(List::Fields).iter().filter(is_column).collect()
    }

    /// Collections with a table.
    pub(super) fn tables(&self) -> Vec<&str> {
        let tables = self.entries(List::Collections).iter().filter(|entry| entry["schema"].is_object());
        tables.filter_map(|entry| entry["collection"].as_str()).collect()
    }
}

/// Puts rows into every table of a booted database.
pub(super) async fn fill(database: &Database, model: &Model) -> anyhow::Result<()> {
    database.execute(FILL).await?;
    let client = database.connect().await?;
    let columns = client
        .query(
            "select c.relname, a.attname, format_type(a.atttypid, null), a.attnotnull, a.atttypmod - 4,
                 f.confrelid::regclass::text, (select attname from pg_attribute k where k.attrelid = f.confrelid and k.attnum = f.confkey[1]),
                 coalesce(pg_get_expr(d.adbin, d.adrelid) like 'nextval%', false),
                 exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary and a.attnum = any (i.indkey))
             from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
             left join pg_constraint f on f.conrelid = c.oid and f.contype = 'f' and f.conkey = array[a.attnum]
             left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
             where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' order by c.relname, a.attnum",
            &[],
        )
        .await
        .context("failed to list columns")?;
    let mut references = Vec::new();
    for table in model.tables() {
        let (mut names, mut values) = (Vec::new(), Vec::new());
        let mut key = String::from("id");
        for row in columns.iter().filter(|row| row.get::<_, String>(0) == table) {
            let name: String = row.get(1);
            if row.get(8) {
                key.clone_from(&name);
            }
            let target: Option<String> = row.get(5);
            if let Some(target) = target {
                let column: String = row.get(6);
                // Set later, when there is something to refer to; a default could refer to nothing.
                let is_needed = row.get(3);
                let first = format!("(select \"{column}\" from {target} order by 1 offset i - 1 limit 1)");
                values.push(if is_needed { first } else { "null".to_owned() });
                names.push(format!("\"{name}\""));
                if !is_needed {
                    references.push((table, name, target, column));
                }
            } else if !row.get::<_, bool>(7) {
                values.push(value(&name, &row.get::<_, String>(2), row.get(4)));
                names.push(format!("\"{name}\""));
            }
        }
        let insert = if names.is_empty() {
            format!("insert into \"{table}\" select from generate_series(1, {ROWS}) i")
        } else {
            let (names, values) = (names.join(", "), values.join(", "));
            format!("insert into \"{table}\" ({names}) select {values} from generate_series(1, {ROWS}) i")
        };
        client.batch_execute(&insert).await.with_context(|| format!("failed to fill {table}: {insert}"))?;
        references.iter_mut().filter(|one| one.0 == table).for_each(|one| one.1 = format!("{key}|{}", one.1));
    }
    for (table, names, target, column) in references {
        let (key, name) = names.rsplit_once('|').unwrap_or(("id", &names));
        let key = key.split('|').next().unwrap_or(key);
        let update = format!(
            "update \"{table}\" t set \"{name}\" = x.v from
             (select {key} as k, row_number() over (order by {key}) as n from \"{table}\") o
             join (select \"{column}\" as v, row_number() over (order by \"{column}\") as n from {target}) x on x.n = o.n
             where t.{key} = o.k and o.n < {ROWS}"
        );
        client.batch_execute(&update).await.with_context(|| format!("failed to fill {table}: {update}"))?;
    }
    // Fields of Directus' own tables.
    let own = "update directus_users set phone = '+355 ' || email, home_venue = (select min(code) from venues) where email like 'user%';
               update directus_files set alt_text = 'Alternative'";
    client.batch_execute(own).await.context("failed to fill system fields")?;
    client.batch_execute("vacuum analyze").await.context("failed to analyze")
}

/// An expression over `i`.
fn value(name: &str, data_type: &str, length: i32) -> String {
    match data_type {
        "uuid" => format!("md5('{name}' || i)::uuid"),
        "integer" | "bigint" | "smallint" => "i * 100 + 7".to_owned(),
        "real" | "double precision" => "i + 0.625".to_owned(),
        "numeric" => "i + 0.25".to_owned(),
        "boolean" => "i % 2 = 0".to_owned(),
        "timestamp with time zone" => "'2026-03-01 12:34:56+00'::timestamptz + i * interval '1 day'".to_owned(),
        "timestamp without time zone" => "'2026-03-01 12:34:56'::timestamp + i * interval '1 day'".to_owned(),
        "date" => "'2026-03-01'::date + i".to_owned(),
        "time without time zone" => "'12:34:56'::time + i * interval '1 minute'".to_owned(),
        "json" => "json_build_object('n', i, 'text', 'it''s')".to_owned(),
        "jsonb" => "jsonb_build_object('n', i)".to_owned(),
        "bytea" => "('bytes ' || i)::bytea".to_owned(),
        _ if length > 0 => format!("left(i || ' {name} of a row', {length})"),
        _ => format!("i || ' {name} of a row'"),
    }
}
