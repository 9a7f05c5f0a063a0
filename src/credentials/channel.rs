//! What secures the connections of a channel.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::CompositeCallCredentials;
#[cfg(feature = "tls")]
use super::tls::{ClientConfigs, ClientTls};
use crate::call::CallCredentials;
use crate::error::CredentialsError;
use crate::net::{Address, Security, SecurityLevel};

/// What secures the connections of a channel. Cheap to clone; channels with clones of the same TLS credentials resume
/// each other's sessions.
#[derive(Clone)]
pub struct ChannelCredentials {
    kind: Kind,
    call: Option<Arc<dyn CallCredentials>>,
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
        ChannelCredentials::new(Kind::Plaintext)
    }

    fn new(kind: Kind) -> Self {
        ChannelCredentials { kind, call: None }
    }

    /// Connections within this machine: to Unix sockets, which nobody else can read
    /// ([`SecurityLevel::PrivacyAndIntegrity`]), and to loopback addresses, of which that cannot be said
    /// ([`SecurityLevel::None`]). Attempts to connect to other addresses fail.
    pub fn local() -> Self {
        ChannelCredentials::new(Kind::Local)
    }

    /// TLS.
    #[cfg(feature = "tls")]
    pub fn tls(tls: ClientTls) -> Self {
        ChannelCredentials::new(Kind::Tls(Arc::new(ClientConfigs::new(tls))))
    }

    /// With call credentials for each call of the channel, after those that are there already. Ones that require more
    /// security than these credentials can give are refused when the channel is built.
    pub fn with_call_credentials(mut self, credentials: impl CallCredentials) -> Self {
        let credentials: Arc<dyn CallCredentials> = Arc::new(credentials);
        self.call = Some(match self.call {
            None => credentials,
            Some(first) => {
                Arc::new(CompositeCallCredentials::new().with_shared(first).with_shared(credentials))
            }
        });
        self
    }

    pub(crate) fn call_credentials(&self) -> Option<Arc<dyn CallCredentials>> {
        self.call.clone()
    }

    /// Finds what is wrong with the credentials before a connection does.
    pub(crate) fn check(&self) -> Result<(), CredentialsError> {
        let required = self.call.as_ref().map_or(SecurityLevel::None, |call| call.required_security());
        if matches!(self.kind, Kind::Plaintext) && required > SecurityLevel::None {
            return Err(CredentialsError::new(
                "the channel's call credentials",
                format!("they require {required}, and the channel is plaintext"),
                "use tls(..), or local credentials on a Unix socket",
            ));
        }
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
