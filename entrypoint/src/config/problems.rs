//! What is wrong with the configuration, all of it.

use std::fmt;

/// A list of complaints, each with its way out. Displays as one line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl Problems {
    /// Adds one.
    pub fn add(&mut self, problem: impl Into<String>) {
        self.0.push(problem.into());
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one is about that variable already, so that "not set" need not follow "cannot be read".
    #[must_use]
    pub fn mention(&self, variable: &str) -> bool {
        self.0.iter().any(|problem| problem.starts_with(variable))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for Problems {}
