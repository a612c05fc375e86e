//! The PgBouncers in front of the test's PostgreSQL, which `cargo xtask test` starts.

use super::ConnectionParts;

/// `name=host:port` for each, separated by spaces; crates/testbed/src/pooler.rs has their configuration.
const VARIABLE: &str = "TEST_POOLERS";

/// A database, reached through the pooler of that name.
pub(crate) fn through(pooler: &str, database: &ConnectionParts) -> ConnectionParts {
    let poolers = std::env::var(VARIABLE).unwrap_or_else(|_| {
        panic!("{VARIABLE} is not set: run `cargo xtask test`, which starts the poolers and sets it")
    });
    let server = poolers.split(' ').find_map(|pair| pair.strip_prefix(pooler)?.strip_prefix('='));
    let server = server.unwrap_or_else(|| panic!("no pooler `{pooler}` in {VARIABLE}={poolers}"));
    let (host, port) = server.rsplit_once(':').expect("a port");
    ConnectionParts { host: host.to_owned(), port: port.parse().expect("a number"), ..database.clone() }
}
