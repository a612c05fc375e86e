//! A check: a promise, its requirements, and the function that proves it.

use std::pin::Pin;

use crate::test_context::TestContext;

/// One promise of the README and its proof.
pub struct Check {
    /// The name on the command line, such as `warm-boot`.
    pub name: &'static str,
    /// The promise as one sentence, for the list and the report.
    pub promise: &'static str,
    /// Requirements beyond an engine, an image and a database.
    pub needs: Need,
    /// Returns `Ok` if the promise is kept; an error contains the reason for the failure, or is a [`NotRun`].
    pub run: for<'a> fn(&'a mut TestContext) -> CheckFuture<'a>,
}

/// A running check.
pub type CheckFuture<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

/// Requirements beyond an engine, an image and a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// No further requirement.
    Nothing,
    /// The whole machine, for many containers at once: no other check runs at the same time.
    TheMachine,
    /// A headless Chromium on this machine.
    Browser,
}

/// The reason why a check was not run. Every other error of a check is a failure.
#[derive(Debug)]
pub struct NotRun(pub String);

impl std::fmt::Display for NotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotRun {}
