//! The acceptance list: one file a group of promises.

mod boots;
mod browser;
mod data;
mod faults;
mod health;
mod image;
mod replicas;
mod secrets;
mod signals;
mod stack;
mod standing;
mod sweep;

use super::check::Check;

/// All checks, by group, in the order of the acceptance list.
pub(crate) const ALL: &[&[Check]] = &[
    image::CHECKS,
    boots::CHECKS,
    data::CHECKS,
    standing::CHECKS,
    faults::CHECKS,
    sweep::CHECKS,
    health::CHECKS,
    signals::CHECKS,
    secrets::CHECKS,
    replicas::CHECKS,
    stack::CHECKS,
    browser::CHECKS,
];
