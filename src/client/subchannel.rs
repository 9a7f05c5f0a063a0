//! A subchannel: one address that the channel may keep connected, with the back-off between its attempts.
//!
//! It has one connection, or several if the service config allows that and the server's limits of concurrent streams
//! call for it (gRFC A105). All share one back-off, and at most one is being made at a time.

use super::attributes::Attributes;
use super::backoff::{Backoff, BackoffConfig};
use super::random::Xorshift;
use super::watch::Watch;
use crate::net::Address;
use crate::rpc::{Code, LoadReport, Status};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Names a subchannel of one channel. An id is never used again, though its [`index`](Self::index) is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubchannelId {
    index: usize,
    serial: u32,
}

impl SubchannelId {
    pub(crate) fn new(index: usize, serial: u32) -> Self {
        SubchannelId { index, serial }
    }

    /// A small number for use as an index into a table. A later subchannel may get the index of one that was removed:
    /// compare whole ids before believing an entry.
    pub fn index(self) -> usize {
        self.index
    }
}

/// Names one connection, from the attempt to make it until its end. Connections live on other threads, whose news may
/// be late: with its own name, the end of an old connection is never taken for the end of the one that replaced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    subchannel: SubchannelId,
    attempt: u32,
}

impl ConnectionId {
    #[cfg(test)]
    pub(crate) fn for_test(subchannel: SubchannelId, attempt: u32) -> Self {
        ConnectionId { subchannel, attempt }
    }

    /// The subchannel that this connection is for.
    pub fn subchannel(self) -> SubchannelId {
        self.subchannel
    }
}

/// What happened to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// The peer's SETTINGS arrived: calls may be sent. A connection that is merely established proves nothing, since
    /// the operating system or a proxy may have accepted it on behalf of nobody.
    Ready,
    /// It takes no calls any more: the attempt failed or missed its deadline, the peer sent GOAWAY, or it was closed.
    Lost {
        /// What happened, for the status of calls that find no other connection.
        reason: String,
    },
}

/// The state of a subchannel as its balancer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubchannelState {
    /// Not connected; [`Controller::connect`](super::balancer::Controller::connect) would start an attempt.
    Idle,
    /// An attempt is under way.
    Connecting,
    /// Connected: calls may be sent.
    Ready,
    /// The attempt failed; the subchannel turns idle when its back-off has passed.
    TransientFailure(
        /// The address and what went wrong, as in `127.0.0.1:1: connection refused`.
        Arc<str>,
    ),
}

/// What a balancer is told of a subchannel.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SubchannelEvent {
    /// It has this state now.
    State(SubchannelState),
    /// Its backend's health is this now. Reported of ready subchannels after
    /// [`Controller::watch_health`](super::balancer::Controller::watch_health).
    Health(Health),
    /// Its backend reported its load, after
    /// [`Controller::watch_load`](super::balancer::Controller::watch_load).
    Load(Arc<LoadReport>),
}

/// What is known of a backend's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It has not answered yet.
    Unknown,
    /// It can serve calls, or nobody watches.
    Serving,
    /// It should get no calls.
    NotServing(
        /// The address and why.
        Arc<str>,
    ),
}

/// What a backend's watches tell.
#[derive(Clone, Debug)]
pub(crate) enum WatchEvent {
    Healthy,
    /// The name of the health status.
    Unhealthy(String),
    HealthEnded(Status),
    Load(Arc<LoadReport>),
    LoadEnded {
        is_unimplemented: bool,
    },
}

/// A stream of a ready subchannel that is to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WatchRequest {
    Health(Arc<str>),
    Load(Duration),
}

/// The machine behind a subchannel.
#[derive(Debug)]
pub(crate) struct Subchannel {
    id: SubchannelId,
    address: Address,
    attributes: Attributes,
    /// How many balancers have it.
    pub(crate) users: usize,
    /// The connections that take calls, the oldest first.
    ready: Vec<ConnectionId>,
    attempt: Attempt,
    backoff: Backoff,
    attempts: u32,
    /// What the streams of the oldest connection have told.
    health: Health,
    health_watch: Watch,
    /// Somebody wants to know it.
    wants_health: bool,
    load_watch: Watch,
    load_interval: Option<Duration>,
}

/// The making of a connection.
#[derive(Debug)]
enum Attempt {
    None,
    /// `delay` is the back-off that follows if this attempt fails.
    UnderWay {
        delay: Duration,
    },
    BackingOff {
        until: Instant,
        error: Arc<str>,
    },
}

impl Subchannel {
    pub(crate) fn new(
        id: SubchannelId,
        address: Address,
        attributes: Attributes,
        backoff: BackoffConfig,
    ) -> Self {
        Subchannel {
            id,
            address,
            attributes,
            users: 1,
            ready: Vec::new(),
            attempt: Attempt::None,
            backoff: Backoff::new(backoff),
            attempts: 0,
            health: Health::Unknown,
            health_watch: Watch::new(backoff),
            wants_health: false,
            load_watch: Watch::new(backoff),
            load_interval: None,
        }
    }

    pub(crate) fn id(&self) -> SubchannelId {
        self.id
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// With a connection it is ready, whatever becomes of the making of a further one.
    pub(crate) fn state(&self) -> SubchannelState {
        match &self.attempt {
            _ if self.is_ready() => SubchannelState::Ready,
            Attempt::None => SubchannelState::Idle,
            Attempt::UnderWay { .. } => SubchannelState::Connecting,
            Attempt::BackingOff { error, .. } => SubchannelState::TransientFailure(Arc::clone(error)),
        }
    }

    fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The connection by which the backend is watched: the oldest of those that take calls.
    pub(crate) fn watched(&self) -> Option<ConnectionId> {
        self.ready.first().copied()
    }

    /// The connection that is being made.
    fn under_way(&self) -> Option<ConnectionId> {
        match self.attempt {
            Attempt::UnderWay { .. } => Some(ConnectionId { subchannel: self.id, attempt: self.attempts }),
            Attempt::None | Attempt::BackingOff { .. } => None,
        }
    }

    /// The connections that take calls, and the one that is being made.
    pub(crate) fn connections(&self) -> impl Iterator<Item = ConnectionId> + '_ {
        self.ready.iter().copied().chain(self.under_way())
    }

    /// Starts an attempt if idle: its name and its deadline, which is no earlier than the back-off that would follow.
    pub(crate) fn connect(
        &mut self,
        now: Instant,
        min_timeout: Duration,
        random: &mut Xorshift,
    ) -> Option<(ConnectionId, Instant)> {
        if self.is_ready() { None } else { self.begin_attempt(now, min_timeout, random) }
    }

    /// Starts to make a connection beside those that there are, of which there may be so many.
    pub(crate) fn connect_further(
        &mut self,
        now: Instant,
        min_timeout: Duration,
        max_connections: usize,
        random: &mut Xorshift,
    ) -> Option<(ConnectionId, Instant)> {
        let is_allowed = self.is_ready() && self.ready.len() < max_connections;
        if is_allowed { self.begin_attempt(now, min_timeout, random) } else { None }
    }

    fn begin_attempt(
        &mut self,
        now: Instant,
        min_timeout: Duration,
        random: &mut Xorshift,
    ) -> Option<(ConnectionId, Instant)> {
        let Attempt::None = self.attempt else { return None };
        let delay = self.backoff.next_delay(random);
        self.attempt = Attempt::UnderWay { delay };
        self.attempts = self.attempts.wrapping_add(1);
        self.under_way().map(|id| (id, now + min_timeout.max(delay)))
    }

    /// The new state, or `None` if it is the one from before or the news is of a connection already given up.
    pub(crate) fn handle_connection(
        &mut self,
        now: Instant,
        id: ConnectionId,
        event: ConnectionEvent,
    ) -> Option<SubchannelState> {
        let before = self.state();
        let is_under_way = self.under_way() == Some(id);
        match (&self.attempt, event) {
            (Attempt::UnderWay { .. }, ConnectionEvent::Ready) if is_under_way => {
                self.attempt = Attempt::None;
                self.backoff.reset();
                self.ready.push(id);
            }
            (Attempt::UnderWay { delay }, ConnectionEvent::Lost { reason }) if is_under_way => {
                let error = format!("{}: {reason}", self.address).into();
                self.attempt = Attempt::BackingOff { until: now + *delay, error };
            }
            (_, ConnectionEvent::Lost { .. }) => {
                self.ready.retain(|other| *other != id);
                if !self.is_ready() {
                    self.stop_watches();
                }
            }
            (_, ConnectionEvent::Ready) => {}
        }
        let state = self.state();
        (state != before).then_some(state)
    }

    /// The connection by which the backend was watched is lost, and another has taken its place: the streams to open on
    /// that. Until they tell something, what is known holds.
    pub(crate) fn watch_again(&mut self, service: Option<&Arc<str>>) -> [Option<WatchRequest>; 2] {
        self.health_watch.stop();
        self.load_watch.stop();
        let service = service.filter(|_| self.wants_health && self.health_watch.start());
        let interval = self.load_interval.filter(|_| self.load_watch.start());
        [service.cloned().map(WatchRequest::Health), interval.map(WatchRequest::Load)]
    }

    /// Watches the health of this service from now on, or of none. What that is now, and the stream to open.
    pub(crate) fn watch_health(&mut self, service: Option<&Arc<str>>) -> (Health, Option<WatchRequest>) {
        self.wants_health = true;
        let Some(service) = service else { return (Health::Serving, None) };
        let starts = self.is_ready() && self.health_watch.start();
        (self.health.clone(), starts.then(|| WatchRequest::Health(Arc::clone(service))))
    }

    /// The service whose health counts is another. The health now if it is watched, and the stream to open.
    pub(crate) fn change_health_service(
        &mut self,
        service: Option<&Arc<str>>,
    ) -> Option<(Health, Option<WatchRequest>)> {
        self.health_watch.stop();
        self.health = Health::Unknown;
        (self.wants_health && self.is_ready()).then(|| self.watch_health(service))
    }

    /// Wants a load report this often at least, or none. If that changes anything, the stream to open in the place of
    /// the one there is; or there is to be none.
    pub(crate) fn watch_load(&mut self, interval: Option<Duration>) -> Option<Option<WatchRequest>> {
        let is_more = match (interval, self.load_interval) {
            (Some(wanted), Some(current)) => wanted < current,
            (wanted, _) => wanted.is_some(),
        };
        // Less is reported only when nobody else can rely on what there is.
        if !self.is_ready() || interval == self.load_interval || !is_more && self.users > 1 {
            return None;
        }
        self.load_watch.stop();
        self.load_interval = interval;
        Some(interval.filter(|_| self.load_watch.start()).map(WatchRequest::Load))
    }

    /// What this means for balancers; `None` if the news is of a stream that was given up, or of no interest.
    pub(crate) fn handle_watch(
        &mut self,
        now: Instant,
        id: ConnectionId,
        event: WatchEvent,
        random: &mut Xorshift,
    ) -> Option<SubchannelEvent> {
        if self.watched() != Some(id) {
            return None;
        }
        match event {
            WatchEvent::Load(report) => {
                self.load_watch.handle_message();
                self.load_watch.is_open().then_some(SubchannelEvent::Load(report))
            }
            WatchEvent::LoadEnded { is_unimplemented } => {
                if self.load_watch.is_open() {
                    self.load_watch.handle_end(now, is_unimplemented, random);
                }
                None
            }
            _ if !self.health_watch.is_open() => None,
            WatchEvent::Healthy => {
                self.health_watch.handle_message();
                self.health_is(Health::Serving)
            }
            WatchEvent::Unhealthy(status) => {
                self.health_watch.handle_message();
                self.health_is(Health::NotServing(format!("{}: {status}", self.address).into()))
            }
            WatchEvent::HealthEnded(status) => {
                let is_unimplemented = status.code() == Code::Unimplemented;
                self.health_watch.handle_end(now, is_unimplemented, random);
                self.health_is(match is_unimplemented {
                    // A server without health checking is as healthy as one can know.
                    true => Health::Serving,
                    false => {
                        let why = format!("{}: the health check failed: {}", self.address, status.message());
                        Health::NotServing(why.into())
                    }
                })
            }
        }
    }

    fn health_is(&mut self, health: Health) -> Option<SubchannelEvent> {
        let changed = self.health != health;
        self.health = health.clone();
        changed.then_some(SubchannelEvent::Health(health))
    }

    fn stop_watches(&mut self) {
        self.health_watch.stop();
        self.health = Health::Unknown;
        self.wants_health = false;
        self.load_watch.stop();
        self.load_interval = None;
    }

    /// The streams whose back-off has passed.
    pub(crate) fn watches_due(
        &mut self,
        now: Instant,
        service: Option<&Arc<str>>,
    ) -> [Option<WatchRequest>; 2] {
        let health = self.health_watch.handle_timeout(now).then(|| service.cloned()).flatten();
        let load = self.load_watch.handle_timeout(now).then_some(self.load_interval).flatten();
        [health.map(WatchRequest::Health), load.map(WatchRequest::Load)]
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let watches = [self.health_watch.poll_timeout(), self.load_watch.poll_timeout()];
        watches.into_iter().flatten().chain(self.back_off_end()).min()
    }

    fn back_off_end(&self) -> Option<Instant> {
        match self.attempt {
            Attempt::BackingOff { until, .. } => Some(until),
            Attempt::None | Attempt::UnderWay { .. } => None,
        }
    }

    /// Whether the subchannel has turned idle because its back-off has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        let passed = self.back_off_end().is_some_and(|until| until <= now);
        if passed {
            self.attempt = Attempt::None;
        }
        passed && !self.is_ready()
    }

    /// Forgets past failures. True if that ended a back-off, so that the subchannel is idle now.
    pub(crate) fn reset_backoff(&mut self) -> bool {
        self.backoff.reset();
        match &mut self.attempt {
            Attempt::BackingOff { .. } => {
                self.attempt = Attempt::None;
                !self.is_ready()
            }
            // If the attempt under way fails, another may follow at once.
            Attempt::UnderWay { delay } => {
                *delay = Duration::ZERO;
                false
            }
            Attempt::None => false,
        }
    }
}
