//! What the control plane is configured with.

use crate::client::backoff::BackoffConfig;
use crate::client::balancer::{PickFirstBuilder, Policy, Registry};
use crate::client::resolver::schedule::Schedule;
use crate::client::service_config::ServiceConfig;
use std::sync::Arc;
use std::time::Duration;

/// A service config that asks for more connections of a subchannel gets so many, unless the channel's builder says
/// otherwise (gRFC A105): else it could use up the descriptors of its clients.
pub(crate) const MAX_CONNECTIONS_PER_SUBCHANNEL: u32 = 10;

/// So often a resolver is asked at most, unless the channel's builder says otherwise, while it has answers.
pub(crate) const MIN_RESOLUTION_INTERVAL: Duration = Duration::from_secs(30);

/// What the control plane is configured with.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The target as error texts should name it.
    pub(crate) target: String,
    /// The waits between attempts to connect to one address, and between failed resolutions.
    pub(crate) backoff: BackoffConfig,
    /// The least time an attempt to connect is given, up to the peer's SETTINGS.
    pub(crate) min_connect_timeout: Duration,
    /// After so long without a call the channel lets go of its connections and its resolver. `None`: never.
    pub(crate) idle_timeout: Option<Duration>,
    /// The least time from one successful resolution to the next question.
    pub(crate) min_resolution_interval: Duration,
    /// So long after an answer the resolver is asked again though nothing has happened. `None`: it is not.
    pub(crate) refresh_interval: Option<Duration>,
    /// After so long a resolver that has not answered is taken to have failed.
    pub(crate) resolution_timeout: Duration,
    /// The most connections that a service config may ask for of one subchannel.
    pub(crate) max_connections_per_subchannel: u32,
    /// The load balancing policies that a service config may choose.
    pub(crate) policies: Registry,
    /// The policy where no service config chooses one.
    pub(crate) default_policy: Policy,
    /// The service config where the resolver has none.
    pub(crate) default_service_config: Arc<ServiceConfig>,
    /// The resolver's service config does not count.
    pub(crate) ignore_resolver_config: bool,
    /// Backends' health is watched if the service config says so.
    pub(crate) health_checking: bool,
}

impl Config {
    /// grpc-go's defaults.
    pub(crate) fn new(target: impl Into<String>) -> Self {
        Config {
            target: target.into(),
            backoff: BackoffConfig::default(),
            min_connect_timeout: Duration::from_secs(20),
            idle_timeout: Some(Duration::from_secs(30 * 60)),
            min_resolution_interval: MIN_RESOLUTION_INTERVAL,
            refresh_interval: None,
            resolution_timeout: Duration::from_secs(30),
            max_connections_per_subchannel: MAX_CONNECTIONS_PER_SUBCHANNEL,
            policies: Registry::default(),
            default_policy: Policy::without_config(&(Arc::new(PickFirstBuilder) as _)),
            default_service_config: Arc::default(),
            ignore_resolver_config: false,
            health_checking: true,
        }
    }

    /// The schedule of a resolver that has not been asked yet.
    pub(super) fn schedule(&self) -> Schedule {
        let Config { min_resolution_interval, refresh_interval, resolution_timeout, backoff, .. } = self;
        Schedule::new(*min_resolution_interval, *refresh_interval, *resolution_timeout, *backoff)
    }
}
