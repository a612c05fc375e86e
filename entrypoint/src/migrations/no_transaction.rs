//! Rules for the statements of a file with `-- no-transaction`. The boot cannot roll such a file back, so each of its
//! statements must need the directive and must not destroy anything.

use super::do_block::DoBlock;
use super::indexes::{Built, concurrent_index};
use super::scan::{Lexer, TokenKind};

/// Number of tokens that are examined. The longest form is `ALTER TABLE IF EXISTS ONLY a.b DETACH PARTITION c.d
/// CONCURRENTLY`; PostgreSQL also allows a database before each schema.
const TOKENS: usize = 20;
/// Commands that destroy data, or that may hide such a command.
const DESTRUCTIVE: [&str; 6] = ["DELETE", "TRUNCATE", "DROP", "ALTER", "MERGE", "EXECUTE"];
/// Words between `CREATE` and the kind of the object.
const MODIFIERS: [&str; 8] = ["OR", "REPLACE", "UNIQUE", "TEMP", "TEMPORARY", "UNLOGGED", "GLOBAL", "LOCAL"];
/// First words of object kinds that consist of two words.
const TWO_WORDS: [&str; 6] = ["MATERIALIZED", "FOREIGN", "EVENT", "ACCESS", "DEFAULT", "USER"];

/// Returns the problem of a statement that is not allowed, with its offset in the statement and the remedy.
pub(super) fn refuse(statement: &str) -> Option<(usize, String)> {
    let tokens = first_tokens(statement);
    let tokens: &[&str] = &tokens.iter().map(String::as_str).collect::<Vec<_>>();
    let problem = match tokens {
        ["DO", ..] => return refuse_do(statement),
        ["CREATE", "INDEX", "CONCURRENTLY", ..] | ["CREATE", "UNIQUE", "INDEX", "CONCURRENTLY", ..] => {
            return (concurrent_index(statement) == Some(Built::Unnamed)).then(|| {
                let problem = "CREATE INDEX CONCURRENTLY without a name: give it one, so that the next boot finds it if \
                               this one is interrupted";
                (0, problem.to_owned())
            });
        }
        ["CREATE", "INDEX", ..] | ["CREATE", "UNIQUE", "INDEX", ..] | ["DROP", "INDEX", ..]
            if tokens.get(2) != Some(&"CONCURRENTLY") =>
        {
            let name = name(tokens);
            format!(
                "{name} without CONCURRENTLY does not need `-- no-transaction`: add CONCURRENTLY, or move the statement into \
                 a file without the directive"
            )
        }
        ["SET", "TRANSACTION" | "LOCAL" | "CONSTRAINTS", ..] => format!(
            "{} {} has no effect in a file with `-- no-transaction`, because it ends with its transaction: remove it",
            tokens[0], tokens[1]
        ),
        ["ALTER", "TABLE", rest @ ..] if detaches_without_lock(rest) => return None,
        ["ALTER", "TYPE", rest @ ..] if matches!(after_name(rest), ["ADD" | "RENAME", "VALUE", ..]) => return None,
        _ if is_allowed(tokens) => return None,
        ["DISCARD", "ALL", ..] => "DISCARD ALL: write RESET ALL; the rest of the session belongs to the boot".to_owned(),
        ["DROP", "SUBSCRIPTION", ..] => "DROP SUBSCRIPTION cannot be rolled back: set its slot_name to NONE with ALTER \
                                         SUBSCRIPTION, and drop it in a file without `-- no-transaction`"
            .to_owned(),
        ["CREATE" | "DROP", "DATABASE" | "TABLESPACE", ..] => {
            format!("{} concerns the whole server: run it as its administrator, not in a boot", name(tokens))
        }
        ["ALTER", "DATABASE", ..] if tokens.windows(2).any(|two| two == ["SET", "TABLESPACE"]) => {
            "ALTER DATABASE … SET TABLESPACE concerns the whole server: run it as its administrator, not in a boot"
                .to_owned()
        }
        ["CREATE", "MATERIALIZED", "VIEW", ..] => "CREATE MATERIALIZED VIEW: create it WITH NO DATA in a file without \
                                                   `-- no-transaction`, and fill it here with REFRESH MATERIALIZED VIEW \
                                                   or CALL"
            .to_owned(),
        _ => format!(
            "{} does not need `-- no-transaction`: move it into a file without the directive, which the boot can roll back",
            name(tokens)
        ),
    };
    Some((0, problem))
}

/// Returns the problem of a statement that PostgreSQL refuses inside a transaction, for a file without the directive
/// (`PreventInTransactionBlock` in PostgreSQL's sources). A CALL of a procedure that commits is found when it runs.
pub(super) fn required_by(statement: &str) -> Option<String> {
    let tokens = first_tokens(statement);
    let tokens: &[&str] = &tokens.iter().map(String::as_str).collect::<Vec<_>>();
    let is_refused = match tokens {
        ["VACUUM", ..] | ["ALTER", "SYSTEM", ..] | ["DISCARD", "ALL", ..] | ["CLUSTER"] => true,
        ["CREATE" | "DROP", "DATABASE" | "TABLESPACE", ..]
        | ["CREATE" | "DROP", "INDEX", "CONCURRENTLY", ..]
        | ["CREATE", "UNIQUE", "INDEX", "CONCURRENTLY", ..] => true,
        ["REINDEX", rest @ ..] => {
            rest.iter().any(|word| matches!(*word, "CONCURRENTLY" | "DATABASE" | "SYSTEM" | "SCHEMA"))
        }
        ["ALTER", "TABLE", rest @ ..] => detaches_without_lock(rest) && rest.last() == Some(&"CONCURRENTLY"),
        ["ALTER", "DATABASE", ..] => tokens.windows(2).any(|two| two == ["SET", "TABLESPACE"]),
        _ => false,
    };
    if !is_refused {
        return None;
    }
    // Of statements that are not allowed there either, the other rule has the remedy.
    Some(refuse(statement).map_or_else(
        || {
            let concurrently = if tokens.contains(&"CONCURRENTLY") { " CONCURRENTLY" } else { "" };
            let name = name(tokens);
            format!(
                "{name}{concurrently} cannot run inside a transaction: move it into a file with the directive \
                 `-- no-transaction`"
            )
        },
        |(_, problem)| problem,
    ))
}

/// A `DO` may commit, and then it cannot be rolled back.
fn refuse_do(statement: &str) -> Option<(usize, String)> {
    let Some(block) = DoBlock::of(statement).filter(|block| block.is_plain) else {
        let problem = "DO in a file with `-- no-transaction`: write its body in PL/pgSQL and in dollar quotes ($$ … $$), so \
                       that it can be checked";
        return Some((0, problem.to_owned()));
    };
    if block.find_transaction_end().is_none() {
        let problem = "DO without COMMIT or ROLLBACK does not need `-- no-transaction`: move it into a file without the \
                       directive, which the boot can roll back";
        return Some((0, problem.to_owned()));
    }
    let (at, word) = block.find_word(&DESTRUCTIVE)?;
    let remedy = if word == "EXECUTE" {
        "can be neither checked nor rolled back: write the statement itself, or move it into a file without \
         `-- no-transaction`"
    } else {
        "cannot be rolled back: move it into a file without `-- no-transaction`, and declare the loss there with \
         `-- destroys:`"
    };
    Some((at, format!("{word} in a DO block that commits {remedy}")))
}

/// Returns true for commands that are allowed regardless of their later tokens.
fn is_allowed(tokens: &[&str]) -> bool {
    matches!(
        tokens,
        ["VACUUM" | "ANALYZE" | "ANALYSE" | "CLUSTER" | "REINDEX" | "SET" | "RESET" | "SHOW" | "CALL", ..]
            | ["DROP", "INDEX", "CONCURRENTLY", ..]
            | ["ALTER", "SYSTEM", ..]
            | ["CREATE" | "ALTER", "SUBSCRIPTION", ..]
            | ["REFRESH", "MATERIALIZED", "VIEW", ..]
    )
}

/// Returns true for `DETACH PARTITION … CONCURRENTLY` or `FINALIZE`, given the tokens after `ALTER TABLE`.
fn detaches_without_lock(tokens: &[&str]) -> bool {
    let tokens = tokens.strip_prefix(&["IF", "EXISTS"]).unwrap_or(tokens);
    let tokens = tokens.strip_prefix(&["ONLY"]).unwrap_or(tokens);
    match after_name(tokens) {
        ["DETACH", "PARTITION", rest @ ..] => matches!(after_name(rest), ["CONCURRENTLY" | "FINALIZE"]),
        _ => false,
    }
}

/// Returns the tokens after a name, which may be qualified.
fn after_name<'t, 'a>(mut tokens: &'t [&'a str]) -> &'t [&'a str] {
    while let [_, ".", rest @ ..] = tokens {
        tokens = rest;
    }
    tokens.get(1..).unwrap_or_default()
}

/// Returns the first tokens, with words in upper case.
fn first_tokens(statement: &str) -> Vec<String> {
    let tokens = Lexer::new(statement).filter(|token| token.kind != TokenKind::Comment).take(TOKENS);
    tokens
        .map(|token| {
            let text = &statement[token.range];
            if token.kind == TokenKind::Word { text.to_ascii_uppercase() } else { text.to_owned() }
        })
        .collect()
}

/// Returns the command's name for a message: `INSERT`, `CREATE TABLE`, `DROP MATERIALIZED VIEW`.
fn name(tokens: &[&str]) -> String {
    let tokens: Vec<&str> = tokens.iter().copied().skip_while(|token| *token == "(").collect();
    let first = tokens.first().copied().unwrap_or_default();
    if !matches!(first, "CREATE" | "ALTER" | "DROP") {
        return first.to_owned();
    }
    let mut kind = tokens[1..].iter().copied().skip_while(|word| MODIFIERS.contains(word));
    let second = kind.next().unwrap_or_default();
    let third = if TWO_WORDS.contains(&second) { kind.next().unwrap_or_default() } else { "" };
    [first, second, third].join(" ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_postgresql_refuses_in_a_transaction_need_the_directive() {
        for sql in [
            "create index concurrently a on b (c)",
            "drop index concurrently a",
            "reindex (verbose) table concurrently a",
            "reindex schema public",
            "vacuum (full) a",
            "cluster",
            "alter system set work_mem = 1",
            "alter table a detach partition b concurrently",
            "create database d",
            "drop tablespace t",
            "alter database d set tablespace t",
            "discard all",
        ] {
            assert!(required_by(sql).is_some(), "{sql}");
        }
        for sql in [
            "create index a on concurrently (c)",
            "reindex table a",
            "cluster a using b",
            "analyze",
            "alter table a detach partition b finalize",
            "alter type mood add value 'glad'",
            "refresh materialized view concurrently a",
            "alter database d set search_path to a",
            "call p()",
        ] {
            assert_eq!(required_by(sql), None, "{sql}");
        }
    }

    #[test]
    fn statements_that_need_the_directive_are_allowed() {
        for sql in [
            "create index concurrently a on b (c)",
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS a ON s.b (c)",
            "drop index concurrently if exists a",
            "reindex (verbose) table concurrently a",
            "reindex database d",
            "vacuum",
            "vacuum (full, analyze) a, b",
            "analyze a (b)",
            "cluster a using b",
            "alter type mood add value if not exists 'glad' before 'sad'",
            "alter type s.\"Mood\" /* x */ rename value 'a' to 'b'",
            "alter table if exists only s.points detach partition s.points_may concurrently",
            "alter table points detach partition points_may finalize",
            "alter system set work_mem = '8MB'",
            "create subscription s connection 'x' publication p",
            "alter subscription s refresh publication",
            "refresh materialized view concurrently a",
            "refresh materialized view a",
            "call p()",
            "set search_path to public",
            "set role editor",
            "reset all",
            "show work_mem",
            "do $$ begin update laps set speed = 1; commit; end $$",
            "do $$ begin raise notice 'delete'; -- drop\n rollback; insert into a values (1); end $$",
        ] {
            assert_eq!(refuse(sql), None, "{sql}");
        }
    }

    #[test]
    fn statements_that_do_not_need_the_directive_are_refused_by_name() {
        for (sql, expected) in [
            ("create table a (id int)", "CREATE TABLE does not need"),
            ("create or replace function f() returns int language sql as $$ select 1 $$", "CREATE FUNCTION does not"),
            ("create index a on b (c)", "CREATE INDEX without CONCURRENTLY"),
            ("create unique index a on b (c)", "CREATE INDEX without CONCURRENTLY"),
            ("create index if not exists concurrently on b (c)", "CREATE INDEX without CONCURRENTLY"),
            ("drop index a", "DROP INDEX without CONCURRENTLY"),
            ("drop index if exists concurrently", "DROP INDEX without CONCURRENTLY"),
            ("drop materialized view a", "DROP MATERIALIZED VIEW does not need"),
            ("drop table a", "DROP TABLE does not need"),
            ("delete from a", "DELETE does not need"),
            ("truncate a", "TRUNCATE does not need"),
            ("update a set vacuum = 1", "UPDATE does not need"),
            ("with a as (delete from b returning *) select * from a", "WITH does not need"),
            ("explain analyze delete from a", "EXPLAIN does not need"),
            ("select 1", "SELECT does not need"),
            ("(select 1)", "SELECT does not need"),
            ("alter table a drop column finalize", "ALTER TABLE does not need"),
            ("alter table a drop detach, drop partition concurrently", "ALTER TABLE does not need"),
            ("alter table points detach partition points_may", "ALTER TABLE does not need"),
            ("alter table detach.partition drop column concurrently", "ALTER TABLE does not need"),
            ("alter type t drop attribute value", "ALTER TYPE does not need"),
            ("alter type add drop attribute value", "ALTER TYPE does not need"),
            ("set transaction read only", "SET TRANSACTION has no effect"),
            ("set local lock_timeout = 0", "SET LOCAL has no effect"),
            ("discard all", "DISCARD ALL: write RESET ALL"),
            ("discard temp", "DISCARD does not need"),
            ("create database d", "CREATE DATABASE concerns the whole server"),
            ("drop tablespace d", "DROP TABLESPACE concerns the whole server"),
            ("alter database d set tablespace t", "ALTER DATABASE … SET TABLESPACE concerns"),
            ("alter database d set work_mem = '8MB'", "ALTER DATABASE does not need"),
            ("drop subscription s", "DROP SUBSCRIPTION cannot be rolled back"),
            ("create materialized view a with (timescaledb.continuous) as select 1", "WITH NO DATA"),
        ] {
            let (at, problem) = refuse(sql).expect(sql);
            assert!(at == 0 && problem.contains(expected), "{sql}: {problem}");
        }
    }

    #[test]
    fn a_block_may_commit_and_may_not_destroy() {
        for (sql, at, expected) in [
            ("do $$ begin perform 1; end $$", 0, "DO without COMMIT or ROLLBACK"),
            ("do $$ begin delete from a; end $$", 0, "DO without COMMIT or ROLLBACK"),
            ("do $$ begin execute 'commit'; end $$", 0, "DO without COMMIT or ROLLBACK"),
            (
                "do $$ begin delete from a; commit; end $$",
                12,
                "DELETE in a DO block that commits cannot be rolled back",
            ),
            ("do $$ begin commit; Truncate a; end $$", 20, "TRUNCATE in a DO block"),
            (
                "do $$ begin commit; execute 'x'; end $$",
                20,
                "EXECUTE in a DO block that commits can be neither checked",
            ),
            ("do 'begin commit; end'", 0, "in dollar quotes"),
            ("do E'begin \\x64elete from a; commit; end'", 0, "in dollar quotes"),
            ("do language plpython3u $$ begin; commit; $$", 0, "in PL/pgSQL"),
        ] {
            let (found, problem) = refuse(sql).expect(sql);
            assert!(found == at && problem.contains(expected), "{sql}: {found} {problem}");
        }
    }
}
