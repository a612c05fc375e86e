//! Splits SQL into statements as PostgreSQL's own lexer would, and finds what no lexer can get past.
//!
//! Pure and total: every text has a scan, in linear time. Statements are byte ranges from their first token to before
//! their semicolon; what lies between them is space, comments, semicolons and faults.

use std::ops::Range;

/// What a text consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The statements in order, without their semicolons.
    pub statements: Vec<Range<usize>>,
    /// What is not SQL.
    pub faults: Vec<Fault>,
}

/// Something that is not SQL, with the offset of its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A quote or comment that is never closed; what opened it is named.
    Unterminated(usize, &'static str),
    /// A backslash outside quotes and comments: psql takes it for itself, PostgreSQL knows none.
    MetaCommand(usize),
}

/// A piece of SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) range: Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or a name without quotes.
    Word,
    /// A name in double quotes.
    Name,
    /// A text in single or dollar quotes, and where its content lies.
    Text(Range<usize>),
    Comment,
    Semicolon,
    Open,
    Close,
    Backslash,
    /// What is open until the end of the text.
    Unterminated(&'static str),
    /// A number, an operator, a comma.
    Other,
}

/// The pieces of a text, without the space between them.
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Lexer { text, at: 0 }
    }

    /// Goes on behind the line that the lexer is in.
    fn skip_line(&mut self) {
        self.at = self.text[self.at..].find('\n').map_or(self.text.len(), |newline| self.at + newline);
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// A text in quotes of one character, which doubling escapes. With `backslash` that escapes, too.
    fn quoted(&self, open: usize, quote: u8, backslash: bool) -> Option<usize> {
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

    /// Where a text goes on after its quote was closed: on a later line, by the standard's rule. Only texts with
    /// escapes must know, because the escapes go on as well.
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

    /// `$tag$` at the present place.
    fn dollar_tag(&self) -> Option<&'a str> {
        let rest = self.rest();
        let name = &rest[1..];
        let end = name.find(|c: char| !is_word(c) || c == '$')?;
        let opens = name[end..].starts_with('$') && !name.starts_with(|c: char| c.is_ascii_digit());
        opens.then(|| &rest[..end + 2])
    }

    fn token(&mut self) -> (Kind, usize) {
        let (text, start) = (self.text, self.at);
        let rest = self.rest();
        let end_of_text = text.len();
        let quote = |quote_at: usize, quote: u8, backslash: bool, what: &'static str| match self
            .quoted(quote_at, quote, backslash)
        {
            Some(end) if quote == b'"' => (Kind::Name, end),
            Some(end) => (Kind::Text(quote_at + 1..end - 1), end),
            None => (Kind::Unterminated(what), end_of_text),
        };
        let first = rest.chars().next().unwrap_or('\0');
        match first {
            '\'' => quote(start, b'\'', false, "'"),
            '"' => quote(start, b'"', false, "\""),
            '-' if rest.starts_with("--") => (Kind::Comment, rest.find('\n').map_or(end_of_text, |end| start + end)),
            '/' if rest.starts_with("/*") => match self.block_comment() {
                Some(end) => (Kind::Comment, end),
                None => (Kind::Unterminated("/*"), end_of_text),
            },
            '$' => match self.dollar_tag() {
                Some(tag) => match text[start + tag.len()..].find(tag) {
                    Some(length) => {
                        let body = start + tag.len()..start + tag.len() + length;
                        (Kind::Text(body.clone()), body.end + tag.len())
                    }
                    None => (Kind::Unterminated("$$"), end_of_text),
                },
                None => (Kind::Other, start + 1),
            },
            ';' => (Kind::Semicolon, start + 1),
            '(' => (Kind::Open, start + 1),
            ')' => (Kind::Close, start + 1),
            '\\' => (Kind::Backslash, start + 1),
            c if is_word(c) && !c.is_ascii_digit() => {
                let end = rest.find(|c: char| !is_word(c)).map_or(end_of_text, |end| start + end);
                if matches!(&text[start..end], "e" | "E") && text[end..].starts_with('\'') {
                    return quote(end, b'\'', true, "'");
                }
                (Kind::Word, end)
            }
            c => (Kind::Other, start + c.len_utf8()),
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        // PostgreSQL's own idea of space: anything beyond ASCII is part of a name.
        let space = |c: char| !matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c');
        self.at += self.rest().find(space)?;
        let start = self.at;
        let (kind, end) = self.token();
        self.at = end;
        Some(Token { kind, range: start..end })
    }
}

/// Part of a name or keyword (`ident_cont` of PostgreSQL's scan.l).
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// A statement that is being read.
struct Building<'a> {
    range: Range<usize>,
    /// Open brackets: `CREATE RULE … DO (…; …)` has semicolons inside.
    brackets: usize,
    /// The first four words.
    words: [&'a str; 4],
    count: usize,
    /// The last word.
    last: &'a str,
    /// `BEGIN ATOMIC` and the `CASE`s in it that have no `END` yet.
    blocks: usize,
}

impl<'a> Building<'a> {
    fn new(start: usize) -> Self {
        Building { range: start..start, brackets: 0, words: [""; 4], count: 0, last: "", blocks: 0 }
    }

    fn add(&mut self, token: &Token, text: &'a str) {
        self.range.end = token.range.end;
        match token.kind {
            Kind::Open => self.brackets += 1,
            Kind::Close => self.brackets = self.brackets.saturating_sub(1),
            Kind::Word => self.add_word(&text[token.range.clone()]),
            _ => {}
        }
    }

    fn add_word(&mut self, word: &'a str) {
        if let Some(place) = self.words.get_mut(self.count) {
            *place = word;
        }
        self.count += 1;
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
        if self.blocks == 0 {
            let begins = is("atomic") && self.last.eq_ignore_ascii_case("begin");
            if begins && self.brackets == 0 && self.makes_a_routine() {
                self.blocks = 1;
            }
        } else if is("case") {
            self.blocks += 1;
        } else if is("end") {
            self.blocks -= 1;
        }
        self.last = word;
    }

    fn makes_a_routine(&self) -> bool {
        let routine = |word: &str| word.eq_ignore_ascii_case("function") || word.eq_ignore_ascii_case("procedure");
        let [create, or, replace, fourth] = self.words;
        create.eq_ignore_ascii_case("create")
            && (routine(or)
                || (or.eq_ignore_ascii_case("or") && replace.eq_ignore_ascii_case("replace") && routine(fourth)))
    }

    fn is_whole(&self) -> bool {
        self.brackets == 0 && self.blocks == 0
    }
}

/// Splits a text.
#[must_use]
pub fn scan(text: &str) -> Scan {
    let mut scan = Scan::default();
    let mut lexer = Lexer::new(text);
    let mut building: Option<Building<'_>> = None;
    let mut data_ends = true;
    while let Some(token) = lexer.next() {
        match token.kind {
            Kind::Comment => {}
            Kind::Semicolon if building.as_ref().is_none_or(Building::is_whole) => {
                let Some(Building { range, .. }) = building.take() else { continue };
                // The rows that pg_dump writes under a COPY are no SQL: read as such they would only give more faults.
                if data_ends && copies(&text[range.clone()]) == Some(Copies::FromStdin) {
                    match text[lexer.at..].find("\n\\.\n") {
                        Some(end) => lexer.at += end + 3,
                        None => data_ends = false,
                    }
                }
                scan.statements.push(range);
            }
            Kind::Backslash => {
                scan.statements.extend(building.take().map(|building| building.range));
                scan.faults.push(Fault::MetaCommand(token.range.start));
                lexer.skip_line();
            }
            _ => {
                if let Kind::Unterminated(what) = token.kind {
                    scan.faults.push(Fault::Unterminated(token.range.start, what));
                }
                building.get_or_insert_with(|| Building::new(token.range.start)).add(&token, text);
            }
        }
    }
    scan.statements.extend(building.map(|building| building.range));
    scan
}

/// Which end of the connection a COPY reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copies {
    FromStdin,
    ToStdout,
}

/// Whether a statement is a COPY over the connection.
pub(super) fn copies(statement: &str) -> Option<Copies> {
    let mut words = words(statement);
    if !words.next()?.eq_ignore_ascii_case("copy") {
        return None;
    }
    let mut last = "";
    for word in words {
        if word.eq_ignore_ascii_case("stdin") && last.eq_ignore_ascii_case("from") {
            return Some(Copies::FromStdin);
        }
        if word.eq_ignore_ascii_case("stdout") && last.eq_ignore_ascii_case("to") {
            return Some(Copies::ToStdout);
        }
        last = word;
    }
    None
}

/// The words of a statement that are not inside brackets or quotes.
pub(crate) fn words(statement: &str) -> impl Iterator<Item = &str> {
    let mut brackets = 0usize;
    Lexer::new(statement).filter_map(move |token| {
        match token.kind {
            Kind::Open => brackets += 1,
            Kind::Close => brackets = brackets.saturating_sub(1),
            Kind::Word if brackets == 0 => return Some(&statement[token.range]),
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
    fn semicolons_split_and_space_and_comments_are_left_out() {
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
    fn escapes_go_on_where_a_text_goes_on_in_the_next_line() {
        assert_eq!(statements("select E'a' -- b\n  '\\';c'; select 2").len(), 2);
        assert_eq!(statements("select E'a' '\\'; select 2").len(), 2);
    }

    #[test]
    fn a_dollar_inside_a_name_opens_nothing() {
        assert_eq!(statements("select a$$; select b$$"), ["select a$$", "select b$$"]);
        assert_eq!(statements("select $1; select $2"), ["select $1", "select $2"]);
    }

    #[test]
    fn the_body_of_a_standard_function_is_one_statement() {
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
    fn what_is_never_closed_is_named_where_it_opens() {
        for (text, at, what) in [
            ("select 'a", 7, "'"),
            ("select 1; select E'a\\'", 17, "'"),
            ("select \"a", 7, "\""),
            ("do $x$ begin", 3, "$$"),
            ("select 1 /* a /* b */", 9, "/*"),
        ] {
            assert_eq!(scan(text).faults, [Fault::Unterminated(at, what)], "{text}");
        }
    }

    #[test]
    fn commands_of_psql_are_faults_and_take_their_line() {
        let found = scan("select 1;\n\\connect it's\nselect 'x' \\gexec\nselect 3");
        assert_eq!(found.faults, [Fault::MetaCommand(10), Fault::MetaCommand(35)]);
        assert_eq!(found.statements.len(), 3);
    }

    #[test]
    fn rows_under_a_copy_are_not_read_as_sql() {
        let text = "copy t (a, \"b\") from stdin;\n1\tit's\n\\N\t;\n\\.\nselect 2;";
        assert_eq!(statements(text), ["copy t (a, \"b\") from stdin", "select 2"]);
        assert_eq!(copies("copy (select 1 from stdin) to stdout"), Some(Copies::ToStdout));
        assert_eq!(copies("copy t from '/stdin'"), None);
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

    /// SQL-like texts: random ones seldom have a quote that closes.
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
        fn statements_are_in_order_and_whole_and_with_the_gaps_they_are_the_text(text in sql_like()) {
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
        fn no_text_in_quotes_splits_a_statement(text in any::<String>()) {
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
