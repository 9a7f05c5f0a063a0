//! What shows a server who makes a call: metadata that credentials add to it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::net::SecurityLevel;
use crate::rpc::{Metadata, Status};

/// Adds metadata to calls that show who makes them, such as a token.
///
/// Credentials are set for all calls of a channel by `ChannelCredentials::with_call_credentials`, for one call by
/// [`Request::with_call_credentials`](crate::Request::with_call_credentials); when there are both, both are applied.
///
/// ```
/// use std::pin::Pin;
///
/// use lariat::credentials::{CallCredentials, CallTarget, MetadataFuture};
/// use lariat::{Metadata, Status};
///
/// /// Signs the audience of each call.
/// struct Signature;
///
/// impl CallCredentials for Signature {
///     fn metadata(&self, target: &CallTarget) -> MetadataFuture {
///         let signature = format!("signed({})", target.audience());
///         Box::pin(async move {
///             let mut metadata = Metadata::new();
///             metadata.insert("x-signature", &signature)?;
///             Ok(metadata)
///         })
///     }
/// }
/// ```
pub trait CallCredentials: Send + Sync + 'static {
    /// The metadata for one attempt of a call, which is sent when the future is ready, and not beyond its deadline.
    /// Asked anew for each attempt when it has a connection, so that none goes with a token that expired while the call
    /// waited. Whoever fetches tokens keeps them until they expire.
    ///
    /// # Errors
    ///
    /// The status that the attempt ends with: a retry policy may make another. Those that only servers give
    /// (INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE and DATA_LOSS; gRFC
    /// A54) become INTERNAL.
    fn metadata(&self, target: &CallTarget) -> MetadataFuture;

    /// What a connection has to protect the metadata from. A call ends with UNAUTHENTICATED rather than to go over a
    /// lesser one. Default: privacy and integrity.
    fn required_security(&self) -> SecurityLevel {
        SecurityLevel::PrivacyAndIntegrity
    }
}

/// The future of [`CallCredentials::metadata`].
pub type MetadataFuture = Pin<Box<dyn Future<Output = Result<Metadata, Status>> + Send>>;

/// The call that credentials are for.
#[derive(Clone, Debug)]
pub struct CallTarget {
    pub(crate) audience: String,
    pub(crate) path: String,
}

impl CallTarget {
    /// `https://`, the `:authority` without port 443, and the full name of the service: what tokens are made out to.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// `/package.Service/Method`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// Call credentials of any type.
#[derive(Clone)]
pub(crate) struct SharedCallCredentials(pub(crate) Arc<dyn CallCredentials>);

impl fmt::Debug for SharedCallCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What they hold is secret.
        f.write_str("CallCredentials(..)")
    }
}
