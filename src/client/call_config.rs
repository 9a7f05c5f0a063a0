//! What a resolution says of each call: the seam for those who configure channels from elsewhere (gRFC A31).
//!
//! This one gives each tenant a backend of its own and guests less time, by the metadata of the call:
//!
//! ```
//! use std::hash::{DefaultHasher, Hash, Hasher};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use lariat::client::call_config::{CallConfig, ConfigSelector};
//! use lariat::client::resolver::{Manual, Resolution};
//! use lariat::client::service_config::MethodConfig;
//! use lariat::{Channel, Metadata, Status};
//!
//! #[derive(Debug)]
//! struct Tenants;
//!
//! impl ConfigSelector for Tenants {
//!     fn select(&self, _path: &str, metadata: &Metadata) -> Result<CallConfig, Status> {
//!         let tenant = metadata.get("tenant").ok_or_else(|| Status::unauthenticated("calls name their tenant"))?;
//!         let mut method = MethodConfig::default();
//!         method.timeout = (tenant == "guest").then_some(Duration::from_millis(200));
//!         let mut hasher = DefaultHasher::new();
//!         tenant.hash(&mut hasher);
//!         let mut config = CallConfig::default();
//!         config.method = Some(Arc::new(method));
//!         config.request_hash = Some(hasher.finish());
//!         Ok(config)
//!     }
//! }
//!
//! let backends = Manual::new("backends");
//! let channel = Channel::builder("backends:///greeter").resolver(backends.clone()).plaintext().build()?;
//! let addresses = (1..=3).map(|n| lariat::Address::Tcp(([127, 0, 0, n], 50051).into()));
//! let mut resolution: Resolution = addresses.collect();
//! resolution.config_selector = Some(Arc::new(Tenants));
//! let ring_hash = r#"{"loadBalancingConfig": [{"ring_hash_experimental": {}}]}"#;
//! backends.update(resolution.with_service_config(ring_hash));
//! # use lariat::{Code, Request, Wait, codec::Raw};
//! # use bytes::Bytes;
//! # let hello = channel.method("/Greeter/SayHello");
//! let status = channel.unary::<Raw, Bytes, Bytes>(&hello, Request::new("nobody's".into())).wait().unwrap_err();
//! assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "calls name their tenant"));
//! # Ok::<(), lariat::Error>(())
//! ```

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
