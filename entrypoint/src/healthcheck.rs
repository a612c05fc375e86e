//! `entrypoint healthcheck`: three questions about the server in this container, one for each probe of an orchestrator.
//!
//! [`Probe::Live`] and [`Probe::Startup`] use only `std` and no async runtime, because the engine runs them every few
//! seconds.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::config::{Config, Env, Problems, SchemaMode};
use crate::database::{Session, describe, state};
use crate::directus::SnapshotFile;
use contract::{DEFAULT_PORT, PING_PATH};

/// The time limit for the server's answer; shorter than the image's `HEALTHCHECK --timeout`.
const DEADLINE: Duration = Duration::from_secs(4);

/// A question about the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The process answers over HTTP, with any status: Directus' limiters answer 429 and 503 when it is busy, and a
    /// busy server must not be killed. Does not ask the database.
    Live,
    /// The server answers without an error of its own, the database answers too, and this image's snapshot was applied
    /// to it. An older image stays ready when a newer one has changed the database.
    Ready,
    /// The boot is over and the server answers, with any status.
    Startup,
}

/// Asks the server.
///
/// # Errors
/// The reason why the answer is no.
pub fn check_server(probe: Probe, env: &Env) -> Result<(), String> {
    let place = ServerAddress::of_server(env)?;
    let status = place.ping(DEADLINE)?;
    if probe == Probe::Ready && status >= 500 { Err(format!("{place} answers {status}")) } else { Ok(()) }
}

/// Asks the database, for [`Probe::Ready`].
///
/// # Errors
/// The reason why the answer is no.
pub async fn check_database(env: &Env) -> Result<(), String> {
    let config = Config::from_env(env).map_err(|problems| problems.to_string())?;
    let target = &config.database.target;
    let snapshot = match config.schema_mode {
        SchemaMode::Auto => Some(SnapshotFile::read(&config.paths.snapshot).map_err(|error| error.to_string())?),
        SchemaMode::Plan | SchemaMode::Skip => None,
    };
    match timeout(DEADLINE, has_snapshot(&config, snapshot.as_ref())).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(format!("this image's snapshot was never applied to the database at {target}")),
        Ok(Err(reason)) => Err(format!("{target}: {reason}")),
        Err(_) => Err(format!("{target} does not answer within {} s", DEADLINE.as_secs())),
    }
}

async fn has_snapshot(config: &Config, snapshot: Option<&SnapshotFile>) -> Result<bool, String> {
    let session = Session::connect(&config.database).await.map_err(|error| error.describe())?;
    let is_applied = match snapshot {
        Some(snapshot) => state::has_snapshot(&session.client, &snapshot.digest).await,
        None => Ok(true),
    };
    session.close().await;
    is_applied.map_err(|error| describe(&error))
}

/// The address of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ServerAddress {
    Tcp(String, u16),
    /// `UNIX_SOCKET_PATH`, which Directus prefers to a port.
    Socket(String),
}

impl std::fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ServerAddress::Tcp(host, port) => write!(f, "{host}:{port}"),
            ServerAddress::Socket(path) => f.write_str(path),
        }
    }
}

impl ServerAddress {
    /// Reads the variables by which Directus chooses its address.
    fn of_server(env: &Env) -> Result<ServerAddress, String> {
        if let Some(path) = env.plain("UNIX_SOCKET_PATH") {
            return Ok(ServerAddress::Socket(path.to_owned()));
        }
        let mut problems = Problems::default();
        let port = match env.get("PORT", &mut problems) {
            None => DEFAULT_PORT,
            Some(text) => text.parse().map_err(|_| format!("PORT is `{text}`: give a number from 1 to 65535"))?,
        };
        let host = match env.plain("HOST") {
            None | Some("0.0.0.0") => "127.0.0.1",
            Some("::") => "::1",
            Some(host) => host,
        };
        Ok(ServerAddress::Tcp(host.to_owned(), port))
    }

    /// Requests the server's ping endpoint and returns the HTTP status.
    fn ping(&self, deadline: Duration) -> Result<u16, String> {
        let head = self.request_head(deadline).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("{self} does not answer within {} s", deadline.as_secs())
            }
            _ => format!("{self}: {error}"),
        })?;
        let mut words = head.split_ascii_whitespace();
        match (words.next(), words.next().map(str::parse)) {
            (Some(protocol), Some(Ok(status))) if protocol.starts_with("HTTP/") => Ok(status),
            _ => Err(format!("{self} does not answer over HTTP")),
        }
    }

    /// Requests [`PING_PATH`] and returns the beginning of the response, at least its first line.
    fn request_head(&self, deadline: Duration) -> io::Result<String> {
        match self {
            ServerAddress::Tcp(host, port) => {
                let address = (host.as_str(), *port).to_socket_addrs()?.next();
                let address = address.ok_or_else(|| io::Error::other("the host has no address"))?;
                request_head(TcpStream::connect_timeout(&address, deadline)?, TcpStream::set_read_timeout, deadline)
            }
            ServerAddress::Socket(path) => {
                request_head(UnixStream::connect(path)?, UnixStream::set_read_timeout, deadline)
            }
        }
    }
}

fn request_head<S: Read + Write>(
    mut stream: S,
    set_read_timeout: impl Fn(&S, Option<Duration>) -> io::Result<()>,
    deadline: Duration,
) -> io::Result<String> {
    let began = Instant::now();
    // So short a request fits into the socket's buffer: writing it never waits.
    let request = format!("GET {PING_PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    let mut chunk = [0; 256];
    // The deadline also applies to a server that sends single bytes.
    while !head.contains(&b'\n') && head.len() < 1024 {
        let left = deadline.checked_sub(began.elapsed()).filter(|left| !left.is_zero());
        set_read_timeout(&stream, Some(left.ok_or(io::ErrorKind::TimedOut)?))?;
        match stream.read(&mut chunk)? {
            0 => break,
            read => head.extend_from_slice(&chunk[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Starts a server that answers one connection after a delay, and returns its port.
    fn server(answer: &'static str, after: Duration) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("the listener is bound").port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client connects");
            // Closing the socket with unread data would reset the connection and lose the answer.
            let mut request = [0; 512];
            assert!(stream.read(&mut request).expect("the client sends a request") > 0);
            std::thread::sleep(after);
            // In one test, the client has given up.
            drop(stream.write_all(answer.as_bytes()));
        });
        port
    }

    fn on(port: u16) -> ServerAddress {
        ServerAddress::Tcp("127.0.0.1".to_owned(), port)
    }

    #[test]
    fn any_status_is_an_answer() {
        for (answer, status) in [
            ("HTTP/1.1 200 OK\r\n\r\npong", 200),
            ("HTTP/1.1 429 Too Many Requests\r\n\r\n", 429),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", 503),
        ] {
            assert_eq!(on(server(answer, Duration::ZERO)).ping(DEADLINE), Ok(status));
        }
    }

    #[test]
    fn other_protocols_are_not_an_answer() {
        let port = server("SSH-2.0-OpenSSH\n", Duration::ZERO);
        assert!(on(port).ping(DEADLINE).is_err());
        let port = server("", Duration::ZERO);
        assert!(on(port).ping(DEADLINE).is_err());
    }

    #[test]
    fn hanging_server_is_unhealthy_after_the_deadline() {
        let port = server("", Duration::from_secs(2));
        let complaint = on(port).ping(Duration::from_millis(200)).expect_err("the server hangs");
        assert!(complaint.contains("does not answer"), "{complaint}");
    }

    #[test]
    fn the_server_is_found_where_directus_listens() {
        assert_eq!(ServerAddress::of_server(&Env::of(&[])), Ok(on(8055)));
        assert_eq!(
            ServerAddress::of_server(&Env::of(&[("HOST", "::"), ("PORT", "80")])),
            Ok(ServerAddress::Tcp("::1".to_owned(), 80))
        );
        let socket = Env::of(&[("UNIX_SOCKET_PATH", "/tmp/s"), ("PORT", "80")]);
        assert_eq!(ServerAddress::of_server(&socket), Ok(ServerAddress::Socket("/tmp/s".to_owned())));
        assert!(ServerAddress::of_server(&Env::of(&[("PORT", "x")])).is_err());
    }

    #[test]
    fn port_without_a_listener_is_unhealthy() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("the listener is bound").port();
        drop(listener);
        let complaint = on(port).ping(DEADLINE).expect_err("there is no listener");
        assert!(complaint.contains("refused"), "{complaint}");
    }
}
