//! Where in its file an SQL error arose: a pure function over what PostgreSQL said.
//!
//! PostgreSQL gives a position for what it could not parse or analyse, and none for what failed while it ran. So every
//! statement is sent with a mark, which PostgreSQL repeats with the statement in the error's context.

use std::ops::Range;

use super::place::byte_of;
use super::scan::{Kind, Lexer, words};

/// What begins a mark; a statement's number and `*/` follow. It stands in a line of its own, because the statement may
/// end in a comment.
const MARK: &str = "\n/*boot:";

/// PostgreSQL's name for the function that a DO block is; it is not translated, unlike the words around it.
const DO_BLOCK: &str = "inline_code_block";

/// A statement as it is sent from inside a DO block.
pub(super) fn marked(statement: &str, index: usize) -> String {
    format!("{statement}{MARK}{index}*/")
}

/// What PostgreSQL said of the place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said<'a> {
    /// 1-based, in characters of the statement as it was sent.
    pub(super) position: Option<u32>,
    /// The same in a text of which PostgreSQL found it in the course of that statement.
    pub(super) internal: Option<(u32, &'a str)>,
    /// Where it was when it failed, the innermost place first.
    pub(super) context: &'a str,
}

/// The byte of the file that an error is about. `sent` is the statement that was sent by itself; a marked one is found
/// by its mark.
pub(super) fn locate(sql: &str, statements: &[Range<usize>], sent: Option<usize>, said: Said<'_>) -> Option<usize> {
    let internal = said.internal.map(|(position, query)| (position, unmarked(query)));
    let by_mark = || mark_in(said.context).or(internal.and_then(|(_, (_, mark))| mark));
    let range = statements.get(sent.or_else(by_mark)?)?.clone();
    let statement = &sql[range.clone()];
    if let Some(position) = said.position {
        return Some(range.start + byte_of(statement, position));
    }
    let internal = internal.map(|(position, (query, _))| (position, query));
    if let Some((position, query)) = internal
        && query == statement
    {
        return Some(range.start + byte_of(statement, position));
    }
    // What the context has outside of the statement is our own DO block.
    let context = said.context.rfind(statement).map_or(said.context, |end| &said.context[..end]);
    let in_block = || {
        let body = do_body(statement)?;
        let line = line_in_block(context)?;
        let line_start = start_of_line(&statement[body.clone()], line)? + body.start;
        let rest = statement[line_start..body.end].trim_start();
        let line_start = body.end - rest.len();
        Some(
            line_start
                + match internal {
                    Some((position, query)) if is_redacted(query, rest) => byte_of(rest, position),
                    Some((position, query)) => rest.find(query).map_or(0, |at| at + byte_of(query, position)),
                    None => 0,
                },
        )
    };
    // The body of a function or DO block that PostgreSQL could not compile.
    let in_body = || internal.and_then(|(position, query)| Some(statement.find(query)? + byte_of(query, position)));
    Some(range.start + in_block().or_else(in_body).unwrap_or(0))
}

/// Whether a query is what PL/pgSQL makes of that text: the same, with spaces in the place of `INTO variable`.
fn is_redacted(query: &str, text: &str) -> bool {
    let mut rest = text.chars();
    query.chars().all(|c| rest.next().is_some_and(|original| c == original || c == ' '))
}

/// A text that PostgreSQL quotes, without its mark, and the mark's number.
fn unmarked(query: &str) -> (&str, Option<usize>) {
    match query.rfind(MARK) {
        Some(at) if query.ends_with("*/") => (&query[..at], mark_in(query)),
        _ => (query, None),
    }
}

/// The number of the last mark: the outermost statement is the file's own.
fn mark_in(text: &str) -> Option<usize> {
    let at = text.rfind(MARK)? + MARK.len();
    let end = text[at..].find("*/")?;
    text[at..at + end].parse().ok()
}

/// The content of a DO statement's block.
fn do_body(statement: &str) -> Option<Range<usize>> {
    if !words(statement).next()?.eq_ignore_ascii_case("do") {
        return None;
    }
    let mut last = "";
    Lexer::new(statement).find_map(|token| match token.kind {
        // LANGUAGE may come first and have quotes.
        Kind::Text(body) if !last.eq_ignore_ascii_case("language") => Some(body),
        Kind::Comment => None,
        _ => {
            last = &statement[token.range];
            None
        }
    })
}

/// The line that the outermost DO block of a context was in.
fn line_in_block(context: &str) -> Option<usize> {
    let rest = &context[context.rfind(DO_BLOCK)? + DO_BLOCK.len()..];
    let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit() && c != '\n');
    digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())].parse().ok()
}

/// Where the 1-based line begins.
fn start_of_line(text: &str, line: usize) -> Option<usize> {
    let newlines = text.match_indices('\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(newlines).nth(line.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where `^` stands in a file of two statements, given what PostgreSQL 15 said about the second (without `^`).
    #[track_caller]
    fn assert_found(second: &str, said: impl Fn(&str) -> (Option<(u32, String)>, String)) {
        let with_caret = format!("select 'é';\n{second};");
        let expected = with_caret.find('^').expect("a caret");
        let sql = with_caret.replace('^', "");
        let statements = super::super::scan::scan(&sql).statements;
        let sent = marked(&sql[statements[1].clone()], 1);
        let (internal, context) = said(&sent);
        let internal = internal.as_ref().map(|(position, query)| (*position, query.as_str()));
        let found = locate(&sql, &statements, None, Said { position: None, internal, context: &context });
        assert_eq!(found, Some(expected), "{sql}");
    }

    const OURS: &str = "PL/pgSQL function inline_code_block line 1 at FOREACH";

    #[test]
    fn a_position_in_the_statement_itself_is_exact() {
        assert_found("select 'ラリー', a b ^from from", |sent| (Some((19, sent.to_owned())), OURS.to_owned()));
        // The end of what was sent lies behind the mark.
        assert_found("select 1 +^", |sent| (Some((24, sent.to_owned())), OURS.to_owned()));
    }

    #[test]
    fn what_fails_while_it_runs_is_found_by_its_mark() {
        assert_found("^insert into t values (1)", |sent| (None, format!("SQL statement \"{sent}\"\n{OURS}")));
        assert_found("^select f(0)", |sent| {
            (None, format!("PL/pgSQL function f(integer) line 2 at RETURN\nSQL statement \"{sent}\"\n{OURS}"))
        });
    }

    #[test]
    fn a_mark_that_the_file_itself_contains_misleads_nobody() {
        assert_found("^select f('\n/*boot:0*/')", |sent| (None, format!("SQL statement \"{sent}\"\n{OURS}")));
    }

    #[test]
    fn an_error_inside_a_do_block_is_found_by_its_line_in_any_language() {
        for said in [
            "PL/pgSQL function inline_code_block line 3 at RAISE",
            "PL/pgSQL-Funktion inline_code_block Zeile 3 bei RAISE",
        ] {
            assert_found("do $$ begin\n null;\n ^raise exception 'x';\nend $$", |sent| {
                (None, format!("{said}\nSQL statement \"{sent}\"\n{OURS}"))
            });
        }
        assert_found("do language 'plpgsql' 'begin\n null;\n ^raise exception ''x'';\nend'", |sent| {
            (None, format!("PL/pgSQL function inline_code_block line 3 at RAISE\nSQL statement \"{sent}\"\n{OURS}"))
        });
    }

    #[test]
    fn sql_inside_a_do_block_is_found_exactly() {
        assert_found("do $$ begin\n perform a from b;\n perform a from ^b;\nend $$", |sent| {
            let context =
                format!("PL/pgSQL function inline_code_block line 3 at PERFORM\nSQL statement \"{sent}\"\n{OURS}");
            (Some((8, "a from b".to_owned())), context)
        });
        // PL/pgSQL puts spaces where INTO was.
        assert_found("do $$ begin\n null;\n select 'ä' into n from ^b;\nend $$", |sent| {
            let context =
                format!("PL/pgSQL function inline_code_block line 3 at SQL\nSQL statement \"{sent}\"\n{OURS}");
            (Some((24, "select 'ä'        from b".to_owned())), context)
        });
        // A query that PL/pgSQL rewrote: the line is what is known.
        assert_found("do $$ begin\n null;\n ^perform a from b;\nend $$", |sent| {
            let context =
                format!("PL/pgSQL function inline_code_block line 3 at PERFORM\nSQL statement \"{sent}\"\n{OURS}");
            (Some((15, "SELECT a from b".to_owned())), context)
        });
    }

    #[test]
    fn a_do_block_inside_a_do_block_is_found_by_the_outer_one() {
        assert_found("do $x$ begin\n null;\n ^execute 'do $$ begin\n raise exception 1; end $$';\nend $x$", |sent| {
            let inner = "PL/pgSQL function inline_code_block line 2 at RAISE\nSQL statement \"do $$ begin\n raise";
            let outer = "PL/pgSQL function inline_code_block line 3 at EXECUTE";
            (None, format!("{inner} exception 1; end $$\"\n{outer}\nSQL statement \"{sent}\"\n{OURS}"))
        });
    }

    #[test]
    fn a_body_that_does_not_compile_is_found_in_the_statement() {
        assert_found("create function h() returns int language sql as $$\n select ^wrong $$", |sent| {
            (Some((10, "\n select wrong ".to_owned())), format!("SQL statement \"{sent}\"\n{OURS}"))
        });
        assert_found("do $$ begin\n ^selec a;\nend $$", |sent| {
            (Some((9, " begin\n selec a;\nend ".to_owned())), format!("SQL statement \"{sent}\"\n{OURS}"))
        });
    }

    #[test]
    fn an_error_without_a_trace_has_no_place() {
        assert_eq!(
            locate("select 1; select 2", &[0..8, 10..18], None, Said { context: OURS, ..Said::default() }),
            None
        );
    }

    #[test]
    fn a_statement_sent_by_itself_has_a_position_of_its_own() {
        let said = Said { position: Some(8), ..Said::default() };
        assert_eq!(locate("select 'ä'; select x", &[0..11, 13..21], Some(1), said), Some(20));
        assert_eq!(locate("select 1; select x", &[0..8, 10..18], Some(1), Said::default()), Some(10));
    }
}
