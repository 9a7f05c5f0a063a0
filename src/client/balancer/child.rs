//! [`Child`]: a balancer inside another.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{BadResolution, Balancer, Controller, Update, queueing};
use crate::client::attributes::Attributes;
use crate::client::connectivity::ConnectivityState;
use crate::client::picker::Picker;
use crate::client::resolver::ResolveError;
use crate::client::subchannel::{Health, SubchannelEvent, SubchannelId, SubchannelState};
use crate::net::Address;

/// A balancer that has a part of another's work: what it publishes reaches its parent rather than the channel, and of
/// its parent's subchannels it hears of its own.
///
/// Each call that can change what the child has published says whether it did.
pub struct Child {
    balancer: Box<dyn Balancer>,
    /// How often the child has created each subchannel without removing it.
    subchannels: Vec<SubchannelId>,
    owned: HashSet<SubchannelId>,
    state: ConnectivityState,
    picker: Arc<dyn Picker>,
    changed: bool,
    ignores_resolution_requests: bool,
}

impl Child {
    /// A child that has published nothing yet, which counts as CONNECTING with calls that wait.
    pub fn new(balancer: Box<dyn Balancer>) -> Self {
        Child {
            balancer,
            subchannels: Vec::new(),
            owned: HashSet::new(),
            state: ConnectivityState::Connecting,
            picker: queueing(),
            changed: false,
            ignores_resolution_requests: false,
        }
    }

    /// Whether what the child asks of the resolver goes no further. At first it is passed on.
    pub fn ignore_resolution_requests(&mut self, ignore: bool) {
        self.ignores_resolution_requests = ignore;
    }

    /// The state the child published last.
    pub fn state(&self) -> ConnectivityState {
        self.state
    }

    /// The picker the child published last.
    pub fn picker(&self) -> &Arc<dyn Picker> {
        &self.picker
    }

    /// Whether the child published during the latest call of one of its `handle_` methods or of `exit_idle`.
    pub fn changed(&self) -> bool {
        self.changed
    }

    /// Whether the child has this subchannel.
    pub fn owns(&self, id: SubchannelId) -> bool {
        self.owned.contains(&id)
    }

    /// The child's subchannels; one that it created several times stands there as often.
    pub fn subchannels(&self) -> &[SubchannelId] {
        &self.subchannels
    }

    /// See [`Balancer::handle_resolution`].
    pub fn handle_resolution(
        &mut self,
        update: Update,
        controller: &mut dyn Controller,
    ) -> Result<(), BadResolution> {
        let mut result = Ok(());
        self.call(controller, |balancer, controller| result = balancer.handle_resolution(update, controller));
        result
    }

    /// See [`Balancer::handle_resolver_error`].
    pub fn handle_resolver_error(&mut self, error: &ResolveError, controller: &mut dyn Controller) -> bool {
        self.call(controller, |balancer, controller| balancer.handle_resolver_error(error, controller))
    }

    /// See [`Balancer::handle_subchannel`]. News of a subchannel that the child does not have is ignored.
    pub fn handle_subchannel(
        &mut self,
        id: SubchannelId,
        event: SubchannelEvent,
        controller: &mut dyn Controller,
    ) -> bool {
        self.owns(id)
            && self.call(controller, |balancer, controller| balancer.handle_subchannel(id, event, controller))
    }

    /// See [`Balancer::exit_idle`].
    pub fn exit_idle(&mut self, controller: &mut dyn Controller) -> bool {
        self.call(controller, |balancer, controller| balancer.exit_idle(controller))
    }

    /// See [`Balancer::poll_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.balancer.poll_timeout()
    }

    /// See [`Balancer::handle_timeout`]. A child that is not due yet is not called.
    pub fn handle_timeout(&mut self, controller: &mut dyn Controller) -> bool {
        let due = self.poll_timeout().is_some_and(|time| time <= controller.now());
        due && self.call(controller, |balancer, controller| balancer.handle_timeout(controller))
    }

    /// Ends the child and gives its subchannels up.
    pub fn remove(self, controller: &mut dyn Controller) {
        self.subchannels.into_iter().for_each(|id| controller.remove(id));
    }

    /// Whether the child has published.
    fn call(
        &mut self,
        controller: &mut dyn Controller,
        call: impl FnOnce(&mut dyn Balancer, &mut dyn Controller),
    ) -> bool {
        let Child { balancer, subchannels, owned, state, picker, changed, ignores_resolution_requests } =
            self;
        let ignores_resolution_requests = *ignores_resolution_requests;
        let mut between =
            Between { parent: controller, subchannels, owned, ignores_resolution_requests, published: None };
        call(balancer.as_mut(), &mut between);
        let published = between.published;
        *changed = published.is_some();
        if let Some(published) = published {
            (*state, *picker) = published;
        }
        *changed
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("state", &self.state)
            .field("picker", &self.picker)
            .finish_non_exhaustive()
    }
}

/// The controller of a child: that of the parent, except for what the child publishes.
struct Between<'a> {
    parent: &'a mut dyn Controller,
    subchannels: &'a mut Vec<SubchannelId>,
    owned: &'a mut HashSet<SubchannelId>,
    ignores_resolution_requests: bool,
    published: Option<(ConnectivityState, Arc<dyn Picker>)>,
}

impl Controller for Between<'_> {
    fn now(&self) -> Instant {
        self.parent.now()
    }

    fn target(&self) -> &str {
        self.parent.target()
    }

    fn random(&mut self) -> u64 {
        self.parent.random()
    }

    fn create_subchannel(&mut self, address: Address, attributes: &Attributes) -> SubchannelId {
        let id = self.parent.create_subchannel(address, attributes);
        self.subchannels.push(id);
        self.owned.insert(id);
        id
    }

    fn state(&self, id: SubchannelId) -> SubchannelState {
        self.parent.state(id)
    }

    fn connect(&mut self, id: SubchannelId) {
        self.parent.connect(id);
    }

    fn remove(&mut self, id: SubchannelId) {
        if let Some(place) = self.subchannels.iter().position(|other| *other == id) {
            self.subchannels.swap_remove(place);
            if !self.subchannels.contains(&id) {
                self.owned.remove(&id);
            }
            self.parent.remove(id);
        }
    }

    fn watch_health(&mut self, id: SubchannelId) -> Health {
        self.parent.watch_health(id)
    }

    fn watch_load(&mut self, id: SubchannelId, interval: Option<Duration>) {
        self.parent.watch_load(id, interval);
    }

    fn publish(&mut self, state: ConnectivityState, picker: Arc<dyn Picker>) {
        self.published = Some((state, picker));
    }

    fn request_resolution(&mut self) {
        if !self.ignores_resolution_requests {
            self.parent.request_resolution();
        }
    }
}
