//! The TLS client, as Node would make it. rustls with ring.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::secret::Secret;

/// PEM text and where it came from: a variable or a path.
#[derive(Clone)]
pub struct Pem {
    /// For messages.
    pub source: String,
    /// Not for messages: a key may be in it.
    pub text: String,
}

impl Pem {
    /// Wraps a text.
    pub fn new(source: impl Into<String>, text: String) -> Self {
        Pem { source: source.into(), text }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.text.as_bytes()).collect();
        match certificates {
            Ok(certificates) if certificates.is_empty() => {
                let source = &self.source;
                let way_out = if source.starts_with("DB_SSL__") {
                    format!("give the text from -----BEGIN CERTIFICATE----- on, or its path in {source}_FILE")
                } else {
                    "give the text from -----BEGIN CERTIFICATE----- on".to_owned()
                };
                Err(format!("{source} holds no PEM certificate: {way_out}"))
            }
            Ok(certificates) => Ok(certificates),
            Err(_) => Err(format!("{} is no PEM: give the certificate's text as it was issued", self.source)),
        }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pem").field(&self.source).finish()
    }
}

/// Whose certificates are taken.
#[derive(Debug)]
pub enum Roots {
    /// Anybody's.
    Any,
    /// Those that these signed, and no others.
    Only(Pem),
    /// Those that Node takes.
    Node {
        /// Whether it trusts its built-in ones, which are Mozilla's.
        mozilla: bool,
        /// Further ones.
        more: Vec<Pem>,
    },
}

/// What a client is made from.
#[derive(Debug)]
pub struct TlsOptions {
    /// Whose certificates are taken.
    pub roots: Roots,
    /// The client's own certificate, its key, and where the key came from.
    pub identity: Option<(Pem, Secret, String)>,
    /// What the server's certificate must name, if not the host.
    pub server_name: Option<String>,
    /// Whether the server is told that name.
    pub says_the_name: bool,
}

/// How an encrypted connection begins.
#[derive(Clone)]
pub struct TlsClient {
    connector: MakeRustlsConnect,
    /// What the server's certificate must name, if not the host.
    pub server_name: Option<String>,
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the connector: the client's key is in it.
        f.debug_struct("TlsClient").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl TlsClient {
    /// Reads the certificates.
    ///
    /// # Errors
    /// What is wrong with them, and the way out.
    pub fn new(options: &TlsOptions) -> Result<TlsClient, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match &options.roots {
            Roots::Any => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider))),
            Roots::Only(ca) => {
                let mut roots = RootCertStore::empty();
                for certificate in ca.certificates()? {
                    roots.add(certificate).map_err(|error| format!("{} cannot be used: {error}", ca.source))?;
                }
                builder.with_root_certificates(roots)
            }
            Roots::Node { mozilla, more } => {
                let mut roots = RootCertStore::empty();
                if *mozilla {
                    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
                }
                for pem in more {
                    // A system's bundle may hold some that rustls does not read, and Node passes over them, too.
                    roots.add_parsable_certificates(pem.certificates()?);
                }
                builder.with_root_certificates(roots)
            }
        };
        let mut config = match &options.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key, source)) => {
                let key = PrivateKeyDer::from_pem_slice(key.reveal().as_bytes()).map_err(|_| {
                    format!("{source} holds no PEM private key that can be read: give one without a passphrase")
                })?;
                builder
                    .with_client_auth_cert(certificate.certificates()?, key)
                    .map_err(|error| format!("{} and {source} cannot be used together: {error}", certificate.source))?
            }
        };
        config.enable_sni = options.says_the_name;
        Ok(TlsClient { connector: MakeRustlsConnect::new(config), server_name: options.server_name.clone() })
    }

    /// One for connections that are never encrypted.
    pub(super) fn unused() -> TlsClient {
        let options = TlsOptions { roots: Roots::Any, identity: None, server_name: None, says_the_name: false };
        TlsClient::new(&options).expect("no certificate is read that could be wrong")
    }

    /// What the driver wants.
    pub(super) fn connector(&self) -> MakeRustlsConnect {
        self.connector.clone()
    }
}

/// What a handshake failed of, and what to do: words for an operator.
pub(super) fn explain(error: &rustls::Error) -> (String, &'static str) {
    let rejected = |reason: String| format!("its certificate {reason}");
    match error {
        rustls::Error::InvalidCertificate(reason) => match reason {
            CertificateError::UnknownIssuer => (
                rejected("is signed by nobody who is trusted here".to_owned()),
                "give its authority's certificate in DB_SSL__CA (in a connection string: sslrootcert)",
            ),
            // Its authority has the name of one that is trusted, and another key.
            CertificateError::BadSignature => (
                rejected("is signed by an authority that has the name of a trusted one, but is another".to_owned()),
                "give the authority's present certificate in DB_SSL__CA (in a connection string: sslrootcert)",
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                (rejected("has expired".to_owned()), "have it renewed, and look at this machine's clock")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                (rejected("is not valid yet".to_owned()), "look at the clocks of both machines")
            }
            CertificateError::NotValidForNameContext { expected, presented } if presented.is_empty() => (
                rejected(format!("names no host, {} was expected", expected.to_str())),
                "have it issued anew with subjectAltName=DNS:<host>, a common name is not enough",
            ),
            CertificateError::NotValidForNameContext { expected, presented } => (
                rejected(format!("is for {}, not for {}", bare(presented).join(", "), expected.to_str())),
                "connect by a name that it has, or have it issued anew with subjectAltName=DNS:<host>",
            ),
            // The only way to tell this one: the reason is a private type of the verifier's.
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => (
                rejected("is an authority's own (CA:TRUE)".to_owned()),
                "have a server certificate signed by it (basicConstraints=CA:FALSE), and keep it in DB_SSL__CA",
            ),
            other => (rejected(format!("cannot be used: {other}")), "have it issued anew"),
        },
        rustls::Error::AlertReceived(alert) => explain_alert(*alert),
        other => (format!("TLS failed: {other}"), "correct the server's TLS settings or DB_SSL"),
    }
}

/// The names of a certificate, which come as `DnsName("db")`.
fn bare(names: &[String]) -> Vec<&str> {
    names.iter().map(|name| name.split('"').nth(1).unwrap_or(name)).collect()
}

/// The server's own complaint.
fn explain_alert(alert: AlertDescription) -> (String, &'static str) {
    match alert {
        AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure => {
            ("it demands a certificate of the client".to_owned(), "set DB_SSL__CERT and DB_SSL__KEY")
        }
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError => (
            format!("it does not take the client's certificate ({alert:?})"),
            "give one in DB_SSL__CERT that the server's ssl_ca_file has signed",
        ),
        other => (format!("it ended the TLS handshake ({other:?})"), "correct the server's TLS settings or DB_SSL"),
    }
}

/// Takes any certificate, as `DB_SSL__REJECT_UNAUTHORIZED=false` demands; signatures are still checked.
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
