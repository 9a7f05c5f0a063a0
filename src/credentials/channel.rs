//! What secures the connections of a channel.

use std::fmt;
use std::io;

#[cfg(feature = "tls")]
use super::tls::{ClientConfigs, ClientTls};
use crate::error::CredentialsError;
use crate::net::{Address, Security, SecurityLevel};
#[cfg(feature = "tls")]
use std::sync::Arc;

/// What secures the connections of a channel. Cheap to clone; channels with clones of the same TLS credentials resume
/// each other's sessions.
#[derive(Clone)]
pub struct ChannelCredentials {
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Plaintext,
    Local,
    #[cfg(feature = "tls")]
    Tls(Arc<ClientConfigs>),
}

impl ChannelCredentials {
    /// No security at all (HTTP/2 with prior knowledge).
    pub fn plaintext() -> Self {
        ChannelCredentials { kind: Kind::Plaintext }
    }

    /// Connections within this machine: to Unix sockets, which nobody else can read
    /// ([`SecurityLevel::PrivacyAndIntegrity`]), and to loopback addresses, of which that cannot be said
    /// ([`SecurityLevel::None`]). Attempts to connect to other addresses fail.
    pub fn local() -> Self {
        ChannelCredentials { kind: Kind::Local }
    }

    /// TLS.
    #[cfg(feature = "tls")]
    pub fn tls(tls: ClientTls) -> Self {
        ChannelCredentials { kind: Kind::Tls(Arc::new(ClientConfigs::new(tls))) }
    }

    /// Finds what is wrong with the credentials before a connection does.
    pub(crate) fn check(&self) -> Result<(), CredentialsError> {
        match &self.kind {
            #[cfg(feature = "tls")]
            Kind::Tls(configs) => configs.current().map(drop),
            _ => Ok(()),
        }
    }

    /// The `:scheme` of requests.
    pub(crate) fn scheme(&self) -> &'static str {
        match &self.kind {
            #[cfg(feature = "tls")]
            Kind::Tls(_) => "https",
            _ => "http",
        }
    }

    /// The name that the server is expected to have, if it is not that of the target. It stands in `:authority`, too.
    pub(crate) fn server_name(&self) -> Option<&str> {
        match &self.kind {
            #[cfg(feature = "tls")]
            Kind::Tls(configs) => configs.server_name(),
            _ => None,
        }
    }

    /// What secures a connection to this address, where calls have this `:authority`.
    pub(crate) fn secure(&self, address: &Address, _authority: &str) -> io::Result<Security> {
        match &self.kind {
            Kind::Plaintext => Ok(Security::None(SecurityLevel::None)),
            Kind::Local => match address {
                Address::Unix(_) | Address::UnixAbstract(_) => {
                    Ok(Security::None(SecurityLevel::PrivacyAndIntegrity))
                }
                Address::Tcp(socket) if socket.ip().to_canonical().is_loopback() => {
                    Ok(Security::None(SecurityLevel::None))
                }
                Address::Tcp(socket) => Err(io::Error::other(format!(
                    "local credentials are for Unix sockets and loopback addresses, and {socket} is neither"
                ))),
            },
            #[cfg(feature = "tls")]
            Kind::Tls(configs) => configs.secure(_authority),
        }
    }
}

impl fmt::Debug for ChannelCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            Kind::Plaintext => "ChannelCredentials(plaintext)",
            Kind::Local => "ChannelCredentials(local)",
            #[cfg(feature = "tls")]
            Kind::Tls(_) => "ChannelCredentials(tls)",
        })
    }
}

#[cfg(feature = "tls")]
impl From<ClientTls> for ChannelCredentials {
    fn from(tls: ClientTls) -> Self {
        ChannelCredentials::tls(tls)
    }
}
