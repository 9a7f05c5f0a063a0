//! Which versions of TLS are allowed.

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::error::CredentialsError;
use crate::net::TlsVersion;

/// The versions allowed, from the least to the greatest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Versions {
    pub(super) min: TlsVersion,
    pub(super) max: TlsVersion,
}

impl Default for Versions {
    fn default() -> Self {
        Versions { min: TlsVersion::Tls12, max: TlsVersion::Tls13 }
    }
}

impl Versions {
    pub(super) fn supported(self) -> Result<Vec<&'static SupportedProtocolVersion>, CredentialsError> {
        match (self.min, self.max) {
            (TlsVersion::Tls12, TlsVersion::Tls12) => Ok(vec![&TLS12]),
            (TlsVersion::Tls12, TlsVersion::Tls13) => Ok(vec![&TLS13, &TLS12]),
            (TlsVersion::Tls13, TlsVersion::Tls13) => Ok(vec![&TLS13]),
            (min, max) => Err(CredentialsError::new(
                "the TLS versions",
                format!("the least is {min} and the greatest {max}, which leaves none"),
                "set min_version to no more than max_version",
            )),
        }
    }
}
