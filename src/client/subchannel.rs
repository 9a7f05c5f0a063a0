//! A subchannel: one address that the channel may keep connected, with the back-off between its attempts.

use super::attributes::Attributes;
use super::backoff::{Backoff, BackoffConfig};
use super::random::Xorshift;
use crate::net::Address;
use crate::rpc::LoadReport;
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

/// The machine behind a subchannel.
#[derive(Debug)]
pub(crate) struct Subchannel {
    id: SubchannelId,
    address: Address,
    attributes: Attributes,
    /// How many balancers have it.
    pub(crate) users: usize,
    phase: Phase,
    backoff: Backoff,
    attempts: u32,
}

#[derive(Debug)]
enum Phase {
    Idle,
    /// `delay` is the back-off that follows if this attempt fails.
    Connecting {
        delay: Duration,
    },
    Ready,
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
        let backoff = Backoff::new(backoff);
        Subchannel { id, address, attributes, users: 1, phase: Phase::Idle, backoff, attempts: 0 }
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

    pub(crate) fn state(&self) -> SubchannelState {
        match &self.phase {
            Phase::Idle => SubchannelState::Idle,
            Phase::Connecting { .. } => SubchannelState::Connecting,
            Phase::Ready => SubchannelState::Ready,
            Phase::BackingOff { error, .. } => SubchannelState::TransientFailure(Arc::clone(error)),
        }
    }

    /// The attempt under way or the connection that takes calls, if there is one.
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        match self.phase {
            Phase::Connecting { .. } | Phase::Ready => {
                Some(ConnectionId { subchannel: self.id, attempt: self.attempts })
            }
            Phase::Idle | Phase::BackingOff { .. } => None,
        }
    }

    /// Starts an attempt if idle: its name and its deadline, which is no earlier than the back-off that would follow.
    pub(crate) fn connect(
        &mut self,
        now: Instant,
        min_timeout: Duration,
        random: &mut Xorshift,
    ) -> Option<(ConnectionId, Instant)> {
        let Phase::Idle = self.phase else { return None };
        let delay = self.backoff.next_delay(random);
        self.phase = Phase::Connecting { delay };
        self.attempts = self.attempts.wrapping_add(1);
        self.connection().map(|id| (id, now + min_timeout.max(delay)))
    }

    /// The new state, or `None` if nothing changes because the news is of a connection already given up.
    pub(crate) fn handle_connection(
        &mut self,
        now: Instant,
        id: ConnectionId,
        event: ConnectionEvent,
    ) -> Option<SubchannelState> {
        if self.connection() != Some(id) {
            return None;
        }
        match (&self.phase, event) {
            (Phase::Connecting { .. }, ConnectionEvent::Ready) => {
                self.phase = Phase::Ready;
                self.backoff.reset();
                Some(SubchannelState::Ready)
            }
            (Phase::Connecting { delay }, ConnectionEvent::Lost { reason }) => {
                let error: Arc<str> = format!("{}: {reason}", self.address).into();
                self.phase = Phase::BackingOff { until: now + *delay, error: Arc::clone(&error) };
                Some(SubchannelState::TransientFailure(error))
            }
            (Phase::Ready, ConnectionEvent::Lost { .. }) => {
                self.phase = Phase::Idle;
                Some(SubchannelState::Idle)
            }
            (Phase::Ready, ConnectionEvent::Ready) | (Phase::Idle | Phase::BackingOff { .. }, _) => None,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::BackingOff { until, .. } => Some(until),
            _ => None,
        }
    }

    /// Whether the subchannel has turned idle because its back-off has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        let passed = self.poll_timeout().is_some_and(|until| until <= now);
        if passed {
            self.phase = Phase::Idle;
        }
        passed
    }

    /// Forgets past failures. True if that ended a back-off, so that the subchannel is idle now.
    pub(crate) fn reset_backoff(&mut self) -> bool {
        self.backoff.reset();
        match &mut self.phase {
            Phase::BackingOff { .. } => {
                self.phase = Phase::Idle;
                true
            }
            // If the attempt under way fails, another may follow at once.
            Phase::Connecting { delay } => {
                *delay = Duration::ZERO;
                false
            }
            Phase::Idle | Phase::Ready => false,
        }
    }
}
