//! A connection that Node makes, for servers whose TLS rustls does not accept and Directus does: keys on P-521,
//! certificates without subjectAltName, certificates of version 1, self-signed ones that are their own authority.
//!
//! PostgreSQL's documentation makes such certificates, so they are common. Node's process runs pg with the variables of
//! the bridge: it connects exactly where Directus does. It costs its start, about a quarter of a second.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::Stdio;

use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use crate::config::DatabaseConfig;

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
    let (mut stream, child) = start(config).ok()?;
    let line = first_line(&mut stream).await.ok()?;
    (line == CONNECTED).then_some((stream, Tunnel { _child: child }))
}

fn start(config: &DatabaseConfig) -> io::Result<(UnixStream, Child)> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut command = Command::new("node");
    command.arg(config.scripts.join(SCRIPT)).stdin(Stdio::from(OwnedFd::from(theirs)));
    // Directus' own log would be read as the boot's.
    command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    for (name, value) in config.bridge_variables() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let child = command.spawn()?;
    Ok((UnixStream::from_std(ours)?, child))
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
