//! The schema's fingerprint, which detects edits since the last boot in one query, without Node.
//!
//! Everything that a plan can contain is in rows: of Directus (`directus_collections`, `directus_fields`,
//! `directus_relations`) and of the catalog about the tables that Directus tracks. Each edit writes a new version of a
//! row with the number of its transaction (`xmin`), and these numbers only increase. So every edit changes the number
//! of rows or the sum of their `xmin`, which costs a tenth of hashing the rows. A change without an edit (a restored
//! dump, a major upgrade, `VACUUM FULL` of a catalog) only costs a comparison with Node.

use tokio_postgres::Client;

/// The fingerprint as a SQL expression, text or null. It requires that Directus is installed.
pub(crate) const FINGERPRINT: &str = r"
(with tracked as materialized (
    select array_agg(oid) as tables, sum(hashtext(relname)::bigint + ascii(relkind::text) + oid::bigint) as names
    from pg_catalog.pg_class
    where relnamespace = any (current_schemas(false)::regnamespace[]) and relkind in ('r', 'p', 'v', 'm', 'f')
      and (relname like 'directus\_%' or relname in (select collection from directus_collections))
)
select concat_ws(' ',
    (select names from tracked),
    (select concat(count(*), '+', sum(xmin::text::bigint)) from directus_collections),
    (select concat(count(*), '+', sum(xmin::text::bigint)) from directus_fields),
    (select concat(count(*), '+', sum(xmin::text::bigint)) from directus_relations),
    (select concat(count(*), '+', sum(xmin::text::bigint)) from pg_catalog.pg_attribute
     where attrelid = any (array(select unnest(tables) from tracked)) and attnum > 0),
    (select concat(count(*), '+', sum(xmin::text::bigint)) from pg_catalog.pg_attrdef
     where adrelid = any (array(select unnest(tables) from tracked))),
    (select concat(count(*), '+', sum(xmin::text::bigint)) from pg_catalog.pg_index
     where indrelid = any (array(select unnest(tables) from tracked))),
    (select concat(count(*), '+', sum(xmin::text::bigint)) from pg_catalog.pg_constraint
     where conrelid = any (array(select unnest(tables) from tracked))),
    (select concat(count(*), '+', sum(xmin::text::bigint)) from pg_catalog.pg_description
     where classoid = 'pg_catalog.pg_class'::regclass and objoid = any (array(select unnest(tables) from tracked)))
))";

/// Reads the present fingerprint of the schema.
///
/// # Errors
/// Fails if the query does, with `42P01` if Directus is not installed.
pub async fn fingerprint(client: &Client) -> Result<String, tokio_postgres::Error> {
    Ok(client.query_one(&format!("select {FINGERPRINT}"), &[]).await?.get(0))
}
