//! Indexes that are built without a lock: `CREATE INDEX CONCURRENTLY`. One that is cut off stays behind as INVALID, and
//! `IF NOT EXISTS` would count it as made.

use tokio_postgres::Client;

use super::scan::{Kind, Lexer};
use crate::log::Log;

/// What a `CREATE INDEX CONCURRENTLY` makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Built {
    Named(Index),
    /// PostgreSQL makes a name up.
    Unnamed,
}

/// An index by the names that its statement has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    name: String,
    schema: Option<String>,
    table: String,
}

/// What the statement builds, if it is a `CREATE INDEX CONCURRENTLY`.
pub(super) fn concurrent_index(statement: &str) -> Option<Built> {
    let mut tokens = Lexer::new(statement).filter(|token| token.kind != Kind::Comment).peekable();
    let mut word = |expected: &str| {
        tokens
            .next_if(|token| token.kind == Kind::Word && statement[token.range.clone()].eq_ignore_ascii_case(expected))
            .is_some()
    };
    if !word("create") {
        return None;
    }
    word("unique");
    if !(word("index") && word("concurrently")) {
        return None;
    }
    if word("if") {
        word("not");
        word("exists");
    }
    if word("on") {
        return Some(Built::Unnamed);
    }
    let identifier = |token: super::scan::Token| {
        let text = &statement[token.range];
        match token.kind {
            // Unquoted names are folded, in ASCII alone (PostgreSQL leaves the rest to the locale).
            Kind::Word => Some(text.to_ascii_lowercase()),
            Kind::Name => Some(text[1..text.len() - 1].replace("\"\"", "\"")),
            _ => None,
        }
    };
    let name = tokens.next().and_then(identifier)?;
    let mut names = tokens.skip_while(|token| {
        token.kind == Kind::Word
            && ["on", "only"].iter().any(|word| statement[token.range.clone()].eq_ignore_ascii_case(word))
    });
    let first = names.next().and_then(identifier)?;
    let is_qualified = names.next().is_some_and(|token| &statement[token.range] == ".");
    Some(Built::Named(if is_qualified {
        Index { name, schema: Some(first), table: names.next().and_then(identifier)? }
    } else {
        Index { name, schema: None, table: first }
    }))
}

/// Drops what a run that was cut off left of an index. One that somebody is building at the moment is left alone.
pub(super) async fn drop_invalid(
    client: &Client,
    filename: &str,
    index: &Index,
    log: &Log,
) -> Result<(), tokio_postgres::Error> {
    for name in invalid(client, index, false).await? {
        log.warn(format!("{filename}: {name} is INVALID, left by a run that was cut off: it is built anew"));
        client.batch_execute(&format!("drop index concurrently if exists {name}")).await?;
    }
    Ok(())
}

/// The INVALID indexes of that name on that table, as SQL writes them; also those that are being built, if asked for.
pub(super) async fn invalid(
    client: &Client,
    index: &Index,
    in_progress: bool,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = client
        .query(
            "select pg_catalog.format('%I.%I', n.nspname, i.relname)
             from pg_catalog.pg_index x
             join pg_catalog.pg_class i on i.oid = x.indexrelid
             join pg_catalog.pg_class t on t.oid = x.indrelid
             join pg_catalog.pg_namespace n on n.oid = i.relnamespace
             where not x.indisvalid and i.relname = $1 and t.relname = $2
               and case when $3::text is null then pg_catalog.pg_table_is_visible(t.oid) else n.nspname = $3 end
               and ($4 or not exists
                    (select from pg_catalog.pg_stat_progress_create_index p where p.index_relid = i.oid))",
            &[&index.name, &index.table, &index.schema, &in_progress],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(name: &str, schema: Option<&str>, table: &str) -> Option<Built> {
        Some(Built::Named(Index { name: name.into(), schema: schema.map(Into::into), table: table.into() }))
    }

    #[test]
    fn names_are_read_as_postgresql_reads_them() {
        for (statement, expected) in [
            ("create index concurrently A on B (c)", index("a", None, "b")),
            ("CREATE UNIQUE INDEX CONCURRENTLY /* x */ IF NOT EXISTS a ON ONLY s.b (c)", index("a", Some("s"), "b")),
            ("create index concurrently \"A\"\"a\" on \"S\".\"T t\" using btree (c)", index("A\"a", Some("S"), "T t")),
            ("create index concurrently on b (c)", Some(Built::Unnamed)),
            ("create index a on b (c)", None),
            ("create index if not exists concurrently on b (c)", None),
            ("create index concurrently a", None),
            ("create table index (a int)", None),
        ] {
            assert_eq!(concurrent_index(statement), expected, "{statement}");
        }
    }
}
