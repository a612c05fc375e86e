//! What a check is: a promise, what it needs, and how it is looked at.

use std::pin::Pin;

use crate::case::Case;

/// One promise of the README, and how it is proven.
pub struct Check {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it promises, in one sentence.
    pub promise: &'static str,
    /// What it needs beyond an engine, an image and a database.
    pub needs: Need,
    /// Looks. `Ok`: the promise is kept. An error is why it is not, or a [`NotRun`].
    pub run: for<'a> fn(&'a mut Case) -> Looking<'a>,
}

/// A check that is being made.
pub type Looking<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

/// What a check needs beyond an engine, an image and a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// Many containers at once: nothing else runs beside it.
    TheMachine,
    /// A headless Chromium on this machine.
    Browser,
}

/// Why a promise was not looked at. Anything else that ends a check early is a failure.
#[derive(Debug)]
pub struct NotRun(pub String);

impl std::fmt::Display for NotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotRun {}
