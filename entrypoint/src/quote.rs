//! Quotes texts and names in SQL where a parameter is not possible.

/// Quotes a text as a SQL literal.
#[must_use]
pub fn literal(text: &str) -> String {
    // In this form, a backslash can be escaped regardless of `standard_conforming_strings`.
    format!(" E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Quotes a name as a SQL identifier.
#[must_use]
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_in_names_and_texts_are_escaped() {
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's \\ it"), " E'it''s \\\\ it'");
    }
}
