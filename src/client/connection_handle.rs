//! `ConnectionHandle`: a connection as the channel knows it, and what it may be asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::authorization;
use super::control::{Hold, IdleNotice};
use super::pending::PendingCall;
use super::stream_pool::PooledConnection;
use crate::net::{Inbox, SecurityLevel};
use crate::rpc::Status;

/// What the channel asks of a connection.
#[derive(Debug)]
pub(super) enum Command {
    Open(PendingCall),
    /// The subchannel may have further connections from now on.
    Pool(Arc<PooledConnection>),
    /// Let go of this once there are no calls.
    TellIdle(Arc<IdleNotice>),
    /// No new calls; close when those under way are done.
    Drain,
    /// Close now; calls under way end with this status.
    Close(Status),
}

/// A connection as the channel knows it.
#[derive(Debug)]
pub(super) struct ConnectionHandle {
    pub(super) inbox: Inbox<Command>,
    pub(super) activity: Activity,
    /// What it protects from, once it is there.
    pub(super) security: OnceLock<SecurityLevel>,
}

/// Whether there are calls somewhere, readable from any thread: 0 while there are, else since when there are none.
#[derive(Debug)]
pub(super) struct Activity {
    epoch: Instant,
    idle_since: AtomicU64,
}

impl ConnectionHandle {
    pub(super) fn new(inbox: Inbox<Command>, now: Instant) -> Self {
        ConnectionHandle { inbox, activity: Activity::new(now), security: OnceLock::new() }
    }

    /// Sends a call, when its call credentials have said what to add, if it has any. Gives it back if the connection is
    /// closed, or gives it to the control plane if that is found out later.
    pub(super) fn open(
        self: &Arc<Self>,
        call: PendingCall,
        control: impl FnOnce() -> Option<Hold>,
    ) -> Result<(), PendingCall> {
        if call.credentials.is_some() {
            let (this, control) = (Arc::clone(self), control());
            authorization::authorize(self.inbox.handle(), self.security.get().copied(), call, move |call| {
                if let Err(call) = this.send(call) {
                    match control {
                        Some(control) => control.take_back(call),
                        None => call.fail(Status::cancelled("the channel is closed")),
                    }
                }
            });
            return Ok(());
        }
        self.send(call)
    }

    pub(super) fn send(&self, call: PendingCall) -> Result<(), PendingCall> {
        match self.inbox.send(Command::Open(call)) {
            Err(Command::Open(call)) => Err(call),
            _ => Ok(()),
        }
    }

    /// Since when the connection has had no call; `None` while it has some.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.activity.idle_since()
    }
}

impl Activity {
    /// None so far.
    pub(super) fn new(now: Instant) -> Self {
        Activity { epoch: now, idle_since: AtomicU64::new(1) }
    }

    pub(super) fn idle_since(&self) -> Option<Instant> {
        match self.idle_since.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(self.epoch + Duration::from_nanos(nanos)),
        }
    }

    pub(super) fn busy(&self) {
        self.idle_since.store(0, Ordering::Relaxed);
    }

    pub(super) fn idle(&self, now: Instant) {
        let nanos = now.saturating_duration_since(self.epoch).as_nanos() as u64;
        self.idle_since.store(nanos.max(1), Ordering::Relaxed);
    }
}
