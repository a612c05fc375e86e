//! The acceptance list: one file a group of promises.

mod boots;
mod faults;
mod health;
mod signals;

use super::check::Check;

/// All checks, by group, in the order of the acceptance list.
pub(crate) const ALL: &[&[Check]] = &[boots::CHECKS, faults::CHECKS, health::CHECKS, signals::CHECKS];
