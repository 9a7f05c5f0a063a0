//! What secures the connections of a server.

use std::fmt;
use std::io;
#[cfg(feature = "tls")]
use std::sync::Arc;

#[cfg(feature = "tls")]
use super::tls::{ServerConfigs, ServerTls};
use crate::error::CredentialsError;
use crate::net::{PeerAddress, Security, SecurityLevel};

/// What secures the connections of a server. Cheap to clone.
#[derive(Clone)]
pub struct ServerCredentials {
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Plaintext,
    Local,
    #[cfg(feature = "tls")]
    Tls(Arc<ServerConfigs>),
}

impl ServerCredentials {
    /// No security at all (HTTP/2 with prior knowledge).
    pub fn plaintext() -> Self {
        ServerCredentials { kind: Kind::Plaintext }
    }

    /// Connections from within this machine: on Unix sockets, which nobody else can read
    /// ([`SecurityLevel::PrivacyAndIntegrity`]), and from loopback addresses, of which that cannot be said
    /// ([`SecurityLevel::None`]). Others are closed at once.
    pub fn local() -> Self {
        ServerCredentials { kind: Kind::Local }
    }

    /// TLS.
    #[cfg(feature = "tls")]
    pub fn tls(tls: ServerTls) -> Self {
        ServerCredentials { kind: Kind::Tls(Arc::new(ServerConfigs::new(tls))) }
    }

    /// Finds what is wrong with the credentials before a client does.
    pub(crate) fn check(&self) -> Result<(), CredentialsError> {
        match &self.kind {
            #[cfg(feature = "tls")]
            Kind::Tls(configs) => configs.current().map(drop),
            _ => Ok(()),
        }
    }

    /// What secures a connection from this peer.
    pub(crate) fn secure(&self, peer: &PeerAddress) -> io::Result<Security> {
        match (&self.kind, peer) {
            (Kind::Plaintext, _) => Ok(Security::None(SecurityLevel::None)),
            (Kind::Local, PeerAddress::Unix(_)) => Ok(Security::None(SecurityLevel::PrivacyAndIntegrity)),
            (Kind::Local, peer) if peer.is_local() => Ok(Security::None(SecurityLevel::None)),
            (Kind::Local, peer) => Err(io::Error::other(format!("local credentials refuse {peer}"))),
            #[cfg(feature = "tls")]
            (Kind::Tls(configs), _) => configs.secure(),
        }
    }
}

impl fmt::Debug for ServerCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            Kind::Plaintext => "ServerCredentials(plaintext)",
            Kind::Local => "ServerCredentials(local)",
            #[cfg(feature = "tls")]
            Kind::Tls(_) => "ServerCredentials(tls)",
        })
    }
}

#[cfg(feature = "tls")]
impl From<ServerTls> for ServerCredentials {
    fn from(tls: ServerTls) -> Self {
        ServerCredentials::tls(tls)
    }
}
