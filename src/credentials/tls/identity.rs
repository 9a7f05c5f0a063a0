//! Who this side is: a certificate chain with its private key.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use rustls_pki_types::pem::{PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::CRYPTO;
use super::pem::{Pem, read_file};
use crate::error::CredentialsError;

/// Who this side is: a certificate chain, its own certificate first, and the private key of that one. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    pub(super) key: Arc<CertifiedKey>,
}

impl Identity {
    /// Reads both from PEM texts. The key may be PKCS#8, PKCS#1 or SEC1, of RSA, ECDSA (P-256, P-384) or Ed25519.
    ///
    /// # Errors
    ///
    /// When one of them is missing or cannot be read, or when they do not belong together.
    pub fn from_pem(chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, CredentialsError> {
        let chain = Pem { origin: "the PEM of the certificate chain".to_owned(), text: chain.as_ref() };
        Identity::from_parts(&chain, &Pem { origin: "the PEM of the key".to_owned(), text: key.as_ref() })
    }

    /// [`from_pem`](Self::from_pem), from files.
    ///
    /// # Errors
    ///
    /// As `from_pem`, and when a file cannot be read.
    pub fn from_pem_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, CredentialsError> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        let (chain_text, key_text) = (read_file(chain)?, read_file(key)?);
        Identity::from_parts(
            &Pem { origin: chain.display().to_string(), text: &chain_text },
            &Pem { origin: key.display().to_string(), text: &key_text },
        )
    }

    /// Both in DER: the certificates, and the key as PKCS#8, PKCS#1 or SEC1.
    ///
    /// # Errors
    ///
    /// As [`from_pem`](Self::from_pem).
    pub fn from_der(
        chain: impl IntoIterator<Item = impl Into<Vec<u8>>>,
        key: impl Into<Vec<u8>>,
    ) -> Result<Self, CredentialsError> {
        let chain = chain.into_iter().map(|der| CertificateDer::from(der.into())).collect();
        let key = PrivateKeyDer::try_from(key.into()).map_err(|why| {
            CredentialsError::new("the DER of the key", why, "give a private key as PKCS#8, PKCS#1 or SEC1")
        })?;
        Identity::new(chain, key, "the DER of the certificate chain", "the DER of the key")
    }

    fn from_parts(chain: &Pem<'_>, key: &Pem<'_>) -> Result<Self, CredentialsError> {
        let certificates = chain.sections(|kind| kind == SectionKind::Certificate, "CERTIFICATE")?;
        let certificates = certificates.into_iter().map(|(_, der)| CertificateDer::from(der)).collect();
        let is_key = |kind| {
            matches!(kind, SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey)
        };
        let (kind, der) = key.sections(is_key, "PRIVATE KEY")?.swap_remove(0);
        let unusable =
            || CredentialsError::new(&key.origin, "its private key cannot be read", "give one as PKCS#8");
        let parsed = PrivateKeyDer::from_pem(kind, der).ok_or_else(unusable)?;
        Identity::new(certificates, parsed, &chain.origin, &key.origin)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        chain_origin: &str,
        key_origin: &str,
    ) -> Result<Self, CredentialsError> {
        if chain.is_empty() {
            let advice = "give this side's certificate and those that lead from it to a root";
            return Err(CredentialsError::new(chain_origin, "it has no certificate", advice));
        }
        let key = CRYPTO.key_provider.load_private_key(key).map_err(|error| {
            let advice = "use a key of RSA (2048 to 8192 bits), ECDSA (P-256, P-384) or Ed25519";
            CredentialsError::new(key_origin, format!("its private key cannot be used: {error}"), advice)
        })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Identity { key: Arc::new(certified) })
            }
            Err(Error::InconsistentKeys(_)) => Err(CredentialsError::new(
                key_origin,
                format!("its key is not that of the first certificate in {chain_origin}"),
                "give the key that the certificate was made for, and this side's certificate first in the chain",
            )),
            Err(error) => Err(CredentialsError::new(
                chain_origin,
                format!("its first certificate cannot be read: {error}"),
                "give an X.509 version 3 certificate",
            )),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} certificates)", self.key.cert.len())
    }
}
