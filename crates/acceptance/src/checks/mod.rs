//! The acceptance list: one file per group of promises.

mod attic;
mod boots;
mod browser;
mod connections;
mod data;
mod documents;
mod faults;
mod health;
mod image;
mod locks;
mod objects;
mod reconcile;
mod registration;
mod replicas;
mod restore;
mod roles;
mod search;
mod secrets;
mod services;
mod signals;
mod snapshots;
mod stack;
mod stack_schema;
mod sweep;
mod versions;
mod witness;

use super::check::Check;

/// Every check of [`ALL`].
pub(crate) fn all() -> impl Iterator<Item = &'static Check> {
    ALL.iter().copied().flatten()
}

/// The checks by group, in the order of the acceptance list.
pub(crate) const ALL: &[&[Check]] = &[
    image::CHECKS,
    boots::CHECKS,
    data::CHECKS,
    connections::CHECKS,
    roles::CHECKS,
    reconcile::CHECKS,
    snapshots::CHECKS,
    versions::CHECKS,
    restore::CHECKS,
    witness::CHECKS,
    objects::CHECKS,
    documents::CHECKS,
    attic::CHECKS,
    faults::CHECKS,
    locks::CHECKS,
    sweep::CHECKS,
    search::CHECKS,
    health::CHECKS,
    signals::CHECKS,
    secrets::CHECKS,
    services::CHECKS,
    replicas::CHECKS,
    stack::CHECKS,
    browser::CHECKS,
    registration::CHECKS,
];
