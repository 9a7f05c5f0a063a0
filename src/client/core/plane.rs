//! What balancers act on: the subchannels, the resolver's schedule, and the actions that come of it.

use super::{Action, Config};
use crate::client::attributes::Attributes;
use crate::client::backoff::LONGEST_WAIT;
use crate::client::balancer::Controller;
use crate::client::connectivity::ConnectivityState;
use crate::client::picker::Picker;
use crate::client::random::Xorshift;
use crate::client::resolver::schedule::Schedule;
use crate::client::subchannel::{
    ConnectionId, Health, Subchannel, SubchannelId, SubchannelState, WatchRequest,
};
use crate::net::Address;
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// All of the core but the balancer, which acts on it.
pub(super) struct Plane {
    pub(super) config: Config,
    pub(super) random: Xorshift,
    pub(super) state: ConnectivityState,
    pub(super) schedule: Schedule,
    /// The service whose health is watched, if any.
    pub(super) health_service: Option<Arc<str>>,
    pub(super) subchannels: Slab<Subchannel>,
    /// By address, of which there are several with different attributes at times.
    pub(super) by_address: HashMap<Address, Vec<SubchannelId>>,
    pub(super) serial: u32,
    /// How many connections a subchannel may have.
    pub(super) max_connections: usize,
    pub(super) actions: VecDeque<Action>,
}
impl Plane {
    pub(super) fn new(mut config: Config, seed: u64) -> Self {
        config.min_connect_timeout = config.min_connect_timeout.min(LONGEST_WAIT);
        config.idle_timeout = config.idle_timeout.map(|timeout| timeout.min(LONGEST_WAIT));
        config.min_resolution_interval = config.min_resolution_interval.min(LONGEST_WAIT);
        config.refresh_interval = config.refresh_interval.map(|interval| interval.min(LONGEST_WAIT));
        config.resolution_timeout = config.resolution_timeout.min(LONGEST_WAIT);
        Plane {
            random: Xorshift::new(seed),
            state: ConnectivityState::Idle,
            schedule: config.schedule(),
            health_service: None,
            subchannels: Slab::new(),
            by_address: HashMap::new(),
            serial: 0,
            max_connections: 1,
            actions: VecDeque::new(),
            config,
        }
    }

    pub(super) fn subchannel(&mut self, id: SubchannelId) -> Option<&mut Subchannel> {
        self.subchannels.get_mut(id.index()).filter(|subchannel| subchannel.id() == id)
    }

    pub(super) fn watch(&mut self, id: Option<ConnectionId>, request: Option<WatchRequest>) {
        self.actions.extend(id.zip(request).map(|(id, request)| Action::Watch { id, request }));
    }

    /// The service config may ask for more connections than one, up to the channel's own limit (gRFC A105).
    pub(super) fn limit_connections(&mut self, wanted: Option<u32>) {
        let max = wanted.unwrap_or(1).min(self.config.max_connections_per_subchannel).max(1);
        self.max_connections = usize::try_from(max).unwrap_or(usize::MAX);
    }

    /// Starts to make one more connection of a subchannel that has some.
    pub(super) fn connect_further(&mut self, now: Instant, id: SubchannelId) {
        let Plane { config, random, subchannels, actions, max_connections, .. } = self;
        let subchannel = subchannels.get_mut(id.index()).filter(|subchannel| subchannel.id() == id);
        let Some(subchannel) = subchannel else { return };
        let timeout = config.min_connect_timeout;
        if let Some((id, deadline)) = subchannel.connect_further(now, timeout, *max_connections, random) {
            let address = subchannel.address().clone();
            actions.push_back(Action::StartConnect { id, address, deadline });
        }
    }

    /// Opens the streams by which a backend is watched on this connection, as the one they were on is lost.
    pub(super) fn watch_again(&mut self, id: ConnectionId) {
        let service = self.health_service.clone();
        let Some(subchannel) = self.subchannel(id.subchannel()) else { return };
        for request in subchannel.watch_again(service.as_ref()) {
            self.watch(Some(id), request);
        }
    }

    /// Opens the streams whose back-off has passed.
    pub(super) fn reopen_watches(&mut self, now: Instant) {
        let Plane { subchannels, health_service, actions, .. } = self;
        for (_, subchannel) in subchannels.iter_mut() {
            let due = subchannel.watches_due(now, health_service.as_ref());
            let Some(id) = subchannel.watched() else { continue };
            actions.extend(due.into_iter().flatten().map(|request| Action::Watch { id, request }));
        }
    }

    /// Of several in a row only the last is of interest.
    pub(super) fn publish(&mut self, state: ConnectivityState, picker: Arc<dyn Picker>) {
        self.state = state;
        if let Some(Action::Publish { .. }) = self.actions.back() {
            self.actions.pop_back();
        }
        self.actions.push_back(Action::Publish { state, picker });
    }
}
/// What a balancer holds while it is called.
pub(super) struct BalancerControl<'a> {
    pub(super) plane: &'a mut Plane,
    pub(super) now: Instant,
}

impl Controller for BalancerControl<'_> {
    fn now(&self) -> Instant {
        self.now
    }

    fn target(&self) -> &str {
        &self.plane.config.target
    }

    fn random(&mut self) -> u64 {
        self.plane.random.next_u64()
    }

    fn create_subchannel(&mut self, address: Address, attributes: &Attributes) -> SubchannelId {
        let Plane { subchannels, by_address, serial, config, .. } = &mut *self.plane;
        let known = by_address.entry(address.clone()).or_default();
        for id in known.iter() {
            if let Some(subchannel) = subchannels.get_mut(id.index())
                && subchannel.attributes() == attributes
            {
                subchannel.users += 1;
                return *id;
            }
        }
        *serial = serial.wrapping_add(1);
        let entry = subchannels.vacant_entry();
        let id = SubchannelId::new(entry.key(), *serial);
        known.push(id);
        entry.insert(Subchannel::new(id, address, attributes.clone(), config.backoff));
        id
    }

    fn state(&self, id: SubchannelId) -> SubchannelState {
        let subchannel = self.plane.subchannels.get(id.index()).filter(|subchannel| subchannel.id() == id);
        subchannel.map_or(SubchannelState::Idle, Subchannel::state)
    }

    fn connect(&mut self, id: SubchannelId) {
        let Plane { config, random, subchannels, actions, .. } = &mut *self.plane;
        let Some(subchannel) = subchannels.get_mut(id.index()).filter(|subchannel| subchannel.id() == id)
        else {
            return;
        };
        if let Some((id, deadline)) = subchannel.connect(self.now, config.min_connect_timeout, random) {
            let address = subchannel.address().clone();
            actions.push_back(Action::StartConnect { id, address, deadline });
        }
    }

    fn remove(&mut self, id: SubchannelId) {
        let Some(subchannel) = self.plane.subchannel(id) else { return };
        subchannel.users -= 1;
        if subchannel.users > 0 {
            return;
        }
        let Plane { subchannels, by_address, actions, .. } = &mut *self.plane;
        let Some(subchannel) = subchannels.try_remove(id.index()) else { return };
        if let Some(known) = by_address.get_mut(subchannel.address()) {
            known.retain(|other| *other != id);
            if known.is_empty() {
                by_address.remove(subchannel.address());
            }
        }
        actions.extend(subchannel.connections().map(|id| Action::Disconnect { id }));
    }

    fn watch_health(&mut self, id: SubchannelId) -> Health {
        let service = self.plane.health_service.clone();
        let Some(subchannel) = self.plane.subchannel(id) else { return Health::Serving };
        let (health, request) = subchannel.watch_health(service.as_ref());
        let connection = subchannel.watched();
        self.plane.watch(connection, request);
        health
    }

    fn watch_load(&mut self, id: SubchannelId, interval: Option<Duration>) {
        let Some(subchannel) = self.plane.subchannel(id) else { return };
        let change = subchannel.watch_load(interval);
        match (subchannel.watched(), change) {
            (Some(id), Some(Some(request))) => self.plane.actions.push_back(Action::Watch { id, request }),
            (Some(id), Some(None)) => self.plane.actions.push_back(Action::StopLoadWatch { id }),
            (None, _) | (_, None) => {}
        }
    }

    fn publish(&mut self, state: ConnectivityState, picker: Arc<dyn Picker>) {
        self.plane.publish(state, picker);
    }

    fn request_resolution(&mut self) {
        self.plane.schedule.request();
    }
}
