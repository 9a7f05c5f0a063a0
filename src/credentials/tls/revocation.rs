//! Certificates that are not valid any more.

use std::fmt;
use std::path::Path;

use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::SectionKind;
use webpki::BorrowedCertRevocationList;

use super::pem::{Pem, read_file};
use crate::error::CredentialsError;

/// Lists of certificates that their authorities have revoked (RFC 5280 §5). A certificate in a list is refused, on any
/// place of a chain; one of an authority that no list is from is accepted (gRFC A69).
#[derive(Clone)]
pub struct RevocationLists {
    pub(super) lists: Vec<CertificateRevocationListDer<'static>>,
}

impl RevocationLists {
    /// All lists in a PEM text.
    ///
    /// # Errors
    ///
    /// When there is none, or one cannot be read.
    pub fn from_pem(text: impl AsRef<[u8]>) -> Result<Self, CredentialsError> {
        let pem = Pem { origin: "the PEM of the revocation lists".to_owned(), text: text.as_ref() };
        RevocationLists::from_sections(&pem)
    }

    /// [`from_pem`](Self::from_pem), from a file.
    ///
    /// # Errors
    ///
    /// As `from_pem`, and when the file cannot be read.
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, CredentialsError> {
        let text = read_file(path.as_ref())?;
        RevocationLists::from_sections(&Pem { origin: path.as_ref().display().to_string(), text: &text })
    }

    /// Lists in DER.
    ///
    /// # Errors
    ///
    /// When one cannot be read.
    pub fn from_der(lists: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Result<Self, CredentialsError> {
        RevocationLists::new(lists.into_iter().map(Into::into), "the DER of the revocation lists")
    }

    fn from_sections(pem: &Pem<'_>) -> Result<Self, CredentialsError> {
        let sections = pem.sections(|kind| kind == SectionKind::Crl, "X509 CRL")?;
        RevocationLists::new(sections.into_iter().map(|(_, der)| der), &pem.origin)
    }

    fn new(lists: impl Iterator<Item = Vec<u8>>, origin: &str) -> Result<Self, CredentialsError> {
        let mut read = Vec::new();
        for (number, der) in (1..).zip(lists) {
            if let Err(error) = BorrowedCertRevocationList::from_der(&der) {
                let why = format!("its list number {number} cannot be read: {error}");
                return Err(CredentialsError::new(origin, why, "give X.509 version 2 revocation lists"));
            }
            read.push(CertificateRevocationListDer::from(der));
        }
        Ok(RevocationLists { lists: read })
    }
}

impl fmt::Debug for RevocationLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RevocationLists({})", self.lists.len())
    }
}
