//! The acceptance list: one file a group of promises.

mod boots;
mod image;
mod secrets;

use super::check::Check;

/// All checks, by group, in the order of the acceptance list.
pub(crate) const ALL: &[&[Check]] = &[image::CHECKS, boots::CHECKS, secrets::CHECKS];
