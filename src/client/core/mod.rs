//! The control plane of a channel as one pure machine: resolution, subchannels, back-off, balancing, idleness.
//!
//! It holds no clock, lock, thread or socket. What happened goes in by `handle_*` with the time it happened; what is to
//! be done comes out of [`Core::poll_action`], which is to be drained after each input, and [`Core::poll_timeout`] says
//! when [`Core::handle_timeout`] is due. A core starts idle and does nothing until there is demand.

mod action;
mod config;
mod plane;
#[cfg(test)]
mod tests;

pub(crate) use action::Action;
pub(crate) use config::{Config, MAX_CONNECTIONS_PER_SUBCHANNEL, MIN_RESOLUTION_INTERVAL};

use super::balancer::{Balancer, Controller, GracefulSwitch, PolicyConfig, Update};
use super::call_config::CallConfigs;
use super::connectivity::ConnectivityState;
use super::picker::{Always, Pick};
use super::resolver::{Resolution, ResolveError};
use super::service_config::ServiceConfig;
use super::subchannel::{
    ConnectionEvent, ConnectionId, Subchannel, SubchannelEvent, SubchannelId, SubchannelState, WatchEvent,
};
use crate::rpc::Status;
use plane::{BalancerControl, Plane};
use std::sync::Arc;
use std::time::Instant;

/// The control plane of one channel.
pub(crate) struct Core {
    /// There is one unless the channel is idle for lack of calls, or shut down.
    balancer: Option<GracefulSwitch>,
    /// What the last usable resolution said; `None` before there was one.
    service_config: Option<Arc<ServiceConfig>>,
    /// The resolver's text of it; `None` for the channel's default.
    service_config_text: Option<String>,
    plane: Plane,
    /// Since when there has been no call; `None` while there are some.
    inactive_since: Option<Instant>,
}
impl Core {
    /// An idle control plane. The seed makes the jitter of its back-off.
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        let mut plane = Plane::new(config, seed);
        plane.publish(ConnectivityState::Idle, Arc::new(Always(Pick::Queue)));
        Core { balancer: None, service_config: None, service_config_text: None, plane, inactive_since: None }
    }

    /// The state published last.
    pub(crate) fn state(&self) -> ConnectivityState {
        self.plane.state
    }

    /// A call waits for a picker, or the user asked for a connection.
    pub(crate) fn handle_demand(&mut self, now: Instant) {
        if self.plane.state == ConnectivityState::Shutdown {
            return;
        }
        if self.inactive_since.is_some() {
            self.inactive_since = Some(now);
        }
        if self.balancer.is_none() {
            self.balancer = Some(GracefulSwitch::new());
            self.plane.schedule = self.plane.config.schedule();
            self.plane.publish(ConnectivityState::Connecting, Arc::new(Always(Pick::Queue)));
        } else {
            self.balance(now, |balancer, controller| balancer.exit_idle(controller));
        }
        self.poll_schedule(now);
    }

    /// The number of calls that have begun and not ended passed from none to some or back. Without such news the
    /// channel never goes idle.
    pub(crate) fn handle_activity(&mut self, now: Instant, active_calls: usize) {
        self.inactive_since = (active_calls == 0).then_some(now);
    }

    /// The resolver found something, or failed.
    pub(crate) fn handle_resolution(&mut self, now: Instant, result: Result<Resolution, ResolveError>) {
        // Else it is a late answer to a channel that has gone idle.
        if self.balancer.is_none() {
            return;
        }
        let usable = match result {
            Ok(resolution) => self.resolved(now, resolution),
            Err(error) => {
                self.balance(now, |balancer, controller| balancer.handle_resolver_error(&error, controller));
                self.fail_unresolved(&format!("name resolution failed: {error}"));
                false
            }
        };
        match usable {
            true => self.plane.schedule.succeeded(now),
            false => self.plane.schedule.failed(now, &mut self.plane.random),
        }
        self.poll_schedule(now);
    }

    /// Takes a resolution. Whether all of it could be used.
    fn resolved(&mut self, now: Instant, resolution: Resolution) -> bool {
        let Resolution { endpoints, attributes, service_config, config_selector } = resolution;
        let offered = self.choose_service_config(service_config);
        if let Err(error) = &offered {
            self.fail_unresolved(error);
        }
        let Some(config) = self.service_config.clone() else { return false };
        let configs = CallConfigs::new(&config, config_selector);
        self.plane.limit_connections(config.max_connections_per_subchannel);
        self.plane.actions.push_back(Action::Configure(configs, config.retry_throttling));
        self.change_health_service(now, &config);
        let policy = config.load_balancing.as_ref().unwrap_or(&self.plane.config.default_policy).clone();
        let update = Update::new(endpoints, attributes, PolicyConfig::new(policy));
        let accepted =
            self.balance(now, |balancer, controller| balancer.handle_resolution(update, controller));
        offered.is_ok() && accepted.is_some_and(|accepted| accepted.is_ok())
    }

    /// Makes the right service config the current one; with an error the one from before stays (gRFC A21).
    fn choose_service_config(&mut self, offered: Option<Result<String, ResolveError>>) -> Result<(), String> {
        let config = &self.plane.config;
        let text = match offered.filter(|_| !config.ignore_resolver_config) {
            Some(Ok(text)) => Some(text),
            Some(Err(error)) => return Err(format!("the service config could not be had: {error}")),
            None => None,
        };
        if self.service_config.is_some() && text == self.service_config_text {
            return Ok(());
        }
        let parsed = match &text {
            Some(text) => ServiceConfig::parse(text, &config.policies)
                .map(Arc::new)
                .map_err(|error| format!("the service config cannot be used: {error}"))?,
            None => Arc::clone(&config.default_service_config),
        };
        self.service_config = Some(parsed);
        self.service_config_text = text;
        Ok(())
    }

    /// The service config decides whose health is watched.
    fn change_health_service(&mut self, now: Instant, config: &ServiceConfig) {
        let wanted = config.health_check_service.clone().filter(|_| self.plane.config.health_checking);
        if wanted == self.plane.health_service {
            return;
        }
        self.plane.health_service = wanted;
        let all: Vec<SubchannelId> =
            self.plane.subchannels.iter().map(|(_, subchannel)| subchannel.id()).collect();
        for id in all {
            let Plane { subchannels, health_service, actions, .. } = &mut self.plane;
            let Some(subchannel) = subchannels.get_mut(id.index()).filter(|subchannel| subchannel.id() == id)
            else {
                continue;
            };
            let Some((health, request)) = subchannel.change_health_service(health_service.as_ref()) else {
                continue;
            };
            match (subchannel.watched(), request) {
                (Some(id), Some(request)) => actions.push_back(Action::Watch { id, request }),
                (Some(id), None) => actions.push_back(Action::StopHealthWatch { id }),
                (None, _) => {}
            }
            let event = SubchannelEvent::Health(health);
            self.balance(now, |balancer, controller| balancer.handle_subchannel(id, event, controller));
        }
    }

    /// A stream of a connection told something, or ended.
    pub(crate) fn handle_watch(&mut self, now: Instant, id: ConnectionId, event: WatchEvent) {
        let Plane { subchannels, random, .. } = &mut self.plane;
        let subchannel = subchannels.get_mut(id.subchannel().index());
        let Some(subchannel) = subchannel.filter(|subchannel| subchannel.id() == id.subchannel()) else {
            return;
        };
        if let Some(event) = subchannel.handle_watch(now, id, event, random) {
            self.balance(now, |balancer, controller| {
                balancer.handle_subchannel(id.subchannel(), event, controller)
            });
            self.poll_schedule(now);
        }
    }

    /// Before there is a policy, the core itself has to say what is wrong.
    fn fail_unresolved(&mut self, why: &str) {
        if self.balancer.as_ref().is_some_and(GracefulSwitch::is_empty) {
            let status = Status::unavailable(format!("{}: {why}", self.plane.config.target));
            self.plane.publish(ConnectivityState::TransientFailure, Arc::new(Always(Pick::Fail(status))));
        }
    }

    /// Something happened to a connection. News of one that the core has given up is ignored.
    pub(crate) fn handle_connection(&mut self, now: Instant, id: ConnectionId, event: ConnectionEvent) {
        let Some(subchannel) = self.plane.subchannel(id.subchannel()) else {
            return;
        };
        let watched = subchannel.watched();
        let state = subchannel.handle_connection(now, id, event);
        if let (Some(_), Some(successor)) = (watched, subchannel.watched())
            && watched != Some(successor)
        {
            self.plane.watch_again(successor);
        }
        let Some(state) = state else {
            return self.poll_schedule(now);
        };
        self.balance(now, |balancer, controller| {
            balancer.handle_subchannel(id.subchannel(), SubchannelEvent::State(state), controller)
        });
        self.poll_schedule(now);
    }

    /// Calls wait for a stream of this subchannel, each of whose connections carries as many as its server allows
    /// (gRFC A105). To be told again whenever something has happened and they still do.
    pub(crate) fn handle_crowding(&mut self, now: Instant, id: SubchannelId) {
        self.plane.connect_further(now, id);
    }

    /// How many connections a subchannel may have, by the service config and the channel's own limit.
    pub(crate) fn max_connections(&self) -> usize {
        self.plane.max_connections
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.balancer.is_none() {
            return;
        }
        if self.idle_at().is_some_and(|time| time <= now) {
            return self.enter_idle();
        }
        self.plane.reopen_watches(now);
        self.turn_idle(now, |subchannel| subchannel.handle_timeout(now));
        if self.balancer.as_ref().and_then(|balancer| balancer.poll_timeout()).is_some_and(|time| time <= now)
        {
            self.balance(now, |balancer, controller| balancer.handle_timeout(controller));
        }
        if self.plane.schedule.handle_timeout(now) {
            match self.plane.schedule.is_failing() {
                // It has said why, and has nothing to add. Calls go on to report that.
                true => self.plane.schedule.failed(now, &mut self.plane.random),
                false => {
                    let timeout = self.plane.config.resolution_timeout;
                    let error = ResolveError::new(format!("no answer within {timeout:?}"));
                    self.handle_resolution(now, Err(error));
                }
            }
        }
        self.poll_schedule(now);
    }

    /// Tries at once what waits for a back-off, and begins the back-offs anew.
    pub(crate) fn reset_backoff(&mut self, now: Instant) {
        if self.balancer.is_none() {
            return;
        }
        self.turn_idle(now, Subchannel::reset_backoff);
        self.plane.schedule.reset_backoff();
        self.poll_schedule(now);
    }

    /// Ends the channel: every call from now on fails, and so do those that wait. No further input has an effect.
    pub(crate) fn shutdown(&mut self) {
        if self.plane.state == ConnectivityState::Shutdown {
            return;
        }
        let status = Status::cancelled(format!("{}: the channel was closed", self.plane.config.target));
        self.plane.publish(ConnectivityState::Shutdown, Arc::new(Always(Pick::Drop(status))));
        self.let_go();
    }

    /// The next thing to do.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.plane.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, if nothing happens before.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let balancer = self.balancer.as_ref()?;
        let own = [self.plane.schedule.poll_timeout(), balancer.poll_timeout(), self.idle_at()];
        let subchannels =
            self.plane.subchannels.iter().filter_map(|(_, subchannel)| subchannel.poll_timeout());
        own.into_iter().flatten().chain(subchannels).min()
    }

    /// Calls the balancer, if there is one.
    fn balance<T>(
        &mut self,
        now: Instant,
        call: impl FnOnce(&mut dyn Balancer, &mut dyn Controller) -> T,
    ) -> Option<T> {
        let balancer = self.balancer.as_mut()?;
        Some(call(balancer, &mut BalancerControl { plane: &mut self.plane, now }))
    }

    /// Tells the balancer of all subchannels that this turns idle.
    fn turn_idle(&mut self, now: Instant, mut turns_idle: impl FnMut(&mut Subchannel) -> bool) {
        let turned: Vec<SubchannelId> = (self.plane.subchannels.iter_mut())
            .filter_map(|(_, subchannel)| turns_idle(subchannel).then(|| subchannel.id()))
            .collect();
        for id in turned {
            // What the balancer did about an earlier one may have removed this one.
            if self.plane.subchannel(id).is_some() {
                let event = SubchannelEvent::State(SubchannelState::Idle);
                self.balance(now, |b, controller| b.handle_subchannel(id, event, controller));
            }
        }
    }

    fn poll_schedule(&mut self, now: Instant) {
        if self.balancer.is_some() && self.plane.schedule.poll(now) {
            self.plane.actions.push_back(Action::Resolve);
        }
    }

    /// When the channel goes idle, unless there is a call before.
    fn idle_at(&self) -> Option<Instant> {
        Some(self.inactive_since? + self.plane.config.idle_timeout?)
    }

    fn enter_idle(&mut self) {
        self.plane.publish(ConnectivityState::Idle, Arc::new(Always(Pick::Queue)));
        self.let_go();
    }

    /// Gives up balancer, resolver and connections.
    fn let_go(&mut self) {
        if self.balancer.take().is_some() {
            self.plane.actions.push_back(Action::StopResolver);
        }
        self.plane.by_address.clear();
        for subchannel in self.plane.subchannels.drain() {
            self.plane.actions.extend(subchannel.connections().map(|id| Action::Disconnect { id }));
        }
    }
}
