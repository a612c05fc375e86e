//! Lists in messages: a few items fit into the last line of the log, many have a line each before it.

use std::fmt;

/// The number of items that the last line has room for.
const IN_LINE: usize = 3;

/// Items of a message, the most important one first. Displays as one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing(Vec<String>);

impl Listing {
    /// Lists these items.
    #[must_use]
    pub fn new(items: Vec<String>) -> Listing {
        Listing(items)
    }

    /// All items if the one line does not have them all; otherwise none.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        if self.0.len() > IN_LINE { &self.0 } else { &[] }
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(IN_LINE)];
        f.write_str(&shown.join("; "))?;
        match self.0.len() - shown.len() {
            0 => Ok(()),
            more => write!(f, "; and {more} more, see the lines above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: usize) -> Listing {
        Listing::new((1..=number).map(|n| format!("item {n}")).collect())
    }

    #[test]
    fn a_few_items_are_one_line() {
        assert_eq!(of(3).to_string(), "item 1; item 2; item 3");
        assert!(of(3).lines().is_empty());
    }

    #[test]
    fn many_items_have_a_line_each_and_the_last_line_counts_the_rest() {
        assert_eq!(of(14).to_string(), "item 1; item 2; item 3; and 11 more, see the lines above");
        assert_eq!(of(14).lines().len(), 14);
    }
}
