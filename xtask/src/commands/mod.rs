//! The commands that xtask runs itself, one file per command.

pub(crate) mod ci;
pub(crate) mod completions;
pub(crate) mod docs;
pub(crate) mod down;
pub(crate) mod language;
