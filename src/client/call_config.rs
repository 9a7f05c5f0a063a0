//! What a resolution says of each call: the seam for those who configure channels from elsewhere (gRFC A31).

use std::fmt::Debug;
use std::sync::Arc;

use super::attributes::Attributes;
use super::service_config::{MethodConfig, ServiceConfig};
use crate::rpc::{Metadata, Status};

/// Decides for each call what its config is and what the picker is told of it. It comes with a
/// [`Resolution`](super::resolver::Resolution), and takes the place of the service config's `methodConfig`.
///
/// It is asked once for each call, when the call first meets a resolved channel, on whatever thread that is, and must
/// answer at once.
pub trait ConfigSelector: Send + Sync + Debug {
    /// The config of a call of the method with this path, `/package.Service/Method`, with this metadata.
    ///
    /// # Errors
    ///
    /// The status that the call ends with, without being sent.
    fn select(&self, path: &str, metadata: &Metadata) -> Result<CallConfig, Status>;
}

/// What was decided of one call. It is kept as long as the channel may still need a connection for the call, so that a
/// value among the attributes can tell by its drop that it is needed no more.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CallConfig {
    /// What the service config would say of its method.
    pub method: Option<Arc<MethodConfig>>,
    /// For pickers that know the types.
    pub attributes: Attributes,
    /// For pickers that send calls of one hash to one backend, as `ring_hash` does.
    pub request_hash: Option<u64>,
}

/// Where the configs of calls come from.
#[derive(Clone, Debug, Default)]
pub(crate) enum CallConfigs {
    /// There are none.
    #[default]
    None,
    Service(Arc<ServiceConfig>),
    Selector(Arc<dyn ConfigSelector>),
}

impl CallConfigs {
    pub(crate) fn new(config: &Arc<ServiceConfig>, selector: Option<Arc<dyn ConfigSelector>>) -> Self {
        match selector {
            Some(selector) => CallConfigs::Selector(selector),
            None if config.has_method_configs() => CallConfigs::Service(Arc::clone(config)),
            None => CallConfigs::None,
        }
    }
}
