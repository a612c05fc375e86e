//! The boot of a trm-directus container, as a library: the binary is a thin `main` over it, and the integration
//! tests drive its parts against a real PostgreSQL.
//!
//! What the image promises to the outside (exit codes, phases, log lines, paths, variables) is the crate `contract`.
//! Everything else follows the boot: [`config`] (phase 1), [`database`] (2 and 3),
//! [`migrations`] (4 and 7), [`directus`] (5 and 6), [`exec`] (8), and [`boot`], which puts them in order.

pub mod attic;
pub mod boot;
pub mod cli;
pub mod config;
pub mod database;
pub mod directus;
pub mod error;
pub mod exec;
pub mod healthcheck;
pub mod log;
pub mod migrations;
pub mod quote;
pub mod report;
pub mod secret;
pub mod signals;
pub mod standing;
pub mod witness;
