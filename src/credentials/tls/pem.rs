//! Reading PEM (RFC 7468), with errors that say what was found instead.

use std::path::Path;

use rustls_pki_types::pem::{PemObject, SectionKind};

use crate::error::CredentialsError;

/// A text with PEM sections, and where it comes from.
pub(super) struct Pem<'a> {
    /// As it is named in errors: a path, or what the text was given for.
    pub(super) origin: String,
    pub(super) text: &'a [u8],
}

/// Reads a file whole.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, CredentialsError> {
    std::fs::read(path).map_err(|error| {
        let advice = "give the path of a PEM file that this process may read";
        CredentialsError::new(path.display(), format!("it cannot be read: {error}"), advice)
    })
}

impl Pem<'_> {
    /// The sections of the wanted kind, of which there is at least one; `expected` is what stands behind "BEGIN ".
    pub(super) fn sections(
        &self,
        is_wanted: impl Fn(SectionKind) -> bool,
        expected: &str,
    ) -> Result<Vec<(SectionKind, Vec<u8>)>, CredentialsError> {
        let advice = format!("it should have a section that begins with \"-----BEGIN {expected}-----\"");
        let mut wanted = Vec::new();
        let mut others = Vec::new();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(self.text) {
            match section {
                Ok((kind, der)) if is_wanted(kind) => wanted.push((kind, der)),
                Ok((kind, _)) => others.push(name(kind)),
                Err(error) => {
                    let why = format!("it is not valid PEM: {error}");
                    return Err(CredentialsError::new(&self.origin, why, advice));
                }
            }
        }
        if !wanted.is_empty() {
            return Ok(wanted);
        }
        let why = if contains(self.text, b"-----BEGIN ENCRYPTED PRIVATE KEY-----") {
            let advice = "decrypt it first, as by \"openssl pkcs8 -in key.pem -out decrypted.pem\"";
            return Err(CredentialsError::new(&self.origin, "its private key is encrypted", advice));
        } else if !others.is_empty() {
            others.dedup();
            format!("it has no such section, but {}", others.join(", "))
        } else if self.text.first() == Some(&0x30) {
            "it has no PEM section and looks like DER".to_owned()
        } else if self.text.is_empty() {
            "it is empty".to_owned()
        } else {
            "it has no PEM section".to_owned()
        };
        Err(CredentialsError::new(&self.origin, why, advice))
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn name(kind: SectionKind) -> &'static str {
    match kind {
        SectionKind::Certificate => "CERTIFICATE",
        SectionKind::PublicKey => "PUBLIC KEY",
        SectionKind::RsaPrivateKey => "RSA PRIVATE KEY",
        SectionKind::PrivateKey => "PRIVATE KEY",
        SectionKind::EcPrivateKey => "EC PRIVATE KEY",
        SectionKind::Crl => "X509 CRL",
        SectionKind::Csr => "CERTIFICATE REQUEST",
        _ => "another",
    }
}
