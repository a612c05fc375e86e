//! Markdown from texts.

pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) fn paragraph(text: &mut String, words: Option<&str>) {
    let words = one_line(words.unwrap_or_default());
    if !words.is_empty() {
        *text += &format!("\n{words}\n");
    }
}

pub(crate) fn list(text: &mut String, lines: &[String]) {
    if !lines.is_empty() {
        *text += &format!("\n{}\n", lines.iter().map(|line| format!("- {line}")).collect::<Vec<_>>().join("\n"));
    }
}

/// A table with a line for each row.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), " --- |".repeat(N));
    for cells in rows {
        text += &format!("| {} |\n", cells.map(|cell| cell.replace('|', r"\|")).join(" | "));
    }
    text
}
