//! Indexes that are built without a lock: `CREATE INDEX CONCURRENTLY`. An interrupted build leaves an INVALID index, which
//! satisfies `IF NOT EXISTS`.

#[cfg(feature = "boot")]
use tokio_postgres::Client;

use super::scan::{Lexer, Token, TokenKind};
#[cfg(feature = "boot")]
use crate::log::Log;

/// The index of a `CREATE INDEX CONCURRENTLY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Built {
    Named(Index),
    /// PostgreSQL chooses the name.
    Unnamed,
}

/// An index by the names in its statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    name: String,
    schema: Option<String>,
    table: String,
}

/// Returns the index that the statement builds, if it is a `CREATE INDEX CONCURRENTLY`.
pub(super) fn concurrent_index(statement: &str) -> Option<Built> {
    let tokens: Vec<Token> = Lexer::new(statement).filter(|token| token.kind != TokenKind::Comment).collect();
    let tokens = after_keywords(statement, &tokens, &["create"])?;
    let tokens = after_keywords(statement, tokens, &["unique"]).unwrap_or(tokens);
    let tokens = after_keywords(statement, tokens, &["index", "concurrently"])?;
    let tokens = after_keywords(statement, tokens, &["if", "not", "exists"]).unwrap_or(tokens);
    if after_keywords(statement, tokens, &["on"]).is_some() {
        return Some(Built::Unnamed);
    }
    let (name, tokens) = tokens.split_first()?;
    let name = identifier(statement, name)?;
    let tokens = after_keywords(statement, tokens, &["on"])?;
    let tokens = after_keywords(statement, tokens, &["only"]).unwrap_or(tokens);
    let first = identifier(statement, tokens.first()?)?;
    Some(Built::Named(match tokens {
        [_, dot, table, ..] if &statement[dot.range.clone()] == "." => {
            Index { name, schema: Some(first), table: identifier(statement, table)? }
        }
        _ => Index { name, schema: None, table: first },
    }))
}

/// Returns the tokens after these keywords; None if the tokens begin differently.
fn after_keywords<'t>(statement: &str, tokens: &'t [Token], keywords: &[&str]) -> Option<&'t [Token]> {
    let (first, rest) = tokens.split_at_checked(keywords.len())?;
    let is_keyword = first.iter().zip(keywords).all(|(token, keyword)| {
        token.kind == TokenKind::Word && statement[token.range.clone()].eq_ignore_ascii_case(keyword)
    });
    is_keyword.then_some(rest)
}

/// Returns the name that a token denotes.
fn identifier(statement: &str, token: &Token) -> Option<String> {
    let text = &statement[token.range.clone()];
    match token.kind {
        // PostgreSQL folds unquoted names; beyond ASCII that depends on the locale.
        TokenKind::Word => Some(text.to_ascii_lowercase()),
        TokenKind::Name => Some(text[1..text.len() - 1].replace("\"\"", "\"")),
        _ => None,
    }
}

#[cfg(feature = "boot")]
/// Drops the INVALID index of an interrupted run. An index that another session is building is kept.
pub(super) async fn drop_invalid(
    client: &Client,
    filename: &str,
    index: &Index,
    log: &Log,
) -> Result<(), tokio_postgres::Error> {
    for name in invalid(client, index, false).await? {
        log.warn(format!("{filename}: {name} is INVALID, left by an interrupted run: it is built again"));
        client.batch_execute(&format!("drop index concurrently if exists {name}")).await?;
    }
    Ok(())
}

#[cfg(feature = "boot")]
/// Returns the INVALID indexes of that name on that table as quoted SQL names, with `in_progress` also those that are being
/// built.
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
    fn names_are_folded_and_unquoted_as_in_postgresql() {
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
