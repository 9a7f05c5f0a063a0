//! Who is at the other end of a connection, and how sure of that one may be.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

#[cfg(feature = "tls")]
use super::tls::TlsInfo;

/// Who is at the other end of a connection: its address, and what the transport has authenticated. Cheap to clone; all
/// calls of a connection share it.
#[derive(Clone)]
pub struct Peer {
    facts: Arc<Facts>,
}

struct Facts {
    address: PeerAddress,
    /// The address of this end, where the system says it.
    local: Option<PeerAddress>,
    level: SecurityLevel,
    #[cfg(feature = "tls")]
    tls: Option<Box<TlsInfo>>,
}

/// The address of a [`Peer`], or of this end of the connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerAddress {
    /// The peer's IP address and port.
    Tcp(SocketAddr),
    /// A Unix socket, with the path the peer bound its own end to, which clients rarely do.
    Unix(Option<PathBuf>),
}

/// What a connection protects its octets from; a greater level includes the lesser ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SecurityLevel {
    /// Nothing: whoever is on the way can read and change them.
    None,
    /// Changes are noticed.
    Integrity,
    /// Changes are noticed, and nobody can read along.
    PrivacyAndIntegrity,
}

impl Peer {
    pub(super) fn new(address: PeerAddress, local: Option<PeerAddress>, level: SecurityLevel) -> Self {
        let facts = Facts {
            address,
            local,
            level,
            #[cfg(feature = "tls")]
            tls: None,
        };
        Peer { facts: Arc::new(facts) }
    }

    #[cfg(feature = "tls")]
    pub(super) fn secured(address: PeerAddress, local: Option<PeerAddress>, tls: TlsInfo) -> Self {
        let level = SecurityLevel::PrivacyAndIntegrity;
        Peer { facts: Arc::new(Facts { address, local, level, tls: Some(Box::new(tls)) }) }
    }

    /// Where the peer is.
    pub fn address(&self) -> &PeerAddress {
        &self.facts.address
    }

    /// Where this end of the connection is; of a server that listens at all addresses it is the one that was called.
    /// `None` if the system did not say.
    pub fn local_address(&self) -> Option<&PeerAddress> {
        self.facts.local.as_ref()
    }

    /// What the connection protects its octets from.
    pub fn security_level(&self) -> SecurityLevel {
        self.facts.level
    }

    /// Whether the peer may be called by this `:authority` (gRFC A81), or why not. Where nothing is authenticated, by
    /// any.
    pub(crate) fn vouch_for(&self, authority: &str) -> Result<(), String> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.facts.tls {
            return match tls.is_for(authority) {
                true => Ok(()),
                false => Err(format!(
                    "the certificate of the server {self} is not for the authority of the call, {authority}"
                )),
            };
        }
        let _ = authority;
        Ok(())
    }

    /// What the TLS handshake has settled, the peer's certificate among it; `None` without TLS.
    #[cfg(feature = "tls")]
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.facts.tls.as_deref()
    }
}

impl PeerAddress {
    /// Whether the peer is on this machine: at a Unix socket, or at a loopback address.
    pub fn is_local(&self) -> bool {
        match self {
            PeerAddress::Tcp(address) => address.ip().to_canonical().is_loopback(),
            PeerAddress::Unix(_) => true,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.facts.address.fmt(f)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Peer");
        debug.field("address", &self.facts.address).field("local_address", &self.facts.local);
        debug.field("security_level", &self.facts.level);
        #[cfg(feature = "tls")]
        debug.field("tls", &self.facts.tls);
        debug.finish()
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerAddress::Tcp(address) => address.fmt(f),
            PeerAddress::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            PeerAddress::Unix(None) => f.write_str("unix:"),
        }
    }
}

impl fmt::Display for SecurityLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SecurityLevel::None => "no security",
            SecurityLevel::Integrity => "integrity only",
            SecurityLevel::PrivacyAndIntegrity => "privacy and integrity",
        })
    }
}
