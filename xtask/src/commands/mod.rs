//! The commands that xtask runs itself, one file each.

pub(crate) mod ci;
pub(crate) mod docs;
pub(crate) mod down;
pub(crate) mod language;
