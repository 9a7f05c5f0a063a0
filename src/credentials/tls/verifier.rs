//! Verifiers of one's own in place of the rules for certificates.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::CRYPTO;

/// The certificates that a peer presents, for a verifier of one's own.
#[derive(Debug)]
pub struct PresentedCertificates<'a> {
    end_entity: &'a CertificateDer<'a>,
    intermediates: &'a [CertificateDer<'a>],
    server_name: Option<String>,
}

impl PresentedCertificates<'_> {
    /// The certificates in DER, the peer's own first.
    pub fn chain(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.end_entity).chain(self.intermediates).map(|der| der.as_ref())
    }

    /// On a client: the name that the server should have.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }
}

pub(super) type Judge = Arc<dyn Fn(&PresentedCertificates<'_>) -> Result<(), String> + Send + Sync>;

/// Asks a function of the user's whether a certificate is good. That the peer holds its key is verified as ever.
pub(super) struct CustomVerifier {
    pub(super) judge: Judge,
}

impl CustomVerifier {
    fn ask(&self, presented: &PresentedCertificates<'_>) -> Result<(), Error> {
        (self.judge)(presented)
            .map_err(|why| Error::General(format!("the custom verifier refused it: {why}")))
    }
}

impl ServerCertVerifier for CustomVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let server_name = Some(server_name.to_str().into_owned());
        self.ask(&PresentedCertificates { end_entity, intermediates, server_name })?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &CRYPTO.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &CRYPTO.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        CRYPTO.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for CustomVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.ask(&PresentedCertificates { end_entity, intermediates, server_name: None })?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ServerCertVerifier::supported_verify_schemes(self)
    }
}

impl fmt::Debug for CustomVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomVerifier")
    }
}
