//! The boot of a trm-directus container as a library. The binary is a thin `main` around it, and the integration tests
//! run its parts against a real PostgreSQL.
//!
//! The crate `contract` defines the image's interface (exit codes, phases, log lines, paths, variables). [`boot`]
//! contains the phases, one file each, in order; [`reconcile`] plans the remaining work; [`witness`] detects the
//! losses. They use [`config`], [`database`], [`migrations`] and [`directus`].
//!
//! Without the feature `boot` only the reader of the SQL files remains. It compiles on every system, and without the TLS
//! library with its C and assembler.

#[cfg(feature = "boot")]
pub mod attic;
#[cfg(feature = "boot")]
pub mod backoff;
#[cfg(feature = "boot")]
pub mod boot;
#[cfg(feature = "boot")]
pub mod cli;
#[cfg(feature = "boot")]
pub mod config;
#[cfg(feature = "boot")]
pub mod database;
#[cfg(feature = "boot")]
pub mod directus;
#[cfg(feature = "boot")]
pub mod error;
#[cfg(feature = "boot")]
pub mod healthcheck;
pub mod listing;
#[cfg(feature = "boot")]
pub mod log;
pub mod migrations;
#[cfg(feature = "boot")]
pub mod network;
pub mod quote;
#[cfg(feature = "boot")]
pub mod reconcile;
#[cfg(feature = "boot")]
pub mod redis;
#[cfg(feature = "boot")]
pub mod report;
#[cfg(feature = "boot")]
mod script;
#[cfg(feature = "boot")]
pub mod secret;
#[cfg(feature = "boot")]
pub mod signals;
pub mod witness;
