//! [`EndpointPolicy`]: what policies decide that keep a connection to every endpoint.

use std::time::Instant;

use super::{BadResolution, Balancer, Controller, EndpointSharding, PolicyConfig, Reconnect, Shard, Update};
use crate::client::resolver::ResolveError;
use crate::client::subchannel::{SubchannelEvent, SubchannelId};

/// What a policy decides that keeps a connection to every endpoint: where calls go. An [`EndpointBalancer`] does the
/// rest.
pub trait EndpointPolicy: Send + 'static {
    /// Publishes a picker for what the endpoints are like now. Called whenever one of them has another state or picker,
    /// and after each resolution.
    fn publish(&mut self, endpoints: &EndpointSharding, controller: &mut dyn Controller);

    /// Takes the configuration and the endpoints of a resolution, before a picker is published for them.
    fn handle_resolution(&mut self, config: &PolicyConfig, endpoints: &[Shard]) {
        let _ = (config, endpoints);
    }

    /// Is told what the endpoints' subchannels are told, before them; to hear of load, for instance.
    fn handle_subchannel(
        &mut self,
        id: SubchannelId,
        event: &SubchannelEvent,
        controller: &mut dyn Controller,
    ) {
        let _ = (id, event, controller);
    }
}

/// The balancer of an [`EndpointPolicy`]: one `pick_first` for each endpoint, which is connected at once and again
/// whenever its connection ends.
#[derive(Debug)]
pub struct EndpointBalancer<P> {
    endpoints: EndpointSharding,
    pub(super) policy: P,
}

impl<P: EndpointPolicy> EndpointBalancer<P> {
    /// A balancer that sends calls where this policy says.
    pub fn new(policy: P) -> Self {
        EndpointBalancer { endpoints: EndpointSharding::new(Reconnect::Always), policy }
    }

    fn publish(&mut self, controller: &mut dyn Controller) {
        self.policy.publish(&self.endpoints, controller);
    }
}

impl<P: EndpointPolicy> Balancer for EndpointBalancer<P> {
    fn handle_resolution(
        &mut self,
        update: Update,
        controller: &mut dyn Controller,
    ) -> Result<(), BadResolution> {
        let config = update.config.clone();
        let result = self.endpoints.handle_resolution(update, controller);
        self.policy.handle_resolution(&config, self.endpoints.shards());
        self.publish(controller);
        result
    }

    fn handle_resolver_error(&mut self, error: &ResolveError, controller: &mut dyn Controller) {
        self.endpoints.handle_resolver_error(error, controller);
        self.publish(controller);
    }

    fn handle_subchannel(
        &mut self,
        id: SubchannelId,
        event: SubchannelEvent,
        controller: &mut dyn Controller,
    ) {
        self.policy.handle_subchannel(id, &event, controller);
        if self.endpoints.handle_subchannel(id, event, controller) {
            self.publish(controller);
        }
    }

    fn exit_idle(&mut self, controller: &mut dyn Controller) {
        if self.endpoints.exit_idle(controller) {
            self.publish(controller);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.endpoints.poll_timeout()
    }

    fn handle_timeout(&mut self, controller: &mut dyn Controller) {
        if self.endpoints.handle_timeout(controller) {
            self.publish(controller);
        }
    }
}
