//! The TLS client that `DB_SSL` asks for. rustls with ring; Mozilla's roots unless a CA is given.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::Tls;

/// The connector for an encrypted connection; `None` for a plain one.
///
/// # Errors
/// What is wrong with the given certificates.
pub(super) fn connector(tls: &Tls) -> Result<Option<MakeRustlsConnect>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = match tls {
        Tls::Off => return Ok(None),
        Tls::Unchecked => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider))).with_no_client_auth()
        }
        Tls::Checked => {
            let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        Tls::CheckedAgainst(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem.reveal().as_bytes()) {
                let certificate = certificate.map_err(|error| format!("DB_SSL__CA is no PEM certificate: {error}"))?;
                roots.add(certificate).map_err(|error| format!("DB_SSL__CA cannot be used: {error}"))?;
            }
            if roots.is_empty() {
                return Err("DB_SSL__CA holds no PEM certificate".to_owned());
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    };
    Ok(Some(MakeRustlsConnect::new(config)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn every_mode_but_off_gives_a_connector() {
        assert!(connector(&Tls::Off).expect("nothing can be wrong").is_none());
        assert!(connector(&Tls::Checked).expect("the roots are built in").is_some());
        assert!(connector(&Tls::Unchecked).expect("no roots are needed").is_some());
    }

    #[test]
    fn a_ca_that_is_no_certificate_is_named() {
        let complaint = connector(&Tls::CheckedAgainst(Secret::new("hello".to_owned()))).err();
        assert_eq!(complaint.as_deref(), Some("DB_SSL__CA holds no PEM certificate"));
    }
}
