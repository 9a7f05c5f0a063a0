//! What a TLS handshake has settled.

use std::fmt;

use rustls::{CommonState, HandshakeKind, ProtocolVersion};
use rustls_pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;

use super::host_of;

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246), with the cipher suites that RFC 9113 §9.2.2 allows.
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// What the handshake of a TLS connection has settled.
#[derive(Clone)]
pub struct TlsInfo {
    version: TlsVersion,
    cipher_suite: &'static str,
    certificates: Vec<CertificateDer<'static>>,
    resumed: bool,
}

impl TlsInfo {
    pub(super) fn new(state: &CommonState) -> Self {
        let suite = state.negotiated_cipher_suite().map(|suite| suite.suite());
        TlsInfo {
            version: match state.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
                _ => TlsVersion::Tls13,
            },
            cipher_suite: suite.and_then(|suite| suite.as_str()).unwrap_or("unknown"),
            certificates: state.peer_certificates().unwrap_or_default().to_vec(),
            resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// The version of TLS.
    pub fn version(&self) -> TlsVersion {
        self.version
    }

    /// The cipher suite by its IANA name, such as `TLS13_AES_128_GCM_SHA256`.
    pub fn cipher_suite(&self) -> &str {
        self.cipher_suite
    }

    /// The application protocol that ALPN has settled: always `h2`, since nothing else carries gRPC.
    pub fn alpn(&self) -> &str {
        "h2"
    }

    /// Whether the handshake took up an earlier session, without certificates being sent again.
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// The peer's certificates in DER, its own first. None if it presented none, which only a client may do.
    pub fn certificates(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.certificates.iter().map(|certificate| certificate.as_ref())
    }

    /// The DNS names that the peer's certificate is for (subject alternative names).
    pub fn dns_names(&self) -> Vec<String> {
        self.names(|certificate| certificate.valid_dns_names().map(str::to_owned).collect())
    }

    /// Whether the peer's certificate is for the host of this `:authority`.
    pub(in crate::net) fn is_for(&self, authority: &str) -> bool {
        let certificate = self.certificates.first().map(EndEntityCert::try_from);
        match (certificate, ServerName::try_from(host_of(authority))) {
            (Some(Ok(certificate)), Ok(name)) => certificate.verify_is_valid_for_subject_name(&name).is_ok(),
            _ => false,
        }
    }

    /// The URIs that the peer's certificate is for (subject alternative names).
    pub fn uris(&self) -> Vec<String> {
        self.names(|certificate| certificate.valid_uri_names().map(str::to_owned).collect())
    }

    /// The peer's SPIFFE ID: the one URI of its certificate, if that begins with `spiffe://`.
    pub fn spiffe_id(&self) -> Option<String> {
        let mut uris = self.uris().into_iter();
        let only = uris.next().filter(|_| uris.next().is_none())?;
        only.starts_with("spiffe://").then_some(only)
    }

    /// The common name of the peer's certificate (RFC 5280 §4.1.2.6), if it has one that can be read. Names that mean
    /// something to this side should be compared with [`dns_names`](Self::dns_names) or [`uris`](Self::uris).
    pub fn common_name(&self) -> Option<String> {
        let certificate = self.certificates.first()?;
        common_name(EndEntityCert::try_from(certificate).ok()?.subject())
    }

    fn names(&self, read: impl FnOnce(&EndEntityCert<'_>) -> Vec<String>) -> Vec<String> {
        let certificate = self.certificates.first();
        let parsed = certificate.and_then(|certificate| EndEntityCert::try_from(certificate).ok());
        parsed.as_ref().map(read).unwrap_or_default()
    }
}

impl fmt::Debug for TlsInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsInfo")
            .field("version", &self.version)
            .field("cipher_suite", &self.cipher_suite)
            .field("certificates", &self.certificates.len())
            .field("resumed", &self.resumed)
            .finish()
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsVersion::Tls12 => "TLS 1.2",
            TlsVersion::Tls13 => "TLS 1.3",
        })
    }
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
/// 2.5.4.3, `id-at-commonName`.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];

/// The common name in a distinguished name: a sequence of sets of pairs of a type and a value (RFC 5280 §4.1.2.4).
/// webpki, which has parsed the certificate, leaves names in DER.
fn common_name(mut name: &[u8]) -> Option<String> {
    while !name.is_empty() {
        let (mut set, rest) = element(name, &[SET])?;
        name = rest;
        while !set.is_empty() {
            let (pair, rest) = element(set, &[SEQUENCE])?;
            set = rest;
            let (kind, value) = element(pair, &[OBJECT_IDENTIFIER])?;
            if kind == COMMON_NAME {
                let (text, _) = element(value, &[UTF8_STRING, PRINTABLE_STRING, IA5_STRING])?;
                return String::from_utf8(text.to_vec()).ok();
            }
        }
    }
    None
}

/// Splits the content of the first element from what follows it, if its tag is one of these.
fn element<'a>(der: &'a [u8], tags: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (&[tag, first], rest) = der.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), &rest[2..]),
        _ => return None,
    };
    (tags.contains(&tag)).then(|| rest.split_at_checked(length)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, content.len() as u8], content].concat()
    }

    fn attribute(kind: &[u8], tag: u8, text: &str) -> Vec<u8> {
        let pair = [tagged(OBJECT_IDENTIFIER, kind), tagged(tag, text.as_bytes())].concat();
        tagged(SET, &tagged(SEQUENCE, &pair))
    }

    #[test]
    fn the_common_name_is_found_among_other_attributes() {
        let country = attribute(&[0x55, 4, 6], PRINTABLE_STRING, "AT");
        let name = [country.clone(), attribute(&COMMON_NAME, UTF8_STRING, "Ada \u{263a}")].concat();
        assert_eq!(common_name(&name).as_deref(), Some("Ada \u{263a}"));
        assert_eq!(common_name(&country), None);
        assert_eq!(common_name(&[]), None);
    }

    #[test]
    fn a_name_cut_off_anywhere_has_no_common_name() {
        let name = attribute(&COMMON_NAME, PRINTABLE_STRING, "x".repeat(40).as_str());
        for length in 0..name.len() {
            assert_eq!(common_name(&name[..length]), None, "{length}");
        }
    }
}
