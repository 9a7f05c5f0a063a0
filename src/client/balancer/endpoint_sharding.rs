//! [`EndpointSharding`]: one `pick_first` for each endpoint, for policies that spread calls over endpoints (gRFC A61).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use super::{
    BadResolution, Child, Controller, PickFirst, PickFirstConfig, PolicyConfig, Update, failing, queueing,
};
use crate::client::attributes::Attributes;
use crate::client::connectivity::ConnectivityState;
use crate::client::endpoint::Endpoint;
use crate::client::picker::Picker;
use crate::client::resolver::ResolveError;
use crate::client::subchannel::{SubchannelEvent, SubchannelId};
use crate::net::Address;

/// What becomes of an endpoint that is not connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// It is connected at once, and again whenever its connection ends.
    Always,
    /// It is connected when [`EndpointSharding::connect`] is called for it.
    OnDemand,
}

/// The endpoints of a balancer, each with a `pick_first` of its own, which finds the address that works. Endpoints are
/// the same from one resolution to the next if they have the same addresses, in whatever order.
#[derive(Debug)]
pub struct EndpointSharding {
    reconnect: Reconnect,
    /// In the order of the resolution.
    shards: Vec<Shard>,
    /// Where the resolver failed before there was an endpoint.
    failure: Option<Arc<dyn Picker>>,
}

/// One endpoint at work.
#[derive(Debug)]
pub struct Shard {
    endpoint: Endpoint,
    key: Vec<Address>,
    child: Child,
}

impl Shard {
    /// The endpoint as the last resolution had it.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What the endpoint has in common with itself in other resolutions: its addresses, sorted.
    pub fn key(&self) -> &[Address] {
        &self.key
    }

    /// Whether the endpoint is connected.
    pub fn state(&self) -> ConnectivityState {
        self.child.state()
    }

    /// Where calls to the endpoint go.
    pub fn picker(&self) -> &Arc<dyn Picker> {
        self.child.picker()
    }

    /// Whether the endpoint has this subchannel.
    pub fn owns(&self, id: SubchannelId) -> bool {
        self.child.owns(id)
    }

    /// The endpoint's subchannels.
    pub fn subchannels(&self) -> &[SubchannelId] {
        self.child.subchannels()
    }
}

impl EndpointSharding {
    /// No endpoints yet.
    pub fn new(reconnect: Reconnect) -> Self {
        EndpointSharding { reconnect, shards: Vec::new(), failure: None }
    }

    /// The endpoints in the order of the last resolution.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// The state of the whole: the best of its endpoints'.
    pub fn state(&self) -> ConnectivityState {
        ConnectivityState::aggregate(self.shards.iter().map(Shard::state))
    }

    /// The pickers of the endpoints whose state is that of the whole: of those that are ready if there is one; of those
    /// that fail only if all do.
    pub fn best_pickers(&self) -> Vec<Arc<dyn Picker>> {
        if self.shards.is_empty() {
            return vec![self.failure.clone().unwrap_or_else(queueing)];
        }
        let state = self.state();
        let best = self.shards.iter().filter(|shard| shard.state() == state);
        best.map(|shard| Arc::clone(shard.picker())).collect()
    }

    /// The picker for a policy while no endpoint is ready: calls wait, or fail as the first endpoint does.
    pub fn waiting_picker(&self) -> Arc<dyn Picker> {
        match (self.state(), self.shards.first()) {
            (ConnectivityState::TransientFailure, Some(first)) => Arc::clone(first.picker()),
            (ConnectivityState::TransientFailure, None) => self.failure.clone().unwrap_or_else(queueing),
            _ => queueing(),
        }
    }

    /// Takes the endpoints of a resolution. Its configuration is not looked at.
    ///
    /// # Errors
    ///
    /// When there is no endpoint with an address. Calls fail with that from then on.
    pub fn handle_resolution(
        &mut self,
        update: Update,
        controller: &mut dyn Controller,
    ) -> Result<(), BadResolution> {
        let mut old: HashMap<Vec<Address>, Shard> =
            self.shards.drain(..).map(|shard| (shard.key.clone(), shard)).collect();
        let mut known = HashSet::new();
        for endpoint in update.endpoints.into_iter().filter(|endpoint| !endpoint.addresses.is_empty()) {
            let key = key(&endpoint);
            if !known.insert(key.clone()) {
                continue;
            }
            let mut shard = match old.remove(&key) {
                Some(shard) => Shard { endpoint, key, child: shard.child },
                None => Shard { endpoint, key, child: Child::new(Box::new(PickFirst::default())) },
            };
            shard.resolve(&update.attributes, self.reconnect, controller);
            self.shards.push(shard);
        }
        old.into_values().for_each(|shard| shard.child.remove(controller));
        if self.shards.is_empty() {
            let why = "the resolver found no address";
            self.failure = Some(failing(controller, why));
            return Err(BadResolution::new(why));
        }
        Ok(())
    }

    /// The resolver failed, which is of interest while there are no endpoints.
    pub fn handle_resolver_error(&mut self, error: &ResolveError, controller: &mut dyn Controller) {
        if self.shards.is_empty() {
            self.failure = Some(failing(controller, &format!("name resolution failed: {error}")));
        }
        for shard in &mut self.shards {
            shard.child.handle_resolver_error(error, controller);
        }
    }

    /// Passes the event to the endpoint that has the subchannel. Whether that changed the endpoint's state or picker.
    pub fn handle_subchannel(
        &mut self,
        id: SubchannelId,
        event: SubchannelEvent,
        controller: &mut dyn Controller,
    ) -> bool {
        let mut changed = false;
        for shard in self.shards.iter_mut().filter(|shard| shard.owns(id)) {
            changed |= shard.child.handle_subchannel(id, event.clone(), controller);
            if self.reconnect == Reconnect::Always {
                changed |= shard.connect(controller);
            }
        }
        changed
    }

    /// Connects the endpoint at this place, if it is idle. Whether that changed its state or picker.
    pub fn connect(&mut self, place: usize, controller: &mut dyn Controller) -> bool {
        self.shards.get_mut(place).is_some_and(|shard| shard.connect(controller))
    }

    /// Connects every endpoint that is idle. Whether that changed anything.
    pub fn exit_idle(&mut self, controller: &mut dyn Controller) -> bool {
        let mut changed = false;
        self.shards.iter_mut().for_each(|shard| changed |= shard.connect(controller));
        changed
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.shards.iter().filter_map(|shard| shard.child.poll_timeout()).min()
    }

    /// The time has come for some endpoint. Whether that changed its state or picker.
    pub fn handle_timeout(&mut self, controller: &mut dyn Controller) -> bool {
        let mut changed = false;
        self.shards.iter_mut().for_each(|shard| changed |= shard.child.handle_timeout(controller));
        changed
    }
}

impl Shard {
    fn resolve(&mut self, attributes: &Attributes, reconnect: Reconnect, controller: &mut dyn Controller) {
        let config = PolicyConfig::new(PickFirstConfig {
            health_aware: true,
            lazy: true,
            ..PickFirstConfig::default()
        });
        let update = Update::new(vec![self.endpoint.clone()], attributes.clone(), config);
        // It has an address, so that there is nothing to refuse.
        let _ = self.child.handle_resolution(update, controller);
        if reconnect == Reconnect::Always {
            self.connect(controller);
        }
    }

    fn connect(&mut self, controller: &mut dyn Controller) -> bool {
        self.child.state() == ConnectivityState::Idle && self.child.exit_idle(controller)
    }
}

/// What two descriptions of one endpoint have in common.
fn key(endpoint: &Endpoint) -> Vec<Address> {
    let mut addresses = endpoint.addresses.clone();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}
