//! The collected problems of the configuration.

use std::fmt;

use crate::listing::Listing;

/// A list of problems, each with its remedy. Displays as one line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl Problems {
    /// Adds a problem, which begins with the name of its variable.
    pub fn add(&mut self, problem: impl Into<String>) {
        self.0.push(problem.into());
    }

    /// The problems for the last line of the log.
    #[must_use]
    pub fn listing(&self) -> Listing {
        Listing::new(self.0.clone())
    }

    /// Returns true if there are no problems.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if that variable already has a problem, so that "not set" does not follow "cannot be read".
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
