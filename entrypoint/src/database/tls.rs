//! The TLS client, configured like Node's. Uses rustls with ring.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::secret::Secret;

/// PEM text and its source: a variable or a path.
#[derive(Clone)]
pub struct Pem {
    /// The variable or path, for messages.
    pub source: String,
    /// The text. It may contain a key, so it must not appear in messages.
    pub text: String,
}

impl Pem {
    /// Wraps a text that was read from `source`.
    pub fn new(source: impl Into<String>, text: String) -> Self {
        Pem { source: source.into(), text }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.text.as_bytes()).collect();
        match certificates {
            Ok(certificates) if certificates.is_empty() => {
                let source = &self.source;
                let remedy = if source.starts_with("DB_SSL__") {
                    format!("give the text from -----BEGIN CERTIFICATE----- on, or its path in {source}_FILE")
                } else {
                    "give the text from -----BEGIN CERTIFICATE----- on".to_owned()
                };
                Err(format!("{source} does not contain a PEM certificate: {remedy}"))
            }
            Ok(certificates) => Ok(certificates),
            Err(_) => Err(format!("{} is not valid PEM: give the certificate's text as it was issued", self.source)),
        }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pem").field(&self.source).finish()
    }
}

/// The authorities whose server certificates are accepted.
#[derive(Debug)]
pub enum Roots {
    /// Any server certificate is accepted without verification.
    Any,
    /// Only these authorities are trusted.
    Only(Pem),
    /// The authorities that Node trusts.
    Node {
        /// Includes Node's built-in ones, which are Mozilla's.
        mozilla: bool,
        /// Further authorities.
        more: Vec<Pem>,
    },
}

/// The options of a TLS client.
#[derive(Debug)]
pub struct TlsOptions {
    /// The trusted authorities.
    pub roots: Roots,
    /// The client's own certificate, its key, and the key's source.
    pub identity: Option<(Pem, Secret, String)>,
    /// The name that the server's certificate must have, if not the host.
    pub server_name: Option<String>,
    /// The name is sent to the server (SNI).
    pub sends_name: bool,
}

/// The TLS settings of a connection.
#[derive(Clone)]
pub struct TlsClient {
    /// rustls' configuration, or the reason why it cannot be used and Node must connect.
    config: Result<Arc<ClientConfig>, rustls::Error>,
    /// The name that the server's certificate must have, if not the host.
    server_name: Option<String>,
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the configuration, which contains the client's key.
        f.debug_struct("TlsClient").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl TlsClient {
    /// Reads the certificates.
    ///
    /// # Errors
    /// The problem of a certificate or key, with its remedy.
    pub fn new(options: &TlsOptions) -> Result<TlsClient, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match &options.roots {
            Roots::Any => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider))),
            Roots::Only(ca) => {
                let mut roots = RootCertStore::empty();
                // One that rustls cannot read may be one of the server's: then Node connects.
                roots.add_parsable_certificates(ca.certificates()?);
                builder.with_root_certificates(roots)
            }
            Roots::Node { mozilla, more } => {
                let mut roots = RootCertStore::empty();
                if *mozilla {
                    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
                }
                for pem in more {
                    // A system's bundle may contain certificates that rustls cannot read; Node skips them, too.
                    roots.add_parsable_certificates(pem.certificates()?);
                }
                builder.with_root_certificates(roots)
            }
        };
        let config = match &options.identity {
            None => Ok(builder.with_no_client_auth()),
            Some((certificate, key, source)) => {
                let key = PrivateKeyDer::from_pem_slice(key.reveal().as_bytes()).map_err(|_| {
                    format!("{source} does not contain a readable PEM private key: give one without a passphrase")
                })?;
                match builder.with_client_auth_cert(certificate.certificates()?, key) {
                    Ok(config) => Ok(config),
                    Err(error @ rustls::Error::InconsistentKeys(_)) => {
                        return Err(format!("{} and {source} cannot be used together: {error}", certificate.source));
                    }
                    // A key on P-521, for example.
                    Err(error) => Err(error),
                }
            }
        };
        let config = config.map(|mut config| {
            config.enable_sni = options.sends_name;
            Arc::new(config)
        });
        Ok(TlsClient { config, server_name: options.server_name.clone() })
    }

    /// Encrypts a connection, once the server has agreed to it.
    ///
    /// # Errors
    /// A [`rustls::Error`] inside of the I/O error, or the network's.
    pub(super) async fn handshake(&self, stream: TcpStream, host: &str) -> io::Result<TlsStream<TcpStream>> {
        let config = self.config.clone().map_err(io::Error::other)?;
        let name = self.server_name.as_deref().unwrap_or(host).to_owned();
        // A name that no certificate can have, such as one with an underscore at its end; Node may go on.
        let name = ServerName::try_from(name).map_err(|error| {
            io::Error::other(rustls::Error::General(format!("the host cannot be verified: {error}")))
        })?;
        TlsConnector::from(config).connect(name, stream).await
    }
}

/// Returns the reason of a TLS failure and its remedy, as text for the operator.
pub(super) fn explain(error: &rustls::Error) -> (String, &'static str) {
    match error {
        rustls::Error::InvalidCertificate(reason) => {
            let (reason, remedy) = explain_certificate(reason);
            (format!("its certificate {reason}"), remedy)
        }
        rustls::Error::AlertReceived(alert) => explain_alert(*alert),
        other => (format!("TLS failed: {other}"), "correct the server's TLS settings or DB_SSL"),
    }
}

/// Returns the reason why the server's certificate was rejected, and the remedy.
fn explain_certificate(error: &CertificateError) -> (String, &'static str) {
    match error {
        CertificateError::UnknownIssuer => (
            "is not signed by a trusted authority".to_owned(),
            "give its authority's certificate in DB_SSL__CA (in a connection string: sslrootcert)",
        ),
        // Its authority has the name of a trusted one, but a different key.
        CertificateError::BadSignature => (
            "is signed by an authority with the name of a trusted one, but a different key".to_owned(),
            "give the authority's present certificate in DB_SSL__CA (in a connection string: sslrootcert)",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            ("has expired".to_owned(), "renew it, and check this machine's clock")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ("is not valid yet".to_owned(), "check the clocks of both machines")
        }
        CertificateError::NotValidForNameContext { expected, presented } if presented.is_empty() => (
            format!("does not name a host, {} was expected", expected.to_str()),
            "reissue it with subjectAltName=DNS:<host>, a common name is not enough",
        ),
        CertificateError::NotValidForNameContext { expected, presented } => (
            format!("is for {}, not for {}", bare(presented).join(", "), expected.to_str()),
            "connect to one of its names, or reissue it with subjectAltName=DNS:<host>",
        ),
        // Recognised by its text, because its type is private to the verifier.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => (
            "is an authority's own (CA:TRUE)".to_owned(),
            "sign a server certificate with it (basicConstraints=CA:FALSE), and keep it in DB_SSL__CA",
        ),
        other => (format!("cannot be used: {other}"), "reissue it"),
    }
}

/// Returns the names of a certificate, which come as `DnsName("db")`.
fn bare(names: &[String]) -> Vec<&str> {
    names.iter().map(|name| name.split('"').nth(1).unwrap_or(name)).collect()
}

/// Returns the reason of an alert that the server sent, and the remedy.
fn explain_alert(alert: AlertDescription) -> (String, &'static str) {
    match alert {
        AlertDescription::CertificateRequired => {
            ("it requires a client certificate".to_owned(), "set DB_SSL__CERT and DB_SSL__KEY")
        }
        // With TLS 1.2 a server sends this for a missing certificate of the client, too.
        AlertDescription::HandshakeFailure => (
            "it accepts none of the offered TLS settings, or requires a client certificate".to_owned(),
            "set DB_SSL__CERT and DB_SSL__KEY if it requires one, otherwise enable TLS 1.3 on the server",
        ),
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError => (
            format!("it does not accept the client's certificate ({alert:?})"),
            "give one in DB_SSL__CERT that an authority in the server's ssl_ca_file has signed",
        ),
        other => (format!("it ended the TLS handshake ({other:?})"), "correct the server's TLS settings or DB_SSL"),
    }
}

/// Accepts any certificate, for `DB_SSL__REJECT_UNAUTHORIZED=false`; signatures of the handshake are still verified.
#[derive(Debug)]
struct AnyServer(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
