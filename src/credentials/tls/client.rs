//! TLS as a client configures it.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::SignatureScheme;
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::sign::CertifiedKey;
use rustls_pki_types::ServerName;

use super::configured::{Configured, Parts, unusable};
use super::verifier::{CustomVerifier, Judge};
use super::versions::Versions;
use super::{CRYPTO, Identity, PresentedCertificates, Provider, RevocationLists, RootCertificates};
use crate::error::CredentialsError;
use crate::net::{ALPN, Security, TlsStream, TlsVersion, host_of};

/// Sessions remembered for resumption; a channel has few servers.
const SESSIONS: usize = 256;

/// TLS as a client configures it: whom it trusts, and who it is.
///
/// By default it trusts whom the operating system trusts, expects the server to have the name in the target (or in the
/// channel's `authority`), presents no certificate, allows TLS 1.2 and 1.3, and resumes sessions. The server has to
/// speak HTTP/2 by ALPN.
#[derive(Clone, Default)]
pub struct ClientTls {
    roots: Option<Provider<RootCertificates>>,
    identity: Option<Provider<Identity>>,
    revocation: Option<Provider<RevocationLists>>,
    server_name: Option<String>,
    without_resumption: bool,
    versions: Versions,
    judge: Option<Judge>,
}

impl ClientTls {
    /// The defaults.
    pub fn new() -> Self {
        ClientTls::default()
    }

    /// Trusts these authorities, and not those of the operating system.
    pub fn roots(mut self, roots: impl Into<Provider<RootCertificates>>) -> Self {
        self.roots = Some(roots.into());
        self
    }

    /// Presents this certificate to servers that ask for one (mutual TLS).
    pub fn identity(mut self, identity: impl Into<Provider<Identity>>) -> Self {
        self.identity = Some(identity.into());
        self
    }

    /// Refuses servers whose certificates are in these lists.
    pub fn revocation_lists(mut self, lists: impl Into<Provider<RevocationLists>>) -> Self {
        self.revocation = Some(lists.into());
        self
    }

    /// Expects this name of the server rather than that of the target, and says it to the server (SNI). It becomes the
    /// `:authority` of calls, too, unless the channel sets that.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Whether later connections take up the session of an earlier one, which saves the exchange of certificates.
    /// Default: yes.
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

    /// Asks this function whether to accept a server's certificates, in place of all other rules: roots, names,
    /// expiry and revocation lists are not looked at. That the server holds the key of the certificate is still
    /// verified. A function that accepts everything leaves the connection open to anybody on its way.
    pub fn dangerous_verifier(
        mut self,
        accept: impl Fn(&PresentedCertificates<'_>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.judge = Some(Arc::new(accept));
        self
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls")
            .field("roots", &self.roots)
            .field("identity", &self.identity)
            .field("revocation_lists", &self.revocation)
            .field("server_name", &self.server_name)
            .field("resumption", &!self.without_resumption)
            .field("versions", &self.versions)
            .field("dangerous_verifier", &self.judge.is_some())
            .finish()
    }
}

/// What is made of a [`ClientTls`], anew whenever one of its providers brings something new.
pub(in crate::credentials) struct ClientConfigs {
    tls: ClientTls,
    made: Configured<ClientConfig>,
}

impl ClientConfigs {
    pub(in crate::credentials) fn new(tls: ClientTls) -> Self {
        ClientConfigs { tls, made: Configured::new() }
    }

    pub(in crate::credentials) fn server_name(&self) -> Option<&str> {
        self.tls.server_name.as_deref()
    }

    /// A handshake with the server that has this `:authority`.
    pub(in crate::credentials) fn secure(&self, authority: &str) -> io::Result<Security> {
        let host = host_of(self.server_name().unwrap_or(authority));
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            io::Error::other(format!(
                "\"{host}\" is no name that a TLS certificate can be for; set one by ClientTls::server_name"
            ))
        })?;
        let config = self.current().map_err(io::Error::other)?;
        Ok(Security::Tls(Box::new(TlsStream::client(config, name)?)))
    }

    /// The configuration as of now.
    pub(in crate::credentials) fn current(&self) -> Result<Arc<ClientConfig>, CredentialsError> {
        let ClientTls { roots, identity, revocation, .. } = &self.tls;
        let parts = Parts {
            roots: roots.as_ref().map(Provider::current),
            identity: identity.as_ref().map(Provider::current),
            revocation: revocation.as_ref().map(Provider::current),
        };
        self.made.current(parts, |parts| self.make(parts))
    }

    fn make(&self, parts: &Parts) -> Result<ClientConfig, CredentialsError> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&CRYPTO))
            .with_protocol_versions(&self.tls.versions.supported()?)
            .map_err(unusable)?;
        let builder = match &self.tls.judge {
            Some(judge) => {
                let verifier = CustomVerifier { judge: Arc::clone(judge) };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
            None => {
                let roots = match &parts.roots {
                    Some(roots) => Arc::clone(&roots.store),
                    None => RootCertificates::system()?.store,
                };
                let lists = parts.revocation.iter().flat_map(|lists| lists.lists.iter().cloned());
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&CRYPTO))
                    .with_crls(lists)
                    .allow_unknown_revocation_status()
                    .build()
                    .map_err(unusable)?;
                builder.with_webpki_verifier(verifier)
            }
        };
        let mut config = match &parts.identity {
            Some(identity) => {
                builder.with_client_cert_resolver(Arc::new(OneIdentity(Arc::clone(&identity.key))))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = match self.tls.without_resumption {
            true => Resumption::disabled(),
            false => Resumption::in_memory_sessions(SESSIONS),
        };
        Ok(config)
    }
}

/// Presents one certificate to whatever server asks for one.
#[derive(Debug)]
struct OneIdentity(Arc<CertifiedKey>);

impl ResolvesClientCert for OneIdentity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cipher_suites_with_ephemeral_keys_and_authenticated_encryption_are_offered() {
        // What RFC 9113 §9.2.2 allows of TLS 1.2: its appendix A prohibits all others.
        for suite in &CRYPTO.cipher_suites {
            let name = format!("{:?}", suite.suite());
            let is_aead = name.contains("_GCM_") || name.contains("_CHACHA20_POLY1305_");
            let is_ephemeral = name.starts_with("TLS13_") || name.starts_with("TLS_ECDHE_");
            assert!(is_aead && is_ephemeral, "{name}");
        }
    }

    #[test]
    fn versions_that_leave_none_are_refused() {
        let tls = ClientTls::new().min_version(TlsVersion::Tls13).max_version(TlsVersion::Tls12);
        let error = ClientConfigs::new(tls).current().unwrap_err().to_string();
        assert!(error.contains("the least is TLS 1.3 and the greatest TLS 1.2"), "{error}");
    }
}
