//! The control plane of a channel as one pure machine: resolution, subchannels, back-off, balancing, idleness.
//!
//! It holds no clock, lock, thread or socket. What happened goes in by `handle_*` with the time it happened; what is to
//! be done comes out of [`Core::poll_action`], which is to be drained after each input, and [`Core::poll_timeout`] says
//! when [`Core::handle_timeout`] is due. A core starts idle and does nothing until there is demand.

use super::attributes::Attributes;
use super::backoff::{BackoffConfig, LONGEST_WAIT};
use super::balancer::{
    Balancer, Controller, GracefulSwitch, PickFirstBuilder, Policy, PolicyConfig, Registry, Update,
};
use super::call_config::CallConfigs;
use super::connectivity::ConnectivityState;
use super::picker::{Always, Pick, Picker};
use super::random::Xorshift;
use super::resolver::schedule::Schedule;
use super::resolver::{Resolution, ResolveError};
use super::service_config::{RetryThrottling, ServiceConfig};
use super::subchannel::{
    ConnectionEvent, ConnectionId, Health, Subchannel, SubchannelEvent, SubchannelId, SubchannelState,
    WatchEvent, WatchRequest,
};
use crate::net::Address;
use crate::rpc::Status;
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

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
            min_resolution_interval: Duration::from_secs(30),
            refresh_interval: None,
            resolution_timeout: Duration::from_secs(30),
            policies: Registry::default(),
            default_policy: Policy::without_config(&(Arc::new(PickFirstBuilder) as _)),
            default_service_config: Arc::default(),
            ignore_resolver_config: false,
            health_checking: true,
        }
    }

    /// The schedule of a resolver that has not been asked yet.
    fn schedule(&self) -> Schedule {
        let Config { min_resolution_interval, refresh_interval, resolution_timeout, backoff, .. } = self;
        Schedule::new(*min_resolution_interval, *refresh_interval, *resolution_timeout, *backoff)
    }
}

/// What the channel is to do.
#[derive(Debug)]
pub(crate) enum Action {
    /// Ask the resolver, after building it if there is none. What it answers goes to [`Core::handle_resolution`].
    Resolve,
    /// Drop the resolver.
    StopResolver,
    /// Connect. If the peer's SETTINGS have not arrived at the deadline, that is [`ConnectionEvent::Lost`].
    StartConnect {
        /// The name of the connection, for everything that is reported of it.
        id: ConnectionId,
        /// Where to.
        address: Address,
        /// When to give up.
        deadline: Instant,
    },
    /// Abort the attempt; or send no further calls on the connection and close it when those on it are done.
    Disconnect {
        /// Which one. Nothing needs to be reported of it any more.
        id: ConnectionId,
    },
    /// Open this stream on a connection that is ready, in the place of the one of its kind that may be open there.
    Watch {
        /// Which one. What the stream tells goes to [`Core::handle_watch`].
        id: ConnectionId,
        /// What for.
        request: WatchRequest,
    },
    /// Close the stream by which a connection's backend tells its health.
    StopHealthWatch {
        /// Which one.
        id: ConnectionId,
    },
    /// This is where calls get their config from now on, and what bounds their further attempts.
    Configure(CallConfigs, Option<RetryThrottling>),
    /// This is the state of the channel now, and this the picker for all calls, those that wait included.
    Publish {
        /// The new state; it may be the same as before.
        state: ConnectivityState,
        /// The new picker.
        picker: Arc<dyn Picker>,
    },
}

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

/// All of the core but the balancer, which acts on it.
struct Plane {
    config: Config,
    random: Xorshift,
    state: ConnectivityState,
    schedule: Schedule,
    /// The service whose health is watched, if any.
    health_service: Option<Arc<str>>,
    subchannels: Slab<Subchannel>,
    /// By address, of which there are several with different attributes at times.
    by_address: HashMap<Address, Vec<SubchannelId>>,
    serial: u32,
    actions: VecDeque<Action>,
}

impl Core {
    /// An idle control plane. The seed makes the jitter of its back-off.
    pub(crate) fn new(mut config: Config, seed: u64) -> Self {
        config.min_connect_timeout = config.min_connect_timeout.min(LONGEST_WAIT);
        config.idle_timeout = config.idle_timeout.map(|timeout| timeout.min(LONGEST_WAIT));
        config.min_resolution_interval = config.min_resolution_interval.min(LONGEST_WAIT);
        config.refresh_interval = config.refresh_interval.map(|interval| interval.min(LONGEST_WAIT));
        config.resolution_timeout = config.resolution_timeout.min(LONGEST_WAIT);
        let mut plane = Plane {
            random: Xorshift::new(seed),
            state: ConnectivityState::Idle,
            schedule: config.schedule(),
            health_service: None,
            subchannels: Slab::new(),
            by_address: HashMap::new(),
            serial: 0,
            actions: VecDeque::new(),
            config,
        };
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
            match (subchannel.connection(), request) {
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
        let Some(state) = subchannel.handle_connection(now, id, event) else {
            return;
        };
        self.balance(now, |balancer, controller| {
            balancer.handle_subchannel(id.subchannel(), SubchannelEvent::State(state), controller)
        });
        self.poll_schedule(now);
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
            let timeout = self.plane.config.resolution_timeout;
            self.handle_resolution(now, Err(ResolveError::new(format!("no answer within {timeout:?}"))));
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
        Some(call(balancer, &mut Control { plane: &mut self.plane, now }))
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
        let connections = self.plane.subchannels.drain().filter_map(|subchannel| subchannel.connection());
        self.plane.actions.extend(connections.map(|id| Action::Disconnect { id }));
    }
}

impl Plane {
    fn subchannel(&mut self, id: SubchannelId) -> Option<&mut Subchannel> {
        self.subchannels.get_mut(id.index()).filter(|subchannel| subchannel.id() == id)
    }

    fn watch(&mut self, id: Option<ConnectionId>, request: Option<WatchRequest>) {
        self.actions.extend(id.zip(request).map(|(id, request)| Action::Watch { id, request }));
    }

    /// Opens the streams whose back-off has passed.
    fn reopen_watches(&mut self, now: Instant) {
        let Plane { subchannels, health_service, actions, .. } = self;
        for (_, subchannel) in subchannels.iter_mut() {
            let due = subchannel.watches_due(now, health_service.as_ref());
            let Some(id) = subchannel.connection() else { continue };
            actions.extend(due.into_iter().flatten().map(|request| Action::Watch { id, request }));
        }
    }

    /// Of several in a row only the last is of interest.
    fn publish(&mut self, state: ConnectivityState, picker: Arc<dyn Picker>) {
        self.state = state;
        if let Some(Action::Publish { .. }) = self.actions.back() {
            self.actions.pop_back();
        }
        self.actions.push_back(Action::Publish { state, picker });
    }
}

/// What a balancer holds while it is called.
struct Control<'a> {
    plane: &'a mut Plane,
    now: Instant,
}

impl Controller for Control<'_> {
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
                && subchannel.attributes().is_same(attributes)
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
        actions.extend(subchannel.connection().map(|id| Action::Disconnect { id }));
    }

    fn watch_health(&mut self, id: SubchannelId) -> Health {
        let service = self.plane.health_service.clone();
        let Some(subchannel) = self.plane.subchannel(id) else { return Health::Serving };
        let (health, request) = subchannel.watch_health(service.as_ref());
        let connection = subchannel.connection();
        self.plane.watch(connection, request);
        health
    }

    fn watch_load(&mut self, id: SubchannelId, interval: Duration) {
        let Some(subchannel) = self.plane.subchannel(id) else { return };
        let request = subchannel.watch_load(interval);
        let connection = subchannel.connection();
        self.plane.watch(connection, request);
    }

    fn publish(&mut self, state: ConnectivityState, picker: Arc<dyn Picker>) {
        self.plane.publish(state, picker);
    }

    fn request_resolution(&mut self) {
        self.plane.schedule.request();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::balancer::{BadResolution, BalancerBuilder};
    use crate::client::picker::PickInfo;
    use crate::rpc::{Code, Metadata};

    const A: &str = "10.0.0.1:80";
    const B: &str = "10.0.0.2:80";

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// Runs a core in made-up time and keeps its actions as text.
    struct Driver {
        core: Core,
        now: Instant,
        log: Vec<String>,
        /// The attempts in the order they were started.
        attempts: Vec<(ConnectionId, String, Instant)>,
        picker: Arc<dyn Picker>,
        configs: CallConfigs,
    }

    impl Driver {
        fn new() -> Self {
            Driver::with(Config::new("dns:///test"))
        }

        fn with(config: Config) -> Self {
            let now = Instant::now();
            let core = Core::new(config, 1);
            let picker = Arc::new(Always(Pick::Queue));
            let configs = CallConfigs::None;
            let mut driver = Driver { core, now, log: Vec::new(), attempts: Vec::new(), picker, configs };
            driver.drain();
            driver.did(&["IDLE"]);
            driver
        }

        fn drain(&mut self) {
            while let Some(action) = self.core.poll_action() {
                self.log.push(match action {
                    Action::Resolve => "resolve".into(),
                    Action::StopResolver => "stop resolver".into(),
                    Action::StartConnect { id, address, deadline } => {
                        self.attempts.push((id, address.to_string(), deadline));
                        format!("connect {address}")
                    }
                    Action::Disconnect { id } => format!("disconnect {}", self.address(id)),
                    Action::Watch { id, request } => format!("watch {request:?} of {}", self.address(id)),
                    Action::StopHealthWatch { id } => {
                        format!("stop the health watch of {}", self.address(id))
                    }
                    Action::Configure(configs, _) => {
                        self.configs = configs;
                        continue;
                    }
                    Action::Publish { state, picker } => {
                        self.picker = picker;
                        assert_eq!(state, self.core.state());
                        state.to_string()
                    }
                });
            }
        }

        fn address(&self, id: ConnectionId) -> String {
            self.attempts.iter().find(|(other, ..)| *other == id).unwrap().1.clone()
        }

        /// The latest attempt to this address.
        fn id(&self, address: &str) -> ConnectionId {
            self.attempts.iter().rfind(|(_, other, _)| other == address).unwrap().0
        }

        #[track_caller]
        fn did(&mut self, expected: &[&str]) {
            assert_eq!(std::mem::take(&mut self.log), expected);
        }

        fn demand(&mut self) {
            self.core.handle_demand(self.now);
            self.drain();
        }

        fn resolved(&mut self, addresses: &[&str]) {
            let addresses = addresses.iter().map(|text| Address::Tcp(text.parse().unwrap()));
            self.core.handle_resolution(self.now, Ok(addresses.collect()));
            self.drain();
        }

        fn resolver_failed(&mut self, error: &str) {
            self.core.handle_resolution(self.now, Err(ResolveError::new(error)));
            self.drain();
        }

        fn report(&mut self, id: ConnectionId, event: ConnectionEvent) {
            self.core.handle_connection(self.now, id, event);
            self.drain();
        }

        fn ready(&mut self, address: &str) {
            self.report(self.id(address), ConnectionEvent::Ready);
        }

        fn lost(&mut self, address: &str) {
            self.report(self.id(address), ConnectionEvent::Lost { reason: "connection refused".into() });
        }

        fn active(&mut self, calls: usize) {
            self.core.handle_activity(self.now, calls);
            self.drain();
        }

        /// Lets time pass with every timer served when it is due.
        fn pass(&mut self, duration: Duration) {
            let end = self.now + duration;
            for _ in 0..10_000 {
                match self.core.poll_timeout().filter(|time| *time <= end) {
                    Some(time) => self.now = self.now.max(time),
                    None => {
                        self.now = end;
                        return;
                    }
                }
                let before = self.core.poll_timeout();
                self.core.handle_timeout(self.now);
                let first = self.log.len();
                self.drain();
                assert!(
                    self.log.len() > first || self.core.poll_timeout() != before,
                    "a timer was due that did nothing"
                );
            }
            panic!("the timers do not come to rest");
        }

        fn pick(&self) -> Pick {
            self.picker.pick(&PickInfo::new("/s/m", &Metadata::default()))
        }

        #[track_caller]
        fn failure(&self) -> String {
            match self.pick() {
                Pick::Fail(status) => {
                    assert_eq!(status.code(), Code::Unavailable);
                    status.message().to_owned()
                }
                other => panic!("{other:?}"),
            }
        }

        /// A channel connected to A, which B can replace.
        fn connected() -> Self {
            let mut driver = Driver::new();
            driver.demand();
            driver.resolved(&[A, B]);
            driver.ready(A);
            driver.log.clear();
            driver
        }
    }

    #[test]
    fn a_new_channel_is_idle_and_does_nothing() {
        let mut driver = Driver::new();
        assert_eq!(driver.core.state(), ConnectivityState::Idle);
        assert!(matches!(driver.pick(), Pick::Queue));
        assert_eq!(driver.core.poll_timeout(), None);
        driver.pass(seconds(100_000));
        driver.did(&[]);
    }

    #[test]
    fn demand_leads_through_resolution_and_connection_to_ready() {
        let mut driver = Driver::new();
        driver.demand();
        driver.did(&["CONNECTING", "resolve"]);
        driver.resolved(&[A, B]);
        driver.did(&[&format!("connect {A}"), "CONNECTING"]);
        assert!(matches!(driver.pick(), Pick::Queue));
        driver.ready(A);
        driver.did(&["READY"]);
        let id = driver.id(A).subchannel();
        assert!(matches!(driver.pick(), Pick::Subchannel(picked) if picked == id));
        assert_eq!(driver.core.poll_timeout(), None);
    }

    #[test]
    fn further_demand_while_connecting_changes_nothing() {
        let mut driver = Driver::new();
        driver.demand();
        driver.log.clear();
        driver.demand();
        driver.resolved(&[A]);
        driver.log.clear();
        driver.demand();
        driver.did(&[]);
    }

    #[test]
    fn an_attempt_has_twenty_seconds_or_as_long_as_the_back_off() {
        let mut driver = Driver::new();
        driver.demand();
        driver.resolved(&[A]);
        assert_eq!(driver.attempts[0].2, driver.now + seconds(20));
        for _ in 0..12 {
            driver.lost(A);
            driver.pass(seconds(150));
        }
        let (_, _, deadline) = driver.attempts[12];
        // Its back-off would be 120 s give or take a fifth; the attempt began some time in the last 150 s.
        let range = driver.now - seconds(150) + seconds(96)..=driver.now + seconds(144);
        assert!(range.contains(&deadline));
    }

    #[test]
    fn a_refused_connection_fails_calls_with_target_address_and_error() {
        let mut driver = Driver::new();
        driver.demand();
        driver.resolved(&[A]);
        driver.log.clear();
        driver.lost(A);
        driver.did(&["TRANSIENT_FAILURE"]);
        assert_eq!(
            driver.failure(),
            "dns:///test: connections to all backends failing; last error: 10.0.0.1:80: connection refused"
        );
    }

    #[test]
    fn attempts_follow_the_back_off() {
        let mut driver = Driver::new();
        driver.demand();
        driver.resolved(&[A]);
        let mut expected = 1.0f64;
        for round in 0..15 {
            driver.lost(A);
            let failed_at = driver.now;
            let attempts = driver.attempts.len();
            while driver.attempts.len() == attempts {
                driver.now = driver.core.poll_timeout().unwrap().max(driver.now);
                driver.core.handle_timeout(driver.now);
                driver.drain();
                if driver.log.last().is_some_and(|last| last == "resolve") {
                    driver.log.clear();
                    driver.resolved(&[A]);
                }
            }
            let waited = (driver.now - failed_at).as_secs_f64();
            let jitter = if round == 0 { 0.0 } else { 0.2 };
            assert!((expected * (1.0 - jitter)..=expected * (1.0 + jitter)).contains(&waited), "{waited}");
            expected = (expected * 1.6).min(120.0);
        }
    }

    #[test]
    fn a_connection_that_was_ready_resets_the_back_off() {
        let mut driver = Driver::new();
        driver.demand();
        driver.resolved(&[A]);
        for _ in 0..5 {
            driver.lost(A);
            driver.pass(seconds(15));
        }
        driver.ready(A);
        driver.lost(A);
        driver.demand();
        driver.lost(A);
        driver.log.clear();
        driver.pass(Duration::from_millis(999));
        driver.did(&[]);
        driver.pass(Duration::from_millis(1));
        driver.did(&[&format!("connect {A}")]);
    }

    #[test]
    fn a_lost_connection_waits_for_the_next_call_and_the_resolver_is_asked() {
        let mut driver = Driver::connected();
        driver.pass(seconds(31));
        driver.lost(A);
        driver.did(&["IDLE", "resolve"]);
        assert!(matches!(driver.pick(), Pick::Queue));
        driver.resolved(&[A, B]);
        driver.did(&[]);
        driver.demand();
        driver.did(&[&format!("connect {A}"), "CONNECTING"]);
    }

    #[test]
    fn late_news_of_an_old_connection_is_not_taken_for_the_new_one() {
        let mut driver = Driver::connected();
        let old = driver.id(A);
        driver.report(old, ConnectionEvent::Lost { reason: "GOAWAY".into() });
        driver.demand();
        driver.log.clear();
        // The old connection ends for good while the new one is being made.
        driver.report(old, ConnectionEvent::Lost { reason: "closed".into() });
        driver.report(old, ConnectionEvent::Ready);
        driver.did(&[]);
        driver.ready(A);
        driver.did(&["READY"]);
        driver.report(old, ConnectionEvent::Lost { reason: "closed".into() });
        driver.did(&[]);
    }

    #[test]
    fn a_connection_that_reports_ready_twice_is_ready_once() {
        let mut driver = Driver::connected();
        driver.ready(A);
        driver.did(&[]);
    }

    #[test]
    fn the_loser_of_two_attempts_is_disconnected_and_its_news_ignored() {
        let mut driver = Driver::new();
        driver.demand();
        driver.resolved(&[A, B]);
        driver.pass(Duration::from_millis(250));
        driver.log.clear();
        driver.ready(B);
        driver.did(&[&format!("disconnect {A}"), "READY"]);
        driver.ready(A);
        driver.lost(A);
        driver.did(&[]);
        assert_eq!(driver.core.plane.subchannels.len(), 1);
    }

    #[test]
    fn a_subchannel_that_reuses_an_index_has_another_id() {
        let mut driver = Driver::new();
        driver.demand();
        driver.resolved(&[A]);
        let old = driver.id(A);
        driver.resolved(&[B]);
        let new = driver.id(B);
        assert_eq!(old.subchannel().index(), new.subchannel().index());
        assert_ne!(old.subchannel(), new.subchannel());
        driver.log.clear();
        driver.report(old, ConnectionEvent::Ready);
        driver.did(&[]);
    }

    #[test]
    fn the_resolver_is_not_asked_again_within_thirty_seconds_of_an_answer() {
        let mut driver = Driver::connected();
        driver.pass(seconds(10));
        driver.lost(A);
        driver.did(&["IDLE"]);
        driver.pass(Duration::from_millis(19_999));
        driver.did(&[]);
        driver.pass(Duration::from_millis(1));
        driver.did(&["resolve"]);
    }

    #[test]
    fn requests_during_a_resolution_are_one_further_resolution() {
        let mut driver = Driver::connected();
        driver.pass(seconds(30));
        driver.lost(A);
        driver.did(&["IDLE", "resolve"]);
        driver.demand();
        driver.ready(A);
        driver.lost(A);
        driver.log.clear();
        driver.resolved(&[A, B]);
        driver.did(&[]);
        driver.pass(seconds(30));
        driver.did(&["resolve"]);
        driver.resolved(&[A, B]);
        driver.pass(seconds(1000));
        driver.did(&[]);
    }

    #[test]
    fn a_resolver_is_asked_from_time_to_time_if_that_is_wanted() {
        let config = Config { refresh_interval: Some(seconds(60)), ..Config::new("dns:///test") };
        let mut driver = Driver::with(config);
        driver.demand();
        driver.resolved(&[A]);
        driver.ready(A);
        driver.log.clear();
        driver.pass(Duration::from_millis(59_999));
        driver.did(&[]);
        driver.pass(Duration::from_millis(1));
        driver.did(&["resolve"]);
        driver.pass(seconds(10));
        driver.resolved(&[A, B]);
        driver.pass(seconds(59));
        driver.did(&[]);
        driver.pass(seconds(1));
        driver.did(&["resolve"]);
        // More often than the rules allow it cannot be.
        let config = Config { refresh_interval: Some(seconds(1)), ..Config::new("dns:///test") };
        let mut driver = Driver::with(config);
        driver.demand();
        driver.resolved(&[A]);
        driver.log.clear();
        driver.pass(Duration::from_millis(29_999));
        driver.did(&[]);
        driver.pass(Duration::from_millis(1));
        driver.did(&["resolve"]);
    }

    #[test]
    fn a_failed_resolution_fails_calls_and_is_repeated_with_back_off() {
        let mut driver = Driver::new();
        driver.demand();
        driver.log.clear();
        driver.resolver_failed("no such host");
        driver.did(&["TRANSIENT_FAILURE"]);
        assert_eq!(driver.failure(), "dns:///test: name resolution failed: no such host");
        driver.pass(Duration::from_millis(999));
        driver.did(&[]);
        driver.pass(Duration::from_millis(1));
        driver.did(&["resolve"]);
        driver.resolver_failed("no such host");
        driver.log.clear();
        driver.pass(Duration::from_millis(1279));
        driver.did(&[]);
        driver.pass(Duration::from_millis(641));
        driver.did(&["resolve"]);
        driver.resolved(&[A]);
        driver.did(&[&format!("connect {A}"), "CONNECTING"]);
    }

    #[test]
    fn a_failed_resolution_leaves_a_working_channel_alone() {
        let mut driver = Driver::connected();
        driver.resolver_failed("no such host");
        driver.did(&[]);
        assert!(matches!(driver.pick(), Pick::Subchannel(_)));
        driver.pass(seconds(1));
        driver.did(&["resolve"]);
    }

    #[test]
    fn an_answer_without_addresses_counts_as_a_failure_of_the_resolver() {
        let mut driver = Driver::new();
        driver.demand();
        driver.log.clear();
        driver.resolved(&[]);
        driver.did(&["TRANSIENT_FAILURE"]);
        driver.pass(seconds(1));
        driver.did(&["resolve"]);
    }

    #[test]
    fn a_resolver_that_never_answers_fails_calls_after_its_time() {
        let mut driver = Driver::new();
        driver.demand();
        driver.log.clear();
        driver.pass(Duration::from_millis(29_999));
        driver.did(&[]);
        driver.pass(Duration::from_millis(1));
        driver.did(&["TRANSIENT_FAILURE"]);
        assert_eq!(driver.failure(), "dns:///test: name resolution failed: no answer within 30s");
        driver.pass(seconds(1));
        driver.did(&["resolve"]);
        // The late answer is as good as any.
        driver.resolved(&[A]);
        driver.did(&[&format!("connect {A}"), "CONNECTING"]);
    }

    #[test]
    fn a_working_channel_ignores_a_resolver_that_does_not_answer_and_asks_again_when_need_be() {
        let mut driver = Driver::connected();
        driver.pass(seconds(30));
        driver.lost(A);
        driver.demand();
        driver.ready(A);
        driver.log.clear();
        driver.pass(seconds(60));
        driver.did(&[]);
        driver.lost(A);
        driver.did(&["IDLE", "resolve"]);
    }

    #[test]
    fn pushed_resolutions_are_taken_at_any_time() {
        let mut driver = Driver::connected();
        driver.resolved(&[B]);
        driver.did(&[&format!("disconnect {A}"), &format!("connect {B}"), "CONNECTING"]);
        driver.resolved(&[A]);
        driver.did(&[&format!("disconnect {B}"), &format!("connect {A}"), "CONNECTING"]);
    }

    #[test]
    fn a_reset_of_the_back_off_reconnects_at_once() {
        let mut driver = Driver::new();
        driver.demand();
        driver.resolved(&[A]);
        for _ in 0..6 {
            driver.lost(A);
            driver.pass(seconds(13));
        }
        driver.lost(A);
        driver.log.clear();
        driver.core.reset_backoff(driver.now);
        driver.drain();
        driver.did(&[&format!("connect {A}")]);
        driver.lost(A);
        driver.log.clear();
        driver.pass(seconds(1));
        driver.did(&[&format!("connect {A}")]);
    }

    #[test]
    fn a_reset_during_an_attempt_lets_the_next_follow_without_a_wait() {
        let mut driver = Driver::new();
        driver.demand();
        driver.resolved(&[A]);
        driver.core.reset_backoff(driver.now);
        driver.drain();
        driver.log.clear();
        driver.lost(A);
        driver.pass(Duration::ZERO);
        driver.did(&["TRANSIENT_FAILURE", &format!("connect {A}")]);
    }

    #[test]
    fn a_reset_of_the_back_off_asks_a_failing_resolver_at_once() {
        let mut driver = Driver::new();
        driver.demand();
        driver.resolver_failed("no such host");
        driver.log.clear();
        driver.core.reset_backoff(driver.now);
        driver.drain();
        driver.did(&["resolve"]);
    }

    #[test]
    fn half_an_hour_without_calls_lets_go_of_everything() {
        let mut driver = Driver::connected();
        driver.active(1);
        driver.pass(seconds(40 * 60));
        driver.active(0);
        driver.pass(seconds(30 * 60 - 1));
        driver.did(&[]);
        driver.pass(seconds(1));
        driver.did(&["IDLE", "stop resolver", &format!("disconnect {A}")]);
        assert_eq!(driver.core.poll_timeout(), None);
        assert!(matches!(driver.pick(), Pick::Queue));
        // What arrives late finds nobody.
        driver.resolved(&[A]);
        driver.ready(A);
        driver.lost(A);
        driver.resolver_failed("late");
        driver.core.reset_backoff(driver.now);
        driver.drain();
        driver.did(&[]);
        driver.demand();
        driver.did(&["CONNECTING", "resolve"]);
        driver.resolved(&[B]);
        driver.did(&[&format!("connect {B}"), "CONNECTING"]);
    }

    #[test]
    fn a_call_in_between_puts_idleness_off() {
        let mut driver = Driver::connected();
        driver.active(0);
        driver.pass(seconds(20 * 60));
        driver.active(1);
        driver.active(0);
        driver.pass(seconds(20 * 60));
        driver.did(&[]);
        driver.demand();
        driver.pass(seconds(29 * 60));
        driver.did(&[]);
        driver.pass(seconds(60));
        driver.did(&["IDLE", "stop resolver", &format!("disconnect {A}")]);
    }

    #[test]
    fn idleness_can_be_turned_off() {
        let config = Config { idle_timeout: None, ..Config::new("dns:///test") };
        let mut driver = Driver::with(config);
        driver.demand();
        driver.resolved(&[A]);
        driver.ready(A);
        driver.log.clear();
        driver.active(0);
        driver.pass(seconds(1_000_000));
        driver.did(&[]);
    }

    #[test]
    fn shutdown_ends_everything_and_is_final() {
        let mut driver = Driver::connected();
        driver.core.shutdown();
        driver.drain();
        driver.did(&["SHUTDOWN", "stop resolver", &format!("disconnect {A}")]);
        match driver.pick() {
            Pick::Drop(status) => {
                assert_eq!(status.code(), Code::Cancelled);
                assert_eq!(status.message(), "dns:///test: the channel was closed");
            }
            other => panic!("{other:?}"),
        }
        driver.demand();
        driver.resolved(&[A]);
        driver.lost(A);
        driver.active(0);
        driver.core.shutdown();
        driver.pass(seconds(100_000));
        driver.did(&[]);
        assert_eq!(driver.core.state(), ConnectivityState::Shutdown);
    }

    #[test]
    fn shutdown_of_an_idle_channel_has_nothing_to_let_go_of() {
        let mut driver = Driver::new();
        driver.core.shutdown();
        driver.drain();
        driver.did(&["SHUTDOWN"]);
    }

    #[test]
    fn absurd_times_in_the_configuration_do_no_harm() {
        let config = Config {
            backoff: BackoffConfig {
                base_delay: Duration::MAX,
                max_delay: Duration::MAX,
                ..BackoffConfig::default()
            },
            min_connect_timeout: Duration::MAX,
            idle_timeout: Some(Duration::MAX),
            min_resolution_interval: Duration::MAX,
            refresh_interval: Some(Duration::MAX),
            resolution_timeout: Duration::MAX,
            ..Config::new("dns:///test")
        };
        let mut driver = Driver::with(config);
        driver.demand();
        driver.active(0);
        driver.resolved(&[A]);
        driver.lost(A);
        driver.resolver_failed("x");
        driver.pass(seconds(60));
    }

    #[test]
    fn the_channel_survives_any_order_of_events() {
        for seed in 1..200 {
            let mut random = Xorshift::new(seed);
            let mut driver = Driver::new();
            for _ in 0..300 {
                let any = random.next_u64();
                let attempt = driver.attempts.get(any as usize % driver.attempts.len().max(1)).map(|a| a.0);
                match (any >> 32) % 10 {
                    0 => driver.demand(),
                    1 => driver.resolved(&[A]),
                    2 => driver.resolved(&[B, A]),
                    3 => driver.resolver_failed("x"),
                    4 => driver.active((any >> 48) as usize % 2),
                    5 => driver.pass(seconds((any >> 40) % 100)),
                    6 => driver.resolved(&[]),
                    n => {
                        let event = match n {
                            7 => ConnectionEvent::Ready,
                            _ => ConnectionEvent::Lost { reason: "x".into() },
                        };
                        attempt.into_iter().for_each(|id| driver.report(id, event.clone()));
                    }
                }
                // Calls are sent only on connections that exist; and a channel that is not idle is on its way.
                if let Pick::Subchannel(id) = driver.pick() {
                    assert_eq!(driver.core.state(), ConnectivityState::Ready);
                    assert!(driver.core.plane.subchannel(id).is_some_and(|s| s.connection().is_some()));
                } else if matches!(driver.core.state(), ConnectivityState::Connecting) {
                    let under_way =
                        (driver.core.plane.subchannels.iter()).any(|(_, s)| s.connection().is_some());
                    assert!(under_way || driver.core.poll_timeout().is_some());
                }
            }
            // Whatever happened, the channel recovers when its backend does.
            driver.demand();
            driver.resolved(&[A]);
            driver.pass(seconds(200));
            driver.demand();
            let id = driver.id(A);
            driver.report(id, ConnectionEvent::Ready);
            assert_eq!(driver.core.state(), ConnectivityState::Ready, "seed {seed}");
            driver.core.shutdown();
            driver.drain();
            assert_eq!(driver.core.poll_timeout(), None);
            assert!(driver.core.plane.subchannels.is_empty());
        }
    }

    const ROUND_ROBIN: &str =
        r#"{"loadBalancingConfig": [{"round_robin": {}}], "methodConfig": [{"name": [{}]}]}"#;

    impl Driver {
        fn resolved_with(&mut self, addresses: &[&str], service_config: Result<&str, ResolveError>) {
            let addresses = addresses.iter().map(|text| Address::Tcp(text.parse().unwrap()));
            let mut resolution: Resolution = addresses.collect();
            resolution.service_config = Some(service_config.map(str::to_owned));
            self.core.handle_resolution(self.now, Ok(resolution));
            self.drain();
        }
    }

    #[test]
    fn the_service_config_chooses_the_policy_and_configures_calls() {
        let mut driver = Driver::new();
        driver.demand();
        driver.log.clear();
        driver.resolved_with(&[A, B], Ok(ROUND_ROBIN));
        driver.did(&[&format!("connect {A}"), &format!("connect {B}"), "CONNECTING"]);
        assert!(matches!(driver.configs, CallConfigs::Service(_)));
        // Without a service config the default counts again.
        driver.ready(A);
        driver.resolved(&[A, B]);
        assert!(matches!(driver.configs, CallConfigs::None));
        driver.log.clear();
        driver.lost(A);
        driver.did(&["IDLE"]);
    }

    #[test]
    fn a_first_service_config_that_is_bad_fails_calls_and_the_resolver_is_asked_again() {
        let mut driver = Driver::new();
        driver.demand();
        driver.log.clear();
        driver.resolved_with(&[A], Ok("[]"));
        driver.did(&["TRANSIENT_FAILURE"]);
        let failure =
            "dns:///test: the service config cannot be used: the document: found []; it must be an object";
        assert_eq!(driver.failure(), failure);
        driver.pass(seconds(1));
        driver.did(&["resolve"]);
        driver.resolved_with(&[A], Err(ResolveError::new("no TXT record")));
        assert_eq!(driver.failure(), "dns:///test: the service config could not be had: no TXT record");
        driver.resolved_with(&[A], Ok("{}"));
        driver.ready(A);
        assert_eq!(driver.core.state(), ConnectivityState::Ready);
    }

    #[test]
    fn a_later_service_config_that_is_bad_leaves_the_good_one_and_the_resolver_is_asked_again() {
        let mut driver = Driver::new();
        driver.demand();
        driver.resolved_with(&[A], Ok(ROUND_ROBIN));
        driver.ready(A);
        driver.log.clear();
        driver.resolved_with(&[A, B], Ok("[]"));
        driver.did(&[&format!("connect {B}"), "READY"]);
        driver.pass(seconds(1));
        driver.did(&["resolve"]);
    }

    #[test]
    fn the_resolver_s_service_config_may_be_left_out_of_account() {
        let config = Config { ignore_resolver_config: true, ..Config::new("dns:///test") };
        let mut driver = Driver::with(config);
        driver.demand();
        driver.log.clear();
        driver.resolved_with(&[A, B], Ok(ROUND_ROBIN));
        driver.did(&[&format!("connect {A}"), "CONNECTING"]);
    }

    #[test]
    fn a_new_policy_takes_over_the_connections_of_the_old() {
        let mut driver = Driver::connected();
        driver.resolved_with(&[A], Ok(ROUND_ROBIN));
        driver.did(&["READY"]);
        assert_eq!(driver.core.plane.subchannels.len(), 1);
        driver.resolved(&[B]);
        driver.ready(B);
        driver.did(&[&format!("connect {B}"), &format!("disconnect {A}"), "READY"]);
        assert_eq!(driver.core.plane.by_address.len(), 1);
    }

    const HEALTH: &str =
        r#"{"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": "s"}}"#;

    impl Driver {
        fn told(&mut self, address: &str, event: WatchEvent) {
            self.core.handle_watch(self.now, self.id(address), event);
            self.drain();
        }

        /// Connected to A by round_robin with health checking.
        fn checking() -> Self {
            let mut driver = Driver::new();
            driver.demand();
            driver.resolved_with(&[A], Ok(HEALTH));
            driver.log.clear();
            driver.ready(A);
            driver.did(&[&format!("watch Health(\"s\") of {A}"), "CONNECTING"]);
            driver
        }
    }

    #[test]
    fn a_backend_gets_calls_while_it_says_that_it_serves() {
        let mut driver = Driver::checking();
        driver.told(A, WatchEvent::Healthy);
        driver.did(&["READY"]);
        driver.told(A, WatchEvent::Healthy);
        driver.did(&[]);
        driver.told(A, WatchEvent::Unhealthy("NOT_SERVING".into()));
        driver.did(&["TRANSIENT_FAILURE"]);
        assert_eq!(driver.failure(), "dns:///test: the backend is not healthy: 10.0.0.1:80: NOT_SERVING");
        driver.lost(A);
        driver.log.clear();
        // Another connection, another watch; what the old one tells does not count.
        driver.ready(A);
        driver.did(&[&format!("watch Health(\"s\") of {A}"), "CONNECTING"]);
    }

    #[test]
    fn a_health_watch_that_ends_makes_its_backend_unhealthy_and_is_opened_again_after_a_back_off() {
        let mut driver = Driver::checking();
        driver.told(A, WatchEvent::HealthEnded(Status::unavailable("no")));
        driver.did(&["TRANSIENT_FAILURE"]);
        driver.pass(Duration::from_millis(999));
        driver.did(&[]);
        driver.pass(Duration::from_millis(1));
        driver.did(&[&format!("watch Health(\"s\") of {A}")]);
        driver.told(A, WatchEvent::Healthy);
        driver.did(&["READY"]);
    }

    #[test]
    fn a_backend_without_health_checking_counts_as_healthy() {
        let mut driver = Driver::checking();
        driver.told(A, WatchEvent::HealthEnded(Status::unimplemented("unknown service")));
        driver.did(&["READY"]);
        driver.pass(seconds(1000));
        driver.did(&[]);
    }

    #[test]
    fn health_checking_comes_and_goes_with_the_service_config_and_can_be_turned_off() {
        let mut driver = Driver::checking();
        driver.resolved_with(&[A], Ok(ROUND_ROBIN));
        driver.did(&[&format!("stop the health watch of {A}"), "READY"]);
        driver.resolved_with(&[A], Ok(HEALTH));
        driver.did(&[&format!("watch Health(\"s\") of {A}"), "CONNECTING"]);
        let mut driver = Driver::with(Config { health_checking: false, ..Config::new("dns:///test") });
        driver.demand();
        driver.resolved_with(&[A], Ok(HEALTH));
        driver.log.clear();
        driver.ready(A);
        driver.did(&["READY"]);
    }

    #[test]
    fn load_is_watched_out_of_band_and_reported_to_the_policy() {
        let mut driver = Driver::new();
        driver.demand();
        let config = r#"{"loadBalancingConfig": [{"weighted_round_robin": {"enableOobLoadReport": true}}]}"#;
        driver.resolved_with(&[A, B], Ok(config));
        driver.log.clear();
        driver.ready(A);
        driver.did(&[&format!("watch Load(10s) of {A}"), "READY"]);
        driver.told(A, WatchEvent::Load(Arc::default()));
        driver.told(A, WatchEvent::LoadEnded { is_unimplemented: false });
        driver.pass(seconds(1));
        driver.did(&[&format!("watch Load(10s) of {A}")]);
        driver.told(A, WatchEvent::LoadEnded { is_unimplemented: true });
        driver.pass(seconds(19));
        driver.did(&[]);
    }

    /// Connects everything, to show what a balancer may do within a call.
    struct Eager(Vec<SubchannelId>);

    impl Eager {
        fn config() -> Config {
            let default_policy = Policy::without_config(&(Arc::new(Eager(Vec::new())) as _));
            Config { default_policy, ..Config::new("dns:///test") }
        }
    }

    impl BalancerBuilder for Eager {
        fn name(&self) -> &str {
            "eager"
        }
        fn build(&self) -> Box<dyn Balancer> {
            Box::new(Eager(Vec::new()))
        }
    }

    impl Balancer for Eager {
        fn handle_resolution(
            &mut self,
            update: Update,
            controller: &mut dyn Controller,
        ) -> Result<(), BadResolution> {
            for address in update.endpoints.into_iter().flat_map(|endpoint| endpoint.addresses) {
                let id = controller.create_subchannel(address, &Attributes::NONE);
                controller.connect(id);
                controller.connect(id);
                self.0.push(id);
            }
            Ok(())
        }
        fn handle_resolver_error(&mut self, _: &ResolveError, _: &mut dyn Controller) {}
        fn handle_subchannel(
            &mut self,
            id: SubchannelId,
            event: SubchannelEvent,
            controller: &mut dyn Controller,
        ) {
            match event {
                SubchannelEvent::State(SubchannelState::Idle) => {
                    for other in self.0.drain(..).filter(|other| *other != id) {
                        controller.remove(other);
                        controller.remove(other);
                        controller.connect(other);
                    }
                }
                _ => controller.connect(id),
            }
        }
        fn exit_idle(&mut self, _: &mut dyn Controller) {}
    }

    #[test]
    fn connecting_takes_effect_once_and_only_on_idle_subchannels() {
        let mut driver = Driver::with(Eager::config());
        driver.demand();
        driver.log.clear();
        driver.resolved(&[A, B]);
        driver.did(&[&format!("connect {A}"), &format!("connect {B}")]);
        driver.lost(A);
        driver.did(&[]);
    }

    #[test]
    fn a_balancer_hears_nothing_of_a_subchannel_it_removed_in_the_same_turn() {
        let mut driver = Driver::with(Eager::config());
        driver.demand();
        driver.resolved(&[A, B]);
        driver.lost(A);
        driver.lost(B);
        driver.log.clear();
        // Both back-offs pass at once; on hearing of the first the balancer removes the second.
        driver.pass(seconds(1));
        driver.did(&[]);
        assert_eq!(driver.core.plane.subchannels.len(), 1);
    }
}
