//! One of the image's scripts as a Node process whose standard input is a socket.
//!
//! A socket works in both directions, so standard output and error remain for Directus' own lines. When the boot dies for
//! any reason, the socket is closed, and Node exits.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::process::Stdio;

use tokio::net::UnixStream;
use tokio::process::{Child, Command};

/// Starts a script with these variables set (`Some`) or removed (`None`), after `change`. Dropping the child kills it.
///
/// # Errors
/// The system's; `NotFound` if there is no `node`.
pub(crate) fn start(
    script: &Path,
    variables: &BTreeMap<&'static str, Option<String>>,
    change: impl FnOnce(&mut Command),
) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut command = Command::new("node");
    command.arg(script).stdin(Stdio::from(OwnedFd::from(theirs))).kill_on_drop(true);
    for (name, value) in variables {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    change(&mut command);
    Ok((command.spawn()?, UnixStream::from_std(ours)?))
}
