//! The body of a `DO` statement.

use std::ops::Range;

use super::scan::{Lexer, Token, TokenKind};

/// A `DO` statement with a body.
pub(super) struct DoBlock<'a> {
    statement: &'a str,
    /// The byte range of the body in the statement, without its quotes.
    pub(super) body: Range<usize>,
    /// The body is PL/pgSQL in dollar quotes, so it contains no escapes.
    pub(super) is_plain: bool,
}

impl<'a> DoBlock<'a> {
    /// Parses the statement; None if it is not a `DO` or has no body.
    pub(super) fn of(statement: &'a str) -> Option<DoBlock<'a>> {
        let mut tokens = Lexer::new(statement).filter(|token| token.kind != TokenKind::Comment);
        tokens.next().filter(|token| is_word(statement, token, &["DO"]))?;
        let (mut body, mut is_plpgsql, mut is_language) = (None, true, false);
        for token in tokens {
            if is_language {
                is_plpgsql = statement[token.range.clone()].trim_matches(['\'', '"']).eq_ignore_ascii_case("plpgsql");
            } else if let TokenKind::Text(content) = &token.kind {
                body.get_or_insert((content.clone(), statement[token.range.clone()].starts_with('$')));
            }
            is_language = is_word(statement, &token, &["LANGUAGE"]);
        }
        let (body, is_dollar_quoted) = body?;
        Some(DoBlock { statement, body, is_plain: is_plpgsql && is_dollar_quoted })
    }

    /// Finds the first of these words in the body outside quotes and comments, with its offset in the statement.
    pub(super) fn find_word<'w>(&self, words: &[&'w str]) -> Option<(usize, &'w str)> {
        self.tokens().find_map(|token| self.matching(&token, words))
    }

    /// Finds the first `COMMIT` or `ROLLBACK` that is a statement of the body, with its offset in the `DO` statement.
    pub(super) fn find_transaction_end(&self) -> Option<(usize, &'static str)> {
        let mut tokens = self.tokens().peekable();
        let mut begins_statement = false;
        while let Some(token) = tokens.next() {
            if begins_statement && let Some(found) = self.matching(&token, &["COMMIT", "ROLLBACK"]) {
                // Before any other token it is a name: `commit := 1`.
                let next = tokens.peek();
                if next.is_some_and(|next| next.kind == TokenKind::Semicolon || self.matching(next, &["AND"]).is_some())
                {
                    return Some(found);
                }
            }
            begins_statement = token.kind == TokenKind::Semicolon
                || self.matching(&token, &["BEGIN", "THEN", "ELSE", "LOOP"]).is_some();
        }
        None
    }

    fn text(&self) -> &'a str {
        &self.statement[self.body.clone()]
    }

    fn tokens(&self) -> impl Iterator<Item = Token> + use<'a> {
        Lexer::new(self.text()).filter(|token| token.kind != TokenKind::Comment)
    }

    fn matching<'w>(&self, token: &Token, words: &[&'w str]) -> Option<(usize, &'w str)> {
        let word = words.iter().find(|word| is_word(self.text(), token, &[word]))?;
        Some((self.body.start + token.range.start, word))
    }
}

fn is_word(text: &str, token: &Token, words: &[&str]) -> bool {
    token.kind == TokenKind::Word && words.iter().any(|word| text[token.range.clone()].eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction_end(statement: &str) -> Option<&'static str> {
        DoBlock::of(statement).and_then(|block| block.find_transaction_end()).map(|(_, word)| word)
    }

    #[test]
    fn a_body_that_commits_is_recognised() {
        for (statement, expected) in [
            ("do $$ begin commit; end $$", Some("COMMIT")),
            ("DO LANGUAGE plpgsql $a$ begin perform 1; /* now */ RollBack and chain; end $a$", Some("ROLLBACK")),
            (
                "do $$ begin for i in 1..2 loop if i = 1 then commit; else rollback; end if; end loop; end $$",
                Some("COMMIT"),
            ),
            ("do 'begin perform ''a''; commit; end'", Some("COMMIT")),
            ("do $$ begin execute 'commit;'; -- commit;\n raise notice 'then commit;'; end $$", None),
            ("do $$ declare commit int; begin commit := 1; select commit from builds; end $$", None),
            ("do $$ begin \"commit\"; end $$", None),
            ("select $$ begin commit; end $$", None),
            ("do", None),
        ] {
            assert_eq!(transaction_end(statement), expected, "{statement}");
        }
        let (at, _) = DoBlock::of("do $$ begin commit; end $$").expect("a block").find_transaction_end().expect("one");
        assert_eq!(at, 12);
    }

    #[test]
    fn a_body_is_plain_if_it_is_plpgsql_in_dollar_quotes() {
        for (statement, expected) in [
            ("do $$ begin end $$", true),
            ("do /* x */ language 'plpgsql' $a$ begin end $a$", true),
            ("do $$ begin end $$ language \"plpgsql\"", true),
            ("do 'begin end'", false),
            ("do E'begin \\x64elete from laps; end'", false),
            ("do 'begin '\n'end'", false),
            ("do language plpython3u $$ begin end $$", false),
            ("do $$ begin end $$ language plperl", false),
        ] {
            assert_eq!(DoBlock::of(statement).expect(statement).is_plain, expected, "{statement}");
        }
    }
}
