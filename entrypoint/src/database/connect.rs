//! One attempt at a connection: name, address, encryption, startup.
//!
//! The driver could do all of this. It is done here because Directus does it differently: an address counts once TCP
//! connects to it, SCRAM is never bound to the channel (a proxy may end the encryption), and Node's TLS library accepts
//! servers that rustls does not. For those, Directus' own client makes the connection; see [`tunnel`].

use std::error::Error as _;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Connection, NoTls};

use super::tls::TlsClient;
use super::tunnel::{self, Tunnel};
use crate::config::DatabaseConfig;

/// The first message of a client that asks for encryption.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// Time for one of several addresses. The last one has all the time that is left.
const ADDRESS: Duration = Duration::from_secs(1);

/// Bytes to and from a server, encrypted or not. One type, so that the driver's code is in the binary once.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// The driver's connection, for the task that drives it.
pub(super) type Driven = Connection<Box<dyn Stream>, NoTlsStream>;

/// The reason why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name server does not know the host, or does not answer.
    #[error("the host name cannot be resolved: {0}")]
    Name(#[source] io::Error),
    /// The network failed, or the server closed the connection.
    #[error(transparent)]
    Network(io::Error),
    /// The server does not offer encryption.
    #[error("the server does not support encryption")]
    NotEncrypted,
    /// The TLS handshake failed, in rustls and with Node.
    #[error("{0}")]
    Tls(rustls::Error),
    /// The server answered with an error, or not as PostgreSQL does.
    #[error(transparent)]
    Postgres(tokio_postgres::Error),
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        match tls_error(&error) {
            Some(tls) => ConnectError::Tls(tls),
            None => ConnectError::Network(error),
        }
    }
}

impl From<tokio_postgres::Error> for ConnectError {
    fn from(error: tokio_postgres::Error) -> Self {
        // With TLS 1.3 a server refuses the client's certificate after the handshake.
        match error.source().and_then(|source| tls_error(source.downcast_ref()?)) {
            Some(tls) => ConnectError::Tls(tls),
            None => ConnectError::Postgres(error),
        }
    }
}

fn tls_error(error: &io::Error) -> Option<rustls::Error> {
    error.get_ref()?.downcast_ref().cloned()
}

/// A connection that PostgreSQL has accepted.
pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) driven: Driven,
    /// Node's process, if it makes the connection, and the reason.
    pub(super) tunnel: Option<(Tunnel, rustls::Error)>,
}

/// Connects and logs in.
///
/// # Errors
/// See [`ConnectError`]. Does not limit the time it takes; it can be dropped at any moment.
pub(super) async fn connect(config: &DatabaseConfig) -> Result<Connected, ConnectError> {
    let error = match log_in(config, open(config).await).await {
        Ok((client, driven)) => return Ok(Connected { client, driven, tunnel: None }),
        Err(ConnectError::Tls(error)) => error,
        Err(error) => return Err(error),
    };
    match tunnel::open(config).await {
        Some((stream, tunnel)) => {
            let (client, driven) = log_in(config, Ok(Box::new(stream))).await?;
            Ok(Connected { client, driven, tunnel: Some((tunnel, error)) })
        }
        None => Err(ConnectError::Tls(error)),
    }
}

async fn log_in(
    config: &DatabaseConfig,
    stream: Result<Box<dyn Stream>, ConnectError>,
) -> Result<(Client, Driven), ConnectError> {
    Ok(config.driver.connect_raw(stream?, NoTls).await?)
}

async fn open(config: &DatabaseConfig) -> Result<Box<dyn Stream>, ConnectError> {
    let DatabaseConfig { host, port, tls, .. } = config;
    if host.starts_with('/') {
        let stream = UnixStream::connect(format!("{host}/.s.PGSQL.{port}")).await?;
        return Ok(Box::new(stream));
    }
    let stream = dial(&resolve(host, *port).await.map_err(ConnectError::Name)?).await?;
    match tls {
        None => Ok(Box::new(stream)),
        Some(tls) => Ok(Box::new(encrypt(stream, tls, host).await?)),
    }
}

/// The addresses of a host, in the system's order. A name server that does not answer delays nothing but this: the
/// system's look-up cannot be interrupted, so it has a thread of its own that may be left behind.
async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (send, found) = oneshot::channel();
    let host = host.to_owned();
    std::thread::spawn(move || {
        let addresses = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        // The attempt may be over already.
        drop(send.send(addresses));
    });
    found.await.unwrap_or_else(|_| Err(io::Error::other("the look-up ended without an answer")))
}

/// The first address that TCP connects to, as Node chooses it. The first error is reported: the others are often only
/// the lack of IPv6.
async fn dial(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut first = None;
    for (index, address) in addresses.iter().enumerate() {
        let attempt = TcpStream::connect(address);
        let connected = if index + 1 < addresses.len() {
            timeout(ADDRESS, attempt).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        } else {
            attempt.await
        };
        match connected {
            Ok(stream) => {
                keep_alive(&stream)?;
                return Ok(stream);
            }
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or_else(|| io::Error::other("the host name has no address")))
}

/// A cut network is noticed in about five seconds instead of never.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(2)).with_interval(Duration::from_secs(1));
    socket.set_tcp_keepalive(&keepalive.with_retries(3))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(Duration::from_secs(5)))?;
    Ok(())
}

async fn encrypt(mut stream: TcpStream, tls: &TlsClient, host: &str) -> Result<impl Stream + use<>, ConnectError> {
    stream.write_all(&SSL_REQUEST).await?;
    match stream.read_u8().await? {
        b'S' => Ok(tls.handshake(stream, host).await?),
        // Directus does not fall back to a plain connection either.
        _ => Err(ConnectError::NotEncrypted),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_dead_first_address_does_not_hide_a_live_second_one() {
        let live = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let dead = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound");
        let stream = dial(&[dead, live.local_addr().expect("bound")]).await.expect("the second one");
        assert_eq!(stream.peer_addr().ok(), live.local_addr().ok());
    }

    #[tokio::test]
    async fn the_first_address_names_the_reason() {
        let dead = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound");
        let unroutable = "[::ffff:0:0]:1".parse().expect("an address");
        let error = dial(&[dead, unroutable]).await.expect_err("both are dead");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn addresses_need_no_name_server() {
        assert_eq!(resolve("::1", 5432).await.expect("an address"), ["[::1]:5432".parse().expect("an address")]);
        assert!(resolve("no-such-host.invalid", 1).await.is_err());
    }
}
