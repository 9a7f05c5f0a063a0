//! Load balancing: from the backends a resolver found to connections, and to the picker that spreads calls over them.
//!
//! A balancer is a pure machine like the rest of the control plane. It is told what happened, and acts through the
//! [`Controller`] it is handed with each call: it creates subchannels, connects them, and publishes a picker whenever
//! its answer changes. It keeps nothing of the controller and is never called from within a call.
//!
//! A balancer may have others as its children, each of which it holds as a [`Child`]. All of a tree's balancers share
//! the channel's subchannels: two that create one for the same address get the same one, and both hear of it.
//!
//! # A policy of one's own
//!
//! It is a [`BalancerBuilder`], which the channel's builder takes ([`balancer`](super::ChannelBuilder::balancer)) and a
//! service config chooses by its name. The builder reads its part of the service config, in which errors say what must
//! be there, and makes the balancer. Most leave the keeping of connections to an [`EndpointBalancer`], which has a
//! `pick_first` child for each backend, and make a picker of the children's: they are an [`EndpointPolicy`]. This one
//! sends every third call to the second backend:
//!
//! ```
//! use std::sync::Arc;
//!
//! use lariat::client::balancer::*;
//! use lariat::client::picker::{Pick, PickInfo, Picker, Rotation};
//! use lariat::client::service_config::{ConfigError, Json};
//!
//! struct EveryNth;
//!
//! /// `{"every_nth": {"chooseSecond": 3}}`
//! struct EveryNthConfig {
//!     choose_second: usize,
//! }
//!
//! impl BalancerBuilder for EveryNth {
//!     fn name(&self) -> &str {
//!         "every_nth"
//!     }
//!     fn build(&self) -> Box<dyn Balancer> {
//!         Box::new(EndpointBalancer::new(EveryNthPolicy { choose_second: 1 }))
//!     }
//!     fn parse_config(&self, config: &Json<'_>, _: &Registry) -> Result<PolicyConfig, ConfigError> {
//!         let choose_second = config.required("chooseSecond", "a whole number of at least 1")?;
//!         let choose_second = choose_second.whole(1..=u64::MAX)? as usize;
//!         Ok(PolicyConfig::new(EveryNthConfig { choose_second }))
//!     }
//!     fn default_config(&self) -> PolicyConfig {
//!         PolicyConfig::new(EveryNthConfig { choose_second: 3 })
//!     }
//! }
//!
//! struct EveryNthPolicy {
//!     choose_second: usize,
//! }
//!
//! impl EndpointPolicy for EveryNthPolicy {
//!     /// Whenever something has changed: the backends' state is ours, and the picker is made of theirs.
//!     fn publish(&mut self, backends: &EndpointSharding, controller: &mut dyn Controller) {
//!         let (choose_second, turns) = (self.choose_second, Rotation::new(0));
//!         let picker = EveryNthPicker { pickers: backends.best_pickers(), choose_second, turns };
//!         controller.publish(backends.state(), Arc::new(picker));
//!     }
//!     fn handle_resolution(&mut self, config: &PolicyConfig, _: &[Shard]) {
//!         if let Some(config) = config.get::<EveryNthConfig>() {
//!             self.choose_second = config.choose_second;
//!         }
//!     }
//! }
//!
//! #[derive(Debug)]
//! struct EveryNthPicker {
//!     pickers: Vec<Arc<dyn Picker>>,
//!     choose_second: usize,
//!     turns: Rotation,
//! }
//!
//! impl Picker for EveryNthPicker {
//!     fn pick(&self, info: &PickInfo<'_>) -> Pick {
//!         let second = self.turns.next(self.choose_second) == self.choose_second - 1;
//!         let picker = self.pickers.get(usize::from(second)).or(self.pickers.first());
//!         picker.map_or(Pick::Queue, |picker| picker.pick(info))
//!     }
//! }
//!
//! # use bytes::Bytes;
//! # use lariat::{Channel, Request, Response, Server, Wait, client::ConnectivityState, codec::Raw, server::Handler};
//! # struct Name(&'static str);
//! # impl lariat::server::Service for Name {
//! #     fn name(&self) -> &str { "Name" }
//! #     fn methods(&self) -> Vec<Handler> {
//! #         let name = self.0;
//! #         let say = move |_: Request<Bytes>| async move { Ok(Response::new(Bytes::from(name))) };
//! #         vec![Handler::unary::<Raw, _, _, _, _>("Say", say)]
//! #     }
//! # }
//! # let serve = |name| Server::builder().plaintext().add_service(Name(name)).bind("127.0.0.1:0");
//! let (first, second) = (serve("first")?, serve("second")?);
//! let channel = Channel::builder(format!("ipv4:{},{}", first.local_address(), second.local_address()))
//!     .balancer(EveryNth)
//!     .default_service_config(r#"{"loadBalancingConfig": [{"every_nth": {"chooseSecond": 3}}]}"#)
//!     .plaintext()
//!     .build()?;
//! # let method = channel.method("/Name/Say");
//! # let say = |_| {
//! #     let reply = channel.unary::<Raw, _, Bytes>(&method, Request::new(Bytes::new())).wait();
//! #     reply.expect("a reply").into_message()
//! # };
//! # // Until both are connected, and a round begins.
//! # while (0..3).map(say).collect::<Vec<_>>() != ["first", "first", "second"] { say(0); }
//! let replies: Vec<Bytes> = (0..6).map(say).collect();
//! assert_eq!(replies, ["first", "first", "second", "first", "first", "second"]);
//! # Ok::<(), lariat::Error>(())
//! ```
//!
//! What the service config may not say is refused where the channel is built:
//!
//! ```
//! # use lariat::Channel;
//! let config = r#"{"methodConfig": [{"name": [{}], "timeout": "soon"}]}"#;
//! let error = Channel::builder("localhost:50051").plaintext().default_service_config(config).build().unwrap_err();
//! assert!(error.to_string().contains("methodConfig[0].timeout"), "{error}");
//! ```

mod child;
mod endpoint_policy;
mod endpoint_sharding;
mod graceful_switch;
mod hierarchy;
mod least_request;
mod outlier_detection;
mod pick_first;
mod policy;
mod priority;
mod random_subsetting;
mod ring_hash;
mod round_robin;
#[cfg(test)]
mod testing;
mod weighted_round_robin;
mod weighted_target;

pub use child::Child;
pub use endpoint_policy::{EndpointBalancer, EndpointPolicy};
pub use endpoint_sharding::{EndpointSharding, Reconnect, Shard};
pub use graceful_switch::GracefulSwitch;
pub use hierarchy::Hierarchy;
pub use least_request::{LeastRequest, LeastRequestBuilder, LeastRequestConfig};
pub use outlier_detection::{
    FailurePercentage, OutlierDetection, OutlierDetectionBuilder, OutlierDetectionConfig, SuccessRate,
};
pub use pick_first::{PickFirst, PickFirstBuilder, PickFirstConfig};
pub use policy::{Policy, PolicyConfig, Registry};
pub use priority::{Priority, PriorityBuilder, PriorityChild, PriorityConfig};
pub use random_subsetting::{RandomSubsetting, RandomSubsettingBuilder, RandomSubsettingConfig};
pub use ring_hash::{RingHash, RingHashBuilder, RingHashConfig};
pub use round_robin::{RoundRobin, RoundRobinBuilder};
pub use weighted_round_robin::{WeightedRoundRobin, WeightedRoundRobinBuilder, WeightedRoundRobinConfig};
pub use weighted_target::{WeightedTarget, WeightedTargetBuilder, WeightedTargetConfig};

use super::attributes::Attributes;
use super::connectivity::ConnectivityState;
use super::endpoint::Endpoint;
use super::picker::{Always, Pick, Picker};
use super::resolver::ResolveError;
use super::service_config::{ConfigError, Json};
use super::subchannel::{Health, SubchannelEvent, SubchannelId, SubchannelState};
use crate::net::Address;
use crate::rpc::Status;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Makes the balancers of one policy: a channel needs a new one whenever it leaves idleness.
pub trait BalancerBuilder: Send + Sync {
    /// The name of the policy, as in `pick_first`.
    fn name(&self) -> &str;

    /// A balancer that knows of no backend yet.
    fn build(&self) -> Box<dyn Balancer>;

    /// Reads the policy's part of a service config. The registry is there for policies that have children.
    fn parse_config(&self, config: &Json<'_>, policies: &Registry) -> Result<PolicyConfig, ConfigError> {
        let _ = policies;
        config.fields().map(|_| self.default_config())
    }

    /// The configuration where a service config has none, as with the deprecated `loadBalancingPolicy`.
    fn default_config(&self) -> PolicyConfig {
        PolicyConfig::default()
    }
}

/// What a balancer is to balance over.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Update {
    /// The backends, the preferred one first.
    pub endpoints: Vec<Endpoint>,
    /// What the resolver knows besides.
    pub attributes: Attributes,
    /// What the policy's builder made of the service config.
    pub config: PolicyConfig,
}

impl Update {
    /// These backends for a policy configured like this.
    pub fn new(endpoints: Vec<Endpoint>, attributes: Attributes, config: PolicyConfig) -> Self {
        Update { endpoints, attributes, config }
    }
}

/// A balancing policy at work on one channel.
pub trait Balancer: Send {
    /// These are the backends now, and this the configuration; they replace those of any earlier resolution.
    /// Connections to backends that stay should be kept. With an error the resolver is asked again after a back-off.
    fn handle_resolution(
        &mut self,
        update: Update,
        controller: &mut dyn Controller,
    ) -> Result<(), BadResolution>;

    /// The resolver failed. A balancer that knows backends goes on with them; one that knows none publishes
    /// TRANSIENT_FAILURE with the error.
    fn handle_resolver_error(&mut self, error: &ResolveError, controller: &mut dyn Controller);

    /// There is news of a subchannel of this balancer. What it does itself, by `connect` and `remove`, takes effect at
    /// once and is not reported.
    fn handle_subchannel(
        &mut self,
        id: SubchannelId,
        event: SubchannelEvent,
        controller: &mut dyn Controller,
    );

    /// A call waits, or the user asked for a connection: what is idle should connect. Called at any time and often, so
    /// it publishes only what has changed.
    fn exit_idle(&mut self, controller: &mut dyn Controller);

    /// When [`handle_timeout`](Self::handle_timeout) should be called, if at all. Asked after each other call.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// The time asked for has come.
    fn handle_timeout(&mut self, controller: &mut dyn Controller) {
        let _ = controller;
    }
}

/// What a balancer may do.
pub trait Controller {
    /// The time at which this call happens.
    fn now(&self) -> Instant;

    /// The target of the channel, for error texts.
    fn target(&self) -> &str;

    /// Any 64 bits, for shuffles and the like.
    fn random(&mut self) -> u64;

    /// A subchannel to this address: an existing one if another balancer of the channel has one with the
    /// same attributes, else a new one, which is idle. The attributes are those of the endpoint.
    /// Each creation is undone by one [`remove`](Self::remove).
    fn create_subchannel(&mut self, address: Address, attributes: &Attributes) -> SubchannelId;

    /// The state of a subchannel now.
    fn state(&self, id: SubchannelId) -> SubchannelState;

    /// Starts an attempt to connect. Nothing happens unless the subchannel is idle: one whose attempt failed turns idle
    /// by itself when its back-off has passed.
    fn connect(&mut self, id: SubchannelId);

    /// Gives a subchannel up. When nobody else has it, its attempt is aborted, or its connection closed once the calls
    /// on it are done. Nothing is reported of it any more.
    fn remove(&mut self, id: SubchannelId);

    /// The health of a subchannel's backend, if the service config wants it watched (gRFC A17), and from now on reports
    /// of its changes as long as the subchannel is ready. Without such watching every backend is healthy, and nothing
    /// is reported.
    fn watch_health(&mut self, id: SubchannelId) -> Health;

    /// Asks the backend of a ready subchannel to report its load this often at least, beside its calls (gRFC A51); or,
    /// with `None`, to report it no more. It must be asked again whenever the subchannel turns ready. Backends that
    /// cannot do that report nothing. A subchannel that others have, too, goes on to report as often as it does.
    fn watch_load(&mut self, id: SubchannelId, interval: Option<Duration>);

    /// Makes this the state of the channel, and this the picker that all further calls and all waiting ones ask.
    fn publish(&mut self, state: ConnectivityState, picker: Arc<dyn Picker>);

    /// Asks the resolver for fresh knowledge, as soon as the rules allow.
    fn request_resolution(&mut self);
}

/// A resolution that a balancer cannot work with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadResolution(String);

impl BadResolution {
    /// An error with this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        BadResolution(reason.into())
    }
}

impl fmt::Display for BadResolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadResolution {}

/// Publishes TRANSIENT_FAILURE: calls that don't wait for ready fail with this reason.
fn publish_failure(controller: &mut dyn Controller, why: &str) {
    let picker = failing(controller, why);
    controller.publish(ConnectivityState::TransientFailure, picker);
}

/// A picker that fails calls for this reason.
fn failing(controller: &dyn Controller, why: &str) -> Arc<dyn Picker> {
    let status = Status::unavailable(format!("{}: {why}", controller.target()));
    Arc::new(Always(Pick::Fail(status)))
}

/// A picker that has calls wait.
fn queueing() -> Arc<dyn Picker> {
    Arc::new(Always(Pick::Queue))
}
