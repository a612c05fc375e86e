//! The boot of a trm-directus container as a library. The binary is a thin `main` around it, and the integration tests
//! run its parts against a real PostgreSQL.
//!
//! The crate `contract` defines the image's interface (exit codes, phases, log lines, paths, variables). [`boot`]
//! contains the phases, one file each, in order; [`reconcile`] plans the remaining work; [`witness`] detects the
//! losses. They use [`config`], [`database`], [`migrations`] and [`directus`].

pub mod attic;
pub mod boot;
pub mod cli;
pub mod config;
pub mod database;
pub mod directus;
pub mod error;
pub mod healthcheck;
pub mod listing;
pub mod log;
pub mod migrations;
pub mod network;
pub mod quote;
pub mod reconcile;
pub mod redis;
pub mod report;
mod script;
pub mod secret;
pub mod signals;
pub mod witness;
