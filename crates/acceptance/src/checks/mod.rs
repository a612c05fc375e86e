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
mod metrics;
mod objects;
mod reconcile;
mod registration;
mod replicas;
mod restore;
mod roles;
mod rolling;
mod search;
mod secrets;
mod services;
mod signals;
mod snapshots;
mod stack;
mod stack_schema;
mod swarm;
mod sweep;
mod versions;
mod witness;

use super::check::Check;

/// Every check of [`ALL`], or of [`SWARM`].
pub(crate) fn of(swarm: bool) -> impl Iterator<Item = &'static Check> {
    let groups = if swarm { SWARM } else { ALL };
    groups.iter().copied().flatten()
}

/// The checks of `verify --swarm`, which are in no other run: each takes minutes and needs a second engine.
pub(crate) const SWARM: &[&[Check]] = &[swarm::CHECKS];

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
    metrics::CHECKS,
    secrets::CHECKS,
    services::CHECKS,
    replicas::CHECKS,
    rolling::CHECKS,
    stack::CHECKS,
    browser::CHECKS,
    registration::CHECKS,
];
