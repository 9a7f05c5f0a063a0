//! Several call credentials as one.

use std::sync::Arc;

use crate::call::{CallCredentials, CallTarget, MetadataFuture};
use crate::net::SecurityLevel;
use crate::rpc::Metadata;

/// Applies several call credentials to each call, in their order.
#[derive(Clone, Default)]
pub struct CompositeCallCredentials {
    parts: Vec<Arc<dyn CallCredentials>>,
}

impl CompositeCallCredentials {
    /// None yet.
    pub fn new() -> Self {
        CompositeCallCredentials::default()
    }

    /// With these, too.
    pub fn with(self, credentials: impl CallCredentials) -> Self {
        self.with_shared(Arc::new(credentials))
    }

    pub(crate) fn with_shared(mut self, credentials: Arc<dyn CallCredentials>) -> Self {
        self.parts.push(credentials);
        self
    }
}

impl CallCredentials for CompositeCallCredentials {
    fn metadata(&self, target: &CallTarget) -> MetadataFuture {
        let futures: Vec<_> = self.parts.iter().map(|part| part.metadata(target)).collect();
        Box::pin(async move {
            let mut all = Metadata::new();
            for future in futures {
                all.merge(&future.await?);
            }
            Ok(all)
        })
    }

    fn required_security(&self) -> SecurityLevel {
        self.parts.iter().map(|part| part.required_security()).max().unwrap_or(SecurityLevel::None)
    }
}

impl std::fmt::Debug for CompositeCallCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CompositeCallCredentials({})", self.parts.len())
    }
}
