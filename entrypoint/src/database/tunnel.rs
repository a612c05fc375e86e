//! A connection that Node makes, for servers whose TLS rustls does not accept and Directus does: keys on P-521,
//! certificates without subjectAltName, certificates of version 1, self-signed ones that are their own authority.
//!
//! PostgreSQL's documentation makes such certificates, so they are common. Node's process runs pg with the variables of
//! the bridge: it connects exactly where Directus does. It costs its start, about a quarter of a second.

use std::io;
use std::process::Stdio;

use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::process::Child;

use crate::config::DatabaseConfig;
use crate::script;

const SCRIPT: &str = "tunnel.mjs";
/// The script's first line if it is connected.
const CONNECTED: &str = "connected";
/// A longer first line is not the script's.
const LONGEST: usize = 4096;

/// Node's process; it ends when this is dropped.
pub(super) struct Tunnel {
    _child: Child,
}

/// Has Node connect. `None` if it cannot either: rustls' reason is the better one for a message.
pub(super) async fn open(config: &DatabaseConfig) -> Option<(UnixStream, Tunnel)> {
    let script = config.scripts.join(SCRIPT);
    let started = script::start(&script, &config.bridge_variables(), |node| {
        // Directus' own log would be read as the boot's.
        node.stdout(Stdio::null()).stderr(Stdio::null());
    });
    let (child, mut stream) = started.ok()?;
    let line = first_line(&mut stream).await.ok()?;
    (line == CONNECTED).then_some((stream, Tunnel { _child: child }))
}

/// Reads one line, and nothing that follows it.
async fn first_line(stream: &mut UnixStream) -> io::Result<String> {
    let mut line = Vec::new();
    while line.len() < LONGEST {
        match stream.read_u8().await? {
            b'\n' => return String::from_utf8(line).map_err(io::Error::other),
            byte => line.push(byte),
        }
    }
    Err(io::Error::other("the first line has no end"))
}
