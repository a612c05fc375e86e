//! The acceptance list: one file a group of promises.

mod boots;
mod browser;
mod data;
mod image;
mod replicas;
mod secrets;
mod stack;

use super::check::Check;

/// All checks, by group, in the order of the acceptance list.
pub(crate) const ALL: &[&[Check]] =
    &[image::CHECKS, boots::CHECKS, data::CHECKS, replicas::CHECKS, secrets::CHECKS, stack::CHECKS, browser::CHECKS];
