//! What is really in the database, asked of PostgreSQL and not of Directus.

use std::collections::{BTreeSet, HashSet};

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::guard::Loss;
use super::snapshot::Snapshot;

/// Whether Directus counts this database as installed; it looks at this one table only.
///
/// # Errors
/// The driver's.
pub async fn is_installed(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let row = client.query_one("select to_regclass('directus_collections') is not null", &[]).await?;
    Ok(row.get(0))
}

/// Versions of the migrations that Directus has applied, its own and others.
///
/// # Errors
/// The driver's.
pub async fn applied_migrations(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = client.query("select version::text from directus_migrations order by 1", &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// An expression: whether an active user has administrator's rights, by themselves, by their role, or by a role above
/// it. It goes from the few policies to the users, not from the many users to their policies.
pub(crate) const HAS_ADMINISTRATOR: &str = r#"
(with recursive granted as (
    select access.role, access."user" from directus_access access
    join directus_policies policy on policy.id = access.policy
    where policy.admin_access
),
roles (id) as (
    select role from granted where role is not null
    union
    select below.id from directus_roles below join roles on below.parent = roles.id
)
select exists (
    select from directus_users
    where status = 'active' and (role in (select id from roles) or id in (select "user" from granted))
))"#;

/// Whether an active user has administrator's rights.
///
/// # Errors
/// The driver's; `42P01` where Directus is not installed, or is older than 11.
pub async fn has_administrator(client: &Client) -> Result<bool, tokio_postgres::Error> {
    Ok(client.query_one(&format!("select {HAS_ADMINISTRATOR}"), &[]).await?.get(0))
}

/// Whether an extension is installed in this database.
///
/// # Errors
/// The driver's.
pub async fn has_extension(client: &Client, name: &str) -> Result<bool, tokio_postgres::Error> {
    let row =
        client.query_one("select exists (select from pg_catalog.pg_extension where extname = $1)", &[&name]).await?;
    Ok(row.get(0))
}

/// What of the snapshot is not in the database: tables, columns, and Directus' own rows about them.
///
/// # Errors
/// The driver's.
pub async fn missing_from(client: &Client, snapshot: &Snapshot) -> Result<Vec<String>, tokio_postgres::Error> {
    let columns = pairs(
        client,
        "select c.relname::text, a.attname::text
         from pg_catalog.pg_class c join pg_catalog.pg_attribute a on a.attrelid = c.oid
         where c.relnamespace = any (current_schemas(false)::regnamespace[]) and c.relkind in ('r', 'p')
           and a.attnum > 0 and not a.attisdropped",
    )
    .await?;
    let fields = pairs(client, "select collection::text, field::text from directus_fields").await?;
    let relations = pairs(client, "select many_collection::text, many_field::text from directus_relations").await?;
    let collections: HashSet<String> = client
        .query("select collection::text from directus_collections", &[])
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();

    let tables: HashSet<&str> = columns.iter().map(|(table, _)| table.as_str()).collect();
    let mut missing = BTreeSet::new();
    for table in &snapshot.tables {
        if !tables.contains(table.as_str()) {
            missing.insert(format!("table {table}"));
        }
    }
    for collection in snapshot.tables.iter().chain(&snapshot.folders) {
        if !collections.contains(collection) {
            missing.insert(format!("collection {collection}"));
        }
    }
    for key in &snapshot.columns {
        if !columns.contains(key) {
            missing.insert(format!("column {}.{}", key.0, key.1));
        }
    }
    for key in snapshot.columns.iter().chain(&snapshot.aliases) {
        if !fields.contains(key) {
            missing.insert(format!("field {}.{}", key.0, key.1));
        }
    }
    for key in &snapshot.relations {
        if !relations.contains(key) {
            missing.insert(format!("relation {}.{}", key.0, key.1));
        }
    }
    Ok(missing.into_iter().collect())
}

async fn pairs(client: &Client, query: &str) -> Result<HashSet<(String, String)>, tokio_postgres::Error> {
    Ok(client.query(query, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// How long counting the rows of one loss may take; after that an estimate will do.
const COUNTING: &str = "5s";

/// The losses in words, with how many rows or values each concerns: `delete collection laps (12 rows)`.
///
/// # Errors
/// The driver's.
pub async fn weigh(client: &Client, losses: &[Loss]) -> Result<Vec<String>, tokio_postgres::Error> {
    let mut weighed = Vec::with_capacity(losses.len());
    for loss in losses {
        let weight = match &loss.table {
            Some(table) => weight(client, table, loss.column.as_deref()).await?,
            None => None,
        };
        weighed.push(weight.map_or_else(|| loss.words.clone(), |weight| format!("{} ({weight})", loss.words)));
    }
    Ok(weighed)
}

/// `12 rows`, `about 1200000 rows`; none for what has no table.
async fn weight(client: &Client, table: &str, column: Option<&str>) -> Result<Option<String>, tokio_postgres::Error> {
    let row = client
        .query_opt(
            "select format('%I.%I', n.nspname, c.relname), a.attname is not null,
                    case when a.attname is null then 'count(*)' else format('count(%I)', a.attname) end, greatest(c.reltuples, 0)::bigint
             from pg_catalog.pg_class c
             join pg_catalog.pg_namespace n on n.oid = c.relnamespace
             left join pg_catalog.pg_attribute a
                 on a.attrelid = c.oid and a.attname = $2 and a.attnum > 0 and not a.attisdropped
             where n.nspname = any (current_schemas(false)) and c.relname = $1 and c.relkind in ('r', 'p')",
            &[&table, &column],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let (table, is_column, count, estimate): (String, bool, String, i64) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    if column.is_some() && !is_column {
        return Ok(None);
    }
    let unit = if is_column { "values" } else { "rows" };
    client.batch_execute(&format!("begin read only; set local statement_timeout = '{COUNTING}'")).await?;
    let counted = client.query_one(&format!("select {count} from {table}"), &[]).await;
    client.batch_execute("rollback").await?;
    match counted {
        Ok(row) => Ok(Some(format!("{} {unit}", row.get::<_, i64>(0)))),
        Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => Ok(Some(format!("about {estimate} rows"))),
        Err(error) => Err(error),
    }
}
