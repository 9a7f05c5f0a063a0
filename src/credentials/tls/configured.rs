//! A configuration of rustls that follows what its providers bring.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Identity, RevocationLists, RootCertificates};
use crate::error::CredentialsError;

/// What a configuration is made of, as its providers have it now.
pub(super) struct Parts {
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) roots: Option<Arc<RootCertificates>>,
    pub(super) revocation: Option<Arc<RevocationLists>>,
}

/// A configuration, made anew when one of its parts is another.
pub(super) struct Configured<C> {
    made: Mutex<Option<(Parts, Arc<C>)>>,
}

impl<C> Configured<C> {
    pub(super) fn new() -> Self {
        Configured { made: Mutex::new(None) }
    }

    /// The configuration of these parts. Sessions and tickets of an earlier one are not taken over: what they rest on
    /// may be trusted no more.
    pub(super) fn current(
        &self,
        parts: Parts,
        make: impl FnOnce(&Parts) -> Result<C, CredentialsError>,
    ) -> Result<Arc<C>, CredentialsError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            Some((others, config)) if parts.are_same(others) => Ok(Arc::clone(config)),
            _ => {
                let config = Arc::new(make(&parts)?);
                *made = Some((parts, Arc::clone(&config)));
                Ok(config)
            }
        }
    }
}

impl Parts {
    fn are_same(&self, other: &Parts) -> bool {
        is_same(&self.identity, &other.identity)
            && is_same(&self.roots, &other.roots)
            && is_same(&self.revocation, &other.revocation)
    }
}

fn is_same<T>(one: &Option<Arc<T>>, other: &Option<Arc<T>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

/// The error of parts of which no configuration can be made.
pub(super) fn unusable(error: impl Display) -> CredentialsError {
    CredentialsError::new("the TLS configuration", error.to_string(), "change what it names")
}
