//! The statements of an SQL file for the rules: those of the file itself, and those inside its `DO` blocks.

use std::ops::Range;

use squawk_syntax::ast::{self, AstNode, Stmt};
use squawk_syntax::syntax_error::SyntaxError;
use squawk_syntax::{Parse, SourceFile, SyntaxKind, SyntaxNode};

/// A file as the rules see it.
#[derive(Debug)]
pub(crate) struct Source {
    /// The file with each `DO` block replaced by the statements in it, at the same offsets; the rest of the block is blank.
    pub(crate) text: String,
    /// The syntax of [`Self::text`].
    pub(crate) parse: Parse<SourceFile>,
    /// The statements of [`Self::text`], in order.
    pub(crate) units: Vec<SourceUnit>,
    /// The file does things that its text does not show: dynamic SQL, calls of functions and procedures.
    pub(crate) is_opaque: bool,
    /// The last statement of the file is a `DO` block that can raise an error.
    pub(crate) ends_with_assertion: bool,
    /// The places that could not be parsed, with the parser's messages.
    pub(crate) unreadable: Vec<(usize, String)>,
}

/// A statement.
#[derive(Debug)]
pub(crate) struct SourceUnit {
    /// From its first token to its last.
    pub(crate) range: Range<usize>,
    pub(crate) stmt: Stmt,
    /// It is inside a `DO` block, where conditions decide whether it runs.
    pub(crate) is_guarded: bool,
}

impl Source {
    pub(crate) fn parse(sql: &str) -> Source {
        let original = SourceFile::parse(sql);
        let errors = original.errors();
        let mut flat = Flat {
            sql,
            text: sql.to_owned().into_bytes(),
            blocks: Vec::new(),
            is_opaque: false,
            raises: false,
            unreadable: errors.iter().map(place).collect(),
        };
        for stmt in original.tree().stmts() {
            flat.raises = false;
            if let Stmt::Do(block) = stmt {
                flat.flatten(&block);
            }
        }
        let Flat { text, blocks, mut is_opaque, raises, mut unreadable, .. } = flat;
        let text = String::from_utf8(text).expect("only whole characters are replaced");
        let parse = SourceFile::parse(&text);
        let statements = parse.tree().stmts().filter(|stmt| !matches!(stmt, Stmt::EmptyStmt(_)));
        let unit = |stmt: Stmt| {
            let range = trimmed(stmt.syntax());
            let is_guarded = blocks.iter().any(|block| block.contains(&range.start));
            SourceUnit { range, stmt, is_guarded }
        };
        let units: Vec<SourceUnit> = statements.map(unit).collect();
        is_opaque |= units.iter().any(|unit| !unit.is_guarded && calls(&unit.stmt));
        unreadable.sort_unstable();
        Source { text, parse, units, is_opaque, ends_with_assertion: raises, unreadable }
    }

    /// Returns the statement at an offset.
    pub(crate) fn unit_at(&self, at: usize) -> Option<&SourceUnit> {
        self.units.iter().find(|unit| unit.range.contains(&at))
    }

    /// Returns the ranges of the comments, those in `DO` blocks included.
    pub(crate) fn comments(&self) -> Vec<Range<usize>> {
        comments(&self.parse.syntax_node())
    }
}

/// A file whose blocks are being replaced by the statements in them.
struct Flat<'a> {
    sql: &'a str,
    text: Vec<u8>,
    blocks: Vec<Range<usize>>,
    is_opaque: bool,
    /// The last statement is a block that can raise an error.
    raises: bool,
    unreadable: Vec<(usize, String)>,
}

impl Flat<'_> {
    fn flatten(&mut self, block: &ast::Do) {
        let whole = trimmed(block.syntax());
        for byte in self.text[whole.clone()].iter_mut().filter(|byte| **byte != b'\n') {
            *byte = b' ';
        }
        self.blocks.push(whole);
        // Offsets correspond only in a body without escapes.
        let body = block.plpgsql().zip(dollar_quoted(block));
        let Some((body, start)) = body.filter(|(body, start)| self.sql[*start..].starts_with(body.text())) else {
            self.is_opaque = true;
            return;
        };
        let mut read: Vec<Range<usize>> = Vec::new();
        for node in body.syntax().descendants() {
            self.note(&node);
            let Some(statement) = embedded(&node) else { continue };
            let inner = trimmed(&statement);
            let outer = start + inner.start..start + inner.end;
            if !SourceFile::parse(&body.text()[inner]).errors().is_empty() {
                // Such as `RETURNING … INTO variable`, which exists in PL/pgSQL only.
                self.is_opaque = true;
                continue;
            }
            self.keep(&outer);
            // Before the `LOOP` of a `FOR` is no semicolon, but a space.
            self.text[outer.end] = b';';
            read.push(outer);
        }
        for comment in comments(&body.syntax()) {
            self.keep(&(start + comment.start..start + comment.end));
        }
        // The parser of PL/pgSQL does not know `SELECT … INTO variable`; as SQL it is a statement.
        let errors = body.errors().iter().map(place).collect::<Vec<_>>();
        self.unreadable.extend(errors.into_iter().filter(|(at, _)| !read.iter().any(|range| range.contains(at))));
    }

    fn note(&mut self, node: &SyntaxNode) {
        match node.kind() {
            SyntaxKind::PLPGSQL_RAISE_STMT => self.raises |= raises_error(node),
            SyntaxKind::PLPGSQL_ASSERT_STMT => self.raises = true,
            SyntaxKind::PLPGSQL_DYN_EXECUTE_STMT
            | SyntaxKind::PLPGSQL_PERFORM_STMT
            | SyntaxKind::PLPGSQL_DO_STMT
            | SyntaxKind::PLPGSQL_CALL_STMT => self.is_opaque = true,
            _ => {}
        }
    }

    /// Puts the original text of a range back.
    fn keep(&mut self, range: &Range<usize>) {
        self.text[range.clone()].copy_from_slice(self.sql[range.clone()].as_bytes());
    }
}

fn place(error: &SyntaxError) -> (usize, String) {
    (error.range().start().into(), error.message().to_owned())
}

/// Returns the range of a node without the spaces and comments around it.
fn trimmed(node: &SyntaxNode) -> Range<usize> {
    let mut tokens = node.descendants_with_tokens().filter_map(|element| element.into_token());
    let is_code = |kind: SyntaxKind| !matches!(kind, SyntaxKind::WHITESPACE | SyntaxKind::COMMENT);
    let first = tokens.find(|token| is_code(token.kind()));
    let last = first.iter().cloned().chain(tokens.filter(|token| is_code(token.kind()))).last();
    match (first, last) {
        (Some(first), Some(last)) => first.text_range().start().into()..last.text_range().end().into(),
        _ => node.text_range().start().into()..node.text_range().end().into(),
    }
}

/// Returns the offset of a block's body in the file, if it is in dollar quotes.
fn dollar_quoted(block: &ast::Do) -> Option<usize> {
    let literal = block.body()?;
    let text = literal.syntax().text().to_string();
    let tag = text.strip_prefix('$')?.find('$')? + 2;
    Some(usize::from(literal.syntax().text_range().start()) + tag)
}

/// Returns the SQL statement that a node of PL/pgSQL runs.
fn embedded(node: &SyntaxNode) -> Option<SyntaxNode> {
    let statement = match node.kind() {
        SyntaxKind::ERROR => return Some(node.clone()),
        SyntaxKind::PLPGSQL_EXEC_SQL_STMT => ast::PlpgsqlExecSqlStmt::cast(node.clone())?.stmt(),
        SyntaxKind::PLPGSQL_FOR_QUERY_STMT => ast::PlpgsqlForQueryStmt::cast(node.clone())?.query(),
        _ => None,
    };
    Some(statement?.syntax().clone())
}

/// Returns true for a `RAISE` whose level is an error, which is the default.
fn raises_error(node: &SyntaxNode) -> bool {
    let level = ast::PlpgsqlRaiseStmt::cast(node.clone()).and_then(|raise| raise.level());
    level.is_none_or(|level| level.exception_token().is_some())
}

fn comments(node: &SyntaxNode) -> Vec<Range<usize>> {
    let tokens = node.descendants_with_tokens().filter_map(|element| element.into_token());
    let comments = tokens.filter(|token| token.kind() == SyntaxKind::COMMENT);
    comments.map(|token| token.text_range().start().into()..token.text_range().end().into()).collect()
}

/// Returns true for a statement that is there to call a function or procedure, whose effect its text does not show.
fn calls(stmt: &Stmt) -> bool {
    match stmt {
        Stmt::Call(_) | Stmt::Execute(_) => true,
        Stmt::Select(_) => stmt.syntax().descendants().any(|node| node.kind() == SyntaxKind::CALL_EXPR),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(sql: &str) -> Vec<(&str, bool)> {
        let source = Source::parse(sql);
        assert_eq!(source.unreadable, [], "{sql}");
        source
            .units
            .iter()
            .map(|unit| (sql[unit.range.clone()].trim_end_matches([' ', ';']), unit.is_guarded))
            .collect::<Vec<_>>()
    }

    #[test]
    fn statements_in_blocks_keep_their_place() {
        let sql = "select 1;\nDO $größe$\nDECLARE r record;\nBEGIN\n  -- why\n  IF NOT EXISTS (SELECT FROM a) THEN\n    \
                   ALTER TABLE a ADD b text;\n  END IF;\n  FOR r IN DELETE FROM c RETURNING * LOOP UPDATE d SET e = 'ß;'; END LOOP;\n  \
                   SELECT f(1) INTO r FROM g;\nEND $größe$;\nselect 2";
        let expected = [
            ("select 1", false),
            ("ALTER TABLE a ADD b text", true),
            ("DELETE FROM c RETURNING *", true),
            ("UPDATE d SET e = 'ß;'", true),
            ("SELECT f(1) INTO r FROM g", true),
            ("select 2", false),
        ];
        assert_eq!(units(sql), expected);
        let source = Source::parse(sql);
        assert_eq!(source.text.len(), sql.len());
        assert_eq!(source.comments().into_iter().map(|range| &sql[range]).collect::<Vec<_>>(), ["-- why"]);
    }

    #[test]
    fn effects_that_the_text_does_not_show_are_known() {
        for sql in [
            "do $$ begin execute 'drop table a'; end $$;",
            "do $$ begin perform f(); end $$;",
            "do $$ declare a int; begin delete from b returning c into a; end $$;",
            "do 'begin delete from b; end';",
            "do language plpython3u $$ x $$;",
            "call f();",
            "select f();",
        ] {
            assert!(Source::parse(sql).is_opaque, "{sql}");
        }
        for sql in [
            "delete from a;",
            "select 1;",
            "do $$ declare a int; begin select max(b) into a from c; end $$;",
            "do $$ declare a record; begin for a in select max(b) from c loop null; end loop; end $$;",
        ] {
            assert!(!Source::parse(sql).is_opaque, "{sql}");
        }
    }
}
