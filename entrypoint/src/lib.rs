//! The boot of a trm-directus container, as a library: the binary is a thin `main` over it, and the integration
//! tests drive its parts against a real PostgreSQL.
//!
//! [`contract`] is what the image promises to the outside (exit codes, phases, log lines, paths, variables); it is
//! all that `xtask` imports.

pub mod contract;
