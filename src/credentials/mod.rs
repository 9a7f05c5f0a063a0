//! Credentials: what secures a connection and shows who is at its ends, and what shows who makes a call.
//!
//! [`ChannelCredentials`] and [`ServerCredentials`] are of one of three kinds: TLS (`ClientTls`, `ServerTls`, with the
//! feature `tls`, which is on by default), local (a Unix socket or a loopback address, which the operating system
//! protects), or none at all (plaintext). The builders' `tls(..)` and `plaintext()` are short for `credentials(..)`
//! with one of them.
//!
//! Certificates and keys are values: an `Identity` is a certificate chain with its key, `RootCertificates` are the
//! authorities that are trusted, `RevocationLists` name the certificates that are not valid any more. Wherever one is
//! asked for, a `Provider` may be given instead, which brings a new value when its files change or its function says
//! so. Connections made from then on use it; those that exist go on.
//!
#![cfg_attr(feature = "tls", doc = "```no_run")]
#![cfg_attr(not(feature = "tls"), doc = "```ignore")]
//! use lariat::credentials::{ClientTls, Identity, Provider, RootCertificates, ServerTls};
//! use lariat::{Channel, Server};
//!
//! // A server whose certificate may be replaced while it runs, and whose clients must have one as well.
//! let server = Server::builder()
//!     .tls(
//!         ServerTls::new(Provider::<Identity>::watch("server.pem", "server.key")?)
//!             .require_client_certificates(RootCertificates::from_pem_file("clients-ca.pem")?),
//!     )
//!     .bind("[::]:443")?;
//!
//! // A client that trusts one authority, and has a certificate of its own.
//! let channel = Channel::builder("dns:///greeter.example")
//!     .tls(
//!         ClientTls::new()
//!             .roots(RootCertificates::from_pem_file("ca.pem")?)
//!             .identity(Identity::from_pem_files("client.pem", "client.key")?),
//!     )
//!     .build()?;
//! # Ok::<(), lariat::Error>(())
//! ```
//!
//! # Who calls
//!
//! [`CallCredentials`] add metadata to calls that show who makes them: [`BearerToken`], [`JwtTokenFile`], or a type of
//! one's own. All calls of a channel have those of its [`ChannelCredentials`], one call may have
//! [further ones](crate::Request::with_call_credentials). They are asked for each attempt of a call, when it has its
//! connection and may take their time; what they say goes over connections alone that are as secure as they require. A
//! call ends with UNAUTHENTICATED otherwise, and a plaintext channel with such credentials is not even built.
//!
#![cfg_attr(feature = "tls", doc = "```")]
#![cfg_attr(not(feature = "tls"), doc = "```ignore")]
//! use lariat::credentials::{BearerToken, ChannelCredentials, ClientTls};
//! use lariat::{Channel, Request};
//!
//! let tls = ChannelCredentials::tls(ClientTls::new());
//! let channel = Channel::builder("dns:///greeter.example")
//!     .credentials(tls.with_call_credentials(BearerToken::new("a-token-of-this-program")))
//!     .build()?;
//! // On behalf of somebody else; the channel's token goes with it, too.
//! let request = Request::new("hello").with_call_credentials(BearerToken::new("a-token-of-a-user"));
//!
//! let error = Channel::builder("dns:///greeter.example")
//!     .credentials(ChannelCredentials::plaintext().with_call_credentials(BearerToken::new("a-token")))
//!     .build()
//!     .unwrap_err();
//! assert!(error.to_string().contains("they require privacy and integrity, and the channel is plaintext"), "{error}");
//! # Ok::<(), lariat::Error>(())
//! ```
//!
//! A server's interceptor or handler reads what came from [`Request::metadata`](crate::Request::metadata), and who is
//! at the other end of the connection from [`Request::peer`](crate::Request::peer).

#[cfg(feature = "client")]
mod bearer;
#[cfg(feature = "client")]
mod channel;
#[cfg(feature = "client")]
mod composite;
#[cfg(feature = "client")]
mod jwt_file;
mod server;
#[cfg(feature = "tls")]
mod tls;

#[cfg(feature = "client")]
pub use bearer::BearerToken;
#[cfg(feature = "client")]
pub use channel::ChannelCredentials;
#[cfg(feature = "client")]
pub use composite::CompositeCallCredentials;
#[cfg(feature = "client")]
pub use jwt_file::JwtTokenFile;
pub use server::ServerCredentials;
#[cfg(feature = "tls")]
pub use tls::{
    ClientTls, Identity, PresentedCertificates, Provider, RevocationLists, RootCertificates, ServerTls,
};

pub use crate::call::{CallCredentials, CallTarget, MetadataFuture};
pub use crate::error::CredentialsError;
pub use crate::net::SecurityLevel;
#[cfg(feature = "tls")]
pub use crate::net::{TlsInfo, TlsVersion};
