//! A local socket to an engine that only the docker command can reach: over SSH, or over TCP with its certificates.

use anyhow::Context as _;

/// A socket in a folder of its own. Each connection is carried by one `docker system dial-stdio`, which connects as every
/// other docker command does. It is closed when this is dropped.
#[derive(Debug)]
pub(super) struct EngineBridge {
    folder: tempfile::TempDir,
    accept: tokio::task::JoinHandle<()>,
}

const SOCKET: &str = "engine.sock";

impl EngineBridge {
    /// Opens the socket.
    #[cfg(unix)]
    pub(super) fn open() -> anyhow::Result<EngineBridge> {
        let folder = tempfile::tempdir().context("failed to create a folder for a socket")?;
        let listener = tokio::net::UnixListener::bind(folder.path().join(SOCKET)).context("failed to open a socket")?;
        let accept = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(carry(connection));
            }
        });
        Ok(EngineBridge { folder, accept })
    }

    /// On other systems the engine must have a local socket.
    #[cfg(not(unix))]
    pub(super) fn open() -> anyhow::Result<EngineBridge> {
        anyhow::bail!("on this system only an engine with a local socket is supported")
    }

    /// Returns the path of the socket.
    pub(super) fn socket(&self) -> anyhow::Result<String> {
        let path = self.folder.path().join(SOCKET);
        Ok(path.to_str().context("the path of the folder for temporary files is not UTF-8")?.to_owned())
    }
}

impl Drop for EngineBridge {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

/// Carries a connection until either side closes it. The other end notices a failure as a closed connection.
#[cfg(unix)]
async fn carry(mut connection: tokio::net::UnixStream) {
    let cmd = crate::cmd::Cmd::new("docker").args(["system", "dial-stdio"]);
    let Ok(mut child) = cmd.spawn_piped() else { return };
    let mut pipes = tokio::io::join(&mut child.stdout, &mut child.stdin);
    // An error is the end of the connection, too.
    drop(tokio::io::copy_bidirectional(&mut connection, &mut pipes).await);
}
