//! Texts and names inside of SQL, where no parameter can stand.

/// A text as a literal of SQL.
#[must_use]
pub fn literal(text: &str) -> String {
    // A backslash has no meaning of its own in this form.
    format!(" E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A name as an identifier of SQL.
#[must_use]
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_quoted_whatever_is_in_them() {
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's \\ it"), " E'it''s \\\\ it'");
    }
}
