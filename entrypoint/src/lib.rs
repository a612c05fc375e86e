//! The boot of a trm-directus container, as a library: the binary is a thin `main` over it, and the integration
//! tests drive its parts against a real PostgreSQL.
//!
//! The image's promises (exit codes, phases, log lines, paths, variables) are the crate `contract`.
//! Everything else serves the boot: [`boot`] has its phases, one file each, and puts them in order; [`reconcile`] decides what
//! is left to do; [`witness`] sees what was done. The others are what these work with: [`config`], [`database`],
//! [`migrations`], [`directus`].

pub mod attic;
pub mod boot;
pub mod cli;
pub mod config;
pub mod database;
pub mod directus;
pub mod error;
pub mod healthcheck;
pub mod log;
pub mod migrations;
pub mod quote;
pub mod reconcile;
pub mod report;
pub mod secret;
pub mod signals;
pub mod witness;
