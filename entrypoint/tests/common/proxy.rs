//! The proxy that counts PostgreSQL's messages, in front of the test server.

use std::net::{SocketAddr, ToSocketAddrs as _};

use pg_fault_proxy::Proxy;

use super::Database;

/// Any free port of this machine.
pub(crate) fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

/// Returns the address of the database's server.
pub(crate) fn server(database: &Database) -> SocketAddr {
    let (_, rest) = database.url().rsplit_once('@').expect("a URL with a password");
    let (server, _) = rest.split_once('/').expect("a URL with a database");
    server.to_socket_addrs().expect("a server").next().expect("an address")
}

/// Returns the database's URL through the proxy.
pub(crate) fn through(proxy: &Proxy, database: &Database) -> String {
    let (head, rest) = database.url().rsplit_once('@').expect("a URL with a password");
    let (_, name) = rest.split_once('/').expect("a URL with a database");
    format!("{head}@{}/{name}", proxy.address())
}
