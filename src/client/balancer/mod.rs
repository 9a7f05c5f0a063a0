//! Load balancing: from the backends a resolver found to connections, and to the picker that spreads calls over them.
//!
//! A balancer is a pure machine like the rest of the control plane. It is told what happened, and acts through the
//! [`Controller`] it is handed with each call: it creates subchannels, connects them, and publishes a picker whenever
//! its answer changes. It keeps nothing of the controller and is never called from within a call.

mod pick_first;
mod policy;

pub use pick_first::{PickFirst, PickFirstBuilder, PickFirstConfig};
pub use policy::{Policy, PolicyConfig, Registry};

use super::connectivity::ConnectivityState;
use super::picker::Picker;
use super::resolver::{Resolution, ResolveError};
use super::service_config::{ConfigError, Json};
use super::subchannel::{SubchannelId, SubchannelState};
use crate::net::Address;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

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

/// A balancing policy at work on one channel.
pub trait Balancer: Send {
    /// These are the backends now; they replace those of any earlier resolution. Connections to backends that stay
    /// should be kept. With an error the resolver is asked again after a back-off.
    fn handle_resolution(
        &mut self,
        resolution: Resolution,
        controller: &mut dyn Controller,
    ) -> Result<(), BadResolution>;

    /// The resolver failed. A balancer that knows backends goes on with them; one that knows none publishes
    /// TRANSIENT_FAILURE with the error.
    fn handle_resolver_error(&mut self, error: &ResolveError, controller: &mut dyn Controller);

    /// A subchannel of this balancer changed its state, other than by the balancer's own doing: `connect` and `remove`
    /// take effect at once and are not reported.
    fn handle_subchannel(
        &mut self,
        id: SubchannelId,
        state: SubchannelState,
        controller: &mut dyn Controller,
    );

    /// A call waits, or the user asked for a connection, while the balancer's state is IDLE: it should connect.
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

    /// A new subchannel, idle, to this address.
    fn create_subchannel(&mut self, address: Address) -> SubchannelId;

    /// Starts an attempt to connect. Nothing happens unless the subchannel is idle: one whose attempt failed turns idle
    /// by itself when its back-off has passed.
    fn connect(&mut self, id: SubchannelId);

    /// Gives a subchannel up. Its attempt is aborted, or its connection closed once the calls on it are done. Nothing
    /// is reported of it any more.
    fn remove(&mut self, id: SubchannelId);

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
