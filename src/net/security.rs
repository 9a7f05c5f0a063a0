//! What secures a connection, decided before its first octet.

use super::peer::SecurityLevel;
use super::tls::TlsStream;

/// How a connection is secured.
pub(crate) enum Security {
    /// Octets go as they are. The level says what the way itself protects from: a Unix socket has no eavesdroppers.
    None(SecurityLevel),
    /// A TLS handshake comes first.
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "nobody can make one"))]
    Tls(Box<TlsStream>),
}
