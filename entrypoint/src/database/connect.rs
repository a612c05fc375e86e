//! One attempt at a connection: name, address, encryption, startup.
//!
//! The driver could do all of this. It is done here because Directus does it differently: an address counts once TCP
//! connects to it, SCRAM is never bound to the channel (a proxy may end the encryption), and Node's TLS library accepts
//! servers that rustls does not. For those, Directus' own client makes the connection; see [`tunnel`].

use std::error::Error as _;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Connection, NoTls};

use super::tls::TlsClient;
use super::tunnel::{self, Tunnel};
use crate::config::DatabaseConfig;
use crate::network::{dial, resolve};

/// The first message of a client that asks for encryption.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

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

async fn encrypt(mut stream: TcpStream, tls: &TlsClient, host: &str) -> Result<impl Stream + use<>, ConnectError> {
    stream.write_all(&SSL_REQUEST).await?;
    match stream.read_u8().await? {
        b'S' => Ok(tls.handshake(stream, host).await?),
        // Directus does not fall back to a plain connection either.
        _ => Err(ConnectError::NotEncrypted),
    }
}
