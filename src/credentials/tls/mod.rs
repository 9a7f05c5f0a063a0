//! TLS as it is configured: certificates, where they come from, and what either side makes of them.
//!
//! The cryptography is ring's: of rustls' two providers it is the one that needs neither CMake nor minutes to build.

mod client;
mod configured;
mod identity;
mod pem;
mod provider;
mod revocation;
mod roots;
mod server;
mod verifier;
mod versions;

pub(super) use client::ClientConfigs;
pub use client::ClientTls;
pub use identity::Identity;
pub use provider::Provider;
pub use revocation::RevocationLists;
pub use roots::RootCertificates;
pub(super) use server::ServerConfigs;
pub use server::ServerTls;
pub use verifier::PresentedCertificates;

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, ring};

static CRYPTO: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));
