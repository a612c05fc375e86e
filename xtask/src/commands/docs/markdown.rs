//! Markdown from data.

/// The first line of a generated page.
pub(super) const NOTICE: &str = "<!-- Written by `cargo xtask docs` from the code; changes by hand are lost and fail `cargo xtask docs --check`. -->\n\n";

/// A table with a line for each row.
pub(super) fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut text = row(&head.map(str::to_owned)) + &row(&[const { "---" }; N].map(str::to_owned));
    for cells in rows {
        text += &row(&cells.map(|cell| cell.replace('|', r"\|")));
    }
    text
}

fn row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// A text in a fence.
pub(super) fn fenced(text: &str) -> String {
    format!("```text\n{}\n```\n", text.trim_end())
}

/// Columns that a forge shows without a scroll bar.
const WIDTH: usize = 110;

/// A log whose long lines go on in an indented line, so that their ends, which have the remedy, are visible.
pub(super) fn folded(log: &str) -> String {
    let mut text = String::new();
    for line in log.lines() {
        let mut column = 0;
        for word in line.split_inclusive(' ') {
            let length = word.chars().count();
            if column > 0 && column + length > WIDTH {
                text.truncate(text.trim_end().len());
                text.push_str("\n    ");
                column = 4;
            }
            text.push_str(word);
            column += length;
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{WIDTH, folded, table};

    #[test]
    fn long_lines_are_folded_between_words() {
        let line = "a line of words ".repeat(20);
        let folded = folded(&line);
        assert!(folded.lines().count() > 1 && folded.lines().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(folded.split_whitespace().collect::<Vec<_>>(), line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(super::folded("  a short one\n"), "  a short one\n");
    }

    #[test]
    fn a_bar_in_a_cell_does_not_end_it() {
        assert_eq!(table(["a"], [["b|c".to_owned()]].into_iter()), "| a |\n| --- |\n| b\\|c |\n");
    }
}
