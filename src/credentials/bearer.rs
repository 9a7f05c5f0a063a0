//! A token that is known.

use std::fmt;

use crate::call::{CallCredentials, CallTarget, MetadataFuture};
use crate::rpc::{Metadata, Status};

/// Sends a token that does not change, as `authorization: Bearer <token>` (RFC 6750).
#[derive(Clone)]
pub struct BearerToken {
    result: Result<Metadata, Status>,
}

impl BearerToken {
    /// This token. One with characters that metadata cannot have ends each call with UNAUTHENTICATED.
    pub fn new(token: impl AsRef<str>) -> Self {
        BearerToken { result: authorization(token.as_ref()) }
    }
}

/// The metadata with a token.
pub(super) fn authorization(token: &str) -> Result<Metadata, Status> {
    let mut metadata = Metadata::new();
    match metadata.insert_sensitive("authorization", &format!("Bearer {token}")) {
        Ok(()) => Ok(metadata),
        // The error would show the token.
        Err(_) => Err(Status::unauthenticated("the bearer token has characters that metadata cannot have")),
    }
}

impl CallCredentials for BearerToken {
    fn metadata(&self, _: &CallTarget) -> MetadataFuture {
        Box::pin(std::future::ready(self.result.clone()))
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(..)")
    }
}
