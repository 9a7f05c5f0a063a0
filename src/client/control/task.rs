//! `ControlTask`: runs a channel's core on a loop. It turns the core's actions into connections and resolutions, and
//! publishes what calls read.

use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use lariat_http2::Config as Http2Config;

use super::hold::IdleNotice;
use super::{Control, Input, Lane, Snapshot, Unsent};
use crate::call::Link;
use crate::client::backoff::LONGEST_WAIT;
use crate::client::call_config::CallConfigs;
use crate::client::connection_handle::{Command, ConnectionHandle};
use crate::client::connectivity::ConnectivityState;
use crate::client::core::{Action, Core};
use crate::client::dialer::{Dialed, Dialer};
use crate::client::pending::{Call, PendingCall};
use crate::client::picker::{CallEnd, Pick, Picker};
use crate::client::resolver::{
    Registry, Resolution, ResolutionSender, ResolutionSink, ResolveError, Resolver, Work,
};
use crate::client::retry::TokenBucket;
use crate::client::service_config::RetryThrottling;
use crate::client::session::ClientSession;
use crate::client::stream_pool::StreamPool;
use crate::client::subchannel::{ConnectionEvent, ConnectionId, SubchannelId, WatchRequest};
use crate::client::target::{Target, TargetError};
use crate::client::watch_stream::{WatchKind, WatchMethods, WatchStream};
use crate::credentials::ChannelCredentials;
use crate::net::{
    Address, Inbox, LazyTimer, LoopHandle, Note, Place, Security, Session, Task, TimerId, Turn, clock,
};
use crate::rpc::Status;

const INBOX_SLOT: u32 = 0;
/// The core's timer.
const CORE_SLOT: u32 = 1;
/// Calls that wait here may have expired or been dropped.
const WAITING_SLOT: u32 = 2;
/// The channel may have been idle for long enough.
const IDLE_SLOT: u32 = 3;

/// A resolver, and the channel's ear for it, which is gone when the resolver is.
pub(in crate::client) struct HeardResolver {
    resolver: Box<dyn Resolver>,
    _ear: Arc<Ear>,
    /// For the answer to the latest question, so that one overdue does not take the place of a newer one.
    question: Option<Arc<Ear>>,
}

struct Ear(Weak<Control>);

/// Results of one resolver.
struct Sink(Weak<Ear>);

impl ResolutionSink for Sink {
    fn send(&self, result: Result<Resolution, ResolveError>) -> bool {
        let control = self.0.upgrade().and_then(|ear| ear.0.upgrade());
        control.is_some_and(|control| control.inbox.send(Input::Resolved(result)).is_ok())
    }
}

/// What a channel's connections and resolutions are made with.
pub(in crate::client) struct Plan {
    pub(in crate::client) target: Target,
    /// What is resolved: the target, or the proxy that leads to it.
    pub(in crate::client) resolved: Target,
    pub(in crate::client) registry: Registry,
    pub(in crate::client) http2: Arc<Http2Config>,
    pub(in crate::client) credentials: ChannelCredentials,
    /// The `:authority` of calls, which is whom a server has to be unless the credentials say otherwise.
    pub(in crate::client) authority: Arc<str>,
    pub(in crate::client) place: Place,
    pub(in crate::client) idle_timeout: Option<Duration>,
    pub(in crate::client) watches: WatchMethods,
    /// Makes the connections, if the engine does not.
    pub(in crate::client) dialer: Option<Arc<dyn Dialer>>,
}

/// The task that runs a [`Core`].
pub(in crate::client) struct ControlTask {
    control: Arc<Control>,
    core: Core,
    plan: Plan,
    resolver: Option<HeardResolver>,
    waiting: Vec<PendingCall>,
    /// Those that the core knows.
    connections: HashMap<ConnectionId, Arc<ConnectionHandle>>,
    /// Of the subchannels that may have several connections.
    pools: HashMap<SubchannelId, Arc<StreamPool>>,
    /// The streams by which backends are watched.
    watches: HashMap<(ConnectionId, WatchKind), Arc<Call<WatchStream>>>,
    /// Every connection that may still have calls, also those that the core has given up.
    all: Vec<Arc<ConnectionHandle>>,
    timer: Option<(Instant, TimerId)>,
    waiting_timer: LazyTimer,
    idle_timer: LazyTimer,
    last_demand: Instant,
    /// The connections are asked whether they have calls.
    is_asking: bool,
    /// A call has come since.
    is_stirred: bool,
    finished: bool,
}

impl ControlTask {
    pub(in crate::client) fn new(control: Arc<Control>, core: Core, plan: Plan, now: Instant) -> Self {
        ControlTask {
            control,
            core,
            plan,
            resolver: None,
            waiting: Vec::new(),
            connections: HashMap::new(),
            pools: HashMap::new(),
            watches: HashMap::new(),
            all: Vec::new(),
            timer: None,
            waiting_timer: LazyTimer::new(WAITING_SLOT),
            idle_timer: LazyTimer::new(IDLE_SLOT),
            last_demand: now,
            is_asking: false,
            is_stirred: false,
            finished: false,
        }
    }

    /// A resolver for a target, whose results go to the control plane.
    pub(in crate::client) fn resolver(
        control: &Arc<Control>,
        registry: &Registry,
        target: &Target,
    ) -> Result<HeardResolver, TargetError> {
        let ear = Arc::new(Ear(Arc::downgrade(control)));
        let sink = Sink(Arc::downgrade(&ear));
        let resolver = registry.build(target, ResolutionSender::new(Arc::new(sink)))?;
        Ok(HeardResolver { resolver, _ear: ear, question: None })
    }

    fn handle_inputs(&mut self, turn: &mut Turn<'_>) {
        let mut inputs = Default::default();
        self.control.inbox.take(&mut inputs);
        for input in inputs {
            match input {
                Input::Call(call) => self.handle_call(turn, call),
                Input::Connection(id, event) => self.handle_connection(turn, id, event),
                Input::Watched(id, event) => self.core.handle_watch(turn.now, id, event),
                Input::Resolved(result) => self.core.handle_resolution(turn.now, result),
                Input::Connect => self.demand(turn),
                Input::ResetBackoff => self.core.reset_backoff(turn.now),
                Input::Close => self.close(turn, Some(Status::cancelled("the channel was closed"))),
                // What follows is the same whatever was told.
                Input::Release => {}
                Input::Keepalive(time) => self.lengthen_keepalive(time),
                Input::AllIdle => {
                    self.is_asking = false;
                    if !self.is_stirred && self.is_unwanted() {
                        self.close(turn, None);
                    }
                }
            }
            self.act(turn);
        }
        self.check_release();
    }

    /// Connections to be made send PINGs less often.
    fn lengthen_keepalive(&mut self, time: Duration) {
        if self.plan.http2.keepalive.time.is_some_and(|current| current < time) {
            // Those that are open share the config as it is.
            let mut config = Http2Config::clone(&self.plan.http2);
            config.keepalive.time = Some(time.min(LONGEST_WAIT));
            self.plan.http2 = Arc::new(config);
        }
    }

    /// Whether nobody holds the channel, and no call waits here.
    fn is_unwanted(&self) -> bool {
        !self.finished && self.control.holds.load(Ordering::Acquire) == 0 && !self.has_waiting()
    }

    /// Has the channel end when nobody can need it any more. Its connections may give calls back as long as they have
    /// some.
    fn check_release(&mut self) {
        if self.is_asking || !self.is_unwanted() {
            return;
        }
        (self.is_asking, self.is_stirred) = (true, false);
        let notice = Arc::new(IdleNotice::new(&self.control));
        for connection in &self.all {
            // One that is still being made has had no calls.
            if connection.inbox.is_open() {
                let _ = connection.inbox.send(Command::TellIdle(Arc::clone(&notice)));
            }
        }
    }

    fn handle_call(&mut self, turn: &mut Turn<'_>, call: PendingCall) {
        self.is_stirred = true;
        // The picker may have changed while the call was on its way here.
        let Err(unsent) = self.control.try_start(call) else { return };
        let call = match &unsent {
            Unsent::NoConnection(call) | Unsent::NoStream(call, _) => call,
        };
        let note = Note { token: turn.token, slot: WAITING_SLOT };
        let is_wanted = call.receiver.attach(Link { handle: turn.handle.clone(), note }.into());
        if let Some(deadline) = call.deadline {
            self.waiting_timer.arm(turn, deadline);
        }
        // Both may have come about before the link and the timer were there to tell, and since the turn began.
        let now = clock::now();
        let is_over = call.has_expired(now) || !is_wanted;
        match unsent {
            Unsent::NoConnection(call) => self.waiting.push(call),
            Unsent::NoStream(call, pool) => pool.wait(call),
        }
        if is_over {
            self.sweep(now);
        }
        self.demand(turn);
    }

    fn demand(&mut self, turn: &mut Turn<'_>) {
        self.last_demand = turn.now;
        self.core.handle_demand(turn.now);
        if let Some(timeout) = self.plan.idle_timeout {
            self.idle_timer.arm(turn, turn.now + timeout);
        }
    }

    fn handle_connection(&mut self, turn: &mut Turn<'_>, id: ConnectionId, event: ConnectionEvent) {
        if matches!(event, ConnectionEvent::Lost { .. }) {
            self.forget(id);
        }
        self.core.handle_connection(turn.now, id, event);
    }

    /// Has no more to do with a connection.
    fn forget(&mut self, id: ConnectionId) -> Option<Arc<ConnectionHandle>> {
        let connection = self.connections.remove(&id)?;
        self.stop_watches(id);
        let subchannel = id.subchannel();
        if self.pools.get(&subchannel).is_some_and(|pool| pool.remove(id)) {
            self.pools.remove(&subchannel);
        }
        Some(connection)
    }

    /// Does what the core wants done.
    fn act(&mut self, turn: &mut Turn<'_>) {
        while let Some(action) = self.next_action(turn.now) {
            match action {
                Action::Resolve => self.resolve(turn.now),
                Action::StopResolver => self.resolver = None,
                Action::StartConnect { id, address, deadline } => {
                    self.connect(turn.now, id, address, deadline)
                }
                Action::Disconnect { id } => {
                    if let Some(connection) = self.forget(id) {
                        let _ = connection.inbox.send(Command::Drain);
                    }
                }
                Action::Watch { id, request } => self.watch(id, &request),
                Action::StopHealthWatch { id } => self.stop_watch(id, WatchKind::Health),
                Action::StopLoadWatch { id } => self.stop_watch(id, WatchKind::Load),
                Action::Configure(configs, throttling) => self.configure(configs, throttling),
                Action::Publish { state, picker } => self.publish(turn, state, picker),
            }
        }
        let next = self.core.poll_timeout();
        if next != self.timer.map(|(time, _)| time) {
            if let Some((_, timer)) = self.timer.take() {
                turn.cancel_timer(timer);
            }
            self.timer = next.map(|time| (time, turn.set_timer(time, CORE_SLOT)));
        }
    }

    /// The next thing that the core wants done. When there is none it is told again what calls wait for.
    fn next_action(&mut self, now: Instant) -> Option<Action> {
        let action = self.core.poll_action();
        if action.is_some() || self.pools.is_empty() {
            return action;
        }
        for (id, _) in self.pools.iter().filter(|(_, pool)| pool.is_crowded()) {
            self.core.handle_crowding(now, *id);
        }
        self.core.poll_action()
    }

    fn resolve(&mut self, now: Instant) {
        if self.resolver.is_none() {
            match Self::resolver(&self.control, &self.plan.registry, &self.plan.resolved) {
                Ok(resolver) => self.resolver = Some(resolver),
                Err(error) => {
                    return self.core.handle_resolution(now, Err(ResolveError::new(error.to_string())));
                }
            }
        }
        let Some(HeardResolver { resolver, question, .. }) = &mut self.resolver else { return };
        match resolver.resolve() {
            Work::Ready(result) => self.core.handle_resolution(now, result),
            Work::Pushed => {}
            Work::Blocking(look_up) => {
                let ear = question.insert(Arc::new(Ear(Arc::downgrade(&self.control))));
                let sink = Sink(Arc::downgrade(ear));
                let look_up = move || {
                    let found = catch_unwind(AssertUnwindSafe(look_up));
                    sink.send(found.unwrap_or_else(|_| Err(ResolveError::new("the resolver panicked"))))
                };
                let thread = std::thread::Builder::new().name("lariat-resolver".to_owned());
                let spawned = thread.spawn(look_up);
                if let Err(error) = spawned {
                    let error = ResolveError::new(format!("no thread for the resolver: {error}"));
                    self.core.handle_resolution(now, Err(error));
                }
            }
        }
    }

    fn connect(&mut self, now: Instant, id: ConnectionId, address: Address, deadline: Instant) {
        let security = match self.plan.credentials.secure(&address, &self.plan.authority) {
            Ok(security) => security,
            Err(error) => {
                let lost = ConnectionEvent::Lost { reason: error.to_string() };
                return self.core.handle_connection(now, id, lost);
            }
        };
        let handle = self.plan.place.iter().min_by_key(|handle| handle.connections()).cloned();
        let Some(handle) = handle else { return };
        self.forget_ended();
        // It has had no calls, so it is idle since there were the last elsewhere.
        let connection = Arc::new(ConnectionHandle::new(Inbox::new(handle.clone()), self.last_demand));
        self.connections.insert(id, Arc::clone(&connection));
        let pooled = (self.core.max_connections() > 1 || self.pools.contains_key(&id.subchannel()))
            .then(|| self.pool(id.subchannel()).add(id, Arc::clone(&connection)));
        self.all.push(Arc::clone(&connection));
        let session = ClientSession::new(
            id,
            address.clone(),
            Arc::clone(&self.plan.http2),
            deadline,
            Arc::clone(&self.control),
            connection,
            pooled,
        );
        match &self.plan.dialer {
            Some(dialer) => {
                let session = Box::new(session);
                self.dial(Arc::clone(dialer), handle.clone(), id, address, deadline, (session, security))
            }
            None => handle.connect(address, deadline, Box::new(session), security),
        }
    }

    /// Has the channel's dialer connect.
    fn dial(
        &self,
        dialer: Arc<dyn Dialer>,
        handle: LoopHandle,
        id: ConnectionId,
        address: Address,
        deadline: Instant,
        (session, security): (Box<ClientSession>, Security),
    ) {
        let control = Arc::clone(&self.control);
        let lost = |reason: String| ConnectionEvent::Lost { reason };
        let dialed = move || {
            let dialed = catch_unwind(AssertUnwindSafe(|| dialer.dial(&address, deadline)));
            dialed
                .unwrap_or_else(|_| Err(io::Error::other("the dialer panicked")))
                .and_then(Dialed::into_socket)
        };
        let dial = move || match dialed() {
            Ok((socket, peer)) => {
                // Without the option a dead peer is noticed by keepalive alone.
                if let Some(timeout) = session.user_timeout() {
                    let _ = socket.set_user_timeout(timeout);
                }
                handle.adopt(socket, peer, session, security);
            }
            Err(error) => control.connection_event(id, lost(error.to_string())),
        };
        let thread = std::thread::Builder::new().name("lariat-dialer".to_owned());
        if let Err(error) = thread.spawn(dial) {
            self.control.connection_event(id, lost(format!("no thread for the dialer: {error}")));
        }
    }

    /// Opens a stream on the connection, in the place of the one of its kind that may be open there.
    fn watch(&mut self, id: ConnectionId, request: &WatchRequest) {
        let Some(connection) = self.connections.get(&id) else { return };
        let (kind, (stream, call)) = match request {
            WatchRequest::Health(service) => {
                (WatchKind::Health, WatchStream::health(&self.control, &self.plan.watches, id, service))
            }
            WatchRequest::Load(interval) => {
                (WatchKind::Load, WatchStream::load(&self.control, &self.plan.watches, id, *interval))
            }
        };
        if let Err(call) = connection.open(call, || None) {
            call.fail(Status::unavailable("the connection was lost"));
        }
        if let Some(old) = self.watches.insert((id, kind), stream) {
            old.receiver.abandon();
        }
    }

    fn stop_watch(&mut self, id: ConnectionId, kind: WatchKind) {
        if let Some(stream) = self.watches.remove(&(id, kind)) {
            stream.receiver.abandon();
        }
    }

    fn stop_watches(&mut self, id: ConnectionId) {
        self.stop_watch(id, WatchKind::Health);
        self.stop_watch(id, WatchKind::Load);
    }

    /// The pool of a subchannel that may have several connections.
    fn pool(&mut self, id: SubchannelId) -> &Arc<StreamPool> {
        self.pools.entry(id).or_insert_with(|| StreamPool::new(&self.control))
    }

    /// Makes pools for subchannels that have become allowed more than one connection.
    fn pool_connections(&mut self) {
        let without = |(id, _): &(&ConnectionId, _)| !self.pools.contains_key(&id.subchannel());
        let lone: Vec<ConnectionId> = self.connections.iter().filter(without).map(|(id, _)| *id).collect();
        for id in lone {
            let Some(connection) = self.connections.get(&id).cloned() else { continue };
            let pooled = self.pool(id.subchannel()).add(id, Arc::clone(&connection));
            let _ = connection.inbox.send(Command::Pool(pooled));
        }
        let snapshot = Snapshot { connections: self.lanes(), ..self.control.snapshot() };
        self.control.snapshot.store(Arc::new(snapshot));
    }

    /// How calls get to each subchannel.
    fn lanes(&self) -> Vec<Option<(SubchannelId, Lane)>> {
        let places = self.connections.keys().map(|id| id.subchannel().index() + 1).max().unwrap_or(0);
        let mut lanes = vec![None; places];
        for (id, connection) in &self.connections {
            let lane = match self.pools.get(&id.subchannel()) {
                Some(pool) => Lane::Pool(Arc::clone(pool)),
                None => Lane::One(Arc::clone(connection)),
            };
            lanes[id.subchannel().index()] = Some((id.subchannel(), lane));
        }
        lanes
    }

    /// Calls get their configs from here from now on.
    fn configure(&mut self, configs: CallConfigs, throttling: Option<RetryThrottling>) {
        if self.core.max_connections() > 1 {
            self.pool_connections();
        }
        let mut snapshot = self.control.snapshot();
        // What was counted goes on to count when a resolution brings the same limits again.
        if snapshot.throttling != throttling {
            snapshot.throttling = throttling;
            snapshot.bucket = throttling.map(|throttling| Arc::new(Mutex::new(TokenBucket::new(throttling))));
        }
        snapshot.configs = Some(configs);
        self.control.snapshot.store(Arc::new(snapshot));
    }

    fn publish(&mut self, turn: &mut Turn<'_>, state: ConnectivityState, picker: Arc<dyn Picker>) {
        let snapshot = Snapshot { picker, connections: self.lanes(), ..self.control.snapshot() };
        self.control.snapshot.store(Arc::new(snapshot));
        self.control.set_state(state);
        for call in std::mem::take(&mut self.waiting) {
            let call = match self.control.try_start(call) {
                Ok(()) => continue,
                Err(Unsent::NoStream(call, pool)) => {
                    pool.wait(call);
                    continue;
                }
                Err(Unsent::NoConnection(call)) => call,
            };
            // Its config may have brought it a deadline.
            if let Some(deadline) = call.deadline {
                self.waiting_timer.arm(turn, deadline);
            }
            self.waiting.push(call);
        }
        self.sweep(turn.now);
        if !self.waiting.is_empty() {
            self.core.handle_demand(turn.now);
        }
    }

    fn has_waiting(&self) -> bool {
        !self.waiting.is_empty() || self.pools.values().any(|pool| pool.has_waiting())
    }

    /// The earliest deadline of those that wait.
    fn next_deadline(&self) -> Option<Instant> {
        let own = self.waiting.iter().filter_map(|call| call.deadline);
        own.chain(self.pools.values().filter_map(|pool| pool.next_deadline())).min()
    }

    /// Ends waiting calls whose time is over or whose caller is gone.
    fn sweep(&mut self, now: Instant) {
        self.pools.values().for_each(|pool| pool.sweep(now));
        for call in self.waiting.extract_if(.., |call| call.has_expired(now) || call.receiver.is_abandoned())
        {
            let latest = {
                let snapshot = self.control.snapshot.load();
                match snapshot.picker.pick(&call.pick_info()) {
                    Pick::Send(route) => {
                        if let Some(observer) = route.observer() {
                            observer.handle_end(&CallEnd::UNSENT);
                        }
                        if route.asks_to_connect() {
                            self.control.tell(Input::Connect);
                        }
                        String::new()
                    }
                    Pick::Fail(status) => format!("; latest error: {}", status.message()),
                    _ => String::new(),
                }
            };
            let state = self.core.state();
            call.fail(Status::deadline_exceeded(format!(
                "the deadline passed while the call waited for a connection to {} (channel state {state}){latest}",
                self.plan.target
            )));
        }
    }

    fn check_idle(&mut self, turn: &mut Turn<'_>) {
        self.idle_timer.fired();
        let Some(timeout) = self.plan.idle_timeout else { return };
        let idle_since = self.idle_since().filter(|_| !self.has_waiting());
        let due = idle_since.unwrap_or(turn.now) + timeout;
        if due > turn.now {
            self.idle_timer.arm(turn, due);
            return;
        }
        self.core.handle_activity(due - timeout, 0);
        self.core.handle_timeout(turn.now);
        self.core.handle_activity(turn.now, 1);
    }

    /// Since when no call has been with a connection, or on its way to one; `None` if there is one.
    fn idle_since(&mut self) -> Option<Instant> {
        if self.control.calls_apart.load(Ordering::Acquire) > 0 {
            return None;
        }
        self.forget_ended();
        let begin = self.control.activity.idle_since().map(|apart| apart.max(self.last_demand));
        let both = |one: Option<Instant>, other: Option<Instant>| Some(one?.max(other?));
        self.all.iter().map(|connection| connection.idle_since()).fold(begin, both)
    }

    /// Keeps of connections that have ended when they had the last call.
    fn forget_ended(&mut self) {
        let last = &mut self.last_demand;
        self.all.retain(|connection| {
            let is_alive = Arc::strong_count(connection) > 1;
            if let Some(idle_since) = connection.idle_since().filter(|_| !is_alive) {
                *last = idle_since.max(*last);
            }
            is_alive
        });
    }

    /// Shuts the channel down; with a status, calls under way end with it.
    fn close(&mut self, turn: &mut Turn<'_>, status: Option<Status>) {
        self.core.shutdown();
        self.finished = true;
        self.waiting_timer.cancel(turn);
        self.idle_timer.cancel(turn);
        if let Some(status) = status {
            for connection in &self.all {
                let _ = connection.inbox.send(Command::Close(status.clone()));
            }
            self.waiting.drain(..).for_each(|call| call.fail(status.clone()));
            self.pools.values().for_each(|pool| pool.close(&status));
            self.control.set_closed();
        }
        for input in self.control.inbox.close() {
            if let Input::Call(call) = input {
                call.fail(Status::cancelled("the channel was closed"));
            }
        }
    }
}

impl Drop for ControlTask {
    fn drop(&mut self) {
        // However the task ends, nobody may go on sending it calls; those on their way learn of it by their own drop.
        drop(self.control.inbox.close());
        let status = Status::unavailable("the engine that carried the call was stopped");
        self.pools.values().for_each(|pool| pool.close(&status));
    }
}

impl Task for ControlTask {
    fn handle_start(&mut self, turn: &mut Turn<'_>) {
        self.control.inbox.open(Note { token: turn.token, slot: INBOX_SLOT });
        self.act(turn);
    }

    fn handle_wake(&mut self, turn: &mut Turn<'_>, slot: u32) {
        match slot {
            INBOX_SLOT => self.handle_inputs(turn),
            _ => {
                self.sweep(turn.now);
                self.check_release();
            }
        }
    }

    fn handle_timer(&mut self, turn: &mut Turn<'_>, slot: u32) {
        match slot {
            CORE_SLOT => {
                self.timer = None;
                self.core.handle_timeout(turn.now);
            }
            IDLE_SLOT => self.check_idle(turn),
            _ => {
                self.waiting_timer.fired();
                self.sweep(turn.now);
                if let Some(next) = self.next_deadline() {
                    self.waiting_timer.arm(turn, next);
                }
            }
        }
        self.act(turn);
        self.check_release();
    }

    fn is_finished(&self) -> bool {
        self.finished
    }
}
