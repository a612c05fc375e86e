//! Whether somebody edited the schema since the last boot: asked of PostgreSQL in one query, without Node.
//!
//! Everything that a plan can show lies in rows: Directus' own (`directus_collections`, `directus_fields`,
//! `directus_relations`) and the catalogue's about the tables that Directus tracks. Each edit writes a new version of a
//! row, stamped with the transaction that made it (`xmin`), and transactions only count up: so how many rows there are
//! and the sum of their stamps change with every edit. It costs a tenth of hashing the rows' contents. What changes it
//! without an edit (a restored dump, a major upgrade, `VACUUM FULL` of a catalogue) only costs a look with Node.

use tokio_postgres::Client;

/// An expression, text or null, over the tables that are there when Directus is installed.
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

/// The fingerprint of the schema as it is now.
///
/// # Errors
/// The driver's; `42P01` where Directus is not installed.
pub async fn fingerprint(client: &Client) -> Result<String, tokio_postgres::Error> {
    Ok(client.query_one(&format!("select {FINGERPRINT}"), &[]).await?.get(0))
}
