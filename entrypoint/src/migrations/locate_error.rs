//! Locates an SQL error in its file: a pure function over PostgreSQL's error fields.
//!
//! PostgreSQL reports a position for errors of parsing and analysis, but not for errors at run time. So every statement
//! is sent with a mark, which PostgreSQL quotes with the statement in the error's context.

use std::ops::Range;

use super::do_block::DoBlock;
use super::source_location::byte_of;

/// The beginning of a mark; the statement's index and `*/` follow. It starts a new line, because the statement may end in
/// a comment.
const MARK: &str = "\n/*boot:";

/// PostgreSQL's function name for a DO block; unlike the words around it, it is never translated.
const DO_BLOCK: &str = "inline_code_block";

/// Returns the statement with a mark, as it is sent from inside a DO block.
pub(super) fn marked(statement: &str, index: usize) -> String {
    format!("{statement}{MARK}{index}*/")
}

/// The fields of PostgreSQL's error that describe its place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PgErrorContext<'a> {
    /// 1-based, in characters of the statement as it was sent.
    pub(super) position: Option<u32>,
    /// A position in a query that PostgreSQL ran as part of the statement, and that query.
    pub(super) internal: Option<(u32, &'a str)>,
    /// The call stack (`CONTEXT`), innermost first.
    pub(super) context: &'a str,
}

/// Returns the byte of the file that an error points to. `sent` is the index of a statement that was sent on its own; any
/// other is found by its mark.
pub(super) fn locate_error(
    sql: &str,
    statements: &[Range<usize>],
    sent: Option<usize>,
    error: PgErrorContext<'_>,
) -> Option<usize> {
    let PgErrorContext { position, internal, context } = error;
    let (internal, internal_mark) = match internal {
        Some((position, query)) => (Some((position, without_mark(query))), mark_at_end(query)),
        None => (None, None),
    };
    let range = statements.get(sent.or(mark_in(context)).or(internal_mark)?)?.clone();
    let statement = &sql[range.clone()];
    if let Some(position) = position {
        return Some(range.start + byte_of(statement, position));
    }
    // The context after the statement is about our own DO block.
    let context = context.rfind(statement).map_or(context, |end| &context[..end]);
    let offset = match internal {
        Some((position, query)) if query == statement => Some(byte_of(statement, position)),
        _ => locate_in_block(statement, context, internal).or_else(|| locate_in_body(statement, internal)),
    };
    Some(range.start + offset.unwrap_or(0))
}

/// Returns the offset of an error that a DO statement's block raised.
fn locate_in_block(statement: &str, context: &str, internal: Option<(u32, &str)>) -> Option<usize> {
    let body = DoBlock::of(statement)?.body;
    let line_start = start_of_line(&statement[body.clone()], line_in_block(context)?)? + body.start;
    let rest = statement[line_start..body.end].trim_start();
    let offset = match internal {
        Some((position, query)) if is_redacted(query, rest) => byte_of(rest, position),
        Some((position, query)) => rest.find(query).map_or(0, |at| at + byte_of(query, position)),
        None => 0,
    };
    Some(body.end - rest.len() + offset)
}

/// Returns the offset of an error in the body of a function or DO block that PostgreSQL could not compile.
fn locate_in_body(statement: &str, internal: Option<(u32, &str)>) -> Option<usize> {
    let (position, query) = internal?;
    Some(statement.find(query)? + byte_of(query, position))
}

/// Returns true if PL/pgSQL derived the query from the text by replacing `INTO variable` with spaces.
fn is_redacted(query: &str, text: &str) -> bool {
    let mut rest = text.chars();
    query.chars().all(|c| rest.next().is_some_and(|original| c == original || c == ' '))
}

/// Returns a query that PostgreSQL quotes without the mark at its end.
fn without_mark(query: &str) -> &str {
    query.rfind(MARK).filter(|_| query.ends_with("*/")).map_or(query, |at| &query[..at])
}

/// Returns the index in the mark at the end of a query that PostgreSQL quotes.
fn mark_at_end(query: &str) -> Option<usize> {
    mark_in(query).filter(|_| query.ends_with("*/"))
}

/// Returns the index in the last mark: the outermost statement is the file's own.
fn mark_in(text: &str) -> Option<usize> {
    let at = text.rfind(MARK)? + MARK.len();
    let end = text[at..].find("*/")?;
    text[at..at + end].parse().ok()
}

/// Returns the 1-based line at which the outermost DO block of a context failed.
fn line_in_block(context: &str) -> Option<usize> {
    let rest = &context[context.rfind(DO_BLOCK)? + DO_BLOCK.len()..];
    let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit() && c != '\n');
    digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())].parse().ok()
}

/// Returns the offset of the 1-based line.
fn start_of_line(text: &str, line: usize) -> Option<usize> {
    let newlines = text.match_indices('\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(newlines).nth(line.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts that the error is located at the `^` in the second of two statements. `error` returns the internal position
    /// and the context that PostgreSQL 15 reports for it (sent without the `^`).
    #[track_caller]
    fn assert_found(second: &str, error: impl Fn(&str) -> (Option<(u32, String)>, String)) {
        let with_caret = format!("select 'é';\n{second};");
        let expected = with_caret.find('^').expect("a caret");
        let sql = with_caret.replace('^', "");
        let statements = super::super::scan::scan(&sql).statements;
        let sent = marked(&sql[statements[1].clone()], 1);
        let (internal, context) = error(&sent);
        let internal = internal.as_ref().map(|(position, query)| (*position, query.as_str()));
        let found =
            locate_error(&sql, &statements, None, PgErrorContext { position: None, internal, context: &context });
        assert_eq!(found, Some(expected), "{sql}");
    }

    const OURS: &str = "PL/pgSQL function inline_code_block line 1 at FOREACH";

    #[test]
    fn a_position_in_the_statement_itself_is_exact() {
        assert_found("select 'ラリー', a b ^from from", |sent| (Some((19, sent.to_owned())), OURS.to_owned()));
        // The end of the text that was sent is after the mark.
        assert_found("select 1 +^", |sent| (Some((24, sent.to_owned())), OURS.to_owned()));
    }

    #[test]
    fn an_error_at_run_time_is_found_by_its_mark() {
        assert_found("^insert into t values (1)", |sent| (None, format!("SQL statement \"{sent}\"\n{OURS}")));
        assert_found("^select f(0)", |sent| {
            (None, format!("PL/pgSQL function f(integer) line 2 at RETURN\nSQL statement \"{sent}\"\n{OURS}"))
        });
    }

    #[test]
    fn a_mark_in_the_file_itself_is_not_misleading() {
        assert_found("^select f('\n/*boot:0*/')", |sent| (None, format!("SQL statement \"{sent}\"\n{OURS}")));
    }

    #[test]
    fn an_error_inside_a_do_block_is_found_by_its_line_in_any_language() {
        for frame in [
            "PL/pgSQL function inline_code_block line 3 at RAISE",
            "PL/pgSQL-Funktion inline_code_block Zeile 3 bei RAISE",
        ] {
            assert_found("do $$ begin\n null;\n ^raise exception 'x';\nend $$", |sent| {
                (None, format!("{frame}\nSQL statement \"{sent}\"\n{OURS}"))
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
        // PL/pgSQL replaces INTO with spaces.
        assert_found("do $$ begin\n null;\n select 'ä' into n from ^b;\nend $$", |sent| {
            let context =
                format!("PL/pgSQL function inline_code_block line 3 at SQL\nSQL statement \"{sent}\"\n{OURS}");
            (Some((24, "select 'ä'        from b".to_owned())), context)
        });
        // PL/pgSQL rewrote the query: only the line is known.
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
        let error = PgErrorContext { context: OURS, ..PgErrorContext::default() };
        assert_eq!(locate_error("select 1; select 2", &[0..8, 10..18], None, error), None);
    }

    #[test]
    fn a_position_in_a_statement_sent_on_its_own_is_relative_to_it() {
        let error = PgErrorContext { position: Some(8), ..PgErrorContext::default() };
        assert_eq!(locate_error("select 'ä'; select x", &[0..11, 13..21], Some(1), error), Some(20));
        assert_eq!(locate_error("select 1; select x", &[0..8, 10..18], Some(1), PgErrorContext::default()), Some(10));
    }
}
