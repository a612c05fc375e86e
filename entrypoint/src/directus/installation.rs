//! The actual contents of the database, read from PostgreSQL and not from Directus.

use std::collections::{BTreeSet, HashSet};

use tokio_postgres::Client;

use super::snapshot::Snapshot;
use crate::witness::{Link, LinkError};

/// Returns true if Directus is installed by its own criterion, the existence of this one table.
///
/// # Errors
/// Fails if a query does.
pub async fn is_installed(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let row = client.query_one("select to_regclass('directus_collections') is not null", &[]).await?;
    Ok(row.get(0))
}

/// Reads the versions of the migrations that Directus has applied, its own and custom ones.
///
/// # Errors
/// Fails if a query does.
pub async fn applied_migrations(link: &mut Link<'_>) -> Result<Vec<String>, LinkError> {
    let rows = link.rows("select version::text from directus_migrations order by 1").await?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

/// A SQL expression, true if an active user has administrator's rights, directly, by role, or by a parent role. It goes
/// from the few policies to the users, not from the many users to their policies.
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

/// Returns true if an active user has administrator's rights.
///
/// # Errors
/// Fails if the query does, with `42P01` if Directus is not installed, or older than 11.
pub async fn has_administrator(client: &Client) -> Result<bool, tokio_postgres::Error> {
    Ok(client.query_one(&format!("select {HAS_ADMINISTRATOR}"), &[]).await?.get(0))
}

/// Returns the parts of the snapshot that the database lacks: tables, columns, and Directus' metadata about them.
///
/// # Errors
/// Fails if a query does.
pub async fn missing_from(link: &mut Link<'_>, snapshot: &Snapshot) -> Result<Vec<String>, LinkError> {
    let columns = pairs(
        link,
        "select c.relname::text, a.attname::text
         from pg_catalog.pg_class c join pg_catalog.pg_attribute a on a.attrelid = c.oid
         where c.relnamespace = any (current_schemas(false)::regnamespace[]) and c.relkind in ('r', 'p')
           and a.attnum > 0 and not a.attisdropped",
    )
    .await?;
    let fields = pairs(link, "select collection::text, field::text from directus_fields").await?;
    let relations = pairs(link, "select many_collection::text, many_field::text from directus_relations").await?;
    let collections: HashSet<String> =
        link.rows("select collection::text from directus_collections").await?.into_iter().flatten().flatten().collect();

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

async fn pairs(link: &mut Link<'_>, query: &str) -> Result<HashSet<(String, String)>, LinkError> {
    let mut pairs = HashSet::new();
    for row in link.rows(query).await? {
        if let Ok([first, second]) = <[Option<String>; 2]>::try_from(row) {
            pairs.insert((first.unwrap_or_default(), second.unwrap_or_default()));
        }
    }
    Ok(pairs)
}
