//! TLS as a server configures it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;

use super::configured::{Configured, Parts, unusable};
use super::verifier::{CustomVerifier, Judge};
use super::versions::Versions;
use super::{CRYPTO, Identity, PresentedCertificates, Provider, RevocationLists, RootCertificates};
use crate::error::CredentialsError;
use crate::net::{ALPN, FailureHook, PeerAddress, Security, TlsStream, TlsVersion};

/// How long a handshake may take. It needs two round trips and some arithmetic; the rest is for slow networks.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// TLS as a server configures it: who it is, and which clients it wants to know.
///
/// By default it asks clients for no certificate, allows TLS 1.2 and 1.3, gives out tickets for resumption, and ends
/// handshakes after ten seconds. Clients have to speak HTTP/2 by ALPN.
#[derive(Clone)]
pub struct ServerTls {
    identity: Source,
    clients: Clients,
    revocation: Option<Provider<RevocationLists>>,
    without_resumption: bool,
    versions: Versions,
    handshake_timeout: Duration,
    on_failure: Option<FailureHook>,
}

/// Finds the certificate for the name that a client asks for, if it asks for any.
type Choose = dyn Fn(Option<&str>) -> Option<Identity> + Send + Sync;

#[derive(Clone)]
enum Source {
    Provider(Provider<Identity>),
    ByName(Arc<Choose>),
}

#[derive(Clone)]
enum Clients {
    Unknown,
    Known { roots: Provider<RootCertificates>, required: bool },
    Judged(Judge),
}

impl ServerTls {
    /// A server with this certificate.
    pub fn new(identity: impl Into<Provider<Identity>>) -> Self {
        ServerTls::with(Source::Provider(identity.into()))
    }

    /// A server with a certificate for each name: the function is given the one that the client asks for (SNI), if it
    /// asks for any, at each handshake. `None` ends the handshake. It must be fast.
    pub fn by_server_name(choose: impl Fn(Option<&str>) -> Option<Identity> + Send + Sync + 'static) -> Self {
        ServerTls::with(Source::ByName(Arc::new(choose)))
    }

    fn with(identity: Source) -> Self {
        ServerTls {
            identity,
            clients: Clients::Unknown,
            revocation: None,
            without_resumption: false,
            versions: Versions::default(),
            handshake_timeout: HANDSHAKE_TIMEOUT,
            on_failure: None,
        }
    }

    /// Requires of clients a certificate that one of these authorities issued (mutual TLS).
    pub fn require_client_certificates(mut self, roots: impl Into<Provider<RootCertificates>>) -> Self {
        self.clients = Clients::Known { roots: roots.into(), required: true };
        self
    }

    /// Asks clients for a certificate that one of these authorities issued, and serves those without one as well.
    /// Handlers see by [`TlsInfo::certificates`](super::super::TlsInfo::certificates) whether there is one.
    pub fn accept_client_certificates(mut self, roots: impl Into<Provider<RootCertificates>>) -> Self {
        self.clients = Clients::Known { roots: roots.into(), required: false };
        self
    }

    /// Requires certificates of clients, and asks this function whether to accept them in place of all other rules:
    /// roots, expiry and revocation lists are not looked at. That the client holds the key is still verified.
    pub fn dangerous_client_verifier(
        mut self,
        accept: impl Fn(&PresentedCertificates<'_>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.clients = Clients::Judged(Arc::new(accept));
        self
    }

    /// Refuses clients whose certificates are in these lists.
    pub fn revocation_lists(mut self, lists: impl Into<Provider<RevocationLists>>) -> Self {
        self.revocation = Some(lists.into());
        self
    }

    /// Whether clients may resume sessions, by tickets that hold all there is to know, so that the server remembers
    /// nothing. Default: yes. Tickets are void when the certificates or lists have changed.
    pub fn resumption(mut self, resume: bool) -> Self {
        self.without_resumption = !resume;
        self
    }

    /// The least version of TLS. Default: 1.2.
    pub fn min_version(mut self, version: TlsVersion) -> Self {
        self.versions.min = version;
        self
    }

    /// The greatest version of TLS. Default: 1.3.
    pub fn max_version(mut self, version: TlsVersion) -> Self {
        self.versions.max = version;
        self
    }

    /// Ends handshakes that take longer than this, so that clients that stall hold nothing for long. Default: 10 s.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Calls this for each handshake that failed, with the reason, on the thread of the connection.
    pub fn on_handshake_failure(
        mut self,
        hook: impl Fn(&PeerAddress, &io::Error) + Send + Sync + 'static,
    ) -> Self {
        self.on_failure = Some(Arc::new(hook));
        self
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls")
            .field("revocation_lists", &self.revocation)
            .field("resumption", &!self.without_resumption)
            .field("versions", &self.versions)
            .field("handshake_timeout", &self.handshake_timeout)
            .finish_non_exhaustive()
    }
}

/// What is made of a [`ServerTls`], anew whenever one of its providers brings something new.
pub(in crate::credentials) struct ServerConfigs {
    tls: ServerTls,
    made: Configured<ServerConfig>,
}

impl ServerConfigs {
    pub(in crate::credentials) fn new(tls: ServerTls) -> Self {
        ServerConfigs { tls, made: Configured::new() }
    }

    /// A handshake with a client.
    pub(in crate::credentials) fn secure(&self) -> io::Result<Security> {
        let config = self.current().map_err(io::Error::other)?;
        let stream = TlsStream::server(config, self.tls.handshake_timeout, self.tls.on_failure.clone())?;
        Ok(Security::Tls(Box::new(stream)))
    }

    /// The configuration as of now.
    pub(in crate::credentials) fn current(&self) -> Result<Arc<ServerConfig>, CredentialsError> {
        let parts = Parts {
            identity: match &self.tls.identity {
                Source::Provider(identity) => Some(identity.current()),
                Source::ByName(_) => None,
            },
            roots: match &self.tls.clients {
                Clients::Known { roots, .. } => Some(roots.current()),
                Clients::Unknown | Clients::Judged(_) => None,
            },
            revocation: self.tls.revocation.as_ref().map(Provider::current),
        };
        self.made.current(parts, |parts| self.make(parts))
    }

    fn make(&self, parts: &Parts) -> Result<ServerConfig, CredentialsError> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&CRYPTO))
            .with_protocol_versions(&self.tls.versions.supported()?)
            .map_err(unusable)?;
        let verifier: Arc<dyn ClientCertVerifier> = match (&self.tls.clients, &parts.roots) {
            (Clients::Known { required, .. }, Some(roots)) => {
                let lists = parts.revocation.iter().flat_map(|lists| lists.lists.iter().cloned());
                let builder = WebPkiClientVerifier::builder_with_provider(
                    Arc::clone(&roots.store),
                    Arc::clone(&CRYPTO),
                )
                .with_crls(lists)
                .allow_unknown_revocation_status();
                let builder = if *required { builder } else { builder.allow_unauthenticated() };
                builder.build().map_err(unusable)?
            }
            (Clients::Judged(judge), _) => Arc::new(CustomVerifier { judge: Arc::clone(judge) }),
            _ => WebPkiClientVerifier::no_client_auth(),
        };
        let builder = builder.with_client_cert_verifier(verifier);
        let mut config = match (&self.tls.identity, &parts.identity) {
            (Source::ByName(choose), _) => builder.with_cert_resolver(Arc::new(ByName(Arc::clone(choose)))),
            (_, Some(identity)) => builder.with_cert_resolver(Arc::new(One(Arc::clone(&identity.key)))),
            (_, None) => return Err(unusable("it has no certificate")),
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if self.tls.without_resumption {
            config.send_tls13_tickets = 0;
        } else {
            config.ticketer = Ticketer::new().map_err(unusable)?;
        }
        Ok(config)
    }
}

/// The same certificate for every client.
#[derive(Debug)]
struct One(Arc<CertifiedKey>);

impl ResolvesServerCert for One {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// A certificate by the name that the client asks for.
struct ByName(Arc<Choose>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        (self.0)(hello.server_name()).map(|identity| identity.key)
    }
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByName")
    }
}
