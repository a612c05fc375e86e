//! The setting `track_counts`: without it PostgreSQL does not count deleted rows, and the witness needs these counts.

use super::scan::{Lexer, Token, TokenKind};

/// Maximum nesting of function and `DO` bodies that are searched; bounds the time.
const DEPTH: usize = 3;

/// Returns the offset at which a statement sets `track_counts`, also inside a dollar-quoted body.
pub(super) fn set_at(statement: &str) -> Option<usize> {
    find(statement, DEPTH)
}

fn find(text: &str, depth: usize) -> Option<usize> {
    let mut last = "";
    // True until the first text after `set_config(`.
    let mut is_argument = false;
    for Token { kind, range } in Lexer::new(text).filter(|token| token.kind != TokenKind::Comment) {
        let token = &text[range.clone()];
        let is_setting = ["set", "reset", "session", "local"].iter().any(|word| last.eq_ignore_ascii_case(word));
        match kind {
            TokenKind::Word | TokenKind::Name if is_setting && is_track_counts(token.trim_matches('"')) => {
                return Some(range.start);
            }
            TokenKind::Open if last.eq_ignore_ascii_case("set_config") => is_argument = true,
            TokenKind::Text(content) if std::mem::take(&mut is_argument) && is_track_counts(&text[content.clone()]) => {
                return Some(range.start);
            }
            TokenKind::Text(content) if depth > 0 && token.starts_with('$') => {
                if let Some(at) = find(&text[content.clone()], depth - 1) {
                    return Some(content.start + at);
                }
            }
            TokenKind::Semicolon | TokenKind::Close => is_argument = false,
            _ => {}
        }
        last = token;
    }
    None
}

fn is_track_counts(name: &str) -> bool {
    name.eq_ignore_ascii_case("track_counts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_it_is_found_in_any_form_and_reading_it_is_allowed() {
        for sql in [
            "set track_counts = off",
            "SET LOCAL Track_Counts TO off",
            "set session /* x */ \"track_counts\" = off",
            "reset track_counts",
            "alter system set track_counts = off",
            "alter role editor in database d set track_counts = off",
            "create function f() returns int language sql set track_counts = off as $$ select 1 $$",
            "select pg_catalog.set_config('track_counts', 'off', true)",
            "select set_config(setting_name => 'TRACK_COUNTS', new_value => 'off', is_local => true)",
            "do $$ begin set track_counts = off; end $$",
            "create function f() returns int language sql as $f$ select set_config($$track_counts$$, 'off', false) $f$",
        ] {
            let at = set_at(sql).expect(sql);
            assert!(
                sql[at..].to_ascii_lowercase().trim_start_matches(['\'', '"', '$']).starts_with("track_counts"),
                "{sql}"
            );
        }
        for sql in [
            "show track_counts",
            "select current_setting('track_counts')",
            "select set_config('search_path', 'track_counts', true)",
            "select 'set track_counts = off' -- set track_counts = off",
            "create table settings (track_counts int)",
        ] {
            assert_eq!(set_at(sql), None, "{sql}");
        }
    }
}
