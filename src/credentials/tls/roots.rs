//! The authorities that are trusted.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::SectionKind;

use super::pem::{Pem, read_file};
use crate::error::CredentialsError;

/// The authorities that are trusted to issue certificates. Cheap to clone.
#[derive(Clone)]
pub struct RootCertificates {
    pub(super) store: Arc<RootCertStore>,
}

impl RootCertificates {
    /// Those that the operating system trusts, or that the environment variables `SSL_CERT_FILE` and `SSL_CERT_DIR`
    /// name. Read once in a process.
    ///
    /// # Errors
    ///
    /// When there are none that can be read.
    pub fn system() -> Result<Self, CredentialsError> {
        static SYSTEM: OnceLock<Result<RootCertificates, CredentialsError>> = OnceLock::new();
        SYSTEM.get_or_init(RootCertificates::load_system).clone()
    }

    /// All certificates in a PEM text.
    ///
    /// # Errors
    ///
    /// When there is none, or one cannot be read.
    pub fn from_pem(text: impl AsRef<[u8]>) -> Result<Self, CredentialsError> {
        let pem = Pem { origin: "the PEM of the root certificates".to_owned(), text: text.as_ref() };
        RootCertificates::from_sections(&pem)
    }

    /// [`from_pem`](Self::from_pem), from a file.
    ///
    /// # Errors
    ///
    /// As `from_pem`, and when the file cannot be read.
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, CredentialsError> {
        let text = read_file(path.as_ref())?;
        RootCertificates::from_sections(&Pem { origin: path.as_ref().display().to_string(), text: &text })
    }

    /// Certificates in DER.
    ///
    /// # Errors
    ///
    /// When there is none, or one cannot be read.
    pub fn from_der(
        certificates: impl IntoIterator<Item = impl Into<Vec<u8>>>,
    ) -> Result<Self, CredentialsError> {
        RootCertificates::new(certificates.into_iter().map(Into::into), "the DER of the root certificates")
    }

    fn from_sections(pem: &Pem<'_>) -> Result<Self, CredentialsError> {
        let sections = pem.sections(|kind| kind == SectionKind::Certificate, "CERTIFICATE")?;
        RootCertificates::new(sections.into_iter().map(|(_, der)| der), &pem.origin)
    }

    fn new(certificates: impl Iterator<Item = Vec<u8>>, origin: &str) -> Result<Self, CredentialsError> {
        let mut store = RootCertStore::empty();
        for (number, der) in (1..).zip(certificates) {
            store.add(CertificateDer::from(der)).map_err(|error| {
                let why = format!("its certificate number {number} cannot be read: {error}");
                CredentialsError::new(origin, why, "give X.509 version 3 certificates of authorities")
            })?;
        }
        if store.is_empty() {
            return Err(CredentialsError::new(origin, "it has no certificate", "give at least one"));
        }
        Ok(RootCertificates { store: Arc::new(store) })
    }

    fn load_system() -> Result<Self, CredentialsError> {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        // Those that cannot be read are of no use to anybody; operating systems carry a few.
        store.add_parsable_certificates(found.certs);
        if store.is_empty() {
            let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
            let why = match errors.is_empty() {
                true => "none were found".to_owned(),
                false => format!("none could be read: {}", errors.join(", ")),
            };
            let advice = "install the system's CA certificates, set SSL_CERT_FILE, or give roots of your own by \
                          ClientTls::roots";
            return Err(CredentialsError::new("the system's root certificates", why, advice));
        }
        Ok(RootCertificates { store: Arc::new(store) })
    }
}

impl fmt::Debug for RootCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootCertificates({})", self.store.len())
    }
}
