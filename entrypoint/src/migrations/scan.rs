//! Splits SQL into statements as PostgreSQL's own lexer would, and finds text that is not SQL.
//!
//! Pure and total: every text has a scan, in linear time. A statement is the byte range from its first token up to its
//! semicolon; between statements are only spaces, comments, semicolons and faults.

use std::ops::Range;

/// The statements and faults of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The statements in order, without their semicolons.
    pub statements: Vec<Range<usize>>,
    /// The places that are not SQL, in order.
    pub faults: Vec<ScanFault>,
}

/// A piece of text that is not SQL, with the offset of its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanFault {
    /// A quote or comment that is never closed, with its opening characters.
    Unterminated(usize, &'static str),
    /// A backslash outside quotes and comments: a psql command, which PostgreSQL does not know.
    MetaCommand(usize),
}

/// A piece of SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) range: Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A keyword or a name without quotes.
    Word,
    /// A name in double quotes.
    Name,
    /// A string in single or dollar quotes, with the range of its content.
    Text(Range<usize>),
    Comment,
    Semicolon,
    Open,
    Close,
    Backslash,
    /// A quote or comment that is open until the end of the text, with its opening characters.
    Unterminated(&'static str),
    /// A number, an operator, a comma.
    Other,
}

/// Iterates over the tokens of a text, without the spaces between them.
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Lexer { text, at: 0 }
    }

    /// Skips the rest of the current line.
    fn skip_line(&mut self) {
        self.at = self.text[self.at..].find('\n').map_or(self.text.len(), |newline| self.at + newline);
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Returns the token that the quote at `open` begins. `opening` names it if it is never closed.
    fn quoted(&self, open: usize, quote: u8, backslash: bool, opening: &'static str) -> (TokenKind, usize) {
        match self.end_of_quotes(open, quote, backslash) {
            Some(end) if quote == b'"' => (TokenKind::Name, end),
            Some(end) => (TokenKind::Text(open + 1..end - 1), end),
            None => (TokenKind::Unterminated(opening), self.text.len()),
        }
    }

    /// Finds the end of a text in quotes. A doubled quote is an escape, and with `backslash` a backslash escapes, too.
    fn end_of_quotes(&self, open: usize, quote: u8, backslash: bool) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let mut at = open + 1;
        while at < bytes.len() {
            match bytes[at] {
                b'\\' if backslash => at += 2,
                byte if byte == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
                byte if byte == quote => match backslash.then(|| self.continued(at + 1)).flatten() {
                    Some(next) => at = next + 1,
                    None => return Some(at + 1),
                },
                _ => at += 1,
            }
        }
        None
    }

    /// Returns the quote by which a closed text continues on a later line, as the SQL standard allows. This matters only
    /// for texts with backslash escapes, because the escapes are then valid in the continuation as well.
    fn continued(&self, after: usize) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let (mut at, mut newline) = (after, false);
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'\n' | b'\r' => newline = true,
                b' ' | b'\t' | b'\x0b' | b'\x0c' => {}
                b'-' if bytes.get(at + 1) == Some(&b'-') => {
                    at = self.text[at..].find('\n').map_or(bytes.len(), |end| at + end);
                    continue;
                }
                b'\'' if newline => return Some(at),
                _ => return None,
            }
            at += 1;
        }
        None
    }

    fn block_comment(&self) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let (mut at, mut depth) = (self.at + 2, 1usize);
        while at + 1 < bytes.len() {
            match (bytes[at], bytes[at + 1]) {
                (b'/', b'*') => (at, depth) = (at + 2, depth + 1),
                (b'*', b'/') if depth == 1 => return Some(at + 2),
                (b'*', b'/') => (at, depth) = (at + 2, depth - 1),
                _ => at += 1,
            }
        }
        None
    }

    /// Returns the `$tag$` at the current position.
    fn dollar_tag(&self) -> Option<&'a str> {
        let rest = self.rest();
        let name = &rest[1..];
        let end = name.find(|c: char| !is_word(c) || c == '$')?;
        let opens = name[end..].starts_with('$') && !name.starts_with(|c: char| c.is_ascii_digit());
        opens.then(|| &rest[..end + 2])
    }

    fn token(&mut self) -> (TokenKind, usize) {
        let (text, start) = (self.text, self.at);
        let rest = self.rest();
        let end_of_text = text.len();
        match rest.chars().next().unwrap_or('\0') {
            '\'' => self.quoted(start, b'\'', false, "'"),
            '"' => self.quoted(start, b'"', false, "\""),
            '-' if rest.starts_with("--") => {
                (TokenKind::Comment, rest.find('\n').map_or(end_of_text, |end| start + end))
            }
            '/' if rest.starts_with("/*") => match self.block_comment() {
                Some(end) => (TokenKind::Comment, end),
                None => (TokenKind::Unterminated("/*"), end_of_text),
            },
            '$' => match self.dollar_tag() {
                Some(tag) => match text[start + tag.len()..].find(tag) {
                    Some(length) => {
                        let body = start + tag.len()..start + tag.len() + length;
                        (TokenKind::Text(body.clone()), body.end + tag.len())
                    }
                    None => (TokenKind::Unterminated("$$"), end_of_text),
                },
                None => (TokenKind::Other, start + 1),
            },
            ';' => (TokenKind::Semicolon, start + 1),
            '(' => (TokenKind::Open, start + 1),
            ')' => (TokenKind::Close, start + 1),
            '\\' => (TokenKind::Backslash, start + 1),
            c if is_word(c) && !c.is_ascii_digit() => {
                let end = rest.find(|c: char| !is_word(c)).map_or(end_of_text, |end| start + end);
                if matches!(&text[start..end], "e" | "E") && text[end..].starts_with('\'') {
                    return self.quoted(end, b'\'', true, "'");
                }
                (TokenKind::Word, end)
            }
            c => (TokenKind::Other, start + c.len_utf8()),
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        // Space as PostgreSQL defines it: any character beyond ASCII is part of a name.
        self.at += self.rest().find(|c| !matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c'))?;
        let start = self.at;
        let (kind, end) = self.token();
        self.at = end;
        Some(Token { kind, range: start..end })
    }
}

/// Returns true if the character can be part of a name or keyword (`ident_cont` of PostgreSQL's scan.l).
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// A statement under construction.
struct Building<'a> {
    range: Range<usize>,
    /// The number of open brackets: `CREATE RULE … DO (…; …)` has semicolons inside.
    brackets: usize,
    /// The first four words.
    words: [&'a str; 4],
    count: usize,
    last: &'a str,
    /// The number of `BEGIN ATOMIC` and, within it, `CASE` that have no `END` yet.
    blocks: usize,
}

impl<'a> Building<'a> {
    fn new(start: usize) -> Self {
        Building { range: start..start, brackets: 0, words: [""; 4], count: 0, last: "", blocks: 0 }
    }

    fn add(&mut self, token: &Token, text: &'a str) {
        self.range.end = token.range.end;
        match token.kind {
            TokenKind::Open => self.brackets += 1,
            TokenKind::Close => self.brackets = self.brackets.saturating_sub(1),
            TokenKind::Word => self.add_word(&text[token.range.clone()]),
            _ => {}
        }
    }

    fn add_word(&mut self, word: &'a str) {
        if let Some(place) = self.words.get_mut(self.count) {
            *place = word;
        }
        self.count += 1;
        if self.blocks == 0 {
            let begins = word.eq_ignore_ascii_case("atomic") && self.last.eq_ignore_ascii_case("begin");
            if begins && self.brackets == 0 && self.creates_routine() {
                self.blocks = 1;
            }
        } else if word.eq_ignore_ascii_case("case") {
            self.blocks += 1;
        } else if word.eq_ignore_ascii_case("end") {
            self.blocks -= 1;
        }
        self.last = word;
    }

    fn creates_routine(&self) -> bool {
        let words = self.words.map(str::to_ascii_lowercase);
        match words.each_ref().map(String::as_str) {
            ["create", "or", "replace", kind] | ["create", kind, ..] => matches!(kind, "function" | "procedure"),
            _ => false,
        }
    }

    fn is_whole(&self) -> bool {
        self.brackets == 0 && self.blocks == 0
    }
}

/// Splits a text into statements.
#[must_use]
pub fn scan(text: &str) -> Scan {
    let mut scan = Scan::default();
    let mut lexer = Lexer::new(text);
    let mut building: Option<Building<'_>> = None;
    let mut data_ends = true;
    while let Some(token) = lexer.next() {
        match token.kind {
            TokenKind::Comment => {}
            TokenKind::Semicolon if building.as_ref().is_none_or(Building::is_whole) => {
                let Some(Building { range, .. }) = building.take() else { continue };
                // The rows that pg_dump writes below a COPY are not SQL and would only add faults.
                if data_ends && copy_direction(&text[range.clone()]) == Some(CopyDirection::FromStdin) {
                    match text[lexer.at..].find("\n\\.\n") {
                        Some(end) => lexer.at += end + 3,
                        None => data_ends = false,
                    }
                }
                scan.statements.push(range);
            }
            TokenKind::Backslash => {
                scan.statements.extend(building.take().map(|building| building.range));
                scan.faults.push(ScanFault::MetaCommand(token.range.start));
                lexer.skip_line();
            }
            _ => {
                if let TokenKind::Unterminated(opening) = token.kind {
                    scan.faults.push(ScanFault::Unterminated(token.range.start, opening));
                }
                building.get_or_insert_with(|| Building::new(token.range.start)).add(&token, text);
            }
        }
    }
    scan.statements.extend(building.map(|building| building.range));
    scan
}

/// The direction of a COPY over the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CopyDirection {
    FromStdin,
    ToStdout,
}

/// Returns the direction of a COPY over the connection; None for any other statement.
pub(super) fn copy_direction(statement: &str) -> Option<CopyDirection> {
    let mut words = words(statement);
    if !words.next()?.eq_ignore_ascii_case("copy") {
        return None;
    }
    let mut last = "";
    for word in words {
        if word.eq_ignore_ascii_case("stdin") && last.eq_ignore_ascii_case("from") {
            return Some(CopyDirection::FromStdin);
        }
        if word.eq_ignore_ascii_case("stdout") && last.eq_ignore_ascii_case("to") {
            return Some(CopyDirection::ToStdout);
        }
        last = word;
    }
    None
}

/// Iterates over the words of a statement that are not inside brackets or quotes.
pub(crate) fn words(statement: &str) -> impl Iterator<Item = &str> {
    let mut brackets = 0usize;
    Lexer::new(statement).filter_map(move |token| {
        match token.kind {
            TokenKind::Open => brackets += 1,
            TokenKind::Close => brackets = brackets.saturating_sub(1),
            TokenKind::Word if brackets == 0 => return Some(&statement[token.range]),
            _ => {}
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn statements(text: &str) -> Vec<&str> {
        let scan = scan(text);
        assert_eq!(scan.faults, [], "{text}");
        scan.statements.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn semicolons_split_and_spaces_and_comments_are_skipped() {
        assert_eq!(
            statements(" -- a; b\n select 1 ; ;/* c; /* d; */ e */ select 2 -- f\n;\n"),
            ["select 1", "select 2"]
        );
        assert_eq!(statements("-- only words\n/* and more */ ;;"), [""; 0]);
    }

    #[test]
    fn quotes_hide_semicolons() {
        for quoted in [
            "'a;''b;'",
            "E'a\\';b'",
            "e'a\\\\'",
            "U&'\\0041;'",
            "\"a;\"\"b\"",
            "$$a;'$$",
            "$tag$ ; $$ ; $tag$",
            "$größe$;$größe$",
            "'a\\'",
            "B'1;'",
            "1$$;$$",
        ] {
            let first = format!("select {quoted}");
            assert_eq!(statements(&format!("{first}; select 2")), [first.as_str(), "select 2"]);
        }
    }

    #[test]
    fn escapes_stay_valid_in_a_text_that_continues_on_the_next_line() {
        assert_eq!(statements("select E'a' -- b\n  '\\';c'; select 2").len(), 2);
        assert_eq!(statements("select E'a' '\\'; select 2").len(), 2);
    }

    #[test]
    fn a_dollar_inside_a_name_does_not_open_a_quote() {
        assert_eq!(statements("select a$$; select b$$"), ["select a$$", "select b$$"]);
        assert_eq!(statements("select $1; select $2"), ["select $1", "select $2"]);
    }

    #[test]
    fn a_function_with_a_sql_standard_body_is_one_statement() {
        let function = "create or replace function f(a int) returns int\nbegin atomic\n  select 1;\n  \
                        select case a when 1 then 2 end;\nend";
        assert_eq!(statements(&format!("{function}; select 2")), [function, "select 2"]);
        let procedure = "CREATE PROCEDURE p() BEGIN ATOMIC insert into t values (1); END";
        assert_eq!(statements(&format!("{procedure}; select 2")), [procedure, "select 2"]);
        // A transaction has no ATOMIC.
        assert_eq!(statements("begin; select 1; end").len(), 3);
    }

    #[test]
    fn a_rule_with_several_commands_is_one_statement() {
        assert_eq!(statements("create rule r as on insert to t do also (select 1; select 2); select 3").len(), 2);
    }

    #[test]
    fn an_unclosed_quote_or_comment_is_reported_at_its_opening() {
        for (text, at, opening) in [
            ("select 'a", 7, "'"),
            ("select 1; select E'a\\'", 17, "'"),
            ("select \"a", 7, "\""),
            ("do $x$ begin", 3, "$$"),
            ("select 1 /* a /* b */", 9, "/*"),
        ] {
            assert_eq!(scan(text).faults, [ScanFault::Unterminated(at, opening)], "{text}");
        }
    }

    #[test]
    fn a_psql_command_is_a_fault_up_to_the_end_of_its_line() {
        let found = scan("select 1;\n\\connect it's\nselect 'x' \\gexec\nselect 3");
        assert_eq!(found.faults, [ScanFault::MetaCommand(10), ScanFault::MetaCommand(35)]);
        assert_eq!(found.statements.len(), 3);
    }

    #[test]
    fn rows_below_a_copy_are_not_read_as_sql() {
        let text = "copy t (a, \"b\") from stdin;\n1\tit's\n\\N\t;\n\\.\nselect 2;";
        assert_eq!(statements(text), ["copy t (a, \"b\") from stdin", "select 2"]);
        assert_eq!(copy_direction("copy (select 1 from stdin) to stdout"), Some(CopyDirection::ToStdout));
        assert_eq!(copy_direction("copy t from '/stdin'"), None);
    }

    #[test]
    fn long_texts_take_linear_time() {
        for piece in ["$a$;$b$;", "(", "/*", "copy t from stdin;", "E'a'\n", "\\x\n", "$a", "select 'x';", "e''\n--\n"]
        {
            let text = piece.repeat(400_000 / piece.len());
            let began = std::time::Instant::now();
            assert!(scan(&text).statements.len() <= text.len());
            assert!(began.elapsed().as_secs() < 5, "{piece}: {:?}", began.elapsed());
        }
    }

    /// Generates SQL-like texts: a random text seldom has a quote that closes.
    fn sql_like() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("'"),
            Just("\""),
            Just("$$"),
            Just("$a$"),
            Just("E'"),
            Just("U&'"),
            Just("\\"),
            Just(";"),
            Just("--"),
            Just("\n"),
            Just("/*"),
            Just("*/"),
            Just("("),
            Just(")"),
            Just("create function "),
            Just("begin atomic "),
            Just("case "),
            Just("end"),
            Just("ラ"),
            Just("é"),
            Just("1"),
            Just("x"),
            Just(" "),
            Just("copy t from stdin;"),
            Just("\\.\n"),
        ];
        prop_oneof![proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat()), any::<String>(),]
    }

    proptest! {
        #[test]
        fn statements_are_ordered_and_disjoint_and_with_their_gaps_give_the_text(text in sql_like()) {
            let scan = scan(&text);
            let mut rebuilt = String::new();
            for range in &scan.statements {
                prop_assert!(range.start >= rebuilt.len() && range.start < range.end);
                rebuilt.push_str(&text[rebuilt.len()..range.start]);
                rebuilt.push_str(&text[range.clone()]);
            }
            rebuilt.push_str(&text[rebuilt.len()..]);
            prop_assert_eq!(rebuilt, text);
        }

        #[test]
        fn a_statement_scans_to_itself(text in sql_like()) {
            for range in scan(&text).statements {
                let statement = &text[range];
                let again = scan(statement);
                prop_assert_eq!(again.statements.first(), Some(&(0..statement.len())));
            }
        }

        #[test]
        fn quoted_text_never_splits_a_statement(text in any::<String>()) {
            let quoted = [
                format!("'{}'", text.replace('\'', "''")),
                format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
                format!("U&'{}'", text.replace('\'', "''")),
                format!("\"{}\"", text.replace('"', "\"\"")),
                format!("$boot${}$boot$", text.replace('$', "")),
                format!("/*{}*/ 1", text.replace("/", "").replace('*', "")),
                format!("1 --{}\n", text.replace('\n', "")),
            ];
            for quoted in quoted {
                let sql = format!("select {quoted}, 2; select 3");
                let scan = scan(&sql);
                prop_assert_eq!(scan.faults, []);
                prop_assert_eq!(scan.statements.len(), 2);
                prop_assert_eq!(&sql[scan.statements[1].clone()], "select 3");
            }
        }
    }
}
