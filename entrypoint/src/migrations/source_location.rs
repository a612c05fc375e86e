//! A place in a file as the log shows it: line and column, and the line with a caret under it.

#[cfg(feature = "boot")]
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SourceLocation {
    /// 1-based.
    pub(super) line: usize,
    /// 1-based, in characters.
    pub(super) column: usize,
    /// Offset in bytes.
    byte: usize,
}

impl SourceLocation {
    /// The place of that byte, which must begin a character.
    pub(super) fn at(sql: &str, byte: usize) -> SourceLocation {
        let before = &sql[..byte];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        SourceLocation {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            byte,
        }
    }

    #[cfg(feature = "boot")]
    /// Renders the line with a caret under the place, one string per line of text.
    pub(super) fn excerpt(self, filename: &str, sql: &str, label: &str) -> Vec<String> {
        let end = sql[self.byte..].chars().next().map_or(self.byte, |c| self.byte + c.len_utf8());
        let snippet =
            Snippet::source(sql).path(filename).annotation(AnnotationKind::Primary.span(self.byte..end).label(label));
        let report = Level::ERROR.primary_title("SQL").element(snippet);
        // The last line of the boot repeats the title, so it is omitted here.
        Renderer::plain().render(&[report]).lines().skip(1).map(str::to_owned).collect()
    }
}

#[cfg(feature = "boot")]
/// Returns the byte offset of PostgreSQL's `position` (1-based, in characters) in a text, at most the text's length.
pub(super) fn byte_of(text: &str, position: u32) -> usize {
    let index = usize::try_from(position).unwrap_or(usize::MAX).saturating_sub(1);
    text.char_indices().nth(index).map_or(text.len(), |(byte, _)| byte)
}

#[cfg(all(test, feature = "boot"))]
mod tests {
    use super::*;

    const SQL: &str = "select 1;\nselect 'Größe', 'ラリー', wrong;\n";

    fn wrong() -> SourceLocation {
        let position = SQL.chars().position(|c| c == 'w').expect("a w") + 1;
        SourceLocation::at(SQL, byte_of(SQL, u32::try_from(position).expect("small")))
    }

    #[test]
    fn a_position_counts_characters_not_bytes() {
        let found = wrong();
        assert_eq!((found.line, found.column), (2, 24));
        assert_eq!(&SQL[found.byte..found.byte + 5], "wrong");
    }

    #[test]
    fn a_position_beyond_the_text_is_its_end() {
        let end = u32::try_from(SQL.chars().count()).expect("small") + 1;
        assert_eq!(byte_of(SQL, end), SQL.len());
        assert_eq!(byte_of(SQL, u32::MAX), SQL.len());
        assert_eq!(byte_of(SQL, 0), 0);
        assert_eq!(SourceLocation::at(SQL, SQL.len()).line, 3);
        assert!(!SourceLocation::at(SQL, SQL.len()).excerpt("001_a.sql", SQL, "the end").is_empty());
    }

    #[test]
    fn the_caret_is_under_the_word_even_after_wide_characters() {
        let lines = wrong().excerpt("001_a.sql", SQL, "unknown column");
        let caret = lines.iter().find(|line| line.contains('^')).expect("a caret");
        let source = lines.iter().find(|line| line.contains("wrong")).expect("the line");
        assert_eq!(
            columns(source.split("wrong").next().expect("a head")),
            columns(caret.split('^').next().expect("a head"))
        );
        assert!(lines[0].contains("001_a.sql:2:24"), "{lines:?}");
    }

    /// Columns on a terminal: each of the three wide characters takes two.
    fn columns(text: &str) -> usize {
        text.chars().map(|c| if c as u32 > 0x2000 { 2 } else { 1 }).sum()
    }
}
