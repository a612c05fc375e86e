//! The place of an SQL error in its file, for people: line, column, and the line with a caret under it.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// 1-based.
    pub(super) line: usize,
    /// 1-based, in characters.
    pub(super) column: usize,
    /// Offset in bytes.
    byte: usize,
}

/// Where PostgreSQL's `position` (1-based, in characters) lies in the text.
pub(super) fn place(sql: &str, position: u32) -> Option<Place> {
    let index = usize::try_from(position).ok()?.checked_sub(1)?;
    let byte = sql.char_indices().map(|(byte, _)| byte).chain([sql.len()]).nth(index)?;
    let before = &sql[..byte];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Some(Place { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1, byte })
}

/// The line with a caret under the place, as lines of text.
pub(super) fn excerpt(filename: &str, sql: &str, place: Place, label: &str) -> Vec<String> {
    let end = sql[place.byte..].chars().next().map_or(place.byte, |c| place.byte + c.len_utf8());
    let snippet =
        Snippet::source(sql).path(filename).annotation(AnnotationKind::Primary.span(place.byte..end).label(label));
    let report = Level::ERROR.primary_title("SQL").element(snippet);
    // The title says nothing that the last line of the boot does not say.
    Renderer::plain().render(&[report]).lines().skip(1).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQL: &str = "select 1;\nselect 'Größe', 'ラリー', wrong;\n";

    #[test]
    fn a_position_counts_characters_not_bytes() {
        let position = SQL.chars().position(|c| c == 'w').expect("it is there") + 1;
        let found = place(SQL, u32::try_from(position).expect("small")).expect("inside");
        assert_eq!((found.line, found.column), (2, 24));
        assert_eq!(&SQL[found.byte..found.byte + 5], "wrong");
    }

    #[test]
    fn the_end_of_the_text_is_a_place_and_beyond_it_is_none() {
        let end = u32::try_from(SQL.chars().count()).expect("small") + 1;
        assert_eq!(place(SQL, end).map(|found| found.line), Some(3));
        assert_eq!(place(SQL, end + 1), None);
        assert_eq!(place(SQL, 0), None);
    }

    #[test]
    fn the_caret_stands_under_the_word_also_behind_wide_characters() {
        let position = u32::try_from(SQL.chars().position(|c| c == 'w').expect("it is there") + 1).expect("small");
        let lines = excerpt("001_a.sql", SQL, place(SQL, position).expect("inside"), "unknown column");
        let caret = lines.iter().find(|line| line.contains('^')).expect("a caret");
        let source = lines.iter().find(|line| line.contains("wrong")).expect("the line");
        // Each of the three wide characters takes two columns.
        let columns = |text: &str| text.chars().map(|c| if c as u32 > 0x2000 { 2 } else { 1 }).sum::<usize>();
        assert_eq!(
            columns(source.split("wrong").next().expect("a head")),
            columns(caret.split('^').next().expect("a head"))
        );
        assert!(lines[0].contains("001_a.sql:2:24"), "{lines:?}");
    }
}
